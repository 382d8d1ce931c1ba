# What download_models.sh says, and how numbers read. Sourced by it.
# shellcheck shell=bash

say() {
  printf '[models] %s\n' "$*"
}

# What a user should see even when they only skim the log.
warn() {
  printf '[models] !!! %s\n' "$*"
}

# size_text BYTES: as shops and hosts count, 1 GB is 1,000,000,000 bytes.
size_text() {
  local bytes=$1
  if ((bytes >= 10000000000)); then
    printf '%d.%d GB' "$((bytes / 1000000000))" "$((bytes % 1000000000 / 100000000))"
  elif ((bytes >= 1000000000)); then
    printf '%d.%02d GB' "$((bytes / 1000000000))" "$((bytes % 1000000000 / 10000000))"
  elif ((bytes >= 1000000)); then
    printf '%d MB' "$((bytes / 1000000))"
  else
    printf '%d kB' "$(((bytes + 999) / 1000))"
  fi
}

# seconds_text SECONDS
seconds_text() {
  local seconds=$1
  if ((seconds >= 3600)); then
    printf '%d h %d min' "$((seconds / 3600))" "$((seconds % 3600 / 60))"
  elif ((seconds >= 60)); then
    printf '%d min %d s' "$((seconds / 60))" "$((seconds % 60))"
  else
    printf '%d s' "$seconds"
  fi
}

# speed_text BYTES MILLISECONDS
speed_text() {
  printf '%s/s' "$(size_text "$(($1 * 1000 / ($2 > 0 ? $2 : 1)))")"
}

# count_text NUMBER ONE MANY: "1 file", "2 files"
count_text() {
  if (($1 == 1)); then printf '1 %s' "$2"; else printf '%d %s' "$1" "$3"; fi
}

# pause SECONDS: without a process, and ended by a signal. The pipe that is read never says anything.
pause() {
  if [[ -z ${pause_fd-} ]]; then exec {pause_fd}<> <(:); fi
  read -rt "$1" -u "$pause_fd" || :
}
