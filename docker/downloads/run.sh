# The main process while files are fetched: a few workers at once, the sign of life, a line of progress now and then,
# and what is said at the end.
# shellcheck shell=bash disable=SC2004,SC2034,SC2154 # keys of associative arrays; variables are shared among the parts

# Workers by item: their process, their claim (0: none, a file is only checked).
declare -gA worker=() worker_claim=()
# Items of which every byte is there, and only the hash is being worked out.
declare -gA verifying=()
declare -ga queue=()
# Items whose file another pod is fetching: who, once it was said.
declare -gA waiting_for=()

# Fetches and checks what classify_items found; every item ends as there, fetched or failed.
run_queue() {
  local i
  queue=()
  # What is there but was never checked comes last: ComfyUI can use it meanwhile.
  for i in "${!item_to[@]}"; do if [[ ${item_state[$i]} == missing ]]; then queue+=("$i"); fi; done
  for i in "${!item_to[@]}"; do if [[ ${item_state[$i]} == check ]]; then queue+=("$i"); fi; done
  if ((${#queue[@]} == 0)); then return 0; fi
  mkfifo "$run_dir/outcomes" && exec {outcomes}<>"$run_dir/outcomes" || return 1
  if ! open_run; then
    warn "$state_dir can't be written, so nothing can be fetched."
    fail_queue "MODELS_DIR can't be written. Is the volume full, or read-only?"
    return 0
  fi
  # Given up when the disk is full: see rescue_notes. Zeros could be stored as a hole.
  head -c 262144 /dev/urandom >"$state_dir/runs/$run_id.reserve" 2>/dev/null || :
  progress_at=$(now_ms)
  while ((${#queue[@]} + ${#worker[@]} > 0)); do
    start_workers
    hear_outcomes
    tick
  done
  close_run
  exec {outcomes}>&-
}

fail_queue() {
  local i
  for i in "${queue[@]}"; do item_state[i]=failed item_reason[i]=$1; done
  queue=()
}

# Starts what may start now. Files that another pod holds stay in the queue.
start_workers() {
  local i left=()
  for i in "${queue[@]}"; do
    if ((${#worker[@]} - ${#verifying[@]} >= parallel_files || ${#worker[@]} >= 2 * parallel_files)); then
      left+=("$i")
    elif [[ ${item_state[$i]} == check ]]; then
      start_worker check_file "$i"
      worker[$i]=$worker_pid worker_claim[$i]=0
    elif ! start_fetch "$i"; then
      left+=("$i")
    fi
  done
  queue=("${left[@]}")
}

# start_fetch ITEM: fails while another pod has the file.
start_fetch() {
  local i=$1 to=${item_to[$1]}
  if ! take_claim "$to"; then
    if [[ ! -w $state_dir/claims ]]; then
      item_state[i]=failed item_reason[i]="MODELS_DIR can't be written."
      return 0
    fi
    if [[ -n $claim_holder && ${waiting_for[$i]-} != "$claim_holder" ]]; then
      waiting_for[$i]=$claim_holder
      say "$to is being fetched by $(printable "$claim_holder"), on this volume, too: waiting for it."
    fi
    return 1
  fi
  # Whoever held it before may have finished it.
  if arrived_meanwhile "$i"; then
    release_claim "$to" "$claim_number"
    item_state[i]=there
    say "$to is there now: another pod has fetched it."
    return 0
  fi
  say "fetching $to, $(planned_size "$i"), from $(source_name "$i")"
  start_worker fetch_file "$i" "$claim_number"
  worker[$i]=$worker_pid worker_claim[$i]=$claim_number
}

arrived_meanwhile() {
  local to=${item_to[$1]} size mtime
  read -r size mtime <<<"$(stat -L -c '%s %Y' -- "$MODELS_DIR/$to" 2>/dev/null)"
  if [[ -z $size ]]; then return 1; fi
  file_size[$to]=$size file_mtime[$to]=$mtime
  is_verified "$1"
}

# Waits for what a worker says, at most until something else is due.
hear_outcomes() {
  local line i
  if read_line "$tick_seconds"; then
    while take_outcome "$line" && read_line 0.01; do :; done
    return 0
  fi
  # A worker that says nothing and is gone was killed, for want of memory perhaps.
  for i in "${!worker[@]}"; do
    if ! kill -0 "${worker[$i]}" 2>/dev/null; then
      if read_line 0.01; then
        take_outcome "$line"
        return 0
      fi
      take_outcome "$i$US${worker[$i]}${US}failed${US}gone${US}The process that fetched it was killed. Is the pod out of memory? What came is kept: start again."
    fi
  done
}

# read_line SECONDS: into `line`. A line is written at once but read byte by byte: where the time is over in the middle of
# one, which happens on a busy machine, the rest is there.
read_line() {
  local timeout=$1 part
  line=
  while ! IFS= read -r -t "$timeout" -u "$outcomes" part; do
    line+=$part
    if [[ -z $line ]]; then return 1; fi
    timeout=5
  done
  line+=$part
}

take_outcome() {
  local i from what one two three
  IFS=$US read -r i from what one two three <<<"$1"
  # The last words of a worker that was stopped are nobody's.
  if [[ ${worker[$i]-} != "$from" ]]; then return 0; fi
  if [[ $what == verifying ]]; then
    verifying[$i]=1
    return 0
  fi
  wait "${worker[$i]}" 2>/dev/null
  unset "worker[$i]" "verifying[$i]"
  if ((worker_claim[$i] > 0)); then release_claim "${item_to[$i]}" "${worker_claim[$i]}"; fi
  case $what in
    "done")
      item_state[i]=fetched item_sha256[i]=$one
      fetched_bytes=$((fetched_bytes + two))
      finished_size[$i]=$(stat -L -c %s -- "$MODELS_DIR/${item_to[$i]}" 2>/dev/null)
      say "done: ${item_to[$i]}, $(size_text "${finished_size[$i]:-0}") in $(seconds_text "$((three / 1000))")$(done_words "$i" "$two" "$three")"
      ;;
    right)
      item_state[i]=there item_sha256[i]=$one
      say "checked: ${item_to[$i]} is what it is called$(hash_words "$i")"
      ;;
    wrong)
      item_state[i]=missing
      queue+=("$i")
      warn "${item_to[$i]} was there, but its bytes aren't the model's (SHA-256 $one instead of ${item_sha256[$i]}): it is fetched anew and replaced when that is whole."
      ;;
    lost)
      queue+=("$i")
      say "${item_to[$i]}: another pod took it over while this one was silent."
      ;;
    *)
      item_state[i]=failed item_reason[i]=$two
      warn "failed: ${item_to[$i]}. $two"
      ;;
  esac
}

done_words() {
  if (($3 >= 1000)); then printf ' (%s)' "$(speed_text "$2" "$3")"; fi
  hash_words "$1"
}

# What the hash was compared with: the list, what the host says, or nothing.
hash_words() {
  if ((item_pinned[$1])); then
    printf ', SHA-256 right'
  else
    printf ', unpinned: its SHA-256 is %s' "${item_sha256[$1]}"
  fi
}

# What is due every second or so. A sign of life that is late may have cost us our claims: whoever takes them over must
# find nobody writing.
tick() {
  local now i
  now=$(now_ms)
  if ((now - last_beat >= MODELS_LEASE_SECONDS * 1000 / 9)); then
    if ((now - last_beat > MODELS_LEASE_SECONDS * 1000 * 4 / 9)); then
      warn "This pod stood still for $(seconds_text "$(((now - last_beat) / 1000))"): downloads are taken up again."
      restart_workers
    fi
    beat || :
    for i in "${!worker[@]}"; do
      if ((worker_claim[$i] > 0)); then keep_worker "$i"; fi
    done
  fi
  if ((now - progress_at >= MODELS_PROGRESS_SECONDS * 1000)); then
    progress_at=$now
    show_progress
  fi
}

# Copies aria2's notes (see rescue_notes); ends a worker whose file was taken over.
keep_worker() {
  local i=$1 notes="$MODELS_DIR/${item_to[$1]}.${worker_claim[$1]}.partial.aria2"
  if ! holds_claim "${item_to[$i]}" "${worker_claim[$i]}"; then
    stop_worker "$i"
    queue+=("$i")
    say "${item_to[$i]}: another pod has taken it over."
  elif [[ -s $notes ]]; then
    cp -- "$notes" "$run_dir/notes.$i.new" 2>/dev/null && mv -f -- "$run_dir/notes.$i.new" "$run_dir/notes.$i"
  fi
}

restart_workers() {
  local i
  for i in "${!worker[@]}"; do
    if ((worker_claim[$i] > 0)); then
      stop_worker "$i"
      queue+=("$i")
    fi
  done
}

stop_worker() {
  kill -TERM "${worker[$1]}" 2>/dev/null
  wait "${worker[$1]}" 2>/dev/null
  unset "worker[$1]" "verifying[$1]"
}

# One line, at an interval that a pod's log can bear.
show_progress() {
  local i have=0 speed=0 total=0 size files=0 finished=0 elapsed line
  for i in "${!item_to[@]}"; do
    case ${item_state[$i]} in
      fetched) files=$((files + 1)) finished=$((finished + 1)) size=${finished_size[$i]:-0} have=$((have + size)) ;;
      missing)
        files=$((files + 1)) size=${item_size[$i]:-${item_about[$i]:-0}}
        if [[ -n ${verifying[$i]-} ]]; then
          have=$((have + size))
        elif [[ -n ${worker[$i]-} ]]; then
          read_transfer_progress "$i"
          have=$((have + progress_bytes)) speed=$((speed + progress_speed))
        fi
        ;;
      *) continue ;;
    esac
    total=$((total + size))
  done
  if ((files == 0)); then
    say "checking $(count_text "${#worker[@]}" file files) that were there before"
    return 0
  fi
  line="$finished of $(count_text "$files" file files), $(size_text "$have") of $(size_text "$total")"
  if ((total > 0)); then line+=" ($((have * 100 / total)) %)"; fi
  if ((speed > 0)); then
    line+=", $(size_text "$speed")/s"
    if ((total > have)); then line+=", about $(seconds_text "$(((total - have) / speed + 1))") left"; fi
  fi
  say "$line"
}

# read_transfer_progress ITEM: sets progress_bytes and progress_speed from the last summary that aria2 gave.
read_transfer_progress() {
  local text
  progress_bytes=0 progress_speed=0
  text=$(tail -c 1000 "$run_dir/transfer.$1" 2>/dev/null)
  if [[ $text =~ .*\[#[0-9a-f]+\ ([0-9]+)B/[0-9]+B ]]; then progress_bytes=${BASH_REMATCH[1]}; fi
  if [[ $text =~ .*\ DL:([0-9]+)B ]]; then progress_speed=${BASH_REMATCH[1]}; fi
}

# Told to end: what is whole is noted, others may go on at once.
stop_run() {
  local i
  trap '' TERM INT
  for i in "${!worker[@]}"; do kill -TERM "${worker[$i]}" 2>/dev/null; done
  for i in "${!worker[@]}"; do
    wait "${worker[$i]}" 2>/dev/null
    if ((worker_claim[$i] > 0)); then release_claim "${item_to[$i]}" "${worker_claim[$i]}"; fi
  done
  close_run
  if ((${#worker[@]} > 0)); then say "stopped: what came is kept, and the next start goes on from there."; fi
}

# What is there, what isn't and why, how long, how fast. Returns 3 if something is missing.
show_summary() {
  local i there=0 fetched=0 failed=() problem took=$(($(now_ms) - started_at))
  for i in "${!item_to[@]}"; do
    case ${item_state[$i]} in
      there) there=$((there + 1)) ;;
      fetched) there=$((there + 1)) fetched=$((fetched + 1)) ;;
      *) failed+=("$i") ;;
    esac
  done
  if ((${#item_to[@]} + ${#problems[@]} == 0)); then
    say "no models are asked for: docs/models.md lists what there is."
    return 0
  fi
  say "$there of $(count_text "${#item_to[@]}" file files) are there$(fetched_words "$fetched" "$took")."
  for i in "${failed[@]}"; do warn "missing: ${item_to[$i]} (${item_toggles[$i]// /, }): ${item_reason[$i]}"; done
  for problem in "${problems[@]}"; do warn "skipped: ${problem//$US/: }"; done
  if ((${#failed[@]} + ${#problems[@]} > 0)); then return 3; fi
}

fetched_words() {
  if (($1 == 0)); then return 0; fi
  printf ', %d of them fetched now: %s in %s' "$1" "$(size_text "$fetched_bytes")" "$(seconds_text "$(($2 / 1000))")"
  if (($2 >= 1000)); then printf ' (%s)' "$(speed_text "$fetched_bytes" "$2")"; fi
}
