#!/usr/bin/env bats
# What ComfyUI's Manager is told, so that packages of nodes go to the volume and can't replace the image's.
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2154,SC2317,SC2329

load start.bash
setup() {
  use_start
  read_settings
  USER_DIR=$base/user
  config=$USER_DIR/__manager/config.ini
  comfyui_command=(--port 8188 --enable-manager --cpu)
  choose_user
}

# What the Manager reads there: its own way of reading.
manager_reads() {
  python3 -c 'import configparser, sys
config = configparser.ConfigParser(strict=False)
config.read(sys.argv[1])
print(config["default"].get(sys.argv[2]))' "$config" "$1"
}

@test "the Manager uses pip from its first start on, since uv would put packages of nodes into the image" {
  keep_manager_from_uv
  same "$(manager_reads use_uv)" False
  same "$(manager_reads file_logging)" True
  same "$(ls -A "$USER_DIR/__manager")" config.ini
}

@test "a Manager that was told to use uv is told to use pip, and everything else that it was told stays" {
  mkdir -p "$USER_DIR/__manager"
  printf '%s\n' '# mine' '[other]' 'use_uv = True' '[default]' 'git_exe = ' 'Use_UV: true' 'security_level = weak' '' \
    >"$config"
  keep_manager_from_uv
  same "$(<"$config")" "$(printf '%s\n' '# mine' '[other]' 'use_uv = True' '[default]' 'git_exe = ' 'use_uv = False' \
    'security_level = weak' '')"
  same "$(manager_reads use_uv)" False
}

@test "settings of the Manager that say nothing of uv, or have no section for it, get it" {
  mkdir -p "$USER_DIR/__manager"
  printf '[default]\nsecurity_level = weak' >"$config"
  keep_manager_from_uv
  same "$(manager_reads use_uv) $(manager_reads security_level)" 'False weak'
  printf '[other]\nkey = 1\n' >"$config"
  keep_manager_from_uv
  same "$(manager_reads use_uv)" False
  has "$(<"$config")" $'[other]\nkey = 1'
}

@test "settings of the Manager that are right aren't written again" {
  keep_manager_from_uv
  touch -d 2020-01-01 "$config"
  keep_manager_from_uv
  same "$(stat -c %y "$config" | cut -c 1-4)" 2020
}

@test "the Manager's settings belong to the user of PUID, who changes them" {
  stand_in chown "echo \"\$@\" >>'$base/owned'"
  PUID=1234 PGID=4321
  keep_manager_from_uv
  has "$(<"$base/owned")" "4321 $USER_DIR/__manager"
  has "$(<"$base/owned")" "$USER_DIR/__manager/.config.ini"
}

@test "settings of the Manager that can't be written are named" {
  mkdir -p "$config"
  run keep_manager_from_uv
  same "$status" 0
  has "$output" "The Manager's settings in $config can't be written"
}

@test "without a Manager nothing is written for it" {
  comfyui_command=(--port 8188)
  keep_manager_from_uv
  [[ ! -e $USER_DIR ]]
}

@test "also a node that calls uv by itself can't replace what the image was built with" {
  DATA_DIR=$base/data
  touch "$HEARMEMAN_CONSTRAINTS"
  choose_python
  set_python_variables
  use_python_variables
  same "$(printenv UV_CONSTRAINT)" "$HEARMEMAN_CONSTRAINTS"
}

@test "the Manager is told before ComfyUI starts, once it is known whether there is one" {
  local before
  before=$(declare -f main)
  before=${before%%start_comfyui*}
  has "${before##*choose_comfyui_command}" keep_manager_from_uv
}
