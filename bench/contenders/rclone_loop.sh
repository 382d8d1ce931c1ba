#!/bin/sh
# What many people run today: rclone copy in a loop, with rclone's defaults. The remote and its keys come by
# environment (RCLONE_S3_*), never on the command line. BENCH_PAUSE is the pause between two passes in seconds.
echo ready
while :; do
  rclone copy "$BENCH_DIR" ":s3:$BENCH_BUCKET/outputs"
  sleep "$BENCH_PAUSE"
done
