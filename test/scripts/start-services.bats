#!/usr/bin/env bats
# What is started again, and how it all ends.
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2154,SC2317,SC2329

bats_require_minimum_version 1.5.0
load start.bash
setup() {
  use_start
  read_settings
  COMFYUI_OUTPUT_DIR=$base/output
  mkdir -p "$COMFYUI_OUTPUT_DIR"
  # Pauses between starts are noted, not made.
  nap() { echo "$1" >>"$base/naps"; }
  # However long a busy machine takes to start a program.
  listen_ms=60000
}
teardown() {
  end_everything
}

# A program that ends with that exit code when it is told to; "never" doesn't end. As r2-sync does, it says that it listens.
draining() {
  exec python3 -c 'import os, signal, sys
signal.signal(signal.SIGTERM, lambda *_: None if sys.argv[1] == "never" else sys.exit(int(sys.argv[1])))
os.makedirs(sys.argv[3], exist_ok=True)
open(sys.argv[3] + "/pid", "w").write(f"{os.getpid()}\n")
open(sys.argv[2], "a").write("\n")
while True:
    signal.pause()' "$1" "$base/starts" "$R2_RUN_DIR"
}

starts() { [[ -e $base/starts && $(wc -l <"$base/starts") -ge $1 ]]; }

@test "what dies is started again, after 1, 2, 4 ... 60 s, and says how it ended" {
  dying() {
    echo >>"$base/starts"
    if starts 10; then exec sleep 60; fi
    exit 7
  }
  start_service thing dying >"$base/said" 2>&1
  until_true starts 10
  same "$(head -9 "$base/naps" | tr '\n' ' ')" '1 2 4 8 16 32 60 60 60 '
  local life='[0-9]+\.[0-9]'
  [[ $(<"$base/said") =~ '!!! thing ended with exit code 7 after '$life' s; it is started again in 1 s.' ]]
}

@test "what ran for a minute before it died is started again after 1 s" {
  # From the third pause on, every life counts as that long.
  nap() {
    echo "$1" >>"$base/naps"
    if starts 3; then steady_ms=0; fi
  }
  dying() {
    echo >>"$base/starts"
    if starts 6; then exec sleep 60; fi
    exit 1
  }
  start_service thing dying >/dev/null 2>&1
  until_true starts 6
  same "$(tr '\n' ' ' <"$base/naps")" '1 2 4 1 1 '
}

@test "a program killed with -9 is started again" {
  forever() {
    echo >>"$base/starts"
    exec sleep 60
  }
  start_service thing forever >"$base/said" 2>&1
  until_true test -n "$(until_true starts 1 && until_true test -s "$base/run/thing.pid" && pid_of thing)"
  kill -KILL "$(pid_of thing)"
  until_true starts 2
  has "$(<"$base/said")" 'thing was killed, most likely because memory ran out, after'
}

@test "a program that can't be started is said so, and tried again" {
  missing() { exec "$base/there-is-no-such-program"; }
  start_service thing missing >"$base/said" 2>&1
  until_true grep -q "couldn't be started (exit code 127)" "$base/said"
}

@test "SIGTERM is passed on, ends the restarting, and the program's exit code is kept" {
  drains=agent_listens start_service thing draining 3
  until_true starts 1
  tell thing
  local code=0
  wait "${service_pid[thing]}" || code=$?
  same "$code" 3
  same "$(wc -l <"$base/starts")" 1
}

@test "a program that has just begun and will drain isn't told before it listens" {
  slow() {
    echo >>"$base/starts"
    until [[ -e $base/go ]]; do sleep 0.02; done
    draining 3
  }
  drains=agent_listens start_service thing slow
  until_true starts 1
  tell thing
  touch "$base/go"
  local code=0
  wait "${service_pid[thing]}" || code=$?
  same "$code" 3
}

@test "an agent listens once it has said so itself: what an earlier one said doesn't count" {
  mkdir -p "$R2_RUN_DIR"
  run ! agent_listens $$
  echo 1 >"$R2_RUN_DIR/pid"
  run ! agent_listens $$
  echo $$ >"$R2_RUN_DIR/pid"
  agent_listens $$
}

@test "an agent that is dead when the end comes is started once more to drain" {
  nap() {
    echo >>"$base/naps"
    while [[ -z $stopping ]]; do pause 0.02; done
  }
  mortal() {
    echo >>"$base/starts"
    if ! starts 2; then exit 1; fi
    draining 3
  }
  drains=agent_listens start_service thing mortal >/dev/null 2>&1
  until_true test -s "$base/naps"
  tell thing
  local code=0
  wait "${service_pid[thing]}" || code=$?
  same "$code" 3
}

# writer MODE: a session of its own that has an output open in its child.
writer() {
  setsid bash -c "bash -c 'exec 5$1\"\$1\"; echo >\"\$2\"; exec sleep 60' x \"\$@\"; :" x \
    "$COMFYUI_OUTPUT_DIR/a b.png" "$base/open" &
  writer=$!
  service_pid[writer]=$writer
  echo "$writer" >"$base/run/writer.pid"
  until_true test -s "$base/open"
}

@test "an output that a child of ComfyUI has open for writing is seen, also one opened for reading and writing" {
  writer '>'
  is_writing "$writer"
}

@test "… opened for reading and writing" {
  writer '<>'
  is_writing "$writer"
}

@test "a writer of another user is seen without the right to look into others' processes, which root in a container lacks" {
  if (($(id -u) != 0)); then skip 'only root can become another user'; fi
  local shared look
  shared=$(mktemp -d)
  chmod 777 "$shared"
  as_user=(setpriv --reuid=1234 --regid=1234 --clear-groups --)
  "${as_user[@]}" setsid bash -c 'exec 5>"$1/a.png"; echo >"$1/open"; exec sleep 60' x "$shared" &
  service_pid[writer]=$!
  until_true test -s "$shared/open"
  look=$(declare -f is_writing session_members is_open_for_writing)
  look+="; COMFYUI_OUTPUT_DIR=$shared; set -u"
  run -0 setpriv --bounding-set=-sys_ptrace --inh-caps=-sys_ptrace \
    bash -c "$look; as_user=(${as_user[*]}); is_writing ${service_pid[writer]}"
  run -1 setpriv --bounding-set=-sys_ptrace --inh-caps=-sys_ptrace \
    bash -c "$look; as_user=(); is_writing ${service_pid[writer]}"
  rm -r "$shared"
}

@test "a file that is only read, or that is no output, holds nothing up" {
  touch "$COMFYUI_OUTPUT_DIR/a b.png"
  writer '<'
  run ! is_writing "$writer"
  COMFYUI_OUTPUT_DIR=$base/outp
  mkdir "$COMFYUI_OUTPUT_DIR"
  run ! is_writing "$writer"
}

@test "a writer of another session holds nothing up" {
  writer '>'
  run ! is_writing $$
}

@test "a writer that doesn't end is waited for at most a second" {
  writer '>'
  service_pid[ComfyUI]=$writer
  echo "$writer" >"$base/run/ComfyUI.pid"
  stop_began=$(($(now_ms) - writers_patience_ms - 1))
  run let_writers_finish
  has "$output" 'ComfyUI is still writing an output; it is stopped all the same'
}

# stopped EXITCODE: the end of a pod whose agent ends like that.
stopped() {
  drains=agent_listens start_service r2-sync draining "$1"
  agent=${service_pid[r2-sync]}
  until_true starts 1
  "${stop:-shut_down}"
}
# Also a process that nobody has fetched yet is gone.
is_gone() { [[ ! -e /proc/$1 || $(sed 's/.*) //' "/proc/$1/stat") == Z* ]]; }

@test "the end has the agent's exit code: 0 when all is stored, 3 when something is left" {
  run -3 stopped 3
  has "$output" 'asked to stop: r2-sync uploads what is left, for at most 8.0 s'
  has "$output" 'something is left on the disk'
}

@test "… 0 when nothing is left" {
  run -0 stopped 0
  has "$output" 'nothing is left'
}

@test "without an agent the end has exit code 0" {
  run -0 shut_down
  has "$output" 'asked to stop'
}

@test "an agent that hangs in a call on a dead volume is waited for as long as it may drain, and not longer" {
  R2_DRAIN_SECONDS=0
  run -3 stopped never
  has "$output" "r2-sync didn't end in time"
  until_true is_gone "$(pid_of r2-sync)"
}

@test "a second signal ends at once" {
  stop=end_at_once
  run -3 stopped never
  has "$output" 'asked to stop again: ending at once'
}

@test "the time to drain is what r2-sync goes by: what was set on the pod before the template's" {
  same "$(drain_milliseconds)" 8000
  R2_DRAIN_SECONDS=' "25" '
  same "$(drain_milliseconds)" 25000
  R2_DRAIN_SECONDS=2.5
  same "$(drain_milliseconds)" 2500
  R2_DRAIN_SECONDS=soon
  same "$(drain_milliseconds)" 8000
  mkdir -p "$R2_RUN_DIR"
  printf 'R2_BUCKET=x\nR2_DRAIN_SECONDS="60"\n' >"$R2_RUN_DIR/set"
  same "$(drain_milliseconds)" 60000
}
