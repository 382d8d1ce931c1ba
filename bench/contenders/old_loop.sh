#!/bin/sh
# What this project replaces: a Python per file, as many at once as there are files. The keys come by environment, under
# the names that boto3 reads itself; BENCH_PYTHON is a Python that has boto3.
inotifywait -m -r -e close_write -e moved_to --format '%w%f' "$BENCH_DIR" 2>&1 | while IFS= read -r file; do
  case $file in
    'Setting up watches'*) ;;
    'Watches established'*) echo ready ;;
    *) "$BENCH_PYTHON" "$BENCH_UPLOADER" "$file" & ;;
  esac
done
