#!/usr/bin/env bash
# torch for the CPU, from an index that has such builds. The GPU image's base brings its own.
set -euo pipefail
# shellcheck source=docker/build/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

read -ra packages <<<"$TORCH_PACKAGES"
python -m pip install --index-url "$TORCH_INDEX_URL" "${packages[@]}"
