# Where files come from: Hugging Face and CivitAI.
# shellcheck shell=bash disable=SC2034,SC2154 # variables are shared among the parts

# find_source ITEM: sets source_url (for whoever fetches the bytes), source_size and source_sha256 (what the host says,
# may be empty), source_blob (git's hash, of small files), source_commit and source_secret (1: only with the token);
# otherwise `failure` says why not.
find_source() {
  source_url='' source_size='' source_sha256='' source_blob='' source_commit='' source_secret=0
  case ${item_kind[$1]} in
    hf) find_on_hugging_face "$(hugging_face_url "${item_repo[$1]}" "${item_revision[$1]}" "${item_file[$1]}")" ;;
    civitai) find_on_civitai "$CIVITAI_ENDPOINT/api/download/models/${item_version[$1]}" ;;
  esac
}

# hugging_face_url REPO REVISION FILE
hugging_face_url() {
  printf '%s/%s/resolve/%s/%s' "$HF_ENDPOINT" "$1" "$(encoded "$2")" "$(encoded_path "$3")"
}

encoded() {
  local text=$1 out='' i char LC_ALL=C
  for ((i = 0; i < ${#text}; i++)); do
    char=${text:i:1}
    case $char in
      [a-zA-Z0-9._~-]) out+=$char ;;
      *)
        # A byte above 127 comes out as a negative number.
        printf -v char '%02X' "'$char"
        out+=%${char: -2}
        ;;
    esac
  done
  printf '%s' "$out"
}

encoded_path() {
  local path=$1 out='' part
  while [[ $path == */* ]]; do
    part=${path%%/*} path=${path#*/}
    out+=$(encoded "$part")/
  done
  printf '%s%s' "$out" "$(encoded "$path")"
}

# Hugging Face answers for a large file with an address on another host, signed for an hour, and says in headers what is
# there. Small files come from itself.
find_on_hugging_face() {
  local url=$1 hop
  for ((hop = 0; hop < 5; hop++)); do
    ask_patiently HEAD "$url" || return 1
    note_what_is_there
    case $answer_status in
      200) accept_answer "$url" && return 0 || return 1 ;;
      301 | 302 | 303 | 307 | 308)
        url=$(absolute_url "$url" "${answer_header[location]-}")
        # Elsewhere nobody is asked with a token, and a signed address is for one request.
        if [[ $(origin_of "$url") != "$(origin_of "$HF_ENDPOINT")" ]]; then
          accept_url "$url"
          return
        fi
        ;;
      *)
        fail_by_status "$url"
        return 1
        ;;
    esac
  done
  failure status "$answer_status" "$(host_of "$url")"
  return 1
}

note_what_is_there() {
  local etag=${answer_header[x-linked-etag]-${answer_header[etag]-}}
  etag=${etag#W/}
  etag=${etag//\"/}
  if [[ ${answer_header[x-linked-size]-} =~ ^[0-9]+$ ]]; then source_size=${answer_header[x-linked-size]}; fi
  if [[ $etag =~ ^[0-9a-f]{64}$ ]]; then source_sha256=$etag; fi
  if [[ $etag =~ ^[0-9a-f]{40}$ ]]; then source_blob=$etag; fi
  if [[ ${answer_header[x-repo-commit]-} =~ ^[0-9a-f]{40}$ ]]; then source_commit=${answer_header[x-repo-commit]}; fi
}

# accept_answer URL: the host itself has the bytes. If they need the token, only we may fetch them (aria2 would take the
# token along to wherever it is sent next); if not, aria2 asks without it.
accept_answer() {
  if [[ ${answer_header[content-type]-} == text/html* ]]; then
    failure html '' "$(host_of "$1")"
    return 1
  fi
  if [[ -z $source_size && ${answer_header[content-length]-} =~ ^[0-9]+$ ]]; then
    source_size=${answer_header[content-length]}
  fi
  source_url=$1
  if [[ -n $(token_for "$1") ]]; then source_secret=1; fi
}

accept_url() {
  if ! is_plain_url "$1"; then
    failure status "a redirect to nowhere" "$(host_of "$HF_ENDPOINT")"
    return 1
  fi
  source_url=$1
}

# CivitAI has no HEAD; a request of one byte tells as much. Who needs a key and sends none is led to a page for people.
find_on_civitai() {
  local url=$1 hop
  for ((hop = 0; hop < 5; hop++)); do
    ask_patiently PEEK "$url" || return 1
    case $answer_status in
      200 | 206)
        if [[ ${answer_header[content-range]-} =~ /([0-9]+)$ ]]; then source_size=${BASH_REMATCH[1]}; fi
        if [[ $answer_status == 206 ]]; then unset 'answer_header[content-length]'; fi
        accept_answer "$url" && return 0 || return 1
        ;;
      301 | 302 | 303 | 307 | 308)
        url=$(absolute_url "$url" "${answer_header[location]-}")
        if [[ $url == */login* ]]; then
          failure 401 '' "$(host_of "$CIVITAI_ENDPOINT")"
          return 1
        fi
        if [[ $(origin_of "$url") != "$(origin_of "$CIVITAI_ENDPOINT")" ]]; then
          accept_url "$url"
          return
        fi
        ;;
      *)
        fail_by_status "$url"
        return 1
        ;;
    esac
  done
  failure status "$answer_status" "$(host_of "$url")"
  return 1
}

# list_snapshot REPO REVISION: every file of a repository, lines of "size US sha256 US file". Pages follow each other.
list_snapshot() {
  local url page next
  url="$HF_ENDPOINT/api/models/$1/tree/$(encoded "$2")?recursive=true"
  for ((page = 0; page < 100; page++)); do
    ask_json "$url" || return 1
    jq -r --arg US "$US" '.[] | select(.type == "file" and .path != ".gitattributes")
      | select(.path | (test("[\\x00-\\x1f\\\\]") | not) and (split("/") | all(. != "" and . != "." and . != "..")))
      | [.lfs.size // .size, .lfs.oid // "", .path] | map(tostring) | join($US)' <<<"$answer_body" || return 1
    if ! [[ ${answer_header[link]-} =~ \<([^>]+)\>\;\ *rel=\"next\" ]]; then return 0; fi
    next=$(absolute_url "$url" "${BASH_REMATCH[1]}")
    if [[ $(origin_of "$next") != "$(origin_of "$HF_ENDPOINT")" ]]; then return 0; fi
    url=$next
  done
}

# describe_civitai VERSION: "size US sha256 US name" of its main file. CivitAI gives sizes in kB of 1,024 bytes.
describe_civitai() {
  ask_json "$CIVITAI_ENDPOINT/api/v1/model-versions/$1" || return 1
  jq -er --arg US "$US" '(first(.files[] | select(.primary)) // .files[0])
    | select(.name | test("^[^/\\x00-\\x1f\\\\.][^/\\x00-\\x1f\\\\]*$"))
    | [(.sizeKB * 1024 | round), (.hashes.SHA256 // "" | ascii_downcase), .name]
    | map(tostring) | join($US)' <<<"$answer_body" 2>/dev/null && return 0
  failure 404 '' "$(host_of "$CIVITAI_ENDPOINT")"
  return 1
}

# failure_text ITEM: what happened and what to do, in one sentence or two.
failure_text() {
  local i=$1 what token=HF_TOKEN secret=$hf_token page
  case ${item_kind[$i]} in
    civitai)
      what="version ${item_version[$i]}" token=CIVITAI_API_KEY secret=$civitai_key
      page="https://civitai.com/api/v1/model-versions/${item_version[$i]}"
      ;;
    *) what="${item_repo[$i]}" page="https://huggingface.co/${item_repo[$i]}" ;;
  esac
  case $failure_kind in
    401)
      if [[ -z $secret ]]; then
        printf '%s asks who we are (401). Set %s, in a RunPod secret, and see that %s may read %s.' \
          "$failure_host" "$token" "its account" "$what"
      else
        printf "%s doesn't accept %s (401). Is it complete, and still valid? Or there is no %s." \
          "$failure_host" "$token" "$what"
      fi
      ;;
    403)
      printf '%s refuses %s (403). Open %s with the account whose %s this is, accept its terms, and start again.' \
        "$failure_host" "$what" "$page" "$token"
      ;;
    404)
      printf "%s has no such file (404): %s. It was renamed or removed: take a newer image, or correct docker/models.json." \
        "$failure_host" "$what"
      ;;
    429) printf '%s says that we ask too often (429). Start again later; with %s set it allows more.' "$failure_host" "$token" ;;
    html)
      printf '%s sent a web page instead of a model. A proxy, a login page or an outage may be behind it: start again later.' \
        "$failure_host"
      ;;
    size)
      printf '%s has another file of that name: %s. Take a newer image, or correct docker/models.json.' \
        "$failure_host" "$failure_detail"
      ;;
    hash)
      printf "The bytes that came aren't the file's (%s), so they were thrown away. Start again; if it stays, the file was replaced: take a newer image." \
        "$failure_detail"
      ;;
    full)
      printf 'The disk is full. What came is kept. Make the volume larger, delete what you do not need, or turn a toggle off; then start again.'
      ;;
    room) printf '%s' "$failure_detail" ;;
    write) printf "It can't be written: %s." "$failure_detail" ;;
    unreachable) printf "%s can't be reached (%s). What came is kept: start again when the network is back." "$failure_host" "$failure_detail" ;;
    cut) printf '%s cut the connection again and again (%s). What came is kept: start again later.' "$failure_host" "$failure_detail" ;;
    *) printf '%s answered %s. What came is kept: start again later.' "$failure_host" "$failure_detail" ;;
  esac
}
