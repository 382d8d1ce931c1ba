# Loads download_models.sh as a library, with a directory of its own and stand-ins for what it runs.
# shellcheck shell=bash disable=SC2034,SC2154 # variables are the script's

load tracing

repository=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd)

load_script() {
  local name
  trace_tests_only
  # Nothing of this machine's own settings counts.
  for name in $(compgen -e | grep -E '^(ENABLE_|WAN_|HF_|CIVITAI_|MODELS_|RUNPOD_|GPU_|DRY_RUN|DOWNLOAD_|WORKSPACE)' || true); do
    unset "$name"
  done
  export PATH="$BATS_TEST_TMPDIR/bin:$PATH" MODELS_DIR=$BATS_TEST_TMPDIR/models MODELS_RETRY_SECONDS=0
  mkdir -p "$BATS_TEST_TMPDIR/bin" "$MODELS_DIR"
  # shellcheck source=/dev/null
  source "$repository/download_models.sh"
  run_dir=$BATS_TEST_TMPDIR/run state_dir=$MODELS_DIR/.downloads
  mkdir -p "$run_dir"
  read_settings
  SHARED_MODELS_DIR=$BATS_TEST_TMPDIR/shared
}

# A program that runs until it is ended; its process is "sleeper". Only once it is that program: a shell that was forked a
# moment ago loses the signal that it is sent.
start_sleeper() {
  sleep 600 &
  sleeper=$!
  until [[ $(<"/proc/$sleeper/comm") == sleep ]]; do pause 0.01; done
}

# stand_in NAME: a program of that name; its text comes on standard input. What it was called with goes to NAME.calls.
stand_in() {
  {
    printf '#!/bin/bash\nprintf "%%s\\n" "$*" >>"%s"\n' "$BATS_TEST_TMPDIR/$1.calls"
    cat
  } >"$BATS_TEST_TMPDIR/bin/$1"
  chmod +x "$BATS_TEST_TMPDIR/bin/$1"
}

# host_answers TEXT...: curl gives one answer after the other, and the last one from then on. What it read of its options
# goes to curl.stdin.
host_answers() {
  local i=0 text
  for text in "$@"; do
    i=$((i + 1))
    printf '%b' "$text" >"$BATS_TEST_TMPDIR/answer.$i"
  done
  printf '%d' "$i" >"$BATS_TEST_TMPDIR/answers"
  rm -f "$BATS_TEST_TMPDIR/asked"
  stand_in curl <<STAND_IN
cat >>"$BATS_TEST_TMPDIR/curl.stdin"
asked=\$(cat "$BATS_TEST_TMPDIR/asked" 2>/dev/null || echo 0)
echo \$((asked + 1)) >"$BATS_TEST_TMPDIR/asked"
most=\$(cat "$BATS_TEST_TMPDIR/answers")
cat "$BATS_TEST_TMPDIR/answer.\$((asked + 1 < most ? asked + 1 : most))"
STAND_IN
}

# one_item [SIZE SHA256]: an item of Hugging Face at index 0.
one_item() {
  add_item ENABLE_A checkpoints/a.safetensors "${1-}" "${2-}" '' 0 hf owner/repo main dir/a.safetensors
}

# put_model PATH TEXT
put_model() {
  mkdir -p "$(dirname "$MODELS_DIR/$1")"
  printf '%s' "$2" >"$MODELS_DIR/$1"
}

# put_notes PARTIAL PIECE LENGTH BITS: aria2's notes of a partial, in hexadecimal digits.
put_notes() {
  local hex
  hex=$(printf '0001%08x%08x%08x%016x%016x%08x%s%08x' 0 0 "$2" "$3" 0 $((${#4} / 2)) "$4" 0 | sed 's/../\\x&/g')
  printf '%b' "$hex" >"$1.aria2"
}

sum_of() {
  printf '%s' "$1" | sha256sum | cut -d ' ' -f 1
}

# Opens what workers report through, and lets take_outcome read it.
open_outcomes() {
  mkfifo "$run_dir/outcomes"
  exec {outcomes}<>"$run_dir/outcomes"
}

# Without the number of the process that reported it.
read_outcome() {
  local line item
  IFS= read -r -t 5 -u "$outcomes" line
  item=${line%%"$US"*}
  line=$item$US${line#*"$US"*"$US"}
  printf '%s' "${line//$US/|}"
}

# `! command` in the middle of a test would test nothing, and the script itself runs without `set -e`.
refuses() {
  if "$@"; then
    echo "should have failed: $*"
    return 1
  fi
}

accepts() {
  if ! "$@"; then
    echo "should not have failed: $*"
    return 1
  fi
}
