# What is on the volume: models, what is known about them, and room. What is remembered lies in MODELS_DIR/.downloads:
#   verified/NAME   size, mtime and SHA-256 of a file that was checked
#   lists/NAME      which files a repository or a CivitAI version turned out to be
#   claims, runs    see claims.sh
# NAME is a path in which slashes are encoded. ComfyUI looks for models in the directories beside it.
# shellcheck shell=bash disable=SC2034,SC2154 # variables are shared among the parts

state_name() {
  local name=${1//%/%25}
  name=${name//\//%2F}
  if ((${#name} > 200)); then name=${name:0:180}-$(printf '%s' "$name" | sha256sum | cut -c 1-16); fi
  printf '%s' "$name"
}

prepare_state() {
  state_dir=$MODELS_DIR/.downloads
  # Pods of a team may run as other users.
  (umask 000 && mkdir -p "$state_dir"/{verified,lists,claims,runs}) 2>"$run_dir/mkdir" && [[ -w $state_dir/runs ]]
}

# look_at_files: what is where the items go: file_size[TO] and file_mtime[TO]. One process for all of them.
declare -gA file_size=() file_mtime=() shared_size=()
look_at_files() {
  local i size mtime path paths=()
  file_size=() file_mtime=() shared_size=()
  for i in "${!item_to[@]}"; do paths+=("$MODELS_DIR/${item_to[$i]}" "$SHARED_MODELS_DIR/${item_to[$i]}"); done
  if ((${#paths[@]} == 0)); then return 0; fi
  while read -r size mtime path; do
    case $path in
      "$MODELS_DIR/"*) file_size[${path#"$MODELS_DIR/"}]=$size file_mtime[${path#"$MODELS_DIR/"}]=$mtime ;;
      *) shared_size[${path#"$SHARED_MODELS_DIR/"}]=$size ;;
    esac
  done < <(printf '%s\0' "${paths[@]}" | xargs -0 stat -L -c '%s %Y %n' -- 2>/dev/null)
}

# is_verified ITEM: the file is there, and it is the one that was checked once.
is_verified() {
  local to=${item_to[$1]} size='' mtime='' sha256=''
  if [[ -z ${file_size[$to]-} ]]; then return 1; fi
  { read -r size mtime sha256 <"$state_dir/verified/$(state_name "$to")"; } 2>/dev/null || return 1
  [[ $size == "${file_size[$to]}" && $mtime == "${file_mtime[$to]}" ]] &&
    [[ -z ${item_size[$1]} || ${item_size[$1]} == "$size" ]] &&
    [[ -z ${item_sha256[$1]} || ${item_sha256[$1]} == "$sha256" ]]
}

# remember_verified TO SHA256: the next start needn't read the whole file. Nothing depends on it.
remember_verified() {
  local record
  record=$state_dir/verified/$(state_name "$1")
  { printf '%s %s\n' "$(stat -L -c '%s %Y' -- "$MODELS_DIR/$1")" "$2" >"$record.$BASHPID" &&
    mv -f -- "$record.$BASHPID" "$record"; } 2>/dev/null || rm -f -- "$record.$BASHPID" 2>/dev/null || :
}

# hash_of FILE: openssl uses what the processor has for it; sha256sum often doesn't.
hash_of() {
  local line
  if [[ -n ${have_openssl=$(command -v openssl || :)} ]]; then
    line=$(openssl dgst -sha256 -r -- "$1" 2>/dev/null || openssl dgst -sha256 -r "$1") || return 1
  else
    line=$(sha256sum -- "$1") || return 1
    line=${line#\\}
  fi
  printf '%s' "${line%% *}"
}

# blob_hash_of FILE: as git and Hugging Face name small files.
blob_hash_of() {
  { printf 'blob %s\0' "$(stat -L -c %s -- "$1")" && cat -- "$1"; } | sha1sum | cut -d ' ' -f 1
}

# free_bytes: on the volume. On RunPod's network volumes this is the whole cluster's room, not the quota.
free_bytes() {
  local path=$MODELS_DIR blocks size
  while [[ ! -e $path ]]; do path=$(dirname -- "$path"); done
  read -r blocks size <<<"$(stat -f -c '%a %S' -- "$path")"
  printf '%d' "$((blocks * size))"
}

# kept_bytes PARTIAL: what is whole in it, by aria2's control file. Fails where there is none that makes sense.
# (version 2, flags 4, length of an id 4 and the id, piece length 4, file length 8, uploaded 8, length of bits 4, bits)
kept_bytes() {
  local hex piece length bits count=0 i
  hex=$(od -An -v -tx1 -- "$1.aria2" 2>/dev/null | tr -d ' \n') || return 1
  if [[ ${hex:0:4} != 0001 || ${hex:12:8} != 00000000 ]] || ((${#hex} < 68)); then return 1; fi
  piece=$((16#${hex:20:8})) length=$((16#${hex:28:16})) bits=$((16#${hex:60:8}))
  if ((piece == 0 || bits != ((length + piece - 1) / piece + 7) / 8 || ${#hex} < 68 + 2 * bits)); then return 1; fi
  hex=${hex:68:2 * bits}
  for ((i = 0; i < ${#hex}; i++)); do
    case ${hex:i:1} in
      1 | 2 | 4 | 8) ((count += 1)) ;;
      3 | 5 | 6 | 9 | a | c) ((count += 2)) ;;
      7 | b | d | e) ((count += 3)) ;;
      f) ((count += 4)) ;;
    esac
  done
  printf '%d' "$((count * piece < length ? count * piece : length))"
}

# partials_of TO: its partial files, lines of "number path", the highest number first.
partials_of() {
  local path number
  for path in "$MODELS_DIR/$1".*.partial "$MODELS_DIR/$1".*.partial.curl; do
    path=${path%.curl}
    number=${path%.partial}
    number=${number##*.}
    if [[ $number =~ ^[1-9][0-9]*$ ]]; then printf '%s %s\n' "$number" "$path"; fi
  done | sort -rnu
}

# is_written_here FILE: whether a process of this container has it open for writing.
is_written_here() {
  local fd flags
  for fd in /proc/[0-9]*/fd/*; do
    if [[ $fd -ef $1 ]]; then
      flags=$(sed -n 's/^flags:[[:space:]]*//p' "${fd/\/fd\//\/fdinfo\/}" 2>/dev/null) || :
      if [[ -n $flags ]] && ((8#$flags & 3)); then return 0; fi
    fi
  done
  return 1
}
