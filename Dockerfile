# The server as an image: `docker build --tag ml-registry .`; docs/deploy.md says how to run it.

FROM node:22-slim AS page
WORKDIR /web
COPY web/package.json web/package-lock.json ./
RUN npm ci
COPY web ./
RUN node build.mjs /page

# What is downloaded has to fit the hashes of the lock; what is installed comes from there alone, without the tools the
# lock holds for development.
FROM python:3.13-slim AS packages
WORKDIR /build
COPY requirements.lock ./
RUN pip download --require-hashes --only-binary :all: --requirement requirements.lock --dest wheels
COPY pyproject.toml README.md LICENSE ./
COPY app app
COPY --from=page /page app/explorer
RUN python -m venv --without-pip /opt/ml-registry \
 && pip --python /opt/ml-registry/bin/python install --no-index --find-links wheels .

FROM python:3.13-slim
RUN apt-get update \
 && apt-get install --yes --no-install-recommends git openssh-client \
 && rm -rf /var/lib/apt/lists/*
RUN useradd --uid 10001 --home-dir /data --no-create-home registry \
 && install --directory --owner registry --group registry /data
COPY --from=packages /opt/ml-registry /opt/ml-registry
# Others can reach it: it does not start before REGISTRY_SIGN_IN=true, or an issuer, is set.
ENV PATH=/opt/ml-registry/bin:$PATH REGISTRY_DATA_DIR=/data REGISTRY_HOST=0.0.0.0 REGISTRY_PORT=8000
WORKDIR /data
VOLUME /data
USER 10001
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
  CMD ["python", "-c", "import os, urllib.request as web; web.urlopen(f'http://127.0.0.1:{os.environ[\"REGISTRY_PORT\"]}/livez', timeout=3)"]
ENTRYPOINT ["ml-registry"]
CMD ["serve", "--no-demo"]
