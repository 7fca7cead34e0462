# The image of the operator: one static program and the certificates of the public authorities, nothing else.
#
#   docker buildx build --platform linux/amd64,linux/arm64 --build-arg REVISION="$(git rev-parse HEAD)" .
#
# It is built on the machine's own platform and cross-compiled, never emulated. A static program needs no loader and no
# library in the image; the resolver of glibc (since 2.34 without modules to load) reads /etc/hosts and /etc/resolv.conf,
# which the kubelet puts there. `tests/image.rs` runs the stage `build` as it stands here, without a container engine.

# A new base is a new digest, of the index of all platforms: docker buildx imagetools inspect rust:1.95.0-slim-bookworm
ARG RUST_IMAGE=rust:1.95.0-slim-bookworm@sha256:d7482085ff5b415f84dba5647ae71606650bdef00db7aeb69f4b3d170c3e4082

FROM --platform=$BUILDPLATFORM ${RUST_IMAGE} AS tools
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/*

FROM tools AS tools-amd64
ENV CARGO_BUILD_TARGET=x86_64-unknown-linux-gnu
RUN if [ "$(dpkg --print-architecture)" != amd64 ]; then \
        apt-get update \
        && apt-get install --yes --no-install-recommends gcc-x86-64-linux-gnu libc6-dev-amd64-cross \
        && rm -rf /var/lib/apt/lists/* \
        && rustup target add "$CARGO_BUILD_TARGET" \
        && printf '[target.%s]\nlinker = "x86_64-linux-gnu-gcc"\n' "$CARGO_BUILD_TARGET" >"$CARGO_HOME/config.toml"; \
    fi

FROM tools AS tools-arm64
ENV CARGO_BUILD_TARGET=aarch64-unknown-linux-gnu
RUN if [ "$(dpkg --print-architecture)" != arm64 ]; then \
        apt-get update \
        && apt-get install --yes --no-install-recommends gcc-aarch64-linux-gnu libc6-dev-arm64-cross \
        && rm -rf /var/lib/apt/lists/* \
        && rustup target add "$CARGO_BUILD_TARGET" \
        && printf '[target.%s]\nlinker = "aarch64-linux-gnu-gcc"\n' "$CARGO_BUILD_TARGET" >"$CARGO_HOME/config.toml"; \
    fi

FROM tools-${TARGETARCH} AS build
ARG PROFILE=release
ENV RUSTFLAGS="-C target-feature=+crt-static" CARGO_TARGET_DIR=/target CARGO_INSTALL_ROOT=/out
WORKDIR /src
# First the dependencies, as a layer that lasts until one of them changes: our own crates are empty.
COPY Cargo.toml Cargo.lock ./
COPY hack/apiserver/Cargo.toml hack/apiserver/
COPY hack/bench/Cargo.toml hack/bench/
COPY hack/campaign/Cargo.toml hack/campaign/
COPY hack/controlplane/Cargo.toml hack/controlplane/
COPY hack/terraform/Cargo.toml hack/terraform/
COPY hack/world/Cargo.toml hack/world/
COPY simulator/Cargo.toml simulator/
RUN for crate in . hack/apiserver hack/bench hack/campaign hack/controlplane hack/terraform hack/world simulator; do \
        mkdir -p "$crate/src" && touch "$crate/src/lib.rs" && echo 'fn main() {}' >"$crate/src/main.rs" || exit 1; \
    done \
    && cargo install --path . --locked --no-track --profile "$PROFILE" \
    && rm -r src "$CARGO_INSTALL_ROOT"
# Then the operator. The new files may look older to cargo than the empty ones did.
COPY src src
RUN touch src/lib.rs src/main.rs \
    && cargo install --path . --locked --no-track --profile "$PROFILE"

FROM scratch
ARG REVISION=unknown
LABEL org.opencontainers.image.title="databricks-operator" \
      org.opencontainers.image.description="A Kubernetes operator that manages a Databricks account with custom resources" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=tools /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/bin/databricks-operator /databricks-operator
USER 65532:65532
EXPOSE 8081
ENTRYPOINT ["/databricks-operator"]
CMD ["run"]
