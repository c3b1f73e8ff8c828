# syntax=docker/dockerfile:1
# Two images from one build:
#
#   docker build --tag outcrop .                                       the server, without the emulator
#   docker build --tag outcrop-emulator --target emulator .            Bedrock for a laptop: bedrock-emulator
#
# Neither has a shell, a package manager or a user with rights, and both run with a root file system that is read-only. There is no HEALTHCHECK: it
# would need a program in the image that asks, and Kubernetes, ECS and load balancers ask from outside (/livez and /readyz at --metrics-listen, and
# gRPC health).

FROM rust:1.95-bookworm AS build
WORKDIR /source
COPY . .
# Linux on ARM has pages of up to 64 KiB, and the allocator is built for one size of page. The largest works with smaller pages too.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/source/target,sharing=locked \
    if [ "$(uname -m)" = aarch64 ]; then export JEMALLOC_SYS_WITH_LG_PAGE=16; fi; \
    cargo build --release --locked --no-default-features --package outcrop --package bedrock-emulator \
    && install -D --target-directory /programs target/release/outcrop target/release/bedrock-emulator

FROM gcr.io/distroless/cc-debian12:nonroot AS emulator
COPY --from=build /programs/bedrock-emulator /usr/local/bin/
USER 65532:65532
EXPOSE 8991
ENTRYPOINT ["/usr/local/bin/bedrock-emulator"]
CMD ["--listen", "0.0.0.0:8991"]

# The last one is built by default.
FROM gcr.io/distroless/cc-debian12:nonroot AS outcrop
LABEL org.opencontainers.image.title="outcrop" \
      org.opencontainers.image.description="One typed, server-streaming gRPC method in front of Amazon Bedrock" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /programs/outcrop /usr/local/bin/
COPY LICENSE /usr/share/doc/outcrop/
USER 65532:65532
EXPOSE 50051 9464
ENTRYPOINT ["/usr/local/bin/outcrop"]
CMD ["serve"]
