"""The honest rival: inotifywait's close_write lines, one long-running process, four threads, boto3 with its defaults.

Settings come by environment: BENCH_DIR, BENCH_ENDPOINT, BENCH_BUCKET, and the keys under the names that boto3 reads
itself. Prints "ready" once inotifywait has set up its watches.
"""

import os
import queue
import subprocess
import sys
import threading

import boto3

DIR = os.environ["BENCH_DIR"]
BUCKET = os.environ["BENCH_BUCKET"]
THREADS = 4
SINGLE_PUT_LIMIT = 8 * 1024 * 1024

s3 = boto3.client("s3", endpoint_url=os.environ["BENCH_ENDPOINT"], region_name="auto")
finished = queue.Queue()


def store(path):
    """put_object takes less CPU and memory than upload_file for small files, so a rival who measures would take it."""
    key = "outputs/" + os.path.relpath(path, DIR)
    if os.path.getsize(path) <= SINGLE_PUT_LIMIT:
        with open(path, "rb") as body:
            s3.put_object(Bucket=BUCKET, Key=key, Body=body)
    else:
        s3.upload_file(path, BUCKET, key)


def work():
    while True:
        path = finished.get()
        try:
            store(path)
        except Exception as error:  # one bad file must not end the thread
            print(f"{path}: {error}", file=sys.stderr, flush=True)


def announce_ready(stream):
    for line in stream:
        if "Watches established" in line:
            print("ready", flush=True)


watcher = subprocess.Popen(
    ["inotifywait", "-m", "-r", "-e", "close_write", "-e", "moved_to", "--format", "%w%f", DIR],
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
)
threading.Thread(target=announce_ready, args=(watcher.stderr,), daemon=True).start()
for _ in range(THREADS):
    threading.Thread(target=work, daemon=True).start()
for line in watcher.stdout:
    finished.put(line.rstrip("\n"))
