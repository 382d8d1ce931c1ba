# The directories that ComfyUI works in, and what it finds there at its first start.
# shellcheck shell=bash disable=SC2034,SC2154 # variables are shared among the parts

# Sets OUTPUT_DIR, INPUT_DIR, USER_DIR (ComfyUI's), COMFYUI_OUTPUT_DIR (the agent's, common to all users), MODELS_DIR.
choose_directories() {
  check_user_name
  choose_output_root
  MODELS_DIR=${MODELS_DIR:-$DATA_DIR/models}
  OUTPUT_DIR=$COMFYUI_OUTPUT_DIR${COMFYUI_USER:+/$COMFYUI_USER}
  INPUT_DIR=$DATA_DIR/input${COMFYUI_USER:+/$COMFYUI_USER}
  USER_DIR=$DATA_DIR/user${COMFYUI_USER:+/$COMFYUI_USER}
  export COMFYUI_OUTPUT_DIR MODELS_DIR
}

# What goes with the container, ComfyUI's temporary files for one, needs a place. Only root has the usual one.
choose_local_dir() {
  local wanted=$HEARMEMAN_LOCAL_DIR
  if mkdir -p "$wanted" 2>/dev/null && [[ -w $wanted ]]; then return 0; fi
  HEARMEMAN_LOCAL_DIR=$(mktemp -d) && chmod 755 "$HEARMEMAN_LOCAL_DIR"
  warn "User $(id -u) can't write to $wanted: what goes with the container is in $HEARMEMAN_LOCAL_DIR."
}

# A user's name becomes a directory's: it must not lead elsewhere, nor be hidden from the agent.
check_user_name() {
  local problem=
  case $COMFYUI_USER in
    */*) problem='has a slash in it' ;;
    .*) problem='starts with a dot' ;;
    *[[:cntrl:]]*) problem='has a control character in it' ;;
  esac
  if ((${#COMFYUI_USER} > 100)); then problem='is longer than 100 characters'; fi
  if [[ -z $problem ]]; then return 0; fi
  warn "COMFYUI_USER=$(printable "$COMFYUI_USER") $problem, so it can't be a directory's name:" \
    'the common directories are used.'
  COMFYUI_USER=
}

# The output directory that was asked for, if it can be written.
choose_output_root() {
  local wanted=${COMFYUI_OUTPUT_DIR-}
  COMFYUI_OUTPUT_DIR=$DATA_DIR/output
  if [[ -z $wanted || $wanted == "$COMFYUI_OUTPUT_DIR" ]]; then return 0; fi
  if make_dir "$wanted" && [[ -w $wanted ]]; then
    COMFYUI_OUTPUT_DIR=$wanted
  else
    warn "COMFYUI_OUTPUT_DIR=$(printable "$wanted") can't be written: outputs go to $COMFYUI_OUTPUT_DIR."
  fi
}

prepare_directories() {
  local path
  # Those above come first: with something in it, a directory isn't given away any more.
  for path in "${DATA_DIR%/*}" "$HEARMEMAN_LOCAL_DIR" "$DATA_DIR" "$MODELS_DIR" "$COMFYUI_OUTPUT_DIR" "$OUTPUT_DIR" \
    "$DATA_DIR/input" "$INPUT_DIR" "$DATA_DIR/user" "$USER_DIR" "$DATA_DIR/custom_nodes" "$DATA_DIR/python" \
    "$user_home"; do
    give_if_empty "$path"
    make_dir "$path"
  done
  # For the end, when the volume may not answer any more.
  real_output_dir=$(timeout -k 1 5 realpath -- "$COMFYUI_OUTPUT_DIR" 2>/dev/null) || real_output_dir=
  if ((${#as_user[@]} > 0)); then
    check_usable "$OUTPUT_DIR" 'ComfyUI can save nothing there'
    check_usable "$INPUT_DIR" 'ComfyUI can take no uploads there'
    check_usable "$MODELS_DIR" "models can't be downloaded there"
    check_usable "$USER_DIR" 'ComfyUI can keep no settings and workflows there'
  fi
}

# The image's workflows go where ComfyUI lists them. One of that name that is there is the user's.
install_workflows() {
  local from=$HEARMEMAN_DIR/docker/workflows into=$USER_DIR/default/workflows file name
  if ! compgen -G "$from/*.json" >/dev/null || ! make_dir "$into"; then return 0; fi
  for file in "$from"/*.json; do
    name=${file##*/}
    if [[ -e $into/$name ]]; then continue; fi
    # Whole under its name or not there, whoever else does the same.
    cp "$file" "$into/.$name.$$" && own "$into/.$name.$$" && mv -n "$into/.$name.$$" "$into/$name"
    rm -f "$into/.$name.$$"
  done
}

# What ComfyUI calls its kinds of models, with the older names of the directories.
readonly model_kinds=(checkpoints loras vae text_encoders clip diffusion_models unet clip_vision style_models embeddings
  diffusers vae_approx controlnet t2i_adapter gligen upscale_models latent_upscale_models hypernetworks photomaker
  classifiers model_patches audio_encoders background_removal frame_interpolation geometry_estimation optical_flow
  detection)

# Where ComfyUI looks beside --base-directory, as the text of an extra_model_paths.yaml.
extra_model_paths() {
  local nodes=$COMFYUI_DIR/custom_nodes
  echo '# Made by start.sh at every start.'
  # --base-directory moves custom_nodes to the volume, where the Manager installs; the image's own stay here.
  if [[ -d $nodes && $COMFYUI_DIR != "$DATA_DIR" ]]; then
    printf 'image:\n  custom_nodes: %s\n' "$(yaml_text "$nodes")"
  fi
  if [[ $MODELS_DIR != "$DATA_DIR/models" ]]; then model_section models "$MODELS_DIR" default; fi
  if [[ $SHARED_MODELS_DIR != "$MODELS_DIR" ]] && is_there "$SHARED_MODELS_DIR"; then
    model_section shared "$SHARED_MODELS_DIR"
  fi
  # Where outputs can't go to the volume, its models can be read all the same.
  local volume=$WORKSPACE/ComfyUI/models
  if [[ $DATA_DIR != "$WORKSPACE/ComfyUI" && $MODELS_DIR != "$volume" ]] && is_there "$volume"; then
    model_section volume "$volume"
  fi
}

# model_section NAME DIRECTORY [default]
model_section() {
  local kind path
  printf '%s:\n  base_path: %s\n' "$1" "$(yaml_text "$2")"
  if [[ ${3-} == default ]]; then echo '  is_default: true'; fi
  for kind in "${model_kinds[@]}"; do printf '  %s: %s\n' "$kind" "$kind"; done
  # Nodes have kinds of their own. Code is no model, whatever lies there.
  for path in "$2"/*/; do
    kind=${path%/}
    kind=${kind##*/}
    if [[ ! $kind =~ ^[A-Za-z][A-Za-z0-9_-]*$ || $kind == custom_nodes ]]; then continue; fi
    if [[ " ${model_kinds[*]} " != *" $kind "* ]]; then printf '  %s: %s\n' "$kind" "$kind"; fi
  done
}

yaml_text() {
  printf "'%s'" "${1//\'/\'\'}"
}

write_extra_model_paths() {
  extra_model_paths >"$HEARMEMAN_RUN_DIR/extra_model_paths.yaml"
}
