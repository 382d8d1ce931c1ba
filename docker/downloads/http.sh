# Asks hosts where a file is and what it is. Secrets and addresses go to curl by its standard input: arguments can be
# read by everybody (`ps`), and an address that a host signed is a key by itself.
# shellcheck shell=bash disable=SC2034,SC2154 # variables are shared among the parts

# origin_of URL: "https://host:port", in lower case.
origin_of() {
  local url=${1,,} origin
  origin=${url%%\?*}
  if [[ $origin =~ ^(https?)://([^/@]+)(/.*)?$ ]]; then origin=${BASH_REMATCH[1]}://${BASH_REMATCH[2]}; else return 1; fi
  case $origin in
    https://*:443) origin=${origin%:443} ;;
    http://*:80) origin=${origin%:80} ;;
  esac
  printf '%s' "$origin"
}

# token_for URL: the secret that this address may see, which is none for every host but the secret's own, and none on a
# line that others can listen to.
token_for() {
  local origin
  origin=$(origin_of "$1") || return 0
  if ! [[ $origin =~ ^https:// || $origin =~ ^http://(localhost|127\.[0-9.]+|\[::1\])(:[0-9]+)?$ ]]; then return 0; fi
  if [[ $origin == "$(origin_of "$HF_ENDPOINT")" ]]; then
    printf '%s' "$hf_token"
  elif [[ $origin == "$(origin_of "$CIVITAI_ENDPOINT")" ]]; then
    printf '%s' "$civitai_key"
  fi
}

# curl_config URL TOKEN: what curl reads of its options on its standard input.
curl_config() {
  printf 'url = "%s"\n' "$1"
  if [[ -n $2 ]]; then printf 'header = "Authorization: Bearer %s"\n' "$2"; fi
}

# An address that curl and aria2 can be told on a line of its own.
is_plain_url() {
  [[ $1 =~ ^https?:// && $1 != *[[:cntrl:][:space:]\"\\]* ]]
}

# ask METHOD URL [MAX_BYTES]: sets answer_status (000: no answer), answer_header, answer_body, answer_error.
# Redirects aren't followed: whoever asks decides who is asked next.
declare -gA answer_header=()
ask() {
  local method=$1 url=$2 most=${3:-8000000} token text code=0 options errors=$run_dir/curl.$BASHPID
  answer_status=000 answer_error='' answer_body='' answer_header=()
  if ! is_plain_url "$url"; then
    answer_error='the address is none'
    return 0
  fi
  token=$(token_for "$url")
  options=(--silent --show-error --include --globoff --connect-timeout 15 --max-time 60 --user-agent hearmeman-extended)
  if [[ $method == HEAD ]]; then options=("${options[@]/--include/--head}"); fi
  if [[ $method == PEEK ]]; then options+=(--range 0-0); fi
  # A host that ignores the range sends gigabytes: `head` hangs up. NULs can't be in a variable.
  text=$(curl_config "$url" "$token" | curl "${options[@]}" --config - 2>"$errors" |
    head -c "$most" | tr -d '\0\r') || code=$?
  read_answer "$text"
  if [[ $answer_status == 000 ]]; then
    answer_error=$(<"$errors")
    answer_error=${answer_error%%$'\n'*}
    answer_error=${answer_error#curl: }
    answer_error=${answer_error:-curl ended with $code}
  fi
  rm -f "$errors"
}

# Takes an answer apart. A proxy's own answer may come before the host's: the last one counts.
read_answer() {
  local text=$1 line
  while [[ $text == HTTP/* ]]; do
    answer_header=() answer_status=000
    while IFS= read -r line && [[ -n $line ]]; do
      if [[ $line =~ ^HTTP/[0-9.]+\ ([0-9]{3}) ]]; then
        answer_status=${BASH_REMATCH[1]}
      elif [[ $line =~ ^([A-Za-z0-9-]+):\ *(.*)$ ]]; then
        answer_header[${BASH_REMATCH[1],,}]=${BASH_REMATCH[2]}
      fi
    done <<<"${text%%$'\n\n'*}"$'\n'
    if [[ $text != *$'\n\n'* ]]; then text=; fi
    text=${text#*$'\n\n'}
  done
  answer_body=$text
}

# absolute_url BASE LOCATION
absolute_url() {
  case $2 in
    http://* | https://*) printf '%s' "$2" ;;
    //*) printf '%s:%s' "${1%%:*}" "$2" ;;
    /*) printf '%s%s' "$(origin_of "$1")" "$2" ;;
    *) printf '%s/%s' "${1%/*}" "$2" ;;
  esac
}

# ask_json URL: the answer's body, redirects within the same host followed; otherwise `failure` says why not.
ask_json() {
  local url=$1 hop next
  for ((hop = 0; hop < 5; hop++)); do
    ask_patiently GET "$url" || return 1
    case $answer_status in
      200)
        if jq -e . >/dev/null 2>&1 <<<"$answer_body"; then return 0; fi
        failure html '' "$url"
        return 1
        ;;
      301 | 302 | 303 | 307 | 308)
        next=$(absolute_url "$url" "${answer_header[location]-}")
        if [[ $(origin_of "$next") != "$(origin_of "$url")" ]]; then break; fi
        url=$next
        ;;
      *) break ;;
    esac
  done
  fail_by_status "$url"
  return 1
}

# ask_patiently METHOD URL: asks again, each time after a longer while, when the host is busy or can't be reached.
ask_patiently() {
  local try wait
  for ((try = 1; ; try++)); do
    ask "$1" "$2"
    case $answer_status in
      000 | 408 | 425 | 429 | 5??) ;;
      *) return 0 ;;
    esac
    if ((try >= most_failures)); then break; fi
    wait=$((MODELS_RETRY_SECONDS * (1 << (try - 1))))
    if [[ ${answer_header[retry-after]-} =~ ^[0-9]{1,4}$ ]]; then wait=${answer_header[retry-after]}; fi
    pause "$((wait > 60 ? 60 : wait))"
  done
  fail_by_status "$2"
  return 1
}

fail_by_status() {
  local host
  host=$(host_of "$1")
  case $answer_status in
    000) failure unreachable "$answer_error" "$host" ;;
    401 | 403) failure "$answer_status" "${answer_header[x-error-code]-}" "$host" ;;
    404 | 410) failure 404 "${answer_header[x-error-code]-}" "$host" ;;
    429) failure 429 '' "$host" ;;
    *) failure status "$answer_status" "$host" ;;
  esac
}

# host_of URL: for people; never the whole address.
host_of() {
  local origin
  origin=$(origin_of "$1") || origin=the host
  printf '%s' "${origin#*://}"
}

# failure KIND DETAIL HOST: kept for `failure_text`.
failure() {
  failure_kind=$1 failure_detail=$2 failure_host=$3
}
