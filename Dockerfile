# syntax=docker/dockerfile:1
# photone for servers and workers. Targets: cpu (the default; embedded engines) and cuda (model engines on an NVIDIA GPU).
#   docker build --target cpu --tag photone:cpu .
#   docker build --target cuda --tag photone:cuda .
# The CUDA libraries come with the torch wheels; the driver comes from the host (NVIDIA Container Toolkit).
ARG PYTHON=python:3.11-slim-bookworm

FROM ${PYTHON} AS sources
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY core core
COPY schemas schemas
COPY phase1_sound phase1_sound
COPY phase2_music phase2_music
COPY flows flows

# Dependencies first: they change seldom, and their layer is kept while they do not.
FROM ${PYTHON} AS build-cpu
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_COMPILE=0
RUN python -m venv /opt/photone
COPY --from=sources /src/pyproject.toml /src/constraints.txt /src/README.md /src/LICENSE /src/
WORKDIR /src
RUN /opt/photone/bin/pip install --constraint constraints.txt ".[scale]" \
    && /opt/photone/bin/pip uninstall --yes photone
COPY --from=sources /src /src
RUN /opt/photone/bin/pip install --no-deps --constraint constraints.txt .

FROM build-cpu AS build-cuda
RUN /opt/photone/bin/pip install --constraint constraints.txt ".[scale,models]"

FROM ${PYTHON} AS base
# Only what runs: FluidSynth's library. No compiler, no headers.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libfluidsynth3 \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 photone \
    && useradd --uid 10001 --gid photone --create-home --shell /usr/sbin/nologin photone \
    && install --directory --owner photone --group photone /pictures /runs /work
ENV PATH=/opt/photone/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    DO_NOT_TRACK=1 \
    PREFECT_HOME=/work/.prefect \
    PREFECT_SERVER_ANALYTICS_ENABLED=false \
    PREFECT_SERVER_EPHEMERAL_ENABLED=false \
    PHOTONE_RUNS=/runs \
    PHOTONE_ROOTS=/pictures:/runs
WORKDIR /work
USER photone
# The worker's own health, on the port that --with-healthcheck opens; other services bring their own check (compose.yaml).
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/health', timeout=4)"]
# tini's work (reaping, signals) is done by `docker run --init` or compose's `init: true`.
CMD ["prefect", "worker", "start", "--pool", "photone", "--type", "process", "--with-healthcheck"]

FROM base AS cuda
COPY --from=build-cuda /opt/photone /opt/photone
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility

FROM base AS cpu
COPY --from=build-cpu /opt/photone /opt/photone
