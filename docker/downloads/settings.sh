# Reads the settings of download_models.sh. docker/settings.json describes the same names and defaults for people.
# shellcheck shell=bash disable=SC2034,SC2154 # variables are shared among the parts

# How many files at once, and how many connections for each.
readonly parallel_files=4 connections=8
# How often a file is tried again without getting any further.
readonly most_failures=5

read_settings() {
  clean_setting WORKSPACE /workspace
  clean_setting MODELS_DIR "$WORKSPACE/ComfyUI/models"
  clean_setting SHARED_MODELS_DIR /models
  clean_setting MODELS_MANIFEST "$script_dir/docker/models.json"
  clean_setting HF_ENDPOINT https://huggingface.co
  clean_setting CIVITAI_ENDPOINT https://civitai.com
  clean_setting DOWNLOAD_TIMEOUT 60
  clean_setting DRY_RUN false
  clean_setting GPU_TIER auto
  # For tests, which can't wait that long: seconds between two tries, between two lines of progress, and of silence
  # after which another pod counts as dead. They are no settings.
  : "${MODELS_RETRY_SECONDS:=2}" "${MODELS_PROGRESS_SECONDS:=10}" "${MODELS_LEASE_SECONDS:=45}"
  if [[ $MODELS_DIR != /* ]]; then
    warn "MODELS_DIR=$(printable "$MODELS_DIR") isn't a full path, which starts with /."
    return 2
  fi
  if ! [[ $DOWNLOAD_TIMEOUT =~ ^[1-9][0-9]{0,4}$ ]]; then
    warn "DOWNLOAD_TIMEOUT=$(printable "$DOWNLOAD_TIMEOUT") isn't a number of seconds: 60 is used."
    DOWNLOAD_TIMEOUT=60
  fi
  MODELS_DIR=${MODELS_DIR%/}
  check_endpoint HF_ENDPOINT || return 2
  check_endpoint CIVITAI_ENDPOINT || return 2
  read_secret HF_TOKEN hf_token
  read_secret CIVITAI_API_KEY civitai_key
}

# clean_setting NAME DEFAULT: takes blanks and quotes off, as r2-sync does; empty means unset.
clean_setting() {
  local text
  text=$(trimmed "${!1-}")
  printf -v "$1" '%s' "${text:-$2}"
}

check_endpoint() {
  local url=${!1%/}
  if ! [[ $url =~ ^https?://[]A-Za-z0-9._:/[-]+$ ]]; then
    warn "$1=$(printable "$url") isn't an address such as https://huggingface.co."
    return 2
  fi
  printf -v "$1" '%s' "$url"
}

# read_secret NAME VARIABLE: from NAME_FILE or NAME, into a variable that no child inherits; NAME itself is dropped, so
# that it is in the environment of nothing that is started from here.
read_secret() {
  local name=$1 file=${1}_FILE text=${!1-} secret_name
  if [[ -n ${!file-} ]]; then
    if ! text=$(cat -- "${!file}" 2>/dev/null); then
      warn "$file=$(printable "${!file}") can't be read, so there is no $name."
      text=
    fi
  fi
  text=$(trimmed "$text")
  unset "$name" "$file"
  if unreplaced_secret "$text" secret_name; then
    warn "$name is {{ RUNPOD_SECRET_$secret_name }}, which RunPod didn't replace: there is no secret of that name." \
      'It counts as unset.'
    text=
  elif [[ $text == *[[:cntrl:][:space:]\"\\]* ]]; then
    warn "$name holds characters that no token has (a blank, a quote, a line end?). It counts as unset."
    text=
  fi
  printf -v "$2" '%s' "$text"
  export -n "${2?}"
}
