# Decides what is to be done: which files the toggles name, what of them is there, what is to be fetched, and whether
# there is room.
# shellcheck shell=bash disable=SC2034,SC2154 # variables are shared among the parts

# What an item is: item_to (below MODELS_DIR), item_toggles, item_kind (hf, civitai), item_repo, item_revision, item_file,
# item_version; item_size and item_sha256 (empty: not known), item_about (roughly, in bytes), item_pinned (by the list).
# What becomes of it: item_state (there, unsure, check, missing, fetched, failed) and item_reason.
declare -ga item_to=() item_toggles=() item_kind=() item_repo=() item_revision=() item_file=() item_version=() \
  item_size=() item_sha256=() item_about=() item_pinned=() item_state=() item_reason=()
declare -gA item_at=()
# Toggles that could not be read, and lists that could not be got: "TOGGLE US reason".
declare -ga problems=()
# By name: what it is a list of, then its lines.
declare -gA new_lists=()

# add_item TOGGLE TO SIZE SHA256 ABOUT PINNED KIND [REPO REVISION FILE | VERSION]
add_item() {
  local i=${item_at[$2]-}
  if [[ -n $i ]]; then
    if [[ " ${item_toggles[$i]} " != *" $1 "* ]]; then item_toggles[i]+=" $1"; fi
    return 0
  fi
  i=${#item_to[@]}
  item_at[$2]=$i
  item_toggles[i]=$1 item_to[i]=$2 item_size[i]=$3 item_sha256[i]=$4 item_about[i]=$5 item_pinned[i]=$6 item_kind[i]=$7
  item_repo[i]='' item_revision[i]='' item_file[i]='' item_version[i]=''
  if [[ $7 == hf ]]; then item_repo[i]=$8 item_revision[i]=$9 item_file[i]=${10}; else item_version[i]=$8; fi
  item_state[i]='' item_reason[i]=''
}

# Reads the toggles; says what is wrong with them.
read_wants() {
  local lines what toggle rest
  # Not in a process substitution: a failure there would be silent.
  lines=$(wanted_lines && stray_lines) || return 2
  while IFS=$US read -r what toggle rest; do
    case $what in
      error)
        problems+=("$toggle$US$rest")
        warn "$(printable "$rest"). $toggle is skipped."
        ;;
      note) warn "$(printable "$rest")." ;;
      file) read_file_line "$toggle" "$rest" ;;
      snapshot) read_snapshot_line "$toggle" "$rest" ;;
      lora) read_lora_line "$toggle" "$rest" ;;
    esac
  done <<<"$lines"
}

read_file_line() {
  local to size sha256 about kind one two three pinned=0
  IFS=$US read -r to size sha256 about kind one two three <<<"$2"
  if [[ -n $size && -n $sha256 ]]; then pinned=1; fi
  add_item "$1" "$to" "$size" "$sha256" "$about" "$pinned" "$kind" "$one" "$two" "$three"
}

# A list that was asked for once counts until it is removed: a start needs no network, and what is there stays as it is.
read_snapshot_line() {
  local to about repo revision size sha256 file lines
  IFS=$US read -r to about repo revision <<<"$2"
  if ! lines=$(kept_list "$to" "$repo $revision") && ! lines=$(list_snapshot "$repo" "$revision"; tell_failure); then
    take_failure "$1" "$lines" hf "$repo" "the files of $repo"
    return 0
  fi
  new_lists[$to]="$repo $revision"$'\n'$lines
  while IFS=$US read -r size sha256 file; do
    if [[ -n $file ]]; then add_item "$1" "$to/$file" "$size" "$sha256" '' 0 hf "$repo" "$revision" "$file"; fi
  done <<<"$lines"
}

read_lora_line() {
  local to version size sha256 name line
  IFS=$US read -r to version <<<"$2"
  if ! line=$(kept_list "$to/civitai-$version" "$version") && ! line=$(describe_civitai "$version"; tell_failure); then
    take_failure "$1" "$line" civitai "$version" "CivitAI's version $version"
    return 0
  fi
  new_lists[$to/civitai-$version]=$version$'\n'$line
  IFS=$US read -r size sha256 name <<<"$line"
  add_item "$1" "$to/$name" "$size" "$sha256" '' 0 civitai "$version"
}

# A failure in a command substitution, for the shell around it. To be called right after what may have failed.
tell_failure() {
  local code=$?
  if ((code != 0)); then printf '%s%s%s%s%s' "$failure_kind" "$US" "$failure_detail" "$US" "$failure_host"; fi
  return "$code"
}

# take_failure TOGGLE TOLD KIND WHOSE WHAT
take_failure() {
  local text item_kind=("$3") item_repo=("$4") item_version=("$4")
  IFS=$US read -r failure_kind failure_detail failure_host <<<"${2##*$'\n'}"
  text=$(failure_text 0)
  problems+=("$1$US$5: $text")
  warn "$1: $5 can't be listed. $text"
}

# kept_list NAME KEY
kept_list() {
  local file first
  file=$state_dir/lists/$(state_name "$1")
  [[ -r $file ]] && IFS= read -r first <"$file" && [[ $first == "$2" ]] && tail -n +2 "$file"
}

# Once there is a place for them.
keep_lists() {
  local name file
  for name in "${!new_lists[@]}"; do
    file=$state_dir/lists/$(state_name "$name")
    { printf '%s\n' "${new_lists[$name]}" >"$file.$$" && mv -f -- "$file.$$" "$file"; } 2>/dev/null || :
  done
}

# What is there already, without asking anybody.
classify_items() {
  local i to
  look_at_files
  for i in "${!item_to[@]}"; do
    to=${item_to[$i]}
    if [[ -n ${item_size[$i]} && ${shared_size[$to]-} == "${item_size[$i]}" && -z ${file_size[$to]-} ]]; then
      item_state[i]=there
    elif is_verified "$i"; then
      item_state[i]=there
    elif [[ -z ${file_size[$to]-} ]]; then
      item_state[i]=missing
    elif [[ -z ${item_size[$i]} ]]; then
      item_state[i]=unsure
    elif [[ ${item_size[$i]} == "${file_size[$to]}" ]]; then
      item_state[i]=check
    else
      item_state[i]=missing
    fi
  done
}

# Asks for sizes and hashes that the list doesn't hold, of all such files at once.
ask_unknown_items() {
  local i waiting=0 pids=()
  for i in "${!item_to[@]}"; do
    case ${item_state[$i]}:${item_size[$i]} in
      missing: | unsure:*)
        ask_item "$i" >"$run_dir/asked.$i" &
        pids+=("$!")
        waiting=$((waiting + 1))
        if ((waiting % 8 == 0)); then wait "${pids[@]}" && pids=(); fi
        ;;
    esac
  done
  if ((${#pids[@]} > 0)); then wait "${pids[@]}"; fi
  for i in "${!item_to[@]}"; do
    if [[ -e $run_dir/asked.$i ]]; then take_answer "$i"; fi
  done
}

ask_item() {
  if find_source "$1"; then
    printf 'ok%s%s%s%s\n' "$US" "$source_size" "$US" "$source_sha256"
  else
    printf '%s%s%s\n' "$failure_kind" "$US" "$(failure_text "$1")"
  fi
}

take_answer() {
  local i=$1 what one two to=${item_to[$1]}
  IFS=$US read -r what one two <"$run_dir/asked.$i"
  rm -f "$run_dir/asked.$i"
  if [[ $what == ok ]]; then
    item_size[i]=${item_size[$i]:-$one}
    item_sha256[i]=${item_sha256[$i]:-$two}
    if [[ ${item_state[$i]} == unsure ]]; then
      item_state[i]=check
      if [[ -n ${item_size[$i]} && ${item_size[$i]} != "${file_size[$to]}" ]]; then item_state[i]=missing; fi
    fi
  elif [[ ${item_state[$i]} == unsure ]]; then
    item_state[i]=there
    warn "$to is there, but whether it is whole can't be checked now. $one"
  else
    item_state[i]=failed item_reason[i]=$one
  fi
}

# needed_bytes ITEM: what fetching it adds to what is on the volume.
needed_bytes() {
  local size=${item_size[$1]:-${item_about[$1]:-0}} kept=0 path number
  while read -r number path; do
    kept=$(stat -c '%b %B' -- "$path" 2>/dev/null) || kept='0 0'
    kept=$((${kept% *} * ${kept#* }))
    break
  done < <(partials_of "${item_to[$1]}")
  printf '%d' "$((size > kept ? size - kept : 0))"
}

# Half of a toggle's files is of no use, so toggles that don't fit are left out as a whole, in the order of the list.
check_room() {
  local i toggle free room needed=0 bytes order=() is_known=' '
  local -A sum=() chosen=()
  free=$(free_bytes)
  room=$free
  for i in "${!item_to[@]}"; do
    if [[ ${item_state[$i]} != missing ]]; then continue; fi
    needed=$((needed + $(needed_bytes "$i")))
    for toggle in ${item_toggles[$i]}; do
      if [[ $is_known != *" $toggle "* ]]; then order+=("$toggle") is_known+="$toggle "; fi
    done
  done
  room_needed=$needed room_free=$free
  if ((needed <= free)); then return 0; fi
  warn "There is no room for everything: $(size_text "$needed") are to be fetched, $(size_text "$free") are free on $MODELS_DIR."
  for toggle in "${order[@]}"; do
    bytes=0
    for i in "${!item_to[@]}"; do
      if [[ ${item_state[$i]} == missing && " ${item_toggles[$i]} " == *" $toggle "* && -z ${chosen[$i]-} ]]; then
        bytes=$((bytes + $(needed_bytes "$i")))
      fi
    done
    sum[$toggle]=$bytes
    if ((bytes > room)); then
      warn "$toggle is skipped: it needs $(size_text "$bytes"), and $(size_text "$room") are left. Make the volume larger, delete what you don't need, or turn a toggle off."
      continue
    fi
    room=$((room - bytes))
    for i in "${!item_to[@]}"; do
      if [[ " ${item_toggles[$i]} " == *" $toggle "* ]]; then chosen[$i]=1; fi
    done
  done
  for i in "${!item_to[@]}"; do
    if [[ ${item_state[$i]} == missing && -z ${chosen[$i]-} ]]; then
      item_state[i]=failed
      item_reason[i]="There is no room for ${item_toggles[$i]// /, }. Make the volume larger, delete what you don't need, or turn a toggle off."
    fi
  done
}

# source_name ITEM: for people.
source_name() {
  case ${item_kind[$1]} in
    civitai) printf 'CivitAI, version %s' "${item_version[$1]}" ;;
    *) printf '%s' "${item_repo[$1]}" ;;
  esac
}

# DRY_RUN: what would be fetched, how big, from where, whereto.
show_plan() {
  local i size fetched=0 there=0 unknown=0 bytes=0
  for i in "${!item_to[@]}"; do
    size=${item_size[$i]:-${item_about[$i]}}
    case ${item_state[$i]} in
      there | check | unsure)
        there=$((there + 1))
        say "is there:      $(printf '%9s' "$(size_text "${size:-0}")")  ${item_to[$i]}"
        ;;
      missing)
        fetched=$((fetched + 1))
        if [[ -z $size ]]; then unknown=$((unknown + 1)); fi
        bytes=$((bytes + ${size:-0}))
        say "would fetch:   $(printf '%9s' "$(planned_size "$i")")  ${item_to[$i]}  from $(source_name "$i")$(pinned_word "$i")"
        ;;
      failed) say "can't be had:             ${item_to[$i]}: ${item_reason[$i]}" ;;
    esac
  done
  say "DRY_RUN: $(count_text "$fetched" file files) of $(size_text "$bytes") would be fetched into $MODELS_DIR, where $(size_text "$(free_bytes)") are free; $there of ${#item_to[@]} are there."
  if ((unknown > 0)); then say "The size of $(count_text "$unknown" file files) isn't known."; fi
}

planned_size() {
  if [[ -n ${item_size[$1]} ]]; then
    size_text "${item_size[$1]}"
  elif [[ -n ${item_about[$1]} ]]; then
    printf '~%s' "$(size_text "${item_about[$1]}")"
  else
    printf 'unknown'
  fi
}

pinned_word() {
  if ((!item_pinned[$1])); then printf ' (unpinned)'; fi
}
