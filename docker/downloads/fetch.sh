# Fetches one file, in a process of its own: partial, bytes, size and hash, final name. It tells the main process what
# came of it by lines through a pipe: "item US process US outcome US ...".
# shellcheck shell=bash disable=SC2030,SC2031,SC2034,SC2154 # variables are shared among the parts, and with workers

# report_outcome ITEM OUTCOME [WORD...]: verifying, and then one of: done HASH BYTES MS | failed KIND TEXT |
# right HASH | wrong HASH | lost
report_outcome() {
  local IFS=$US item=$1
  shift
  printf '%s\n' "$item$US$BASHPID$US$*" >&"$outcomes"
}

report_failure() {
  report_outcome "$1" failed "$failure_kind" "$(failure_text "$1")"
}

# A worker's process. Told to end, it takes aria2 along, which notes what is whole.
start_worker() {
  local command=$1
  shift
  (
    transfer=
    trap 'stop_transfer; exit 143' TERM
    trap '' INT
    set +e
    "$command" "$@"
  ) &
  worker_pid=$!
}

stop_transfer() {
  trap '' TERM
  if [[ -n $transfer ]]; then
    kill -TERM "$transfer" 2>/dev/null
    wait "$transfer" 2>/dev/null
  fi
}

main_is_gone() {
  ! kill -0 $$ 2>/dev/null
}

# check_file ITEM: a file that was there before we were: is it what it is called?
check_file() {
  local hash
  hash=$(hash_of "$MODELS_DIR/${item_to[$1]}")
  if [[ -z $hash ]]; then
    failure write "$MODELS_DIR/${item_to[$1]} can't be read" ''
    report_failure "$1"
  elif [[ -z ${item_sha256[$1]} || $hash == "${item_sha256[$1]}" ]]; then
    remember_verified "${item_to[$1]}" "$hash"
    report_outcome "$1" right "$hash"
  else
    report_outcome "$1" wrong "$hash"
  fi
}

# fetch_file ITEM CLAIM
fetch_file() {
  local i=$1 to=${item_to[$1]} claim=$2 target partial started hash resumed=0 fresh=0
  target=$MODELS_DIR/$to partial=$MODELS_DIR/$to.$claim.partial
  if ! (umask 022 && mkdir -p -- "${target%/*}") 2>/dev/null; then
    failure write "the directory $(printable "${target%/*}") can't be made" ''
    report_failure "$i"
    return
  fi
  if ! adopt_partial "$to" "$partial"; then
    failure write "another process of this pod still writes it" ''
    report_failure "$i"
    return
  fi
  started=$(now_ms)
  while :; do
    resumed=$(resumable_bytes "$partial" "$to")
    if ((resumed > 0)); then say "going on with $to: $(size_text "$resumed") are there"; fi
    if ! transfer_file "$i" "$partial"; then
      if main_is_gone; then exit 1; fi
      # Bytes of a place that isn't there any more, or of a page, are nobody's.
      report_failure "$i"
      return
    fi
    # The line is free for another file meanwhile.
    report_outcome "$i" verifying
    if verify_partial "$i" "$partial"; then break; fi
    discard_partial "$partial"
    # What was kept may have been of another file: once more, from the start.
    if ((resumed == 0 || fresh)) || [[ $failure_kind == html ]]; then
      report_failure "$i"
      return
    fi
    fresh=1
    say "$to: what was kept of it doesn't go together with the rest. It is fetched anew."
  done
  if main_is_gone || ! holds_claim "$to" "$claim"; then
    report_outcome "$i" lost
  elif ! mv -f -- "$partial" "$target" 2>"$run_dir/mv.$i"; then
    failure write "$(tail -n 1 "$run_dir/mv.$i")" ''
    report_failure "$i"
  else
    rm -f -- "$partial.aria2"
    remember_verified "$to" "$verified_hash"
    report_outcome "$i" "done" "$verified_hash" "$((verified_size - (fresh ? 0 : resumed)))" "$(($(now_ms) - started))"
  fi
}

# adopt_partial TO PARTIAL: takes over what an earlier claim has left; older leftovers go. Whoever was killed may have
# left an aria2 behind, which ends by itself a second later.
adopt_partial() {
  local number path tries=0
  while read -r number path; do
    if [[ $path == "$2" ]]; then continue; fi
    while is_written_here "$path" || is_written_here "$path.curl"; do
      tries=$((tries + 1))
      if ((tries > 100)); then return 1; fi
      pause 0.2
    done
    if [[ ! -e $2 && ! -e $2.curl ]]; then
      mv -f -- "$path.aria2" "$2.aria2"
      mv -f -- "$path.curl" "$2.curl"
      mv -f -- "$path" "$2"
    fi 2>/dev/null
    discard_partial "$path"
  done < <(partials_of "$1")
  return 0
}

discard_partial() {
  rm -f -- "$1" "$1.aria2" "$1.curl" 2>/dev/null
}

# resumable_bytes PARTIAL TO: what needn't be fetched again. aria2 fills a file from several places at once, so without
# its notes nobody knows which bytes are there, and the file is worth nothing; except if it is one of curl's, which
# grows from the start, and has a name of its own for that.
resumable_bytes() {
  local bytes
  if [[ ! -e $1 ]]; then
    rm -f -- "$1.aria2" 2>/dev/null
    if [[ -e $1.curl ]]; then stat -c %s -- "$1.curl"; else printf 0; fi
  elif bytes=$(kept_bytes "$1"); then
    printf '%d' "$bytes"
  else
    discard_partial "$1"
    printf 0
  fi
}

# transfer_file ITEM PARTIAL: tries until the file is whole, as long as it gets further. Addresses are signed for a
# while only, so each try asks for a new one.
transfer_file() {
  local i=$1 partial=$2 failures=0 before after code
  rm -f -- "$run_dir/notes.$i"
  while :; do
    find_source "$i" || return 1
    compare_with_list "$i" || return 1
    before=$(kept_bytes "$partial") || before=0
    if ((source_secret)) && ! is_public; then
      transfer_with_curl "$partial" "$i"
    else
      transfer_with_aria2 "$partial" "$i"
    fi
    code=$?
    if ((code == 0)); then return 0; fi
    if main_is_gone; then return 1; fi
    rescue_notes "$partial" "$i"
    read_transfer_error "$code" "$i"
    case $failure_kind in
      full | write | 404) return 1 ;;
      restart) discard_partial "$partial" ;;
    esac
    after=$(kept_bytes "$partial") || after=0
    if ((after > before)); then failures=0; fi
    failures=$((failures + 1))
    if ((failures >= most_failures)); then
      if [[ $failure_kind == restart ]]; then failure_kind='cut'; fi
      return 1
    fi
    pause "$((MODELS_RETRY_SECONDS * (1 << (failures - 1))))"
  done
}

# The host must have what the list names, before gigabytes are fetched.
compare_with_list() {
  local host
  host=$(host_of "$source_url")
  if [[ -n ${item_size[$1]} && -n $source_size && ${item_size[$1]} != "$source_size" ]]; then
    failure size "$source_size bytes instead of ${item_size[$1]}" "$host"
    return 1
  fi
  if [[ -n ${item_sha256[$1]} && -n $source_sha256 && ${item_sha256[$1]} != "$source_sha256" ]]; then
    failure size "SHA-256 $source_sha256 instead of ${item_sha256[$1]}" "$host"
    return 1
  fi
}

# Whether the host gives the file to who shows no token.
is_public() {
  local hf_token='' civitai_key=''
  ask PEEK "$source_url"
  [[ $answer_status == 20? ]]
}

# Where the disk is full, aria2 can't write its notes either and leaves them empty: what came would be worth nothing. So
# the main process copies them now and then, and keeps some room that is given up for them.
rescue_notes() {
  if [[ -e $1 ]] && ! kept_bytes "$1" >/dev/null && [[ -s $run_dir/notes.$2 ]]; then
    rm -f -- "$state_dir/runs/$run_id.reserve"
    cp -- "$run_dir/notes.$2" "$1.aria2" 2>/dev/null
  fi
}

# Everything that could be told from arguments or be somebody's setting is given. The address comes on standard input.
# aria2 ends when the main process is gone, so that nothing writes on behind its back.
transfer_with_aria2() {
  local partial=$1 log=$run_dir/transfer.$2
  aria2c --no-conf=true --no-netrc=true --input-file=- --file-allocation=none --continue=true \
    --allow-overwrite=false --auto-file-renaming=false --remote-time=false --enable-dht=false \
    --max-connection-per-server="$connections" --split="$connections" --min-split-size=8M --piece-length=1M \
    --timeout="$DOWNLOAD_TIMEOUT" --connect-timeout=15 --max-tries=3 --retry-wait="$MODELS_RETRY_SECONDS" \
    --auto-save-interval=5 --summary-interval=1 --show-console-readout=false --human-readable=false \
    --enable-color=false --console-log-level=warn --download-result=hide --user-agent=hearmeman-extended \
    --stop-with-process=$$ \
    < <(printf '%s\n dir=%s\n out=%s\n' "$source_url" "${partial%/*}" "${partial##*/}") >"$log" 2>&1 &
  transfer=$!
  wait "$transfer"
}

# One connection, and no redirect: the token goes nowhere else.
transfer_with_curl() {
  local partial=$1 log=$run_dir/transfer.$2
  curl --silent --show-error --fail --globoff --connect-timeout 15 --speed-limit 1 --speed-time "$DOWNLOAD_TIMEOUT" \
    --user-agent hearmeman-extended --continue-at - --output "$partial.curl" --write-out 'status=%{http_code}\n' \
    --config - < <(curl_config "$source_url" "$(token_for "$source_url")") >"$log" 2>&1 &
  transfer=$!
  wait "$transfer" && mv -f -- "$partial.curl" "$partial"
}

# read_transfer_error CODE ITEM: into `failure`. What aria2 and curl say holds the address, so it isn't passed on.
read_transfer_error() {
  local text host status=''
  text=$(tail -c 20000 "$run_dir/transfer.$2" 2>/dev/null)
  host=$(host_of "$source_url")
  if [[ $text =~ .*status=([0-9]{3}) ]]; then status=${BASH_REMATCH[1]}; fi
  case $text in
    *'No space left on device'* | *'Disk quota exceeded'*)
      failure full '' "$host"
      return
      ;;
    *'Permission denied'* | *'Read-only file system'*)
      failure write 'the volume is read-only, or belongs to somebody else' "$host"
      return
      ;;
  esac
  case $1:$status in
    9:*) failure full '' "$host" ;;
    8:* | 13:*) failure restart 'it can not go on where it was cut' "$host" ;;
    3:* | *:404 | *:410) failure 404 '' "$host" ;;
    *:401 | *:403) failure "$status" '' "$host" ;;
    *:429) failure 429 '' "$host" ;;
    *:[45]??) failure status "$status" "$host" ;;
    2:*) failure cut "nothing came for $DOWNLOAD_TIMEOUT s" "$host" ;;
    *) if [[ $text == *'Failed to establish connection'* || $text == *'Name resolution'* || $text == *'Could not resolve'* ]]; then
      failure unreachable "no connection" "$host"
    else
      failure cut "the transfer's code is $1" "$host"
    fi ;;
  esac
}

# verify_partial ITEM PARTIAL: the size, then that it is no web page, then the hash. Sets verified_hash, verified_size.
verify_partial() {
  local i=$1 partial=$2 size want head host
  host=$(host_of "$source_url")
  size=$(stat -c %s -- "$partial") || size=0
  want=${item_size[$i]:-$source_size}
  head=$(head -c 300 -- "$partial" | tr -d '\0')
  head=${head#"${head%%[![:space:]]*}"}
  if [[ ${head,,} == '<!doctype html'* || ${head,,} == '<html'* ]]; then
    failure html '' "$host"
    return 1
  fi
  if [[ -n $want ]] && ((size != want)); then
    failure hash "$size bytes instead of $want" "$host"
    return 1
  fi
  verified_size=$size
  verified_hash=$(hash_of "$partial")
  want=${item_sha256[$i]:-$source_sha256}
  if [[ -z $verified_hash || (-n $want && $verified_hash != "$want") ]]; then
    failure hash "SHA-256 $verified_hash instead of $want" "$host"
    return 1
  fi
  if [[ -z $want && -n $source_blob && $(blob_hash_of "$partial") != "$source_blob" ]]; then
    failure hash "their hash isn't $source_blob" "$host"
    return 1
  fi
}
