# Who ComfyUI, Jupyter and downloads run as.
# shellcheck shell=bash disable=SC2034,SC2154 # variables are shared among the parts

# Sets as_user, the words before a command that make it run as PUID and PGID, and user_home.
choose_user() {
  as_user=()
  user_home=${HOME:-/root}
  if ((PUID == 0 && PGID == 0)); then return 0; fi
  if (($(id -u) != 0)); then
    if (($(id -u) != PUID)); then
      warn "PUID=$PUID has no effect: this container runs as user $(id -u), and only root can choose."
    fi
    PUID=0 PGID=0
    return 0
  fi
  if ! command -v setpriv >/dev/null; then
    warn "PUID=$PUID has no effect: setpriv (from util-linux) isn't in this image. ComfyUI runs as root."
    PUID=0 PGID=0
    return 0
  fi
  as_user=(setpriv "--reuid=$PUID" "--regid=$PGID" --clear-groups --)
  user_home=$HEARMEMAN_LOCAL_DIR/home
}

# make_dir PATH: what is made here belongs to who uses it; what was there stays as it is.
make_dir() {
  local path=$1
  if [[ -d $path ]]; then return 0; fi
  if [[ $path == /*/* ]]; then make_dir "${path%/*}" || return 1; fi
  # Another pod may make it at the same moment.
  mkdir "$path" 2>/dev/null || [[ -d $path ]] || {
    warn "The directory $path can't be made."
    return 1
  }
  own "$path"
}

# On RunPod's network volumes chown is refused even to root. Where that hurts, check_usable says so.
own() {
  if ((PUID != 0 || PGID != 0)); then chown "$PUID:$PGID" "$@" 2>/dev/null || true; fi
}

# give_if_empty PATH: Docker makes a directory that is to be mounted and isn't there, and gives it to root. With
# something in it, it is somebody's, and stays as it is.
give_if_empty() {
  local inside
  if ((${#as_user[@]} == 0)) || [[ ! -d $1 || ! -O $1 ]]; then return 0; fi
  # With the slash also behind a link. A directory that doesn't answer or can't be read isn't known to be empty.
  if inside=$(timeout -k 1 5 find "$1/" -mindepth 1 -print -quit 2>/dev/null) && [[ -z $inside ]]; then own "$1"; fi
}

# check_usable PATH WHAT: says so if whom ComfyUI runs as can't write there.
check_usable() {
  if "${as_user[@]}" test -w "$1"; then return 0; fi
  warn "User $PUID can't write to $1: $2." \
    "On the machine that it comes from, give it to that user: chown -R $PUID:$PGID on that directory."
}
