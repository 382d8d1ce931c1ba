# What start.sh and download_models.sh share: how values are read, and how texts and times are told. Sourced by both.
# shellcheck shell=bash

is_true() {
  case ${1,,} in
    true | 1 | yes | on) return 0 ;;
    *) return 1 ;;
  esac
}

# The text without blanks around it, and without the quotes that then are around it.
trimmed() {
  local text=$1
  text=${text#"${text%%[![:space:]]*}"}
  text=${text%"${text##*[![:space:]]}"}
  if [[ $text =~ ^\"(.*)\"$ || $text =~ ^\'(.*)\'$ ]]; then text=${BASH_REMATCH[1]}; fi
  printf '%s' "$text"
}

# unreplaced_secret TEXT VARIABLE: whether the text is a RunPod secret that RunPod didn't replace, and nothing else, such
# as {{ RUNPOD_SECRET_x }}; VARIABLE gets its name, x. A password with braces in it is a password.
unreplaced_secret() {
  [[ $1 =~ ^[[:space:]]*'{{'[[:space:]]*RUNPOD_SECRET_([A-Za-z0-9_.-]+)[[:space:]]*'}}'[[:space:]]*$ ]] || return 1
  printf -v "$2" '%s' "${BASH_REMATCH[1]:0:100}"
}

# The text with everything replaced that would spoil a log.
printable() {
  local text=${1//[[:cntrl:]]/?}
  printf '%s' "${text:0:300}"
}

# Milliseconds on a clock that doesn't step.
now_ms() {
  local uptime
  read -r uptime _ </proc/uptime
  uptime=${uptime/./}0
  printf '%d' "$((10#$uptime))"
}
