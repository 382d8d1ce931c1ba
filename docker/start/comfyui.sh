# ComfyUI itself: its command line, its environment, its nodes.
# shellcheck shell=bash disable=SC2034,SC2154 # variables are shared among the parts

# What lets packages of nodes that the user installs at run time live on the volume, and keeps them from replacing what
# the image was built with (torch above all).
readonly python_variables=(PYTHONUSERBASE PIP_USER PIP_CONSTRAINT PIP_BREAK_SYSTEM_PACKAGES UV_CONSTRAINT)

choose_python() {
  local name
  for name in python python3; do
    if python=$(command -v "$name"); then break; fi
  done
  python=${python:-python}
}

set_python_variables() {
  PYTHONUSERBASE=$DATA_DIR/python
  PIP_USER=1
  PIP_BREAK_SYSTEM_PACKAGES=1
  # uv goes by a name of its own.
  if [[ -r $HEARMEMAN_CONSTRAINTS ]]; then PIP_CONSTRAINT=$HEARMEMAN_CONSTRAINTS UV_CONSTRAINT=$HEARMEMAN_CONSTRAINTS; fi
  # A virtual environment has no packages of the user's beside its own.
  if [[ -e ${python%/*}/../pyvenv.cfg ]]; then unset PIP_USER; fi
  PATH=$PATH:$PYTHONUSERBASE/bin
}

use_python_variables() {
  local name
  for name in "${python_variables[@]}"; do
    # shellcheck disable=SC2163 # the variable of that name
    if [[ -n ${!name-} ]]; then export "$name"; fi
  done
}

# What ComfyUI says of its flags. Its nodes aren't loaded for that.
ask_known_flags() {
  drop_secrets
  timeout -k 2 30 "$python" "$COMFYUI_DIR/main.py" --help
}

# Sets comfyui_command.
choose_comfyui_command() {
  local chosen=("${gpu_flags[@]}") flag words
  if [[ -n $COMFYUI_ARGS ]]; then
    split_words "$COMFYUI_ARGS"
    chosen=("${words[@]}")
    flags_reason='COMFYUI_ARGS'
  fi
  keep_known_flags "${chosen[@]}"
  for flag in "${dropped_flags[@]}"; do
    warn "This ComfyUI doesn't know $(printable "$flag"): it is left out. (Asked for by: $flags_reason.)"
  done
  chosen=("${kept_flags[@]}")
  for flag in "${chosen[@]}"; do
    case $flag in
      --output-directory* | --base-directory*)
        warn "COMFYUI_ARGS has ${flag%%=*}: r2-sync goes on looking at $COMFYUI_OUTPUT_DIR." \
          'Set COMFYUI_OUTPUT_DIR instead.'
        ;;
      --port*) warn 'COMFYUI_ARGS has --port: the health check goes on asking COMFYUI_PORT. Set that instead.' ;;
    esac
  done
  if [[ -z $gpu_name && " ${chosen[*]} " != *' --cpu '* ]]; then
    warn 'There is no GPU, and COMFYUI_ARGS has no --cpu: ComfyUI will most likely end at once.'
  fi
  keep_known_flags --listen 0.0.0.0 --port "$COMFYUI_PORT" --base-directory "$DATA_DIR" \
    --output-directory "$OUTPUT_DIR" --input-directory "$INPUT_DIR" --user-directory "$USER_DIR" \
    --temp-directory "$HEARMEMAN_LOCAL_DIR" \
    --extra-model-paths-config "$HEARMEMAN_RUN_DIR/extra_model_paths.yaml"
  for flag in "${dropped_flags[@]}"; do
    warn "This ComfyUI is too old for this image: it doesn't know $flag, which is left out."
  done
  comfyui_command=("${kept_flags[@]}")
  # These only where they are known, without a word: older versions do without.
  if knows_flag --enable-manager && ((${#known_flags[@]} > 0)); then comfyui_command+=(--enable-manager); fi
  # A database belongs to one ComfyUI: on a shared volume the second pod's would end at once. It is only a catalogue of
  # what is on the disk, so it may go with the container.
  if knows_flag --database-url && ((${#known_flags[@]} > 0)); then
    comfyui_command+=(--database-url "sqlite:///$HEARMEMAN_LOCAL_DIR/comfyui.db")
  fi
  if [[ $MODELS_DIR != "$DATA_DIR/models" ]] && knows_flag --models-directory && ((${#known_flags[@]} > 0)); then
    comfyui_command+=(--models-directory "$MODELS_DIR")
  fi
  comfyui_command+=("${chosen[@]}")
  comfyui_flags="${chosen[*]-}"
}

# Some base images keep what Hugging Face's library fetches where a network volume would be if it were mounted there.
choose_hf_home() {
  local home=${HF_HOME-}
  # shellcheck disable=SC2016 # expanded by the inner shell
  if [[ -z $home ]] || "${as_user[@]}" timeout -k 1 5 sh -c 'mkdir -p "$1" && test -w "$1"' try "$home" 2>/dev/null; then
    return 0
  fi
  export HF_HOME=$DATA_DIR/.cache/huggingface
  make_dir "$HF_HOME"
  say "nothing can be written to HF_HOME=$(printable "$home"): ComfyUI uses $HF_HOME"
}

# The Manager prefers uv wherever that is installed. uv knows neither PIP_USER nor PYTHONUSERBASE: packages of nodes would
# go into the image, and be gone with the container. So the Manager is told to use pip; all else that it was told stays.
keep_manager_from_uv() {
  local dir=$USER_DIR/__manager file new text
  file=$dir/config.ini
  new=$dir/.config.ini.$$
  if [[ " ${comfyui_command[*]} " != *' --enable-manager '* ]]; then return 0; fi
  text=$({ cat -- "$file" 2>/dev/null || true; } | without_uv)
  if [[ -f $file && $(<"$file") == "$text" ]]; then return 0; fi
  # Whole under its name, as the Manager of another pod may read it now.
  if make_dir "$dir" && { [[ ! -e $file ]] || cp -p "$file" "$new"; } && printf '%s\n' "$text" >"$new" && own "$new" &&
    mv -fT "$new" "$file"; then
    return 0
  fi 2>/dev/null
  rm -f "$new"
  warn "The Manager's settings in $file can't be written: if uv is installed, packages of nodes that you install" \
    'are gone with the container.'
}

# A config.ini from stdin, with use_uv off.
without_uv() {
  local lines=() section='' header='' found='' i
  mapfile -t lines
  for i in "${!lines[@]}"; do
    if [[ ${lines[i]} =~ ^\[([^]]+)\] ]]; then
      section=${BASH_REMATCH[1]}
      if [[ $section == default ]]; then header=$i; fi
    elif [[ $section == default && ${lines[i],,} =~ ^use_uv[[:space:]]*[=:] ]]; then
      lines[i]='use_uv = False'
      found=yes
    fi
  done
  if [[ -z $found && -n $header ]]; then
    lines[header]+=$'\nuse_uv = False'
  elif [[ -z $found ]]; then
    # Once there is a section, the Manager takes file_logging for off unless it says otherwise.
    lines+=('[default]' 'use_uv = False' 'file_logging = True')
  fi
  printf '%s\n' "${lines[@]}"
}

run_comfyui() {
  drop_secrets
  use_python_variables
  export_page_address
  export HOME=$user_home PYTHONUNBUFFERED=1
  # Where comfyui_controlnet_aux keeps what it fetches: otherwise inside the image, anew on every pod.
  export AUX_ANNOTATOR_CKPTS_PATH=${AUX_ANNOTATOR_CKPTS_PATH:-$MODELS_DIR/controlnet_aux}
  choose_hf_home
  cd "$COMFYUI_DIR" || exit 127
  exec setsid "${as_user[@]}" "$python" main.py "${comfyui_command[@]}"
}

start_comfyui() {
  printf '%s\n' "$COMFYUI_PORT" >"$HEARMEMAN_RUN_DIR/port"
  if [[ ! -f $COMFYUI_DIR/main.py ]]; then
    warn "There is no ComfyUI in $COMFYUI_DIR (main.py is missing): set COMFYUI_DIR. The container stays up."
  fi
  start_service ComfyUI run_comfyui
}

report_comfyui() {
  local own=0 image=0
  own=$(count_nodes "$DATA_DIR/custom_nodes")
  image=$(count_nodes "$COMFYUI_DIR/custom_nodes")
  report comfyui "port $COMFYUI_PORT, flags: ${comfyui_flags:-none} ($flags_reason);" \
    "nodes: $image of the image, $own of your own"
  report files "outputs $OUTPUT_DIR, models $MODELS_DIR$(run_as)"
  if [[ -f $DATA_DIR/main.py && $COMFYUI_DIR != "$DATA_DIR" ]]; then
    warn "An older ComfyUI lies in $DATA_DIR. It isn't used, but nodes in its custom_nodes are;" \
      'docs/upgrade.md says more.'
  fi
}

run_as() {
  if [[ -n $COMFYUI_USER ]]; then printf ', for %s' "$(printable "$COMFYUI_USER")"; fi
  if ((${#as_user[@]} > 0)); then printf ', as user %s:%s' "$PUID" "$PGID"; fi
}

count_nodes() {
  local count=0 path
  for path in "$1"/*/; do
    if [[ -d $path && $path != *.disabled/ && $path != */__pycache__/ ]]; then count=$((count + 1)); fi
  done
  printf '%d' "$count"
}

# The user's nodes alone: the image's are pinned to what was tested.
update_nodes() {
  local path updating=()
  if ! is_true "$UPDATE_NODES_ON_START"; then return 0; fi
  for path in "$DATA_DIR"/custom_nodes/*/; do
    if [[ ! -e $path/.git || $path == *.disabled/ ]]; then continue; fi
    update_node "${path%/}" &
    updating+=($!)
  done
  if ((${#updating[@]} == 0)); then
    report update 'UPDATE_NODES_ON_START: there are no nodes of your own that git could update'
    return 0
  fi
  wait "${updating[@]}"
}

# Asks nobody for a password, waits for nobody for ever, and merges nothing.
update_node() {
  local name=${1##*/} problem
  drop_secrets
  export HOME=$user_home GIT_TERMINAL_PROMPT=0 GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0=$1
  if problem=$("${as_user[@]}" timeout -k 2 60 git -C "$1" pull --ff-only --quiet 2>&1 </dev/null); then
    report update "$(printable "$name") is up to date"
  else
    warn "The node $(printable "$name") couldn't be updated and stays as it was:" \
      "$(printable "${problem:-no answer within 60 s}")"
  fi
}

# Beside ComfyUI: its page is there long before the models are.
start_downloads() {
  if [[ ! -f $HEARMEMAN_DIR/download_models.sh ]]; then return 0; fi
  run_downloads &
  downloads=$!
}

run_downloads() {
  drop_bucket_secrets
  export HOME=$user_home GPU_TIER=$tier
  exec setsid "${as_user[@]}" bash "$HEARMEMAN_DIR/download_models.sh"
}
