# r2-sync beside ComfyUI: it is there before ComfyUI is, so that no output is made that it doesn't hear of.
# shellcheck shell=bash disable=SC2034,SC2154 # variables are shared among the parts

readonly agent_patience_ms=5000

start_agent() {
  agent=
  if ! is_true "$ENABLE_R2_SYNC"; then
    report_agent_off
    return 0
  fi
  if ! command -v r2-sync >/dev/null; then
    warn "ENABLE_R2_SYNC is set, but r2-sync isn't in this image: nothing is uploaded."
    return 0
  fi
  agent_began=$(now_ms)
  drains=agent_listens start_service r2-sync run_agent
  agent=${service_pid[r2-sync]}
}

report_agent_off() {
  local name
  for name in "${bucket_secrets[@]}" R2_ENDPOINT; do
    if [[ -n ${!name-} ]] || { name=${name}_FILE && [[ -n ${!name-} ]]; }; then
      warn "$name is set, but ENABLE_R2_SYNC isn't: nothing is uploaded. Set ENABLE_R2_SYNC=true in the template."
      report r2-sync 'off, though there are settings for it: ENABLE_R2_SYNC is not true'
      return 0
    fi
  done
  report r2-sync "off: ENABLE_R2_SYNC isn't set. Outputs stay on this pod"
}

run_agent() {
  drop_other_secrets
  exec setsid r2-sync run
}

# agent_listens PID: r2-sync writes its process id once it listens for signals.
agent_listens() {
  local pid
  { read -r pid <"${R2_RUN_DIR:-/run/r2-sync}/pid"; } 2>/dev/null && [[ $pid == "$1" ]]
}

# Until its status page answers, whatever it answers, but not for ever: ComfyUI comes first.
wait_for_agent() {
  local host port url
  if [[ -z $agent ]]; then return 0; fi
  port=$(agent_setting R2_STATUS_PORT 8190)
  host=$(agent_setting R2_STATUS_HOST 127.0.0.1)
  case $host in
    0.0.0.0 | '::' | '[::]') host=127.0.0.1 ;;
  esac
  if [[ $host == *:* && $host != '['* ]]; then host="[$host]"; fi
  if [[ $port == 0 ]]; then
    report r2-sync "on, without a status page (R2_STATUS_PORT=0), for $COMFYUI_OUTPUT_DIR"
    return 0
  fi
  url=http://$host:$port
  while (($(now_ms) < agent_began + agent_patience_ms)); do
    if curl -s -g -m 1 -o /dev/null --noproxy '*' "$url/healthz"; then
      report r2-sync "on, ready after $(seconds $(($(now_ms) - agent_began))) s, for $COMFYUI_OUTPUT_DIR;" \
        "status page $url$(page_on_comfyui)"
      return 0
    fi
    pause 0.05
  done
  warn "r2-sync isn't ready after $((agent_patience_ms / 1000)) s: ComfyUI is started all the same." \
    "r2-sync's own lines say why."
}

# Where people get at it: on ComfyUI's port, if this ComfyUI has the extension (docker/nodes/r2-sync).
page_on_comfyui() {
  if [[ -f $COMFYUI_DIR/custom_nodes/r2-sync/__init__.py ]]; then printf ', also /r2-sync/ on port %s' "$COMFYUI_PORT"; fi
}

# For a subshell that becomes ComfyUI: the extension asks the agent where that is, and can't read what it was told.
export_page_address() {
  R2_STATUS_HOST=$(agent_setting R2_STATUS_HOST 127.0.0.1)
  R2_STATUS_PORT=$(agent_setting R2_STATUS_PORT 8190)
  export R2_STATUS_HOST R2_STATUS_PORT
}

# agent_setting NAME DEFAULT: as r2-sync would see it: what `r2-sync config set` was told counts before the environment.
agent_setting() {
  local text='' line file=${R2_RUN_DIR:-/run/r2-sync}/set
  if [[ -r $file ]]; then
    while IFS= read -r line; do
      if [[ $line == "$1="* ]]; then text=$(trimmed "${line#*=}"); fi
    done <"$file"
  fi
  text=${text:-$(trimmed "${!1-}")}
  printf '%s' "${text:-$2}"
}

# The last line of the boot report: whether the bucket takes a file. It comes when it comes; nothing waits for it.
report_bucket() {
  local verdict code=0 folder=() trouble=$HEARMEMAN_RUN_DIR/probe.txt
  if [[ -n $COMFYUI_USER ]]; then folder=(--folder "$COMFYUI_USER"); fi
  verdict=$(drop_other_secrets && timeout -k 1 20 r2-sync probe "${folder[@]}" 2>"$trouble") || code=$?
  verdict=${verdict##*$'\n'}
  if ((code == 124 || code == 137)); then
    verdict='no answer within 20 s. r2-sync goes on trying; its status says how it stands: r2-sync status'
  elif [[ -z $verdict ]]; then
    verdict=$(tr '\n' ' ' <"$trouble" | cut -c 1-500)
  fi
  report bucket "${verdict:-the probe ended with exit code $code}"
  if ((code == 2 || code == 4)); then
    warn "Nothing is uploaded until this is put right, on this pod with: r2-sync config set NAME=VALUE." \
      "Don't edit the pod's variables: on RunPod that erases the container's disk."
  fi
}
