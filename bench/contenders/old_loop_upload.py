"""Stores one file under its day and base name, as such scripts do. Settings: BENCH_ENDPOINT, BENCH_BUCKET."""

import datetime
import os
import sys

import boto3

path = sys.argv[1]
s3 = boto3.client("s3", endpoint_url=os.environ["BENCH_ENDPOINT"], region_name="auto")
s3.upload_file(path, os.environ["BENCH_BUCKET"], f"outputs/{datetime.date.today()}/{os.path.basename(path)}")
