# SSH, if there is a public key to let in. Nobody else gets in: no passwords, and host keys that are made at start.
# shellcheck shell=bash disable=SC2034,SC2154 # variables are shared among the parts

readonly host_key_types=(ed25519 ecdsa)

start_ssh() {
  local why
  if [[ -z $PUBLIC_KEY ]]; then
    report ssh "off: PUBLIC_KEY isn't set"
    return 0
  fi
  if ! command -v sshd >/dev/null || ! command -v ssh-keygen >/dev/null; then
    report ssh "off: PUBLIC_KEY is set, but there is no sshd in this image"
    return 0
  fi
  if ! allow_public_keys; then
    report ssh 'off: nobody could log in'
    return 0
  fi
  if ! prepare_host_keys; then
    report ssh "off: its host keys can't be made in $HEARMEMAN_SSH_DIR"
    return 0
  fi
  case $host_keys_from in
    volume) why="the volume's host keys" ;;
    kept) why='host keys made now and kept on the volume' ;;
    *) why="host keys of this container: a new one has others" ;;
  esac
  mkdir -p /run/sshd 2>/dev/null
  start_service sshd run_sshd
  report ssh "on, port $HEARMEMAN_SSH_PORT, for root; $why ($(host_key_fingerprint))"
}

host_key_fingerprint() {
  ssh-keygen -lf "$HEARMEMAN_SSH_DIR/ssh_host_ed25519_key.pub" 2>/dev/null | cut -d' ' -f2
}

run_sshd() {
  local type keys=()
  for type in "${host_key_types[@]}"; do keys+=(-h "$HEARMEMAN_SSH_DIR/ssh_host_${type}_key"); done
  drop_secrets
  # sshd wants its full path, since it starts itself anew for every connection.
  exec setsid "$(command -v sshd)" -D -e -p "$HEARMEMAN_SSH_PORT" "${keys[@]}" -o PasswordAuthentication=no \
    -o KbdInteractiveAuthentication=no -o PermitRootLogin=prohibit-password
}

# Adds the keys of PUBLIC_KEY to root's authorized_keys, once each.
allow_public_keys() {
  local file=$HEARMEMAN_ROOT_SSH_DIR/authorized_keys line good=0
  if ! (umask 077 && mkdir -p "$HEARMEMAN_ROOT_SSH_DIR" && touch "$file" &&
    chmod 700 "$HEARMEMAN_ROOT_SSH_DIR" && chmod 600 "$file"); then
    warn "$file can't be written."
    return 1
  fi
  while IFS= read -r line; do
    line=$(trimmed "$line")
    if [[ -z $line || $line == '#'* ]]; then continue; fi
    # With options before it, a key's type isn't the first word.
    if [[ ! $line =~ (^|[[:space:]])(ssh-|ecdsa-|sk-)[a-z0-9@.-]+[[:space:]]+[A-Za-z0-9+/=]{20,} ]]; then
      warn 'PUBLIC_KEY has a line that is no public key, and it is left out.' \
        'It should look like: ssh-ed25519 AAAA... name'
      continue
    fi
    good=$((good + 1))
    if ! grep -qxF -- "$line" "$file"; then
      # The last line there may lack its end.
      if [[ -s $file && -n $(tail -c 1 "$file") ]]; then echo >>"$file"; fi
      printf '%s\n' "$line" >>"$file"
    fi
  done <<<"$PUBLIC_KEY"
  ((good > 0))
}

# Puts host keys into HEARMEMAN_SSH_DIR: the volume's if there are any, new ones otherwise. Sets host_keys_from: volume,
# kept (made now, and on the volume from now on) or container. A client that knows the keys isn't warned of an attack at
# every new pod; but a volume that can't keep them from other users doesn't get them.
prepare_host_keys() {
  local kept=$WORKSPACE/.hearmeman/ssh-host-keys
  host_keys_from=container
  if [[ $storage == persistent ]]; then
    if [[ -d $kept ]]; then
      if use_host_keys "$kept"; then
        host_keys_from=volume
        return 0
      fi
      warn "The SSH host keys in $kept aren't used: they aren't whole, or others could read them." \
        'Delete that directory to have new ones made.'
    elif keep_new_host_keys "$kept" && use_host_keys "$kept"; then
      host_keys_from=kept
      return 0
    fi
  fi
  make_host_keys "$HEARMEMAN_SSH_DIR"
}

# make_host_keys DIRECTORY
make_host_keys() {
  local type
  (umask 077 && mkdir -p "$1") || return 1
  for type in "${host_key_types[@]}"; do
    rm -f "$1/ssh_host_${type}_key" "$1/ssh_host_${type}_key.pub"
    ssh-keygen -q -t "$type" -N '' -C '' -f "$1/ssh_host_${type}_key" </dev/null >/dev/null 2>&1 || return 1
  done
}

# keep_new_host_keys DIRECTORY: all of them under a name of our own, then renamed at one stroke. A directory that has
# something in it is never replaced, so of two pods that start at once one wins, and both use its keys.
keep_new_host_keys() {
  local own made=1
  mkdir -p "${1%/*}" 2>/dev/null || return 1
  own=$(umask 077 && mktemp -d "$1.XXXXXX" 2>/dev/null) || return 1
  if make_host_keys "$own" && are_private "$own"; then
    if mv -T "$own" "$1" 2>/dev/null || [[ -d $1 ]]; then made=0; fi
  else
    say "$1: this volume doesn't keep files from other users, so SSH host keys stay in the container"
  fi
  if [[ -d $own ]]; then rm -rf "$own"; fi
  return "$made"
}

# Whether every key in a directory is ours, and nobody else may read it: what chmod was told isn't always what is.
are_private() {
  local type state
  for type in "${host_key_types[@]}"; do
    state=$(stat -c '%a %u' "$1/ssh_host_${type}_key" 2>/dev/null) || return 1
    if [[ $state != "600 $(id -u)" ]]; then return 1; fi
  done
}

# use_host_keys DIRECTORY: copies them to the container, if they are whole and nobody else can read them.
use_host_keys() {
  local type name
  are_private "$1" || return 1
  for type in "${host_key_types[@]}"; do
    name=ssh_host_${type}_key
    ssh-keygen -y -P '' -f "$1/$name" </dev/null >/dev/null 2>&1 || return 1
  done
  (umask 077 && mkdir -p "$HEARMEMAN_SSH_DIR") || return 1
  for type in "${host_key_types[@]}"; do
    name=ssh_host_${type}_key
    rm -f "$HEARMEMAN_SSH_DIR/$name" "$HEARMEMAN_SSH_DIR/$name.pub"
    (umask 077 && cp "$1/$name" "$HEARMEMAN_SSH_DIR/$name" &&
      ssh-keygen -y -P '' -f "$1/$name" </dev/null >"$HEARMEMAN_SSH_DIR/$name.pub") || return 1
  done
}
