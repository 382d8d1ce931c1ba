#!/usr/bin/env bash
# Layer 2: ComfyUI itself, without its Python packages: those come with everybody's in layer 4.
set -euo pipefail
# shellcheck source=docker/build/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

fetch_commit "$COMFYUI_REPO" "$COMFYUI_COMMIT" "$COMFYUI_DIR"
