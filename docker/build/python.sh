#!/usr/bin/env bash
# Layer 4: Python packages of ComfyUI, of its Manager, of the nodes and of the image; `python.sh PINS RESULT`. All under
# one set of constraints, RESULT: the pins, and the base's own torch family exactly as the base has it. A node whose
# requirements or install.py fail, fails the build.
set -euo pipefail
# shellcheck source=docker/build/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

readonly pins=$1 constraints=$2
# Built for one CUDA: another version of any of these is several GB more, and may not know the GPU.
readonly torch_family='^(torch|torchvision|torchaudio|torchtext|triton|pytorch-triton|xformers|nvidia-[a-z0-9-]+)=='

# Those that have a version: what was installed from a file or a repository is frozen as an address.
installed_torch_family() {
  python -m pip list --format=freeze | grep -Ei "$torch_family" | sort
}

write_constraints() {
  local family
  family=$(installed_torch_family) || fail 'the base has no torch'
  mkdir -p "$(dirname "$constraints")"
  {
    echo "# Written when the image was built: docker/constraints.txt and the torch that the base brings."
    cat "$pins"
    echo "$family"
  } >"$constraints"
}

# install NAME ARGUMENT...
install() {
  local name=$1
  shift
  echo "--- Python packages of $name"
  python -m pip install -c "$constraints" "$@" || fail "the Python packages of $name can't be installed"
}

install_node() {
  local node=$1 name
  name=$(basename "$node")
  if [[ -f $node/requirements.txt ]]; then install "$name" -r "$node/requirements.txt"; fi
  if [[ -f $node/install.py ]]; then
    echo "--- install.py of $name"
    (cd "$node" && PIP_CONSTRAINT="$constraints" COMFYUI_PATH="$COMFYUI_DIR" python install.py) ||
      fail "install.py of $name ended with an error"
  fi
}

main() {
  local before after node extra
  write_constraints
  before=$(installed_torch_family)
  install ComfyUI -r "$COMFYUI_DIR/requirements.txt"
  if [[ -f $COMFYUI_DIR/manager_requirements.txt ]]; then
    install "ComfyUI's Manager" -r "$COMFYUI_DIR/manager_requirements.txt"
  fi
  for node in "$COMFYUI_DIR"/custom_nodes/*/; do install_node "${node%/}"; done
  read -ra extra <<<"${EXTRA_PACKAGES:-}"
  if ((${#extra[@]} > 0)); then install 'the image' "${extra[@]}"; fi
  # A package may be added to the family (torchaudio, where the base has none), none replaced.
  after=$(installed_torch_family)
  if [[ -n $(comm -23 <(echo "$before") <(echo "$after")) ]]; then
    fail "the base's torch was replaced: $(diff <(echo "$before") <(echo "$after") | grep '^[<>]' | tr '\n' ' ')"
  fi
}

main
