#!/usr/bin/env bash
# `scripts/build-image.sh TARGET [FLAG...]`: builds one target of docker/Dockerfile with its labels, and the flags for
# `docker buildx build` behind it. From the environment, all optional: VERSION, REVISION and SOURCE for the labels;
# BASE_IMAGE, CPU_BASE_IMAGE, COMFYUI_COMMIT, GIT_MIRROR, PIP_INDEX_URL, TORCH_INDEX_URL and NPM_REGISTRY for other sources
# than those that are pinned.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if (($# == 0)); then
  echo "Usage: $0 agent|sync|cpu|pod|local-r2 [FLAG...]" >&2
  exit 2
fi
target=$1
shift

arguments=()
for name in VERSION REVISION SOURCE BASE_IMAGE CPU_BASE_IMAGE COMFYUI_COMMIT GIT_MIRROR PIP_INDEX_URL TORCH_INDEX_URL \
  NPM_REGISTRY; do
  # By name alone: docker takes the value from the environment.
  if [[ -n ${!name:-} ]]; then arguments+=(--build-arg "$name"); fi
done

exec docker buildx build --file docker/Dockerfile --target "$target" "${arguments[@]}" "$@" .
