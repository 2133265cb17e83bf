# The server without training and without torch. `./run image` builds the target cpu, `./run image gpu` the other.
ARG PYTHON=3.11-slim-bookworm

FROM python:${PYTHON} AS wheel
WORKDIR /source
COPY pyproject.toml LICENSE README.md ./
COPY proto proto
COPY models models
COPY service service
RUN pip wheel --no-deps --wheel-dir /wheels ./proto .

# The dependencies apart from the code, which changes more often. jieba comes as source, but needs no compiler.
FROM python:${PYTHON} AS dependencies
# Any version of strip will do.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends binutils && rm -rf /var/lib/apt/lists/*
# pip stays outside of what is shipped.
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_PYTHON=/opt/tianzi/bin/python
RUN python -m venv --without-pip /opt/tianzi
WORKDIR /requirements
COPY deploy/image/trim /usr/local/bin/
COPY pyproject.toml .
RUN python -c "import pathlib, tomllib; \
project = tomllib.loads(pathlib.Path('pyproject.toml').read_text())['project']; \
outside = [line for line in project['dependencies'] if not line.startswith('tianzi')]; \
groups = {'base': outside, **project['optional-dependencies']}; \
[pathlib.Path(name).write_text('\n'.join(group)) for name, group in groups.items()]"
# More extras of pyproject.toml to take in, such as "otel" for traces or "score" for Parquet.
ARG EXTRAS=""

FROM dependencies AS build-cpu
RUN for group in base cpu ${EXTRAS}; do pip install --use-pep517 -r "$group" || exit 1; done && trim /opt/tianzi
COPY --from=wheel /wheels /wheels
RUN pip install --no-deps /wheels/*.whl

FROM dependencies AS build-gpu
RUN for group in base gpu ${EXTRAS}; do pip install --use-pep517 -r "$group" || exit 1; done && trim /opt/tianzi
COPY --from=wheel /wheels /wheels
RUN pip install --no-deps /wheels/*.whl

FROM python:${PYTHON} AS runtime
# `./run image` fills the last three in.
ARG PYTHON VERSION="" REVISION="" CREATED=""
LABEL org.opencontainers.image.title="tianzi" \
      org.opencontainers.image.description="Recognises a Chinese character, fills the blank in a text, over gRPC" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="docker.io/library/python:${PYTHON}" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"
# Without a HOST the server listens on the loopback address alone, which nobody outside the container reaches.
ENV PATH=/opt/tianzi/bin:$PATH \
    ORT_DISABLE_TELEMETRY=1 \
    PYTHONUNBUFFERED=1 \
    TIANZI_HOST=0.0.0.0 \
    TIANZI_METRICS_HOST=0.0.0.0
USER 10001:10001
WORKDIR /tmp
# HTTP is on 8080 where TIANZI_HTTP_PORT says so.
EXPOSE 50051 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --start-period=30s --interval=10s --timeout=5s \
    CMD ["sh", "-c", "exec tianzi health --address localhost:${TIANZI_PORT:-50051}"]
ENTRYPOINT ["tianzi"]
CMD ["serve"]

FROM runtime AS gpu
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
COPY --from=build-gpu /opt/tianzi /opt/tianzi

# Last: what a build without --target makes.
FROM runtime AS cpu
COPY --from=build-cpu /opt/tianzi /opt/tianzi
