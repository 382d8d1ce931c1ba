# Programs that are started again when they die, each looked after by a subshell of its own. An out-of-memory kill of
# ComfyUI would otherwise end the container, and with it every file on a disk that dies with the container.
# shellcheck shell=bash disable=SC2034,SC2154 # variables are shared among the parts

# The subshells, by service.
declare -gA service_pid=()
# Who lived that long didn't die of its start.
steady_ms=60000
# So long a program that drains may take until it listens; who can't say that it does is told then.
listen_ms=5000

# start_service NAME COMMAND...: where `drains` is set, the command is a program that ends by itself after SIGTERM, once it
# listens: `drains` names the function that tells, given the process id.
start_service() {
  keep_running "$@" &
  service_pid[$1]=$!
}

# keep_running NAME COMMAND...: runs it for ever, with a pause after each death: 1, 2, 4 ... 60 s, and 1 s again once it
# had run for a minute. SIGTERM is passed on, and then it ends with the command's exit code.
keep_running() {
  local name=$1 pid='' stopping='' interrupted='' code=0 began lived delay=1
  shift
  trap 'stopping=yes interrupted=yes; pass_on "$pid"' TERM
  while :; do
    began=$(now_ms)
    "$@" &
    pid=$!
    printf '%s\n' "$pid" >"$HEARMEMAN_RUN_DIR/$name.pid"
    # Told to stop before there was anything to pass it on to.
    if [[ -n $stopping ]]; then pass_on "$pid"; fi
    wait_for_end
    # Somebody else may have this number soon.
    pid=
    : >"$HEARMEMAN_RUN_DIR/$name.pid"
    if [[ -n $stopping ]]; then exit "$code"; fi
    lived=$(($(now_ms) - began))
    if ((lived >= steady_ms)); then delay=1; fi
    warn "$name $(describe_end "$code") after $(seconds "$lived") s; it is started again in $delay s."
    nap "$delay"
    # What was written while the agent was dead still has to go.
    if [[ -n $stopping && -z ${drains-} ]]; then exit "$code"; fi
    delay=$((delay * 2 > 60 ? 60 : delay * 2))
  done
}

# Sets code. A signal ends bash's wait, not the command.
wait_for_end() {
  while :; do
    interrupted=
    code=0
    wait "$pid" 2>/dev/null || code=$?
    if [[ -z $interrupted ]]; then return 0; fi
  done
}

# Before a program that drains listens to SIGTERM, the signal would end it at once. (Node has a handler of its own long
# before the program's code runs, so /proc doesn't tell.)
pass_on() {
  local deadline
  if [[ -z $1 ]]; then return 0; fi
  if [[ -n ${drains-} ]]; then
    deadline=$(($(now_ms) + listen_ms))
    until "$drains" "$1" || (($(now_ms) > deadline)) || ! kill -0 "$1" 2>/dev/null; do pause 0.02; done
  fi
  kill -TERM "$1" 2>/dev/null
}

describe_end() {
  case $1 in
    126 | 127) printf "couldn't be started (exit code %d)" "$1" ;;
    137) printf 'was killed, most likely because memory ran out,' ;;
    139) printf 'crashed (signal 11)' ;;
    129 | 1[3-9]? | 2??) printf 'was ended by signal %d' "$(($1 - 128))" ;;
    *) printf 'ended with exit code %d' "$1" ;;
  esac
}

# Unlike sleep in front, these leave room for signals.
pause() {
  sleep "$1" &
  wait "$!" 2>/dev/null || true
}

nap() {
  local sleeper
  sleep "$1" &
  sleeper=$!
  wait "$sleeper" 2>/dev/null || true
  kill "$sleeper" 2>/dev/null || true
}

# The program of a service, or nothing.
pid_of() {
  local pid=
  if [[ -r $HEARMEMAN_RUN_DIR/$1.pid ]]; then read -r pid <"$HEARMEMAN_RUN_DIR/$1.pid"; fi
  printf '%s' "$pid"
}
