#!/usr/bin/env bats
# The directories that ComfyUI works in.
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2154,SC2317,SC2329

load start.bash
setup() {
  use_start
  DATA_DIR=$WORKSPACE/ComfyUI
  storage=persistent
}

# directories: with the settings as they are.
directories() {
  read_settings >"$base/said" 2>&1
  choose_user >>"$base/said"
  choose_directories >>"$base/said"
  said=$(<"$base/said")
}

@test "without a user's name there are the common directories" {
  directories
  same "$OUTPUT_DIR $INPUT_DIR $USER_DIR" "$DATA_DIR/output $DATA_DIR/input $DATA_DIR/user"
  same "$COMFYUI_OUTPUT_DIR $MODELS_DIR" "$DATA_DIR/output $DATA_DIR/models"
}

@test "COMFYUI_USER has directories of that name, while r2-sync looks at the common output directory" {
  COMFYUI_USER='Alice B'
  directories
  prepare_directories
  same "$OUTPUT_DIR" "$DATA_DIR/output/Alice B"
  same "$INPUT_DIR" "$DATA_DIR/input/Alice B"
  same "$USER_DIR" "$DATA_DIR/user/Alice B"
  same "$COMFYUI_OUTPUT_DIR" "$DATA_DIR/output"
  [[ -d $OUTPUT_DIR && -d $INPUT_DIR && -d $USER_DIR ]]
}

@test "a user's name that would lead elsewhere is refused with a clear word, and the common directories are used" {
  local name
  for name in ../bob a/b /etc .hidden . .. $'a\nb' $'a\tb' "$(printf 'x%.0s' {1..101})"; do
    COMFYUI_USER=$name
    directories
    same "$OUTPUT_DIR" "$DATA_DIR/output"
    has "$said" "so it can't be a directory's name: the common directories are used."
    lacks "$said" $'a\nb'
  done
}

@test "COMFYUI_OUTPUT_DIR is where outputs go, if it can be written" {
  COMFYUI_OUTPUT_DIR=$base/elsewhere/
  COMFYUI_USER=bob
  directories
  same "$COMFYUI_OUTPUT_DIR $OUTPUT_DIR" "$base/elsewhere $base/elsewhere/bob"
  touch "$base/file"
  COMFYUI_OUTPUT_DIR=$base/file/output
  directories
  same "$COMFYUI_OUTPUT_DIR" "$DATA_DIR/output"
  has "$said" "COMFYUI_OUTPUT_DIR=$base/file/output can't be written: outputs go to $DATA_DIR/output."
}

@test "workflows of the image are put where ComfyUI lists them, and the user's are never overwritten" {
  mkdir -p "$base/image/docker/workflows"
  echo '{"ours":1}' >"$base/image/docker/workflows/one.json"
  echo '{"ours":2}' >"$base/image/docker/workflows/two.json"
  directories
  mkdir -p "$USER_DIR/default/workflows"
  echo mine >"$USER_DIR/default/workflows/one.json"
  HEARMEMAN_DIR=$base/image
  install_workflows
  install_workflows
  same "$(<"$USER_DIR/default/workflows/one.json")" mine
  same "$(<"$USER_DIR/default/workflows/two.json")" '{"ours":2}'
  same "$(ls -A "$USER_DIR/default/workflows")" $'one.json\ntwo.json'
}

@test "the image's nodes are found beside the user's, which are on the volume" {
  mkdir -p "$COMFYUI_DIR/custom_nodes"
  directories
  same "$(extra_model_paths)" "# Made by start.sh at every start.
image:
  custom_nodes: '$COMFYUI_DIR/custom_nodes'"
}

@test "models are also read from the shared directory, with the kinds that it has beside ComfyUI's own, but no code" {
  mkdir -p "$SHARED_MODELS_DIR/vibevoice" "$SHARED_MODELS_DIR/custom_nodes" "$SHARED_MODELS_DIR/a b"
  directories
  local text
  text=$(extra_model_paths)
  has "$text" "shared:
  base_path: '$SHARED_MODELS_DIR'
  checkpoints: checkpoints"
  has "$text" '  vibevoice: vibevoice'
  lacks "$text" custom_nodes
  lacks "$text" 'a b'
}

@test "where outputs can't go to the volume, its models are still read" {
  mkdir -p "$WORKSPACE/ComfyUI/models"
  DATA_DIR=$HEARMEMAN_LOCAL_DIR/ComfyUI
  directories
  has "$(extra_model_paths)" "volume:
  base_path: '$WORKSPACE/ComfyUI/models'"
}

@test "MODELS_DIR elsewhere comes first, and any path is written so that YAML reads it back" {
  MODELS_DIR="$base/it's: mine"
  directories
  has "$(extra_model_paths)" "models:
  base_path: '$base/it''s: mine'
  is_default: true"
}

@test "with PUID only directories made now are given to that user" {
  stand_in chown "echo \"\$@\" >>'$base/owned'"
  stand_in id 'echo 0'
  stand_in setpriv 'shift 4; exec "$@"'
  PUID=1234
  mkdir -p "$DATA_DIR/models/there"
  directories
  prepare_directories
  has "$(<"$base/owned")" "1234:1234 $DATA_DIR/output"
  lacks "$(<"$base/owned")" "$DATA_DIR/models"
  lacks "$(<"$base/owned")" "$WORKSPACE
"
}

@test "with PUID an empty directory of root's, as Docker makes one for a mount, is given to that user" {
  stand_in chown "echo \"\$@\" >>'$base/owned'"
  stand_in id 'echo 0'
  stand_in setpriv 'shift 4; exec "$@"'
  PUID=1234 MODELS_DIR=$base/models COMFYUI_OUTPUT_DIR=$base/linked
  mkdir -p "$base/models" "$base/full/picture" "$DATA_DIR/input" "$DATA_DIR/user/someone"
  # Only seen to be full by who goes through the link.
  ln -s "$base/full" "$base/linked"
  directories
  prepare_directories
  has "$(<"$base/owned")" "1234:1234 $base/models"
  has "$(<"$base/owned")" "1234:1234 $DATA_DIR/input"
  lacks "$(<"$base/owned")"$'\n' "$base/linked"$'\n'
  lacks "$(<"$base/owned")"$'\n' "$DATA_DIR/user"$'\n'
  lacks "$(<"$base/owned")"$'\n' "$WORKSPACE"$'\n'
}

@test "with PUID an empty workspace is given to that user with what is made in it" {
  stand_in chown "echo \"\$@\" >>'$base/owned'"
  stand_in id 'echo 0'
  stand_in setpriv 'shift 4; exec "$@"'
  PUID=1234
  directories
  prepare_directories
  has "$(<"$base/owned")"$'\n' "1234:1234 $WORKSPACE"$'\n'
}

@test "a workspace that isn't used is left alone, also with PUID" {
  stand_in chown "echo \"\$@\" >>'$base/owned'"
  stand_in id 'echo 0'
  stand_in setpriv 'shift 4; exec "$@"'
  PUID=1234 DATA_DIR=$HEARMEMAN_LOCAL_DIR/ComfyUI
  directories
  prepare_directories
  lacks "$(<"$base/owned")" "$WORKSPACE"
}

@test "without PUID no directory changes its owner" {
  stand_in chown "echo \"\$@\" >>'$base/owned'"
  directories
  prepare_directories
  [[ ! -e $base/owned ]]
}

@test "chown that is refused, as on RunPod's volumes, stops nothing" {
  stand_in chown 'echo "chown: Operation not permitted" >&2; exit 1'
  stand_in id 'echo 0'
  stand_in setpriv 'shift 4; exec "$@"'
  PUID=1234 PGID=4321
  directories
  run prepare_directories
  same "$status|$output" '0|'
  [[ -d $OUTPUT_DIR ]]
}

@test "directories that the user of PUID can't write to are named, with what to do" {
  stand_in id 'echo 0'
  stand_in setpriv 'exit 1'
  PUID=1234
  directories
  run prepare_directories
  has "$output" "User 1234 can't write to $OUTPUT_DIR: ComfyUI can save nothing there"
  has "$output" "User 1234 can't write to $MODELS_DIR: models can't be downloaded there"
  has "$output" 'chown -R 1234:1234'
}

@test "PUID without root, or without setpriv, is said to have no effect" {
  stand_in id 'echo 1000'
  PUID=1234
  directories
  has "$said" 'PUID=1234 has no effect: this container runs as user 1000'
  same "${#as_user[@]}" 0
  stand_in id 'echo 0'
  only_basics setpriv id
  PUID=1234
  directories
  has "$said" 'PUID=1234 has no effect: setpriv'
}

@test "PUID and PGID that are no numbers are named, and root is used" {
  PUID=alice PGID=-1
  directories
  same "$PUID $PGID ${#as_user[@]}" '0 0 0'
  has "$said" "PUID=alice isn't a whole number"
}

@test "programs run as PUID and PGID, without root's groups" {
  stand_in id 'echo 0'
  PUID=1234
  directories
  same "${as_user[*]}" 'setpriv --reuid=1234 --regid=1234 --clear-groups --'
  same "$user_home" "$HEARMEMAN_LOCAL_DIR/home"
}

@test "only the user's nodes are updated, without questions, and one that fails stays as it was" {
  mkdir -p "$DATA_DIR/custom_nodes/good/.git" "$DATA_DIR/custom_nodes/bad/.git" "$DATA_DIR/custom_nodes/plain" \
    "$DATA_DIR/custom_nodes/off.disabled/.git" "$COMFYUI_DIR/custom_nodes/image/.git"
  stand_in git "echo \"\$@ prompt=\$GIT_TERMINAL_PROMPT token=\${HF_TOKEN-none}\" >>'$base/git'
case \$2 in *bad) echo 'fatal: Not possible to fast-forward, aborting.' >&2; exit 128 ;; esac"
  export HF_TOKEN=hf_secret
  UPDATE_NODES_ON_START=Yes
  directories
  run update_nodes
  same "$(sort "$base/git")" "-C $DATA_DIR/custom_nodes/bad pull --ff-only --quiet prompt=0 token=none
-C $DATA_DIR/custom_nodes/good pull --ff-only --quiet prompt=0 token=none"
  has "$output" 'good is up to date'
  has "$output" "The node bad couldn't be updated and stays as it was: fatal: Not possible to fast-forward"
}

@test "nodes aren't updated unless that is asked for" {
  mkdir -p "$DATA_DIR/custom_nodes/good/.git"
  stand_in git "touch '$base/git'"
  directories
  update_nodes
  [[ ! -e $base/git ]]
}

@test "an older ComfyUI on the volume is pointed out" {
  mkdir -p "$DATA_DIR" && touch "$DATA_DIR/main.py"
  directories
  comfyui_flags='' flags_reason=x
  run report_comfyui
  has "$output" "An older ComfyUI lies in $DATA_DIR"
}

@test "who can't write where the container's own files go has a place for them all the same, with one word about it" {
  local part
  touch "$base/file"
  HEARMEMAN_LOCAL_DIR=$base/file/local
  choose_local_dir >"$base/said"
  same "$(wc -l <"$base/said")" 1
  has "$(<"$base/said")" "can't write to $base/file/local: what goes with the container is in $HEARMEMAN_LOCAL_DIR."
  [[ -w $HEARMEMAN_LOCAL_DIR ]]
  rm -r "$HEARMEMAN_LOCAL_DIR"
  # Before anything uses it.
  part=$(declare -f main)
  has "${part%%choose_user*}" choose_local_dir
}

@test "the usual place of the container's own files is taken where it can be written" {
  run choose_local_dir
  same "$output" ''
  [[ -d $HEARMEMAN_LOCAL_DIR ]]
}

# hf_home: what HF_HOME is for ComfyUI.
hf_home() {
  stand_in setsid 'echo "HF_HOME=${HF_HOME-unset}"'
  mkdir -p "$COMFYUI_DIR"
  directories
  comfyui_command=()
  choose_python
  (run_comfyui)
}

@test "HF_HOME where nothing can be written is replaced by a directory beside the models" {
  touch "$base/file"
  export HF_HOME=$base/file/huggingface
  run hf_home
  same "${lines[-1]}" "HF_HOME=$DATA_DIR/.cache/huggingface"
  has "$output" "nothing can be written to HF_HOME=$base/file/huggingface"
  [[ -d $DATA_DIR/.cache/huggingface ]]
}

@test "HF_HOME that can be written, or isn't set, stays as it is" {
  run hf_home
  same "$output" HF_HOME=unset
  export HF_HOME=$base/huggingface
  run hf_home
  same "$output" "HF_HOME=$base/huggingface"
}
