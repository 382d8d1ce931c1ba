# Who sees which secret. Nodes are other people's code: what ComfyUI and Jupyter don't need isn't in their environment.
# shellcheck shell=bash disable=SC2034,SC2154 # variables are shared among the parts

# Each also as NAME_FILE. A test compares the R2 ones with r2-sync's own list.
readonly bucket_secrets=(R2_ACCESS_KEY R2_ACCESS_KEY_ID R2_SECRET_KEY R2_SECRET_ACCESS_KEY R2_SESSION_TOKEN
  R2_STATUS_TOKEN R2_WEBHOOK_URL)
readonly other_secrets=(RUNPOD_API_KEY HF_TOKEN CIVITAI_API_KEY JUPYTER_PASSWORD)

# Sets passed_secrets from PASS_TO_COMFYUI.
choose_passed_secrets() {
  local name
  passed_secrets=()
  for name in ${PASS_TO_COMFYUI//,/ }; do
    if [[ " ${bucket_secrets[*]} ${bucket_secrets[*]/%/_FILE} " == *" $name "* ]]; then
      warn "PASS_TO_COMFYUI names $name: the bucket's keys are never passed on."
    elif [[ " ${other_secrets[*]} " == *" $name "* ]]; then
      passed_secrets+=("$name")
    else
      warn "PASS_TO_COMFYUI names $(printable "$name"), which nobody takes away." \
        "It can name $(joined ', ' "${other_secrets[@]}")."
    fi
  done
}

# For a subshell that becomes ComfyUI or Jupyter.
drop_secrets() {
  local name
  for name in "${bucket_secrets[@]}" "${other_secrets[@]}"; do
    if [[ " ${passed_secrets[*]-} " != *" $name "* ]]; then unset "$name" "${name}_FILE"; fi
  done
}

# For a subshell that becomes the agent: it needs the bucket's alone.
drop_other_secrets() {
  local name
  for name in "${other_secrets[@]}"; do unset "$name" "${name}_FILE"; done
}

# For a subshell that becomes the downloads.
drop_bucket_secrets() {
  local name
  for name in "${bucket_secrets[@]}" RUNPOD_API_KEY JUPYTER_PASSWORD; do unset "$name" "${name}_FILE"; done
}

# Keeps the agent's settings where `r2-sync` finds them in an SSH shell, which doesn't inherit the container's:
# jq takes them from its own environment, so no value is in an argument.
write_agent_env() {
  local dir=${R2_RUN_DIR:-/run/r2-sync}
  (
    umask 077
    mkdir -p "$dir" &&
      jq -rn 'env | to_entries[] | select((.key | startswith("R2_") or . == "COMFYUI_OUTPUT_DIR") and .value != "")
        | "\(.key)=\(.value | tojson)"' >"$dir/.env.$$" &&
      mv "$dir/.env.$$" "$dir/env"
  ) 2>/dev/null || {
    rm -f "$dir/.env.$$" 2>/dev/null
    warn "$dir/env can't be written: r2-sync won't know its settings in an SSH shell."
  }
}

# What is no secret and other shells need as well: where Python's packages go, and where programs are.
write_profile() {
  local name
  {
    echo '# Made by start.sh at every start.'
    for name in PATH LD_LIBRARY_PATH VIRTUAL_ENV CUDA_HOME WORKSPACE DATA_DIR COMFYUI_DIR MODELS_DIR \
      COMFYUI_OUTPUT_DIR "${python_variables[@]}"; do
      if [[ -n ${!name-} ]]; then printf 'export %s=%q\n' "$name" "${!name}"; fi
    done
  } 2>/dev/null >"$HEARMEMAN_PROFILE" ||
    warn "$HEARMEMAN_PROFILE can't be written: SSH shells have the plain environment."
}
