# Where things are kept: on a volume that outlives the pod, or on the container's disk.
# shellcheck shell=bash disable=SC2034,SC2154 # variables are shared among the parts

# Sets storage (persistent or ephemeral), storage_reason and DATA_DIR.
choose_storage() {
  local mode=$STORAGE_MODE mounted=no
  if is_mounted; then mounted=yes; fi
  if [[ $mounted == no ]] && expects_volume; then
    if wait_for_mount; then mounted=yes; fi
  fi
  case $mode:$mounted in
    auto:yes) keep_on_workspace persistent "$WORKSPACE is a mount" ;;
    persistent:yes) keep_on_workspace persistent 'STORAGE_MODE=persistent' ;;
    ephemeral:yes)
      warn "STORAGE_MODE=ephemeral: the volume at $WORKSPACE is left alone." \
        "Everything is on the container's disk and is gone with the pod."
      keep_in_container 'STORAGE_MODE=ephemeral, and the mounted volume is left alone'
      ;;
    ephemeral:no) keep_on_workspace ephemeral 'STORAGE_MODE=ephemeral' ;;
    persistent:no)
      warn "STORAGE_MODE=persistent, but nothing is mounted at $WORKSPACE:" \
        'what is written there may be gone with the container.'
      keep_on_workspace persistent "STORAGE_MODE=persistent, without a mount at $WORKSPACE"
      ;;
    auto:no)
      if [[ -n ${RUNPOD_VOLUME_ID-} ]]; then
        # A volume that comes later would hide what was written below its mount point.
        warn "This pod has a volume (RUNPOD_VOLUME_ID), but it wasn't mounted at $WORKSPACE in time." \
          "Everything is on the container's disk and is gone with the pod. Restart the pod to try again."
        keep_in_container "the pod's volume isn't mounted at $WORKSPACE"
      else
        keep_on_workspace ephemeral "nothing is mounted at $WORKSPACE"
      fi
      ;;
  esac
  export DATA_DIR
}

# A volume that doesn't answer must not hold up the start.
is_mounted() {
  timeout -k 1 5 mountpoint -q "$WORKSPACE" 2>/dev/null
}

# Whether a mount that isn't there yet is worth waiting for. A directory below a mount is persistent as it is.
expects_volume() {
  case $STORAGE_MODE in
    auto) [[ -n ${RUNPOD_VOLUME_ID-} ]] ;;
    persistent) ! is_below_mount ;;
    *) return 1 ;;
  esac
}

is_below_mount() {
  local here root
  here=$(timeout -k 1 5 stat -c %d "$WORKSPACE" 2>/dev/null) && root=$(stat -c %d /) && [[ $here != "$root" ]]
}

# On RunPod a network volume can be mounted a moment after the container has started.
wait_for_mount() {
  local deadline=$(($(now_ms) + HEARMEMAN_MOUNT_WAIT * 1000))
  say "waiting up to $HEARMEMAN_MOUNT_WAIT s for the volume at $WORKSPACE to be mounted ..."
  while (($(now_ms) < deadline)); do
    if is_mounted; then
      say "the volume at $WORKSPACE is there"
      return 0
    fi
    pause 0.5
  done
  return 1
}

# keep_on_workspace STORAGE REASON: unless nothing can be written there.
keep_on_workspace() {
  local problem
  if problem=$(try_to_write "$WORKSPACE" 2>&1); then
    storage=$1
    storage_reason=$2
    DATA_DIR=$WORKSPACE/ComfyUI
    return 0
  fi
  warn "Nothing can be written to $WORKSPACE ($(printable "${problem##*: }"))." \
    "Everything is on the container's disk and is gone with the pod." \
    'Check the volume: is it full, over its quota, or mounted read-only?'
  keep_in_container "nothing can be written to $WORKSPACE"
}

keep_in_container() {
  storage=ephemeral
  storage_reason=$1
  DATA_DIR=$HEARMEMAN_LOCAL_DIR/ComfyUI
}

# is_there DIRECTORY: a volume that doesn't answer isn't.
is_there() {
  timeout -k 1 5 test -d "$1"
}

# A real write: a volume that is over its quota lets files be made but not filled.
try_to_write() {
  # shellcheck disable=SC2016 # expanded by the inner shell
  timeout -k 1 15 bash -c 'mkdir -p "$1" && { if [ -d "$1/ComfyUI" ]; then cd "$1/ComfyUI"; else cd "$1"; fi; } &&
    file=$(mktemp "$PWD/.write-test.XXXXXX") &&
    { printf "may be deleted\n" >"$file"; code=$?; rm -f "$file"; exit "$code"; }' try "$1"
}

# One line for every file system that matters here.
report_disks() {
  local path seen=' ' line type free target words
  for path in "$WORKSPACE" "$DATA_DIR" "$OUTPUT_DIR" "$MODELS_DIR" "$SHARED_MODELS_DIR" "$HEARMEMAN_LOCAL_DIR"; do
    # A reading that hangs must not hang the start.
    IFS= read -r line < <(timeout -k 1 5 df -PT -B1000000 "$path" 2>/dev/null | tail -n +2) || continue
    read -r _ type _ _ free _ target <<<"$line"
    if [[ -z ${target-} || $seen == *" $target "* ]]; then continue; fi
    seen+="$target "
    words="$target: $type"
    if [[ -w $path ]]; then words+=", $(gigabytes "$free") free"; else words+=', read-only'; fi
    case $type in
      fuse*) words+=' (of all of the storage behind it; your quota may be less)' ;;
    esac
    if [[ $target == / ]]; then words+=" (the container's own, gone with it)"; fi
    report disk "$words"
  done
}

# gigabytes MEGABYTES
gigabytes() {
  if (($1 >= 10000)); then
    printf '%d GB' "$(($1 / 1000))"
  else
    printf '%d.%d GB' "$(($1 / 1000))" "$(($1 % 1000 / 100))"
  fi
}
