#!/usr/bin/env bash
# The image's entry point, under tini: storage, user, the agent, SSH, Jupyter, GPU, downloads, ComfyUI, in this order.
# It says what it decides and why, restarts what dies, and ends only when it is told to.
#
# There is no `set -e`: whatever is missing or fails here, the pod must come up and say what is wrong.
#
# For tests without root and without a container, these say where things go that otherwise have one place. They are no
# settings: HEARMEMAN_RUN_DIR (/run/hearmeman), HEARMEMAN_LOCAL_DIR (/var/lib/comfyui), HEARMEMAN_SSH_DIR (/etc/ssh),
# HEARMEMAN_ROOT_SSH_DIR (/root/.ssh), HEARMEMAN_SSH_PORT (22), HEARMEMAN_PROFILE (/etc/profile.d/hearmeman.sh),
# HEARMEMAN_CONSTRAINTS (constraints.txt beside this file), HEARMEMAN_MOUNT_WAIT (30 seconds), HEARMEMAN_GPU_DEVICE
# (/dev/nvidia, to which GPUs' numbers are added), and r2-sync's R2_RUN_DIR.
# shellcheck disable=SC2034,SC2154 # variables are shared among the parts
set -uo pipefail

start_ms=$(($(cut -d' ' -f1 /proc/uptime | tr -d .) * 10))
HEARMEMAN_DIR=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
readonly start_ms
: "${HEARMEMAN_RUN_DIR:=/run/hearmeman}" "${HEARMEMAN_LOCAL_DIR:=/var/lib/comfyui}" "${HEARMEMAN_SSH_DIR:=/etc/ssh}"
: "${HEARMEMAN_ROOT_SSH_DIR:=/root/.ssh}" "${HEARMEMAN_SSH_PORT:=22}" "${HEARMEMAN_MOUNT_WAIT:=30}"
: "${HEARMEMAN_GPU_DEVICE:=/dev/nvidia}"
: "${HEARMEMAN_PROFILE:=/etc/profile.d/hearmeman.sh}" "${HEARMEMAN_CONSTRAINTS:=$HEARMEMAN_DIR/constraints.txt}"

# shellcheck source=docker/common.sh
source "$HEARMEMAN_DIR/docker/common.sh"
for part in words settings user storage directories secrets gpu flags services ssh jupyter agent comfyui stop; do
  # shellcheck source=/dev/null
  source "$HEARMEMAN_DIR/docker/start/$part.sh"
done

main() {
  local gpu_question flags_question gpu_code=0
  trap shut_down TERM INT
  prepare_run_dir
  choose_local_dir
  read_settings
  choose_python
  choose_passed_secrets
  # Both take a moment, so they are asked first and heard later.
  list_gpus >"$HEARMEMAN_RUN_DIR/gpus.txt" 2>&1 &
  gpu_question=$!
  ask_known_flags >"$HEARMEMAN_RUN_DIR/flags.txt" 2>&1 &
  flags_question=$!

  report pod "${RUNPOD_POD_ID:-${HOSTNAME:-unknown}}${HEARMEMAN_VERSION:+, image $HEARMEMAN_VERSION}"
  choose_user
  choose_storage
  choose_directories
  prepare_directories
  set_python_variables
  report storage "$storage: $storage_reason"
  report_disks
  write_agent_env
  start_agent
  write_profile
  start_ssh
  start_jupyter
  install_workflows
  write_extra_model_paths

  wait "$gpu_question" || gpu_code=$?
  ask_gpus_again "$gpu_code" "$HEARMEMAN_RUN_DIR/gpus.txt"
  choose_gpu "$gpu_code" "$(<"$HEARMEMAN_RUN_DIR/gpus.txt")"
  choose_tier
  choose_gpu_flags
  report_gpu
  if wait "$flags_question"; then
    read_known_flags "$(<"$HEARMEMAN_RUN_DIR/flags.txt")"
  else
    known_flags=()
    warn "ComfyUI's --help failed, so its flags can't be checked: $(tail -n 1 "$HEARMEMAN_RUN_DIR/flags.txt")"
  fi
  choose_comfyui_command
  keep_manager_from_uv
  update_nodes
  report_comfyui

  wait_for_agent
  start_downloads
  if [[ -n $agent ]]; then
    report_bucket &
    probe=$!
  fi
  say "starting ComfyUI, after $(seconds $(($(now_ms) - start_ms))) s"
  start_comfyui
  # Its keeper never ends by itself; a signal ends the waiting.
  while :; do
    wait "${service_pid[ComfyUI]}"
    pause 1
  done
}

# Run-time files: nothing of theirs outlives the container, and nobody else needs to write them.
prepare_run_dir() {
  mkdir -p "$HEARMEMAN_RUN_DIR" && chmod 755 "$HEARMEMAN_RUN_DIR" && rm -f "$HEARMEMAN_RUN_DIR"/*.pid && return 0
  HEARMEMAN_RUN_DIR=$(mktemp -d) || exit 1
  chmod 755 "$HEARMEMAN_RUN_DIR"
  warn "Run-time files are in $HEARMEMAN_RUN_DIR."
}

if [[ ${BASH_SOURCE[0]} == "$0" ]]; then main; fi
