#!/usr/bin/env bash
# The command `r2-sync` of the sync image: as root it becomes the user to whom the outputs belong, where that user can do
# the work: PUID:PGID if they are set, else the owner of the output directory, else 1000 (where root owns it). The agent
# only reads outputs and writes its state directory. Where that user can't do so much, root does it, and this is said.
# The first decision holds for the life of the container, so that `docker exec … r2-sync status` asks the right agent.
set -euo pipefail

readonly agent=${R2_SYNC_AGENT:-/opt/r2-sync/bin/r2-sync}
readonly decision=${R2_SYNC_USER_FILE:-/run/r2-sync-user}
readonly output=${COMFYUI_OUTPUT_DIR:-/workspace/ComfyUI/output}
# On a slow volume with many files the look at them ends here; what was readable so far counts.
readonly look_seconds=15

say() { echo "sync: $*" >&2; }

check_id() {
  local name=$1 value=${!1:-}
  if [[ $value =~ ^[0-9]{0,10}$ ]]; then return 0; fi
  say "$name is \"$value\", which isn't a user's number: set it to one, such as 1000, or leave it unset"
  exit 2
}

# Prints UID:GID.
wished_user() {
  local owner=0 group=0
  if [[ -d $output ]]; then read -r owner group < <(stat -c '%u %g' "$output"); fi
  if ((owner == 0)); then owner=1000 group=1000; fi
  if [[ -n ${PUID:-} ]]; then owner=$PUID group=$PUID; fi
  echo "$owner:${PGID:-$group}"
}

# as_user UID:GID COMMAND...
as_user() {
  local user=$1
  shift
  setpriv --reuid="${user%:*}" --regid="${user#*:}" --clear-groups --no-new-privs -- "$@"
}

# The directory that the agent will write to: R2_STATE_DIR, or .r2-sync in the output directory or the nearest one above.
state_directory() {
  local directory
  if [[ -n ${R2_STATE_DIR:-} ]]; then
    echo "$R2_STATE_DIR"
    return
  fi
  directory=$(realpath "$output")
  while [[ $directory != / && ! -d $directory/.r2-sync ]]; do directory=$(dirname "$directory"); done
  if [[ -d $directory/.r2-sync ]]; then echo "$directory/.r2-sync"; else echo "$output/.r2-sync"; fi
}

# Prints why the user can't do the work; nothing where all is well.
hindrance() {
  local user=$1 state unreadable name
  if [[ ! -d $output ]]; then
    echo "$output isn't there"
    return
  fi
  unreadable=$(as_user "$user" timeout "$look_seconds" find "$output" -maxdepth 2 \
    \( -name .r2-sync -o -name lost+found \) -prune -o ! -type l ! -readable -print -quit 2>/dev/null || true)
  if [[ -n $unreadable ]] || ! as_user "$user" test -x "$output"; then
    echo "it can't read ${unreadable:-$output}"
    return
  fi
  state=$(state_directory)
  # As the agent makes it: any pod on the volume may run as another user.
  if mkdir -p "$(dirname "$state")" 2>/dev/null && mkdir "$state" 2>/dev/null; then chmod 777 "$state" || true; fi
  if ! as_user "$user" test -w "$state" -a -x "$state"; then
    echo "it can't write $state"
    return
  fi
  for name in $(compgen -e | grep -E '^R2_[A-Z_]+_FILE$' || true); do
    if [[ -e ${!name} ]] && ! as_user "$user" test -r "${!name}"; then
      echo "it can't read the file that $name names"
      return
    fi
  done
}

# Prints UID:GID, and says what was decided.
decide_user() {
  local user why
  user=$(wished_user)
  if [[ ${user%:*} == 0 ]]; then
    say 'running as root, as PUID=0 asks'
  elif why=$(hindrance "$user") && [[ -n $why ]]; then
    say "running as root: user $user was to do the work, but $why"
    user=0:0
  else
    say "running as user $user"
  fi
  echo "$user"
}

main() {
  local user
  if (($(id -u) != 0)); then exec "$agent" "$@"; fi
  check_id PUID
  check_id PGID
  if [[ ! -s $decision ]]; then
    user=$(decide_user)
    echo "$user" >"$decision"
  fi
  user=$(<"$decision")
  if [[ ${user%:*} == 0 ]]; then exec "$agent" "$@"; fi
  export HOME=/tmp
  # `exec` knows no functions.
  exec setpriv --reuid="${user%:*}" --regid="${user#*:}" --clear-groups --no-new-privs -- "$agent" "$@"
}

if [[ ${BASH_SOURCE[0]} == "$0" ]]; then main "$@"; fi
