# The broker's image, from source:         docker build -t mcx-token-broker .
# The sandbox's, for trials and tests:     docker build -t mcx-token-broker:sandbox --target sandbox .
# From a binary that is already built:     Dockerfile.binary
# Where images cannot be pulled:           deploy/base-images, first
#
# PROFILE is cargo's: `dist` is what ships, `release` builds sooner. REVISION is what the metric build_info says that this is:
# --build-arg REVISION="$(git describe --always --dirty)". Works with BuildKit and with the classic builder.
# docs/containers.md says what is inside, and how it is run.

# What the sources are built with, and on: until Cargo.toml or Cargo.lock changes, a change of the sources builds only them.
FROM rust:1.95-slim-bookworm AS dependencies
ARG PROFILE=dist
# OpenSSL is Debian's, linked statically: a fix of Debian's comes with the next build, and none is compiled here.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates libssl-dev make \
    && rm -rf /var/lib/apt/lists/* \
    && ln -s "/usr/lib/$(uname -m)-linux-gnu" /usr/local/lib/system
ENV OPENSSL_STATIC=1 OPENSSL_LIB_DIR=/usr/local/lib/system OPENSSL_INCLUDE_DIR=/usr/include
WORKDIR /build
COPY Cargo.toml Cargo.lock ./
RUN mkdir src benches \
    && echo 'fn main() {}' > src/main.rs \
    && touch src/lib.rs benches/micro.rs \
    && cargo build --locked --profile "$PROFILE" --no-default-features \
    && rm -r src

FROM dependencies AS build
ARG PROFILE=dist
ARG REVISION=unknown
COPY config config
COPY docs/operations.md docs/
COPY src src
# Else they look older than the stand-ins that were built before.
RUN touch src/main.rs src/lib.rs \
    && MCX_BROKER_REVISION="$REVISION" cargo build --locked --profile "$PROFILE" --no-default-features \
    && install -D "target/$PROFILE/mcx-token-broker" /built/mcx-token-broker

# The C library and its loader, Debian's list of public CAs, one unprivileged user: all that is there beside the binary.
FROM debian:bookworm-slim AS system
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /built/mcx-token-broker /built/
RUN mkdir -p /system/etc/ssl/certs \
    && cp --parents --dereference $(ldd /built/mcx-token-broker | grep -o '/lib[^ ]*') /system \
    && cat /usr/share/ca-certificates/mozilla/*.crt > /system/etc/ssl/certs/ca-certificates.crt \
    && echo 'broker:x:10001:10001:mcx-token-broker:/:/sbin/nologin' > /system/etc/passwd \
    && echo 'broker:x:10001:' > /system/etc/group

FROM scratch AS production
COPY --from=system /system/ /
COPY --from=build /built/ /usr/bin/
USER 10001:10001
# config/broker.toml and partners/ are looked for here.
WORKDIR /etc/mcx-token-broker
EXPOSE 8080 9090
HEALTHCHECK --start-period=10s CMD ["/usr/bin/mcx-token-broker", "health"]
ENTRYPOINT ["/usr/bin/mcx-token-broker"]
CMD ["serve"]

FROM dependencies AS build-sandbox
ARG PROFILE=dist
COPY config config
COPY docs/operations.md docs/
COPY src src
RUN touch src/main.rs src/lib.rs \
    && cargo build --locked --profile "$PROFILE" --no-default-features --features sandbox \
    && install -D "target/$PROFILE/mcx-token-broker" /built/mcx-token-broker \
    && mkdir -p /credentials/trust /credentials/home /credentials/county-fire /credentials/city-police /credentials/broker \
                /credentials/balancer /credentials/redis /credentials/prometheus

FROM scratch AS sandbox
COPY --from=system /system/ /
COPY --from=build-sandbox /built/ /usr/bin/
# A new volume gets its owner from the directory that it covers: those of docker-compose.yml.
COPY --from=build-sandbox --chown=10001:10001 /credentials /credentials
USER 10001:10001
ENTRYPOINT ["/usr/bin/mcx-token-broker"]
CMD ["sandbox", "--listen", "0.0.0.0:8081", "--allow-remote"]

# What a build without --target makes.
FROM production
