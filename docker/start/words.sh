# What start.sh says, and how it reads values. Sourced by start.sh.
# shellcheck shell=bash disable=SC2034,SC2154 # variables are shared among the parts

say() {
  printf '[start] %s\n' "$*"
}

# What a user should see even when they only skim the log.
warn() {
  printf '[start] !!! %s\n' "$*"
}

# report WHAT TEXT: a line of the boot report.
report() {
  printf '[start] %-10s %s\n' "$1" "${*:2}"
}

# clean_setting NAME [DEFAULT]: takes blanks and quotes off, as r2-sync does; empty means unset. A secret that RunPod
# didn't replace must not be used as it stands: as a password, everybody would know it.
clean_setting() {
  local text secret_name
  text=$(trimmed "${!1-}")
  if unreplaced_secret "$text" secret_name; then
    warn "$1 is {{ RUNPOD_SECRET_$secret_name }}, which RunPod didn't replace: there is no secret of that name." \
      "Make one under Secrets in RunPod's console. Until then $1 counts as unset."
    text=
  fi
  printf -v "$1" '%s' "${text:-${2-}}"
}

# limit_setting NAME VALUE...: lower case, and the first VALUE for what isn't one of them.
limit_setting() {
  local name=$1 text=${!1,,} value
  shift
  for value in "$@"; do
    if [[ $text == "$value" ]]; then
      printf -v "$name" '%s' "$value"
      return 0
    fi
  done
  warn "$name=${!name} isn't known: $1 is used. It can be $(joined ', ' "$@")."
  printf -v "$name" '%s' "$1"
}

# number_setting NAME DEFAULT LEAST MOST
number_setting() {
  local text=${!1}
  if [[ $text =~ ^[0-9]{1,10}$ ]] && ((10#$text >= $3 && 10#$text <= $4)); then
    printf -v "$1" '%d' "$((10#$text))"
    return 0
  fi
  warn "$1=$text isn't a whole number from $3 to $4: $2 is used."
  printf -v "$1" '%s' "$2"
}

# joined SEPARATOR WORD...
joined() {
  local separator=$1 text=${2-} word
  for word in "${@:3}"; do text+=$separator$word; done
  printf '%s' "$text"
}

# seconds MS: with one digit behind the point.
seconds() {
  printf '%d.%d' "$(($1 / 1000))" "$(($1 % 1000 / 100))"
}
