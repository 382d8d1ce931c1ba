#!/usr/bin/env bats
# SSH: who gets in, and which host keys the pod shows.
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2154,SC2317,SC2329

load start.bash
setup() {
  use_start
  storage=persistent
  kept=$WORKSPACE/.hearmeman/ssh-host-keys
  PUBLIC_KEY='ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBkcEd8fQSzbW0fZlIYUZ2cgqEsZT1cX0kYqLTZRmyTc me@home'
  stand_in sshd "printf '%s\n' \"\$@\" >'$base/arguments'; env >'$base/environment'; exec sleep 60"
}
teardown() {
  end_everything
}

fingerprint() { ssh-keygen -lf "$1/ssh_host_ed25519_key.pub" | cut -d' ' -f2; }

@test "without PUBLIC_KEY there is no SSH, and the report says so" {
  PUBLIC_KEY=
  has "$(start_ssh)" "ssh        off: PUBLIC_KEY isn't set"
  [[ ! -e $base/arguments && ! -e $kept && ! -e $HEARMEMAN_ROOT_SSH_DIR ]]
}

@test "with PUBLIC_KEY sshd runs with keys made at start, without passwords" {
  read_settings
  choose_passed_secrets
  export R2_SECRET_KEY=secret
  start_ssh >"$base/said"
  until_true test -s "$base/environment"
  has "$(<"$base/said")" 'ssh        on, port 20022, for root; host keys made now and kept on the volume'
  has "$(<"$base/said")" "($(fingerprint "$kept"))"
  has "$(<"$base/arguments")" "$HEARMEMAN_SSH_DIR/ssh_host_ed25519_key"
  has "$(<"$base/arguments")" PasswordAuthentication=no
  lacks "$(<"$base/environment")" secret
}

@test "the public key is added to authorized_keys once, beside those that are there" {
  mkdir -p "$HEARMEMAN_ROOT_SSH_DIR"
  printf 'ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQ other' >"$HEARMEMAN_ROOT_SSH_DIR/authorized_keys"
  allow_public_keys
  allow_public_keys
  same "$(<"$HEARMEMAN_ROOT_SSH_DIR/authorized_keys")" "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQ other
$PUBLIC_KEY"
  same "$(stat -c %a "$HEARMEMAN_ROOT_SSH_DIR" "$HEARMEMAN_ROOT_SSH_DIR/authorized_keys")" $'700\n600'
}

@test "several public keys go in, and lines that are none are named without being shown" {
  PUBLIC_KEY="$PUBLIC_KEY

from=\"10.0.0.1\" ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTY two
-----BEGIN OPENSSH PRIVATE KEY-----"
  allow_public_keys >"$base/said"
  same "$(wc -l <"$HEARMEMAN_ROOT_SSH_DIR/authorized_keys")" 2
  has "$(<"$base/said")" 'PUBLIC_KEY has a line that is no public key'
  lacks "$(<"$base/said")" PRIVATE
}

@test "a PUBLIC_KEY that is none starts no SSH" {
  PUBLIC_KEY=hello
  has "$(start_ssh)" 'ssh        off: nobody could log in'
}

@test "host keys are kept on the volume, and the next pod shows the same" {
  prepare_host_keys
  same "$host_keys_from" kept
  local first
  first=$(fingerprint "$HEARMEMAN_SSH_DIR")
  HEARMEMAN_SSH_DIR=$base/ssh-2
  prepare_host_keys
  same "$host_keys_from $(fingerprint "$HEARMEMAN_SSH_DIR")" "volume $first"
  same "$(stat -c %a "$HEARMEMAN_SSH_DIR"/*_key "$kept"/*_key | sort -u)" 600
  same "$(stat -c %a "$kept")" 700
}

@test "two pods that start at once on one volume end up with the same host keys" {
  local pod pods=()
  for pod in 1 2 3 4 5 6; do
    (HEARMEMAN_SSH_DIR=$base/ssh-$pod && prepare_host_keys) &
    pods+=($!)
  done
  # By name: bats has children of its own in this shell.
  wait "${pods[@]}"
  for pod in 1 2 3 4 5 6; do same "$(fingerprint "$base/ssh-$pod")" "$(fingerprint "$kept")"; done
  same "$(ls -A "$WORKSPACE/.hearmeman")" ssh-host-keys
  same "$(find "$kept" -mindepth 1 | wc -l)" 4
}

@test "a volume that doesn't keep files from other users gets no host keys" {
  stand_in stat "case \"\$*\" in *'%a %u'*) echo '777 0' ;; *) exec $(command -v stat) \"\$@\" ;; esac"
  prepare_host_keys >"$base/said"
  same "$host_keys_from" container
  has "$(<"$base/said")" "this volume doesn't keep files from other users, so SSH host keys stay in the container"
  same "$(ls -A "$WORKSPACE/.hearmeman")" ''
  [[ -s $HEARMEMAN_SSH_DIR/ssh_host_ed25519_key ]]
}

@test "host keys that others can read, or that aren't whole, aren't used" {
  prepare_host_keys
  local kept_one
  kept_one=$(fingerprint "$kept")
  chmod 644 "$kept/ssh_host_ed25519_key"
  prepare_host_keys >"$base/said"
  same "$host_keys_from" container
  has "$(<"$base/said")" "aren't whole, or others could read them"
  [[ $(fingerprint "$HEARMEMAN_SSH_DIR") != "$kept_one" ]]
  chmod 600 "$kept/ssh_host_ed25519_key"
  : >"$kept/ssh_host_ed25519_key"
  prepare_host_keys >"$base/said"
  same "$host_keys_from" container
}

@test "host keys on the volume that belong to another user aren't used" {
  prepare_host_keys
  stand_in stat 'echo "600 4711"'
  prepare_host_keys >"$base/said"
  same "$host_keys_from" container
}

@test "without a volume, and on one that can't be written, host keys are the container's" {
  storage=ephemeral
  prepare_host_keys
  same "$host_keys_from" container
  [[ ! -e $kept ]]
  storage=persistent
  touch "$WORKSPACE/.hearmeman"
  prepare_host_keys
  same "$host_keys_from" container
}

@test "an image without sshd says so" {
  only_basics
  rm "$bin/sshd"
  has "$(start_ssh)" 'off: PUBLIC_KEY is set, but there is no sshd in this image'
}
