#!/usr/bin/env bash
# Layer 1: system packages. The distribution's current versions: its security fixes are wanted, and the base pins the
# release.
set -euo pipefail

packages=(
  aria2            # downloads of models
  ca-certificates
  curl
  ffmpeg           # VideoHelperSuite and whoever makes videos
  git              # nodes, and their updates
  inotify-tools    # r2-sync hears of files a little sooner
  jq
  libgl1           # OpenCV
  libglib2.0-0
  openssh-server   # with PUBLIC_KEY
  procps
  tini             # PID 1
)

export DEBIAN_FRONTEND=noninteractive
apt-get update
apt-get install -y --no-install-recommends "${packages[@]}"
# The package makes host keys when it is installed: every container would have the same. start.sh makes its own.
rm -f /etc/ssh/ssh_host_*
rm -rf /var/lib/apt/lists/*
