#!/usr/bin/env bash
# Docker's health check of the image: does ComfyUI answer? The port is the one that start.sh settled on.
set -euo pipefail

port=${COMFYUI_PORT:-8188}
file=${HEARMEMAN_RUN_DIR:-/run/hearmeman}/port
if [[ -r $file ]]; then read -r port <"$file"; fi

ask() {
  curl -fsSk -m 5 -o /dev/null --noproxy '*' "$1://127.0.0.1:$port/system_stats"
}

# With --tls-keyfile in COMFYUI_ARGS it speaks https.
ask http || ask https
