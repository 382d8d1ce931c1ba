#!/usr/bin/env bash
# Layer 3: custom nodes, each at its commit; `nodes.sh LIST`. A node that can't be fetched fails the build.
set -euo pipefail
# shellcheck source=docker/build/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

while read -r repo commit rest; do
  [[ $repo == */* && -n $commit && -z $rest ]] || fail "nodes: \"$repo $commit $rest\" isn't \"owner/repo commit\""
  fetch_commit "$repo" "$commit" "$COMFYUI_DIR/custom_nodes/${repo##*/}"
done < <(read_list "$1")
