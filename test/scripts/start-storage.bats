#!/usr/bin/env bats
# Where things are kept.
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2154,SC2317,SC2329

load start.bash
setup() {
  use_start
}

# choose MODE: reads the settings and chooses; what is said goes to said.
choose() {
  STORAGE_MODE=$1
  read_settings
  choose_user
  choose_storage >"$base/said" 2>&1
  said=$(<"$base/said")
}

mounted() { stand_in mountpoint 'exit 0'; }
not_mounted() { stand_in mountpoint 'exit 32'; }
# Mounted from the third time that it is asked.
mounted_late() { stand_in mountpoint "echo >>'$base/asked'; [ \$(wc -l <'$base/asked') -ge 3 ]"; }
# The file system of everything else.
on_root_disk() { stand_in stat 'echo 1'; }
cannot_write() { stand_in mktemp 'echo "mktemp: failed to create file: Read-only file system" >&2; exit 1'; }

@test "auto keeps everything on a volume that is mounted" {
  mounted
  choose auto
  same "$storage|$DATA_DIR|$said" "persistent|$WORKSPACE/ComfyUI|"
}

@test "auto without a mount uses the workspace on the container's disk, without waiting" {
  not_mounted
  stand_in sleep "touch '$base/waited'; exec /bin/sleep \"\$@\""
  choose auto
  same "$storage|$DATA_DIR" "ephemeral|$WORKSPACE/ComfyUI"
  has "$storage_reason" "nothing is mounted at $WORKSPACE"
  [[ ! -e $base/waited ]]
}

@test "auto waits for the volume of a RunPod pod that is mounted late, and says so" {
  mounted_late
  RUNPOD_VOLUME_ID=abc HEARMEMAN_MOUNT_WAIT=10
  choose auto
  same "$storage|$DATA_DIR" "persistent|$WORKSPACE/ComfyUI"
  has "$said" 'waiting up to 10 s for the volume'
  has "$said" 'is there'
}

@test "a RunPod volume that never comes is said loudly, and nothing is written where it would hide it" {
  not_mounted
  RUNPOD_VOLUME_ID=abc HEARMEMAN_MOUNT_WAIT=0
  choose auto
  same "$storage|$DATA_DIR" "ephemeral|$HEARMEMAN_LOCAL_DIR/ComfyUI"
  has "$said" "!!! This pod has a volume (RUNPOD_VOLUME_ID), but it wasn't mounted"
}

@test "persistent uses a mount at once, in any case of letters" {
  mounted
  choose Persistent
  same "$storage|$DATA_DIR|$said" "persistent|$WORKSPACE/ComfyUI|"
}

@test "persistent waits for a mount that comes late" {
  mounted_late
  on_root_disk
  HEARMEMAN_MOUNT_WAIT=10
  choose persistent
  same "$storage|$DATA_DIR" "persistent|$WORKSPACE/ComfyUI"
  has "$said" 'is there'
}

@test "persistent without any mount goes on, and says what that means" {
  not_mounted
  on_root_disk
  HEARMEMAN_MOUNT_WAIT=0
  choose persistent
  same "$storage|$DATA_DIR" "persistent|$WORKSPACE/ComfyUI"
  has "$said" '!!! STORAGE_MODE=persistent, but nothing is mounted'
}

@test "persistent doesn't wait for a workspace that is a directory of a mounted disk" {
  not_mounted
  stand_in stat 'if [ "$3" = / ]; then echo 1; else echo 2; fi'
  HEARMEMAN_MOUNT_WAIT=10
  choose persistent
  lacks "$said" 'waiting'
}

@test "ephemeral leaves a mounted volume alone and says so loudly" {
  mounted
  choose ephemeral
  same "$storage|$DATA_DIR" "ephemeral|$HEARMEMAN_LOCAL_DIR/ComfyUI"
  has "$said" '!!! STORAGE_MODE=ephemeral: the volume'
  same "$(ls -A "$WORKSPACE")" ''
}

@test "ephemeral without a mount uses the workspace itself" {
  not_mounted
  choose EPHEMERAL
  same "$storage|$DATA_DIR|$said" "ephemeral|$WORKSPACE/ComfyUI|"
}

@test "a volume that can't be written moves everything to the container's disk, with a loud word and the reason" {
  mounted
  cannot_write
  choose auto
  same "$storage|$DATA_DIR" "ephemeral|$HEARMEMAN_LOCAL_DIR/ComfyUI"
  has "$said" "!!! Nothing can be written to $WORKSPACE (Read-only file system)"
}

@test "a volume that lets files be made but not filled counts as unwritable" {
  mounted
  ln -s /dev/full "$base/full"
  stand_in mktemp "echo '$base/full'"
  choose auto
  same "$DATA_DIR" "$HEARMEMAN_LOCAL_DIR/ComfyUI"
}

@test "a test of writing leaves nothing behind" {
  mounted
  choose auto
  same "$(find "$WORKSPACE" -type f)" ''
}

@test "mountpoint that isn't there or hangs counts as not mounted" {
  stand_in timeout 'exit 124'
  run is_mounted
  same "$status" 124
}

@test "an unknown storage mode is named and auto is used" {
  mounted
  STORAGE_MODE=forever
  run read_settings
  has "$output" "STORAGE_MODE=forever isn't known: auto is used. It can be auto, persistent, ephemeral."
}

@test "the disks are reported mount by mount, each once, with their room and what is special" {
  stand_in df 'printf "Filesystem Type 1000000-blocks Used Available Capacity Mounted on\n"
case ${@: -1} in
  */ws*) echo "mfs#host:9421 fuse 900000000 1 899000000 1% /ws" ;;
  */shared) echo "/dev/sdb ext4 2000 1 1500 1% /shared" ;;
  *) echo "overlay overlay 40000 1 39000 1% /" ;;
esac'
  mounted
  choose auto
  choose_directories
  prepare_directories
  SHARED_MODELS_DIR=$base/not-writable/shared
  run report_disks
  same "${#lines[@]}" 3
  has "${lines[0]}" '/ws: fuse, 899000 GB free (of all of the storage behind it; your quota may be less)'
  has "${lines[1]}" '/shared: ext4, read-only'
  has "${lines[2]}" "/: overlay, 39 GB free (the container's own, gone with it)"
}

@test "df that hangs leaves its lines out" {
  stand_in df 'exit 124'
  mounted
  choose auto
  choose_directories
  run report_disks
  same "$status|$output" '0|'
}

@test "a workspace that is no full path is named, and the usual one is used" {
  WORKSPACE=workspace
  run read_settings
  has "$output" "WORKSPACE=workspace isn't a full path"
}
