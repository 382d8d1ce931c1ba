#!/bin/sh
# s5cmd sync in a loop, with s5cmd's defaults. Endpoint and keys come by environment, under the names that s5cmd reads
# itself. BENCH_PAUSE is the pause between two passes in seconds.
echo ready
while :; do
  "$BENCH_S5CMD" --log error sync "$BENCH_DIR/" "s3://$BENCH_BUCKET/outputs/"
  sleep "$BENCH_PAUSE"
done
