# shellcheck shell=bash
# What the build's steps share. Read by them; does nothing by itself.

readonly COMFYUI_DIR=${COMFYUI_DIR:-/opt/ComfyUI}
export GIT_TERMINAL_PROMPT=0 PIP_ROOT_USER_ACTION=ignore PIP_DISABLE_PIP_VERSION_CHECK=1
# Where the Dockerfile mounts its cache. The base may name another place, and then gigabytes of wheels end in a layer.
export PIP_CACHE_DIR=/root/.cache/pip

# Whoever asks for GitHub gets the mirror: clones, submodules, and what pip and install scripts fetch by git.
if [[ -n ${GIT_MIRROR:-} && ${GIT_MIRROR%/} != https://github.com ]]; then
  export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0="url.${GIT_MIRROR%/}/.insteadOf" GIT_CONFIG_VALUE_0=https://github.com/
fi

fail() {
  echo "BUILD FAILED: $*" >&2
  exit 1
}

# fetch_commit OWNER/REPO COMMIT DIRECTORY: exactly this commit with its submodules, and no more history than that. The
# checkout goes on knowing where it is from, so that it can be updated on a pod.
fetch_commit() {
  local repo=$1 commit=$2 directory=$3
  [[ $commit =~ ^[0-9a-f]{40}$ ]] || fail "$repo is pinned to \"$commit\": a whole commit is needed, 40 hex digits"
  [[ ! -e $directory ]] || fail "$repo: $directory is there already; two nodes of one name can't be"
  git init --quiet "$directory"
  git -C "$directory" remote add origin "https://github.com/$repo"
  git -C "$directory" fetch --quiet --depth 1 origin "$commit" || fail "$repo: commit $commit can't be fetched"
  git -C "$directory" -c advice.detachedHead=false checkout --quiet FETCH_HEAD
  git -C "$directory" submodule --quiet update --init --recursive --depth 1 || fail "$repo: a submodule can't be fetched"
  echo "$repo at $commit"
}

# Prints the lines of a list without comments and blanks.
read_list() {
  sed -e 's/#.*//' -e 's/[[:space:]]*$//' -e '/^[[:space:]]*$/d' "$1"
}
