# What `python:3.11-slim-bookworm` (target `cpu`) and runpod/pytorch (target `gpu`) have of interest, where no image
# registry can be asked: Python 3.11 and pip as `python` and, for the GPU, a torch of its own. The system packages are
# in here already, so that several builds don't fetch them.
ARG BASE
FROM ${BASE} AS cpu
COPY system.sh /tmp/
# hadolint ignore=DL3008 # whatever the distribution has now serves a test
RUN /tmp/system.sh \
  && apt-get update \
  && apt-get install -y --no-install-recommends python3 python3-pip python-is-python3 \
  && rm -rf /var/lib/apt/lists/* /usr/lib/python3*/EXTERNALLY-MANAGED
COPY stub_wheels.py /tmp/
RUN python /tmp/stub_wheels.py /srv/cpu torch==2.8.0+cpu torchvision==0.23.0+cpu torchaudio==2.8.0+cpu

FROM cpu AS gpu
RUN python /tmp/stub_wheels.py /srv/gpu torch==2.8.0+cu128 torchvision==0.23.0+cu128 \
  && pip install --no-cache-dir --index-url file:///srv/gpu torch==2.8.0+cu128 torchvision==0.23.0+cu128
