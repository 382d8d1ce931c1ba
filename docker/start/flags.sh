# ComfyUI's flags change from version to version, and one that it doesn't know ends it at once. So what its --help
# doesn't list is left out.
# shellcheck shell=bash disable=SC2034,SC2154 # variables are shared among the parts

# read_known_flags TEXT: sets known_flags from what `main.py --help` said; empty if that lists none.
read_known_flags() {
  local line
  known_flags=()
  while IFS= read -r line; do
    # argparse begins an option's line with two blanks, and what goes on from the line before with many.
    if [[ $line =~ ^\ \ (-[A-Za-z],\ )?(--[A-Za-z0-9][A-Za-z0-9_-]*) ]]; then known_flags+=("${BASH_REMATCH[2]}"); fi
  done <<<"$1"
}

# Whether ComfyUI takes a flag, or the beginning of one. If it didn't say which it takes, it is assumed to.
knows_flag() {
  local flag
  if ((${#known_flags[@]} == 0)); then return 0; fi
  for flag in "${known_flags[@]}"; do
    if [[ $flag == "$1"* ]]; then return 0; fi
  done
  return 1
}

# keep_known_flags ARGUMENT...: sets kept_flags and dropped_flags. A flag goes with its values.
keep_known_flags() {
  local word dropping=no
  kept_flags=() dropped_flags=()
  for word in "$@"; do
    if [[ $word == --?* ]]; then
      dropping=no
      if ! knows_flag "${word%%=*}"; then
        dropping=yes
        dropped_flags+=("${word%%=*}")
      fi
    # A negative number is a value.
    elif [[ $word == -[!0-9.]* ]]; then
      dropping=no
    fi
    if [[ $dropping == no ]]; then kept_flags+=("$word"); fi
  done
}

# split_words TEXT: sets words as a command line would be read: blanks part, quotes hold together. Nothing is run.
split_words() {
  words=()
  if [[ -z $1 ]]; then return 0; fi
  # The last word says that all of it was read.
  mapfile -d '' -t words < <(xargs printf '%s\0' <<<"$1" 2>/dev/null && printf 'whole\0')
  if ((${#words[@]} == 0)) || [[ ${words[-1]} != whole ]]; then
    warn 'COMFYUI_ARGS has a quote without its partner: quotes are taken as they stand.'
    read -rd '' -a words <<<"$1" || true
    return 0
  fi
  unset 'words[-1]'
}
