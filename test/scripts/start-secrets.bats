#!/usr/bin/env bats
# Who sees which secret; what SSH shells get to know.
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2154,SC2317,SC2329

bats_require_minimum_version 1.5.0
load start.bash
setup() {
  use_start
  export R2_ACCESS_KEY=S3CR-a R2_ACCESS_KEY_ID=S3CR-b R2_SECRET_KEY=S3CR-c R2_SECRET_ACCESS_KEY=S3CR-d
  export R2_SESSION_TOKEN=S3CR-e R2_WEBHOOK_URL=https://hook.example/S3CR-m
  export R2_STATUS_TOKEN=S3CR-f R2_SECRET_KEY_FILE=/S3CR-g RUNPOD_API_KEY=S3CR-h HF_TOKEN=S3CR-i CIVITAI_API_KEY=S3CR-j
  export JUPYTER_PASSWORD=S3CR-k HF_TOKEN_FILE=/S3CR-l R2_ENDPOINT=https://store.example/x R2_BUCKET='my "odd" bucket'
}

# environment FUNCTION: what a program sees after it, sorted.
environment() {
  (
    "$1"
    env | grep -E '^(R2_|RUNPOD_|HF_|CIVITAI_|JUPYTER_)' | grep -v ^R2_RUN_DIR | sort
  )
}

@test "ComfyUI and Jupyter see no key, token or password, and no name of a file with one" {
  read_settings
  choose_passed_secrets
  same "$(environment drop_secrets)" $'R2_BUCKET=my "odd" bucket\nR2_ENDPOINT=https://store.example/x'
}

@test "PASS_TO_COMFYUI lets through what it names, and never a key of the bucket" {
  PASS_TO_COMFYUI=' HF_TOKEN,R2_SECRET_KEY,R2_SECRET_KEY_FILE, CIVITAI_API_KEY,PATH '
  read_settings
  choose_passed_secrets >"$base/said"
  same "$(environment drop_secrets)" 'CIVITAI_API_KEY=S3CR-j
HF_TOKEN=S3CR-i
HF_TOKEN_FILE=/S3CR-l
R2_BUCKET=my "odd" bucket
R2_ENDPOINT=https://store.example/x'
  has "$(<"$base/said")" "PASS_TO_COMFYUI names R2_SECRET_KEY: the bucket's keys are never passed on."
  has "$(<"$base/said")" 'PASS_TO_COMFYUI names R2_SECRET_KEY_FILE'
  has "$(<"$base/said")" 'PASS_TO_COMFYUI names PATH, which nobody takes away.'
}

@test "the agent sees the bucket's keys alone, downloads see their own tokens alone" {
  read_settings
  lacks "$(environment drop_other_secrets)" S3CR-i
  lacks "$(environment drop_other_secrets)" S3CR-h
  has "$(environment drop_other_secrets)" R2_SECRET_KEY=S3CR-c
  lacks "$(environment drop_bucket_secrets)" S3CR-c
  lacks "$(environment drop_bucket_secrets)" S3CR-h
  has "$(environment drop_bucket_secrets)" HF_TOKEN=S3CR-i
}

@test "the agent's settings are kept for SSH shells: all of them, nothing else, readable by nobody else" {
  read_settings
  export COMFYUI_OUTPUT_DIR=$'/out\nput' R2_EXCLUDE=
  write_agent_env
  same "$(stat -c %a "$R2_RUN_DIR/env")" 600
  same "$(stat -c %a "$R2_RUN_DIR")" 700
  same "$(sort "$R2_RUN_DIR/env")" "$(sort <<EOF
COMFYUI_OUTPUT_DIR="/out\\nput"
R2_ACCESS_KEY="S3CR-a"
R2_ACCESS_KEY_ID="S3CR-b"
R2_BUCKET="my \\"odd\\" bucket"
R2_ENDPOINT="https://store.example/x"
R2_RUN_DIR="$R2_RUN_DIR"
R2_SECRET_ACCESS_KEY="S3CR-d"
R2_SECRET_KEY="S3CR-c"
R2_SECRET_KEY_FILE="/S3CR-g"
R2_SESSION_TOKEN="S3CR-e"
R2_STATUS_TOKEN="S3CR-f"
R2_WEBHOOK_URL="https://hook.example/S3CR-m"
EOF
  )"
  same "$(ls -A "$R2_RUN_DIR")" env
}

@test "no secret is in the arguments of a program that start.sh runs" {
  local program
  for program in jq mv mkdir head od tr sha256sum cut rm cat chown; do
    stand_in "$program" "printf '%s\n' \"\$*\" >>'$base/arguments'; exec '$(command -v "$program")' \"\$@\""
  done
  read_settings
  choose_user
  write_agent_env
  write_jupyter_config
  [[ -s $base/arguments ]]
  lacks "$(<"$base/arguments")" S3CR-
}

@test "a run directory that can't be made is said, and stops nothing" {
  touch "$base/file"
  R2_RUN_DIR=$base/file/run
  run write_agent_env
  same "$status" 0
  has "$output" "$R2_RUN_DIR/env can't be written"
}

@test "SSH shells get the paths that ComfyUI's Python has, and no secret" {
  read_settings
  choose_python
  DATA_DIR="$base/it's here" MODELS_DIR=$base/models
  set_python_variables
  write_profile
  lacks "$(<"$HEARMEMAN_PROFILE")" S3CR-
  same "$(bash -c 'source "$1"; echo "$PYTHONUSERBASE"' x "$HEARMEMAN_PROFILE")" "$base/it's here/python"
}

@test "a secret that RunPod didn't replace is named and counts as unset: it is no password and no token" {
  JUPYTER_PASSWORD='{{ RUNPOD_SECRET_jupyter }}' HF_TOKEN='{{RUNPOD_SECRET_hf}}' PUBLIC_KEY='{{ RUNPOD_SECRET_key }}'
  read_settings >"$base/said"
  same "$JUPYTER_PASSWORD|${HF_TOKEN-unset}|$PUBLIC_KEY" '|unset|'
  has "$(<"$base/said")" "JUPYTER_PASSWORD is {{ RUNPOD_SECRET_jupyter }}, which RunPod didn't replace"
  has "$(<"$base/said")" 'PUBLIC_KEY is'
}

@test "only a text that is a RunPod secret's placeholder and nothing else counts as unreplaced; others are never shown" {
  local text
  for text in 'S3CR{{x}}' '{{ S3CR }}' '{{ RUNPOD_SECRET_a }} S3CR' 'S3CR{{ RUNPOD_SECRET_a }}' '{{ RUNPOD_SECRET_ }}' \
    '{{ RUNPOD_SECRET_a b }}' 'RUNPOD_SECRET_S3CR'; do
    JUPYTER_PASSWORD=$text
    read_settings >"$base/said"
    same "$JUPYTER_PASSWORD" "$text"
    lacks "$(<"$base/said")" JUPYTER_PASSWORD
  done
  for text in '{{RUNPOD_SECRET_my-key.2}}' ' {{  RUNPOD_SECRET_my-key.2  }} ' '"{{ RUNPOD_SECRET_my-key.2 }}"'; do
    JUPYTER_PASSWORD=$text
    read_settings >"$base/said"
    same "$JUPYTER_PASSWORD" ''
    has "$(<"$base/said")" "JUPYTER_PASSWORD is {{ RUNPOD_SECRET_my-key.2 }}, which RunPod didn't replace"
  done
}

@test "Jupyter's password can be in a file; one that can't be read is named, and there is no password then" {
  printf 'from a file\n' >"$base/password"
  JUPYTER_PASSWORD_FILE=$base/password
  read_settings
  same "$JUPYTER_PASSWORD" 'from a file'
  JUPYTER_PASSWORD_FILE=$base/nothing
  read_settings >"$base/said"
  same "$JUPYTER_PASSWORD" ''
  has "$(<"$base/said")" "JUPYTER_PASSWORD_FILE=$base/nothing can't be read"
}

@test "values are read without the blanks and quotes around them" {
  COMFYUI_PORT=' "9000" ' COMFYUI_USER="'alice'" MODELS_DIR='/models/ ' STORAGE_MODE=''
  read_settings
  same "$COMFYUI_PORT $COMFYUI_USER $MODELS_DIR $STORAGE_MODE" '9000 alice /models auto'
}

@test "true, 1, yes and on are true in any case of letters, and nothing else is" {
  local text
  for text in true TRUE True 1 yes YES on On; do is_true "$text"; done
  for text in '' false 0 no off 2 truely; do run ! is_true "$text"; done
}

@test "a port that is none is named, and the usual one is used" {
  local port
  for port in 0 65536 http -1 99999999999; do
    COMFYUI_PORT=$port
    read_settings >"$base/said"
    same "$COMFYUI_PORT" 8188
    has "$(<"$base/said")" "COMFYUI_PORT=$port isn't a whole number from 1 to 65535: 8188 is used."
  done
  COMFYUI_PORT=08188
  read_settings
  same "$COMFYUI_PORT" 8188
}

@test "Jupyter's password is in a file that only its user reads, hashed, and in no argument and no environment" {
  JUPYTER_PASSWORD='hunt"er \ $x'
  export JUPYTER_TOKEN=S3CR-t
  DATA_DIR=$WORKSPACE/ComfyUI
  stand_in jupyter "printf '%s\n' \"\$@\" >'$base/arguments'; env >'$base/environment'; sleep 60"
  read_settings
  choose_user
  choose_python
  set_python_variables
  start_jupyter
  until_true test -s "$base/environment"
  end_everything
  lacks "$(<"$base/arguments")$(<"$base/environment")" hunt
  lacks "$(<"$base/environment")" S3CR-
  has "$(<"$base/arguments")" "--config=$base/run/jupyter.json"
  has "$(<"$base/arguments")" --port=8888
  same "$(stat -c %a "$base/run/jupyter.json")" 600
  lacks "$(<"$base/run/jupyter.json")" hunt
  # As Jupyter checks it.
  run python3 - "$base/run/jupyter.json" <<'PYTHON'
import hashlib, json, sys
config = json.load(open(sys.argv[1]))
algorithm, salt, digest = config["PasswordIdentityProvider"]["hashed_password"].split(":")
check = hashlib.new(algorithm)
check.update('hunt"er \\ $x'.encode() + salt.encode("ascii"))
sys.exit(check.hexdigest() != digest)
PYTHON
  same "$status" 0
}

@test "without a password, or without Jupyter in the image, there is none, and the report says so" {
  JUPYTER_PASSWORD=
  read_settings
  has "$(start_jupyter)" "jupyter    off: JUPYTER_PASSWORD isn't set"
  only_basics
  JUPYTER_PASSWORD=x
  has "$(start_jupyter)" 'there is no Jupyter in this image'
}
