# What happens between SIGTERM and the end. The agent's drain runs on the container's clock (Docker gives 10 s, RunPod
# about as much), so it is told first. ComfyUI has no handler: it would die in the middle of a picture, so it gets a
# moment to finish the one that it is at.
# shellcheck shell=bash disable=SC2034,SC2154 # variables are shared among the parts

readonly writers_patience_ms=1000
# The agent needs a moment after its drain to close its ledger.
readonly agent_margin_ms=1500

shut_down() {
  local code=0 drain_ms
  stop_began=$(now_ms)
  trap end_at_once TERM INT
  # Nothing that was set up for a normal end must hold this up.
  drain_ms=$(drain_milliseconds)
  if [[ -n ${agent-} ]]; then
    say "asked to stop: r2-sync uploads what is left, for at most $(seconds "$drain_ms") s"
    tell r2-sync
  else
    say 'asked to stop'
  fi
  tell jupyter
  if still_runs "${downloads-}"; then kill -TERM "$downloads"; fi
  let_writers_finish
  tell ComfyUI
  if [[ -n ${agent-} ]]; then
    wait_for_drain "$drain_ms" || code=$?
  fi
  end_everything
  exit "$code"
}

# tell SERVICE: it ends, and isn't started again.
tell() {
  local pid=${service_pid[$1]-}
  if [[ -n $pid ]]; then kill -TERM "$pid" 2>/dev/null; fi
}

# Returns the agent's exit code: 0 when all is stored, 3 when something is left.
wait_for_drain() {
  local code=0
  while kill -0 "$agent" 2>/dev/null; do
    if (($(now_ms) > stop_began + $1 + agent_margin_ms)); then
      # A call on a dead volume never returns, and can't be ended.
      warn "r2-sync didn't end in time. What isn't in the bucket is found by the next start on this volume."
      return 3
    fi
    pause 0.05
  done
  wait "$agent" 2>/dev/null || code=$?
  case $code in
    0) say "r2-sync ended after $(seconds $(($(now_ms) - stop_began))) s: nothing is left" ;;
    3)
      warn 'r2-sync ended, and something is left on the disk: its last lines say what.' \
        'The next start on this volume uploads it.'
      ;;
    *) warn "r2-sync $(describe_end "$code") at its end. What is left is found by the next start on this volume." ;;
  esac
  return "$code"
}

drain_milliseconds() {
  local text
  text=$(agent_setting R2_DRAIN_SECONDS 8)
  if [[ $text =~ ^[0-9]{1,4}(\.[0-9]+)?$ ]]; then LC_ALL=C printf '%.0f' "${text}e3"; else printf 8000; fi
}

# For at most a second, until nothing that ComfyUI started has an output open.
let_writers_finish() {
  local comfyui
  comfyui=$(pid_of ComfyUI)
  if [[ -z $comfyui ]]; then return 0; fi
  while is_writing "$comfyui"; do
    if (($(now_ms) > stop_began + writers_patience_ms)); then
      say 'ComfyUI is still writing an output; it is stopped all the same'
      return 0
    fi
    pause 0.05
  done
}

# is_writing SESSION: whether a process of that session has a file below the output directory open for writing. ComfyUI
# is started as a session of its own, so its ffmpegs are found as well, whoever their parent is by now. Only their own user
# is sure to be allowed this look: root in a container isn't.
is_writing() {
  local root dirs=() pid fd path
  root=${real_output_dir:-$COMFYUI_OUTPUT_DIR}
  while read -r pid; do dirs+=("/proc/$pid/fd"); done < <(session_members "$1")
  if ((${#dirs[@]} == 0)); then return 1; fi
  while IFS= read -rd '' fd && IFS= read -rd '' path; do
    if [[ $path == "$root"/* ]] && is_open_for_writing "$fd"; then return 0; fi
  done < <("${as_user[@]}" timeout 1 find "${dirs[@]}" -maxdepth 1 -type l -printf '%p\0%l\0' 2>/dev/null)
  return 1
}

# session_members SESSION
session_members() {
  local file line fields
  for file in /proc/[0-9]*/stat; do
    { IFS= read -r line <"$file"; } 2>/dev/null || continue
    # The name in brackets may hold anything; after it come state, parent, group and session.
    read -ra fields <<<"${line##*)}"
    if [[ ${fields[3]-} == "$1" ]]; then
      file=${file#/proc/}
      printf '%s\n' "${file%/stat}"
    fi
  done
}

# is_open_for_writing /proc/PID/fd/N: by the flags with which it was opened, in octal; 1 and 2 are writing.
is_open_for_writing() {
  local key value flags=0
  while read -r key value; do
    if [[ $key == flags: ]]; then flags=$((8#$value & 3)); fi
  done < <("${as_user[@]}" cat "${1/\/fd\///fdinfo/}" 2>/dev/null)
  ((flags != 0))
}

# still_runs PID: whether a child of this shell does; its number may be somebody else's by now.
still_runs() {
  [[ -n $1 ]] && jobs -pr | grep -qx "$1"
}

# In a container all of this dies with us; elsewhere nothing should be left behind.
end_everything() {
  local name pid
  for name in "${!service_pid[@]}"; do
    pid=$(pid_of "$name")
    end_quietly "${service_pid[$name]}"
    if [[ -n $pid ]]; then kill -KILL -- "-$pid" "$pid" 2>/dev/null || true; fi
  done
  if [[ -n ${downloads-} ]]; then
    kill -KILL -- "-$downloads" 2>/dev/null || true
    end_quietly "$downloads"
  fi
  if [[ -n ${probe-} ]]; then kill -TERM "$probe" 2>/dev/null || true; fi
}

# A child of ours that is killed is a line in the log unless it is waited for.
end_quietly() {
  kill -KILL "$1" 2>/dev/null
  wait "$1" 2>/dev/null || true
}

end_at_once() {
  trap '' TERM INT
  warn 'asked to stop again: ending at once'
  end_everything
  exit 3
}
