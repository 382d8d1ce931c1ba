#!/usr/bin/env bats
# The agent, downloads, and the health check.
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2154,SC2317,SC2329

bats_require_minimum_version 1.5.0
load start.bash
setup() {
  use_start
  stand_in r2-sync "echo \"\$*\" >>'$base/asked'
case \$1 in
  run) trap 'exit 0' TERM; while :; do sleep 0.05; done ;;
  probe) echo 'ok: the bucket \"runpod\" takes uploads (outputs/r2-sync-probe.txt, 0.2 s)' ;;
esac"
  COMFYUI_OUTPUT_DIR=$base/output
}
teardown() {
  end_everything
}

started() { grep -q ^run "$base/asked"; }

@test "the agent runs when ENABLE_R2_SYNC is true, in any form and case" {
  local text
  for text in true TRUE 1 yes On '"true"'; do
    rm -f "$base/asked"
    ENABLE_R2_SYNC=$text
    read_settings
    start_agent >/dev/null
    until_true test -s "$base/asked"
    end_everything
    service_pid=()
  done
}

@test "the agent gets the bucket's keys, and nobody else's" {
  stand_in r2-sync "env >'$base/environment.part'; mv '$base/environment.part' '$base/environment'; sleep 60"
  export R2_SECRET_KEY=bucket-secret HF_TOKEN=hf-token RUNPOD_API_KEY=rpa-key
  ENABLE_R2_SYNC=1
  read_settings
  start_agent
  until_true test -s "$base/environment"
  has "$(<"$base/environment")" bucket-secret
  lacks "$(<"$base/environment")" hf-token
  lacks "$(<"$base/environment")" rpa-key
}

@test "without ENABLE_R2_SYNC it doesn't run, and the report says so" {
  local text
  for text in '' false 0 no off maybe; do
    ENABLE_R2_SYNC=$text
    read_settings
    start_agent >"$base/said"
    has "$(<"$base/said")" "r2-sync    off: ENABLE_R2_SYNC isn't set"
    same "$agent" ''
  done
}

@test "settings of a bucket without ENABLE_R2_SYNC are announced, and no value is shown" {
  R2_SECRET_KEY_FILE=/run/secrets/r2
  read_settings
  start_agent >"$base/said"
  has "$(<"$base/said")" "!!! R2_SECRET_KEY_FILE is set, but ENABLE_R2_SYNC isn't: nothing is uploaded."
  unset R2_SECRET_KEY_FILE
  R2_ACCESS_KEY=very-secret
  start_agent >"$base/said"
  has "$(<"$base/said")" "R2_ACCESS_KEY is set, but ENABLE_R2_SYNC isn't"
  lacks "$(<"$base/said")" very-secret
}

@test "an image without r2-sync says that nothing is uploaded" {
  only_basics
  rm "$bin/r2-sync"
  ENABLE_R2_SYNC=true
  read_settings
  has "$(start_agent)" "!!! ENABLE_R2_SYNC is set, but r2-sync isn't in this image"
}

@test "any answer of the status page means that the agent is there, at the address that it was told" {
  stand_in curl "echo \"\$*\" >>'$base/curl'"
  ENABLE_R2_SYNC=1 R2_STATUS_HOST=0.0.0.0 R2_STATUS_PORT=9999
  read_settings
  start_agent
  wait_for_agent >"$base/said"
  has "$(<"$base/said")" "status page http://127.0.0.1:9999"
  lacks "$(<"$base/said")" /r2-sync/
  has "$(<"$base/curl")" http://127.0.0.1:9999/healthz
  # Not --fail: 503 is an answer, too.
  lacks "$(<"$base/curl")" -f
}

@test "the report says that the status page is on ComfyUI's port as well, where the extension is" {
  stand_in curl ''
  mkdir -p "$COMFYUI_DIR/custom_nodes/r2-sync"
  touch "$COMFYUI_DIR/custom_nodes/r2-sync/__init__.py"
  ENABLE_R2_SYNC=1 COMFYUI_PORT=8288
  read_settings
  start_agent
  has "$(wait_for_agent)" 'status page http://127.0.0.1:8190, also /r2-sync/ on port 8288'
}

@test "ComfyUI learns where the status page is: what r2-sync config set was told counts" {
  R2_STATUS_HOST="'0.0.0.0' "
  read_settings
  mkdir -p "$R2_RUN_DIR"
  printf 'R2_STATUS_PORT= 8191 \nR2_SECRET_KEY=very-secret\n' >"$R2_RUN_DIR/set"
  same "$(export_page_address && env | grep ^R2_STATUS_ | sort)" $'R2_STATUS_HOST=0.0.0.0\nR2_STATUS_PORT=8191'
  lacks "$(export_page_address && env)" very-secret
}

@test "an agent that never answers doesn't keep ComfyUI waiting for longer than 5 s" {
  stand_in curl 'exit 7'
  pause() { :; }
  ENABLE_R2_SYNC=1
  read_settings
  start_agent
  agent_began=$((agent_began - agent_patience_ms + 100))
  run wait_for_agent
  has "$output" "r2-sync isn't ready after 5 s: ComfyUI is started all the same."
}

@test "without a status page nothing is waited for" {
  stand_in curl "touch '$base/curl'"
  ENABLE_R2_SYNC=1 R2_STATUS_PORT=0
  read_settings
  start_agent
  has "$(wait_for_agent)" 'on, without a status page'
  [[ ! -e $base/curl ]]
}

@test "the report ends with what the bucket said, and a user's folder is what is tried" {
  COMFYUI_USER=alice
  read_settings
  same "$(report_bucket)" '[start] bucket     ok: the bucket "runpod" takes uploads (outputs/r2-sync-probe.txt, 0.2 s)'
  same "$(<"$base/asked")" 'probe --folder alice'
}

@test "a bucket that refuses is said with what to do, and what not" {
  stand_in r2-sync 'echo "R2 refuses the keys: check R2_SECRET_KEY"; exit 4'
  read_settings
  run report_bucket
  has "${lines[0]}" 'R2 refuses the keys: check R2_SECRET_KEY'
  has "${lines[1]}" 'r2-sync config set NAME=VALUE'
  has "${lines[1]}" "Don't edit the pod's variables"
}

@test "wrong settings, which the probe tells on the other stream, are said as well" {
  stand_in r2-sync 'printf "r2-sync: R2_ENDPOINT is missing.\nSet it.\n" >&2; exit 2'
  read_settings
  run report_bucket
  has "${lines[0]}" 'bucket     r2-sync: R2_ENDPOINT is missing. Set it.'
}

@test "a probe without an answer is given up" {
  stand_in timeout 'exit 124'
  read_settings
  has "$(report_bucket)" 'no answer within 20 s'
}

@test "downloads get the tier that was found, in the background, and none of the bucket's keys" {
  HEARMEMAN_DIR=$base/image
  mkdir -p "$HEARMEMAN_DIR"
  echo "env >'$base/environment.part'; mv '$base/environment.part' '$base/environment'; sleep 60" \
    >"$HEARMEMAN_DIR/download_models.sh"
  export R2_SECRET_KEY=bucket-secret HF_TOKEN=hf-token
  read_settings
  choose_user
  tier=datacenter
  start_downloads
  until_true test -s "$base/environment"
  has "$(<"$base/environment")" GPU_TIER=datacenter
  has "$(<"$base/environment")" HF_TOKEN=hf-token
  lacks "$(<"$base/environment")" bucket-secret
}

@test "an image without downloads is no error" {
  HEARMEMAN_DIR=$base/nothing
  run start_downloads
  same "$status|$output" '0|'
}

@test "the health check asks ComfyUI at the port that start.sh settled on" {
  stand_in curl "echo \"\$*\" >>'$base/curl'"
  COMFYUI_PORT=1234 "$repo/docker/healthcheck.sh"
  has "$(<"$base/curl")" http://127.0.0.1:1234/system_stats
  echo 4321 >"$base/run/port"
  "$repo/docker/healthcheck.sh"
  has "$(<"$base/curl")" http://127.0.0.1:4321/system_stats
}

@test "the health check fails when ComfyUI doesn't answer" {
  stand_in curl 'exit 7'
  run "$repo/docker/healthcheck.sh"
  same "$status" 7
}
