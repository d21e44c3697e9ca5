# The operator in an image of its own. For several architectures at once:
#   docker buildx build --platform linux/amd64,linux/arm64 --build-arg COMMIT="$(git rev-parse HEAD)" -t saga-operator .
# Without a container engine: cargo xtask image

# Compiles on the machine that builds, for the machine that runs.
FROM --platform=$BUILDPLATFORM rust:1.95.0-bookworm AS build
ARG BUILDPLATFORM
ARG TARGETPLATFORM
WORKDIR /saga-operator

# The C compiler of the other architecture, for the cryptography.
RUN set -eu; \
    case "$TARGETPLATFORM" in \
        linux/amd64) triple=x86_64-unknown-linux-gnu; packages="gcc-x86-64-linux-gnu libc6-dev-amd64-cross" ;; \
        linux/arm64) triple=aarch64-unknown-linux-gnu; packages="gcc-aarch64-linux-gnu libc6-dev-arm64-cross" ;; \
        *) echo "saga-operator is not built for $TARGETPLATFORM" >&2; exit 1 ;; \
    esac; \
    echo "$triple" > /target-triple; \
    rustup target add "$triple"; \
    if [ "$BUILDPLATFORM" != "$TARGETPLATFORM" ]; then \
        apt-get update; \
        apt-get install -y --no-install-recommends $packages; \
        rm -rf /var/lib/apt/lists/*; \
    fi

COPY . .

# Static: there is nothing beside it in the image. Without a commit it says "unknown".
ARG COMMIT=""
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/saga-operator/target,id=target-$TARGETPLATFORM \
    set -eu; \
    triple=$(cat /target-triple); \
    if [ "$BUILDPLATFORM" != "$TARGETPLATFORM" ]; then \
        name=$(echo "$triple" | sed 's/-unknown//'); \
        variable=$(echo "$triple" | tr 'a-z-' 'A-Z_'); \
        export "CARGO_TARGET_${variable}_LINKER=$name-gcc" "CC_$(echo "$triple" | tr - _)=$name-gcc"; \
    fi; \
    export SAGA_COMMIT="$COMMIT" RUSTFLAGS="-Ctarget-feature=+crt-static --remap-path-prefix=$CARGO_HOME=/cargo"; \
    cargo rustc --locked --profile image --package saga-operator --bin saga-operator --target "$triple" \
        -- -Clink-arg=-Wl,-z,pack-relative-relocs; \
    cp "target/$triple/image/saga-operator" /saga-operator-static

# No shell, no libraries, no certificates: the public authorities are in the binary, the API server's come with the pod.
FROM scratch
ARG COMMIT=""
LABEL org.opencontainers.image.title="saga-operator" \
      org.opencontainers.image.description="Sagas for Kubernetes: steps with compensations, driven to a safe end" \
      org.opencontainers.image.source="https://github.com/saga-operator/saga-operator" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.revision="$COMMIT"
COPY --from=build --chmod=0555 /saga-operator-static /saga-operator
USER 65532:65532
ENTRYPOINT ["/saga-operator"]
