# --lock: fills in what docker/models.json doesn't hold, from Hugging Face: sizes, hashes, the files of whole
# repositories, and for a revision such as "main" the commit that it is now.
# shellcheck shell=bash disable=SC2016,SC2034,SC2154 # jq's variables; variables are shared among the parts

# Writes the list anew. Returns 3 if something couldn't be had; the rest is written all the same.
lock_manifest() {
  local left=0 work=$run_dir/models.json
  cp -- "$MODELS_MANIFEST" "$work" || return 2
  lock_revisions || left=3
  lock_snapshots || left=3
  lock_files || left=3
  if cmp -s -- "$work" "$MODELS_MANIFEST"; then
    say "$MODELS_MANIFEST holds all that its hosts can tell."
  elif ! cat -- "$work" >"$MODELS_MANIFEST"; then
    warn "$MODELS_MANIFEST can't be written."
    return 2
  else
    say "$MODELS_MANIFEST is written. See what changed (git diff), then: npm run format && npm run docs"
  fi
  return "$left"
}

# edit_list FILTER [JQ OPTION...]
edit_list() {
  local filter=$1
  shift
  jq "$@" "$filter" "$work" >"$work.new" && mv -f -- "$work.new" "$work"
}

# lock_failed NAME: says why; always fails.
lock_failed() {
  local item_kind=("$2") item_repo=("$3") item_version=("$3")
  warn "$1: $(failure_text 0)"
  return 1
}

# Only of repositories with something to fill in: what is locked stays what it is.
lock_revisions() {
  local id repo revision commit left=0
  while IFS=$US read -r id repo revision; do
    if ! ask_json "$HF_ENDPOINT/api/models/$repo/revision/$(encoded "$revision")"; then
      lock_failed "$repo" hf "$repo" || left=1
      continue
    fi
    commit=$(jq -r '.sha // empty' <<<"$answer_body")
    if ! [[ $commit =~ ^[0-9a-f]{40}$ ]]; then
      warn "$repo: Hugging Face names no commit for $revision."
      left=1
      continue
    fi
    say "$repo: $revision is $commit"
    edit_list '.repos[$id].revision = $commit' --arg id "$id" --arg commit "$commit"
  done < <(jq -r --arg US "$US" '. as $list | .repos | to_entries[] | .key as $id
    | select(.value.revision | test("^[0-9a-f]{40}$") | not)
    | select(any(($list.files[], $list.snapshots[]); .repo == $id))
    | [$id, .value.repo, .value.revision] | join($US)' "$work")
  return "$left"
}

lock_snapshots() {
  local id repo revision lines left=0
  while IFS=$US read -r id repo revision; do
    if ! list_snapshot "$repo" "$revision" >"$run_dir/list"; then
      lock_failed "$id" hf "$repo" || left=1
      continue
    fi
    say "$id: $(count_text "$(wc -l <"$run_dir/list")" file files) of $repo"
    edit_list '.snapshots[$id].files = [$lines | split("\n")[] | select(. != "") | split($US)
      | {file: .[2], size: (.[0] | tonumber), sha256: (if .[1] == "" then null else .[1] end)}]' \
      --arg id "$id" --arg US "$US" --rawfile lines "$run_dir/list"
  done < <(jq -r --arg US "$US" '. as $list | .snapshots // {} | to_entries[] | select(.value.files == null)
    | $list.repos[.value.repo] as $from | [.key, $from.repo, $from.revision] | join($US)' "$work")
  return "$left"
}

lock_files() {
  local kind id repo revision file size sha256 left=0
  while IFS=$US read -r kind id repo revision file size sha256; do
    if ! look_up_entry; then
      lock_failed "$id" "${item_kind[0]}" "$repo" || left=1
      continue
    fi
    if [[ (-n $size && $size != "$source_size") || (-n $sha256 && $sha256 != "$source_sha256") ]]; then
      warn "$id: the list says $size bytes, SHA-256 ${sha256:-unknown}; its host has $source_size bytes, SHA-256 $source_sha256. Nothing is changed."
      left=1
      continue
    fi
    say "$id: $source_size bytes, SHA-256 $source_sha256"
    write_entry "$kind" "$id" "$file"
  done < <(jq -r --arg US "$US" '. as $list
    | (.files | to_entries[] | .key as $id | .value | $list.repos[.repo] as $from
        | ["files", $id, $from.repo, $from.revision, .file, .size, .sha256]),
      (.snapshots // {} | to_entries[] | .key as $id | $list.repos[.value.repo] as $from | .value.files // [] | .[]
        | ["snapshots", $id, $from.repo, $from.revision, .file, .size, .sha256]),
      (.civitai // {} | to_entries[] | .key as $id | .value
        | ["civitai", $id, .version, "", "", .size, .sha256])
    | select(.[5] == null or .[6] == null) | map(. // "" | tostring) | join($US)' "$work")
  return "$left"
}

# Of the entry that lock_files has in hand: sets source_size and source_sha256.
look_up_entry() {
  local line
  item_kind[0]=hf
  if [[ $kind == civitai ]]; then
    item_kind[0]=civitai
    if ! line=$(describe_civitai "$repo"; tell_failure); then
      IFS=$US read -r failure_kind failure_detail failure_host <<<"${line##*$'\n'}"
      return 1
    fi
    IFS=$US read -r source_size source_sha256 _ <<<"$line"
  else
    item_repo[0]=$repo item_revision[0]=$revision item_file[0]=$file
    find_source 0 || return 1
    if [[ -z $source_sha256 ]]; then hash_small_file || return 1; fi
  fi
  if [[ -z $source_size || -z $source_sha256 ]]; then
    failure status 'without a size and a SHA-256' "$(host_of "$HF_ENDPOINT")"
    return 1
  fi
}

# Of files that aren't large, Hugging Face names git's hash alone: they are fetched and hashed here.
hash_small_file() {
  local hash
  if [[ -z $source_blob ]] || ((${source_size:-0} > 50000000)); then return 0; fi
  if ! curl_config "$source_url" "$(token_for "$source_url")" |
    curl --silent --show-error --fail --globoff --max-time 120 --output "$run_dir/small" --config - 2>"$run_dir/curl"; then
    failure unreachable "$(head -n 1 "$run_dir/curl")" "$(host_of "$source_url")"
    return 1
  fi
  if [[ $(blob_hash_of "$run_dir/small") != "$source_blob" ]]; then
    failure hash "their hash isn't $source_blob" "$(host_of "$source_url")"
    return 1
  fi
  source_size=$(stat -c %s -- "$run_dir/small")
  source_sha256=$(hash_of "$run_dir/small")
}

# write_entry KIND ID FILE
write_entry() {
  local known='{size: ($size | tonumber), sha256: $sha256}'
  if [[ $1 == snapshots ]]; then
    edit_list ".snapshots[\$id].files |= map(if .file == \$file then . + $known else . end)" \
      --arg id "$2" --arg file "$3" --arg size "$source_size" --arg sha256 "$source_sha256"
  else
    edit_list ".${1}[\$id] |= (. + $known | del(.about))" \
      --arg id "$2" --arg size "$source_size" --arg sha256 "$source_sha256"
  fi
}
