# Reads the image's settings. docker/settings.json describes the same names and defaults for people; a test compares.
# shellcheck shell=bash disable=SC2034,SC2154 # variables are shared among the parts

read_settings() {
  clean_setting WORKSPACE /workspace
  clean_setting STORAGE_MODE auto
  clean_setting MODELS_DIR
  clean_setting SHARED_MODELS_DIR /models
  clean_setting COMFYUI_DIR /opt/ComfyUI
  clean_setting COMFYUI_PORT 8188
  clean_setting COMFYUI_ARGS
  clean_setting COMFYUI_USER
  clean_setting GPU_TIER auto
  clean_setting GPU_MEMORY_MODE auto
  clean_setting UPDATE_NODES_ON_START false
  clean_setting PASS_TO_COMFYUI
  clean_setting PUID 0
  clean_setting PGID
  clean_setting PUBLIC_KEY
  read_secret_file JUPYTER_PASSWORD
  clean_setting JUPYTER_PASSWORD
  clean_setting JUPYTER_PORT 8888
  clean_setting HF_TOKEN
  clean_setting CIVITAI_API_KEY
  clean_setting ENABLE_R2_SYNC false
  clean_setting COMFYUI_OUTPUT_DIR
  clean_setting RUNPOD_VOLUME_ID
  clean_setting RUNPOD_POD_ID

  limit_setting STORAGE_MODE auto persistent ephemeral
  limit_setting GPU_TIER auto consumer prosumer datacenter
  limit_setting GPU_MEMORY_MODE auto full model_cpu_offload sequential_cpu_offload
  number_setting COMFYUI_PORT 8188 1 65535
  number_setting JUPYTER_PORT 8888 1 65535
  number_setting PUID 0 0 4294967294
  PGID=${PGID:-$PUID}
  number_setting PGID "$PUID" 0 4294967294
  absolute_setting WORKSPACE /workspace
  absolute_setting COMFYUI_DIR /opt/ComfyUI
  absolute_setting SHARED_MODELS_DIR /models
  absolute_setting MODELS_DIR ''
  absolute_setting COMFYUI_OUTPUT_DIR ''
  # What is unset must not reach programs as an empty word.
  drop_empty MODELS_DIR HF_TOKEN CIVITAI_API_KEY COMFYUI_OUTPUT_DIR RUNPOD_VOLUME_ID RUNPOD_POD_ID
}

# absolute_setting NAME DEFAULT: a directory's full path, without a slash at its end.
absolute_setting() {
  local text=${!1}
  if [[ -n $text && $text != /* ]]; then
    warn "$1=$(printable "$text") isn't a full path, which starts with /: ${2:-the default} is used."
    text=$2
  fi
  while [[ $text == ?*/ ]]; do text=${text%/}; done
  printf -v "$1" '%s' "$text"
}

# read_secret_file NAME: from the file that NAME_FILE names, if it is set.
read_secret_file() {
  local file=$1_FILE text
  clean_setting "$file"
  if [[ -z ${!file} ]]; then return 0; fi
  if text=$(cat -- "${!file}" 2>/dev/null); then
    printf -v "$1" '%s' "$text"
  else
    warn "$file=$(printable "${!file}") can't be read: $1 counts as unset."
    printf -v "$1" '%s' ''
  fi
}

drop_empty() {
  local name
  for name in "$@"; do
    if [[ -z ${!name-} ]]; then unset "$name"; fi
  done
}
