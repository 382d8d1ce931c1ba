# JupyterLab, if there is a password for it.
# shellcheck shell=bash disable=SC2034,SC2154 # variables are shared among the parts

start_jupyter() {
  if [[ -z $JUPYTER_PASSWORD ]]; then
    report jupyter "off: JUPYTER_PASSWORD isn't set"
    return 0
  fi
  if ! command -v jupyter >/dev/null; then
    report jupyter "off: JUPYTER_PASSWORD is set, but there is no Jupyter in this image"
    return 0
  fi
  if ! write_jupyter_config; then
    report jupyter "off: its settings can't be written to $HEARMEMAN_RUN_DIR"
    return 0
  fi
  start_service jupyter run_jupyter
  report jupyter "on, port $JUPYTER_PORT, with the password of JUPYTER_PASSWORD"
}

# The password goes to a file that only Jupyter's user reads, hashed: not to the command line, where `ps` shows it, nor
# to the environment, where every terminal inherits it.
write_jupyter_config() {
  local file=$HEARMEMAN_RUN_DIR/jupyter.json salt hash
  salt=$(head -c 12 /dev/urandom | od -An -vtx1 | tr -d ' \n')
  # printf is the shell's own: no process sees the password.
  hash=$(printf '%s%s' "$JUPYTER_PASSWORD" "$salt" | sha256sum | cut -d' ' -f1)
  rm -f "$file"
  (umask 077 && cat >"$file") <<JSON || return 1
{
  "IdentityProvider": { "token": "" },
  "PasswordIdentityProvider": { "hashed_password": "sha256:$salt:$hash", "password_required": true },
  "ServerApp": {
    "allow_remote_access": true,
    "allow_origin_pat": "https://[a-z0-9-]+[.]proxy[.]runpod[.]net",
    "terminado_settings": { "shell_command": ["/bin/bash", "-l"] }
  }
}
JSON
  own "$file"
}

run_jupyter() {
  local root=$WORKSPACE
  if [[ ! -d $root || $DATA_DIR != "$WORKSPACE"/* ]]; then root=$DATA_DIR; fi
  drop_secrets
  unset JUPYTER_TOKEN
  use_python_variables
  export HOME=$user_home SHELL=/bin/bash
  cd "$root" || cd /
  exec setsid "${as_user[@]}" jupyter lab --config="$HEARMEMAN_RUN_DIR/jupyter.json" --ip=0.0.0.0 \
    --port="$JUPYTER_PORT" --port-retries=0 --no-browser --allow-root --ServerApp.root_dir="$root"
}
