#!/usr/bin/env bash
# Fetches the models that the environment asks for (ENABLE_WAN22=true, …) into MODELS_DIR: in parallel, resumable, each
# checked by size and SHA-256 before it gets its name. docker/models.json says what there is, docs/models.md shows it.
#
#   download_models.sh          fetches what is missing; with DRY_RUN=true says what that would be
#   download_models.sh --lock   fills in sizes, hashes and revisions that docker/models.json doesn't hold
#
# Exit code: 0 all is there, 2 wrong usage or list, 3 something is missing; the last lines say what and why.
#
# There is no `set -e`: whatever fails, the other files must come.
# shellcheck disable=SC2034,SC2153,SC2154 # variables are shared among the parts
set -uo pipefail

script_dir=$(cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")" && pwd)
readonly script_dir

# shellcheck source=docker/common.sh
source "$script_dir/docker/common.sh"
for part in words settings manifest http sources volume claims plan fetch run lock; do
  # shellcheck source=/dev/null
  source "$script_dir/docker/downloads/$part.sh"
done

# How often the main process looks around; where /proc is.
tick_seconds=1 proc=/proc
failure_kind='' failure_detail='' failure_host=''
fetched_bytes=0 last_beat=0 dry_run=0
declare -A finished_size=()

main() {
  local code
  started_at=$(now_ms)
  case ${1-} in
    '' | --lock) ;;
    *)
      sed -n 's/^# \{0,1\}//; 2,8p' "${BASH_SOURCE[0]}"
      [[ $1 == --help || $1 == -h ]] && return 0 || return 2
      ;;
  esac
  check_tools || return 2
  read_settings || return 2
  check_manifest || return 2
  make_run_dir || return 3
  if [[ ${1-} == --lock ]]; then
    lock_manifest
    code=$?
  else
    fetch_models
    code=$?
  fi
  rm -rf -- "$run_dir"
  return "$code"
}

check_tools() {
  local tool
  for tool in jq curl aria2c; do
    if ! command -v "$tool" >/dev/null; then
      warn "$tool isn't installed, and models can't be fetched without it: apt-get install ${tool/aria2c/aria2}"
      return 2
    fi
  done
}

# For what must not lie on the volume: aria2's messages hold signed addresses.
make_run_dir() {
  umask 077
  if ! run_dir=$(mktemp -d /tmp/download-models.XXXXXX); then
    warn "There is no room for temporary files in /tmp."
    return 1
  fi
  umask 022
  trap 'stop_run; rm -rf -- "$run_dir"; exit 143' TERM INT HUP
}

fetch_models() {
  if is_true "$DRY_RUN"; then dry_run=1; fi
  state_dir=$MODELS_DIR/.downloads
  read_wants || return 2
  classify_items
  ask_unknown_items
  if ((dry_run)); then
    show_plan
    ((${#problems[@]} == 0)) && return 0 || return 3
  fi
  if anything_to_do; then
    if prepare_state; then
      keep_lists
      check_room
      announce
      run_queue
    else
      refuse_all
    fi
  fi
  show_summary
}

anything_to_do() {
  [[ " ${item_state[*]} " == *' missing '* || " ${item_state[*]} " == *' check '* ]]
}

refuse_all() {
  local i
  warn "$MODELS_DIR can't be written ($(printable "$(tail -n 1 "$run_dir/mkdir")")), so nothing can be fetched. Is the volume mounted, and whose is it?"
  for i in "${!item_to[@]}"; do
    case ${item_state[$i]} in
      missing) item_state[i]=failed item_reason[i]="MODELS_DIR can't be written." ;;
      check) item_state[i]=there ;;
    esac
  done
}

announce() {
  local i missing=0 unpinned=0
  for i in "${!item_to[@]}"; do
    if [[ ${item_state[$i]} != missing ]]; then continue; fi
    missing=$((missing + 1))
    if ((!item_pinned[i])); then unpinned=$((unpinned + 1)); fi
  done
  if ((missing == 0)); then return 0; fi
  say "$(count_text "$missing" file files) to fetch, $(size_text "$room_needed"), into $MODELS_DIR ($(size_text "$room_free") free)"
  if ((unpinned > 0)); then
    say "$unpinned of them unpinned: docker/models.json doesn't hold their size and SHA-256, so what their host says counts."
  fi
}

if [[ ${BASH_SOURCE[0]} == "$0" ]]; then
  main "$@"
  exit
fi
