# For the tests of start.sh's parts: sources it with every directory of the test's own, and stands in for programs.
# shellcheck shell=bash disable=SC2034,SC2154 # variables are shared with the parts

load tracing

repo=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd)

# Nothing of our environment may decide what a test sees.
forget_settings() {
  local name
  for name in $(compgen -v R2_) $(jq -r '.[].name' "$repo/docker/settings.json") ENABLE_R2_SYNC COMFYUI_OUTPUT_DIR \
    CUDA_VISIBLE_DEVICES RUNPOD_VOLUME_ID RUNPOD_POD_ID RUNPOD_API_KEY PYTHONUSERBASE PIP_USER PIP_CONSTRAINT \
    UV_CONSTRAINT HF_HOME; do
    unset "$name" "${name}_FILE"
  done
}

use_start() {
  trace_tests_only
  base=$BATS_TEST_TMPDIR
  bin=$base/bin
  mkdir -p "$bin" "$base/run" "$base/ws"
  forget_settings
  export WORKSPACE=$base/ws HEARMEMAN_RUN_DIR=$base/run HEARMEMAN_LOCAL_DIR=$base/local HEARMEMAN_SSH_DIR=$base/ssh
  export HEARMEMAN_ROOT_SSH_DIR=$base/root-ssh HEARMEMAN_SSH_PORT=20022 HEARMEMAN_PROFILE=$base/profile.sh
  export HEARMEMAN_MOUNT_WAIT=1 HEARMEMAN_CONSTRAINTS=$base/constraints.txt R2_RUN_DIR=$base/r2-run
  export HEARMEMAN_GPU_DEVICE=$base/dev/nvidia
  export SHARED_MODELS_DIR=$base/shared COMFYUI_DIR=$base/ComfyUI PATH=$bin:$PATH
  # shellcheck source=/dev/null
  source "$repo/start.sh"
}

# stand_in PROGRAM SCRIPT: what PATH finds first under that name.
stand_in() {
  printf '#!/bin/bash\n%s\n' "$2" >"$bin/$1"
  chmod +x "$bin/$1"
}

# PATH with nothing of the machine's but what the scripts can't do without; NAME... are left out.
only_basics() {
  local program
  mkdir -p "$base/basics"
  for program in bash cat chmod cp cut df find grep head id jq mkdir mktemp mv od readlink realpath rm sed setsid \
    sha256sum sleep stat tail timeout touch tr xargs; do
    ln -sf "$(command -v "$program")" "$base/basics/$program"
  done
  for program in "$@"; do rm -f "$base/basics/$program"; done
  PATH=$bin:$base/basics
}

# Waits for a condition, for as long as a busy machine may take.
until_true() {
  local deadline=$(($(now_ms) + 60000))
  until "$@"; do
    if (($(now_ms) > deadline)); then
      echo "waited in vain for: $*" >&2
      return 1
    fi
    sleep 0.02
  done
}

# has TEXT PART
has() {
  if [[ $1 == *"$2"* ]]; then return 0; fi
  printf 'expected: %s\nin: %s\n' "$2" "$1" >&2
  return 1
}

# lacks TEXT PART
lacks() {
  if [[ $1 != *"$2"* ]]; then return 0; fi
  printf 'not expected: %s\nin: %s\n' "$2" "$1" >&2
  return 1
}

# same ACTUAL EXPECTED
same() {
  if [[ $1 == "$2" ]]; then return 0; fi
  printf 'expected: %s\nactual:   %s\n' "$2" "$1" >&2
  return 1
}
