# The image of kaltura-archiver: one Python environment, no compiler, no pip, no setuid programs, nothing to write to but /tmp.
# `--target demo` adds the sandbox, for scripts/image-test and for trying it out; `--target fleet` adds what --cluster needs.
# README-AWS.md says how to build it.

# The base by its digest; scripts/image-base puts in that of today.
FROM python:3.13-slim@sha256:7c61056e61ac89e852de05f3dc6fa51a6dd2181797bceed46aa725dd7cb2cd3b AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
COPY image/ image/
RUN python -m venv --without-pip /opt/builder \
    && pip --python /opt/builder/bin/python install --require-hashes --only-binary :all: -r image/build.lock \
    && python -m venv --without-pip /opt/venv \
    && pip --python /opt/venv/bin/python install --no-compile --require-hashes --only-binary :all: -r image/run.lock
COPY pyproject.toml README.md LICENSE ./
COPY docs/ docs/
COPY kaltura_archiver/ kaltura_archiver/
# The root file system is read-only at run time: byte code is made here, and never compared with its source again.
# Of AWS's services, those stay that are called, or that boto3 may ask for credentials; all of them are 20 MB. With
# what goes again, rich shows Markdown and colours source text, which nobody asks it for: 11 MB.
RUN pip --python /opt/builder/bin/python wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
    && pip --python /opt/venv/bin/python install --no-compile --no-deps --no-index /wheels/*.whl \
    && pip --python /opt/venv/bin/python uninstall --yes markdown-it-py mdurl pygments \
    && find /opt/venv/lib/python3.13/site-packages/botocore/data -mindepth 1 -maxdepth 1 -type d \
        ! -name s3 ! -name sts ! -name sso ! -name sso-oidc ! -name signin ! -name ecs ! -name logs ! -name cloudformation \
        ! -name secretsmanager \
        -exec rm -r {} + \
    && python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/venv/lib

FROM build AS build-demo
RUN pip --python /opt/venv/bin/python install --no-compile --require-hashes --only-binary :all: -r image/demo.lock \
    && python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/venv/lib

FROM build AS build-fleet
RUN pip --python /opt/venv/bin/python install --no-compile --require-hashes --only-binary :all: -r image/fleet.lock \
    && python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/venv/lib

FROM python:3.13-slim@sha256:7c61056e61ac89e852de05f3dc6fa51a6dd2181797bceed46aa725dd7cb2cd3b AS common
# HOME is where boto3 and .env are looked for in vain; /tmp is the one place that can be written.
ENV PATH=/opt/venv/bin:$PATH HOME=/tmp LANG=C.UTF-8 PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
# Nothing is installed in a running container, and nobody becomes anybody else: without pip, and without setuid programs.
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /tmp --shell /usr/sbin/nologin archiver \
    && find / -xdev \( -path '*-packages/pip' -o -path '*-packages/pip-*' -o -path '*/bin/pip*' -o -path '*/ensurepip' \) \
        -prune -exec rm -rf {} + \
    && find / -xdev -type f -perm /6000 -exec chmod a-s {} +
WORKDIR /app
COPY jobs/ jobs/
# The video that takes the place of archived ones (PLACEHOLDER_VIDEO names another).
COPY LICENSE placeholder_video.mp4 ./
USER 10001:10001
ENTRYPOINT ["/app/jobs/entry"]
CMD ["--help"]

FROM common AS demo
COPY --from=build-demo /opt/venv /opt/venv

FROM common AS fleet
COPY --from=build-fleet /opt/venv /opt/venv

FROM common AS run
COPY --from=build /opt/venv /opt/venv
# Last, since they change with every commit.
ARG VERSION=unknown
ARG COMMIT=unknown
LABEL org.opencontainers.image.title="kaltura-archiver" \
      org.opencontainers.image.licenses="AGPL-3.0-or-later" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$COMMIT"
