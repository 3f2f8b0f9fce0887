# extractd with its built-in model:
#
#   docker build -t extractd .
#
# For this machine only, without keys (only requests to localhost and loopback addresses are answered):
#
#   docker run --rm -p 127.0.0.1:8080:8080 -e EXTRACTD_ALLOW_ANONYMOUS=true extractd
#
# For other machines: with keys, and TLS from a proxy in front. Without keys the server refuses to start, unless allowed as above.
#
#   docker run -d --stop-timeout 40 -p 8080:8080 -v extractd:/data -e EXTRACTD_API_KEYS=key-of-a,key-of-b extractd
#
# With a provider: -e OPENAI_API_KEY=… -e EXTRACTD_MODEL=openai/gpt-4o-mini. A lean image without the built-in model:
# docker build --build-arg FEATURES= -t extractd:lean .

# The same Debian release as the final image, so that the binary finds the C and C++ libraries that it was built with.
FROM rust:1.95-slim-bookworm AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends cmake g++ libclang-dev make \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
ARG FEATURES=local
# Compiled dependencies stay in the cache between builds. Cargo compares modification times, and the clone may be older than the
# cache: hence `touch`. The cache is not part of the image: hence the copy.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target,sharing=locked \
    find src crates -name '*.rs' -exec touch {} + \
 && cargo build --release --locked --no-default-features --features "$FEATURES" \
 && install -D -m 0755 target/release/extractd /out/extractd
# The store is readable by its owner only.
RUN install -d -m 0700 /out/data

FROM python:3.13-slim AS model
ARG FEATURES=local
WORKDIR /out
COPY scripts/model.sh /model.sh
RUN mkdir models \
 && case ",$FEATURES," in *,local,*) sh /model.sh models/SmolLM2-135M-Instruct.Q4_1.gguf ;; esac

# Contains the C and C++ libraries, an unprivileged user (65532), and no shell.
FROM gcr.io/distroless/cc-debian12:nonroot
LABEL org.opencontainers.image.title="extractd" \
      org.opencontainers.image.description="Turns text into validated JSON with a language model, over HTTP" \
      org.opencontainers.image.url="https://extractd.dev" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=model /out/models /models
COPY --from=build --chown=65532:65532 /out/data /data
COPY --from=build /out/extractd /extractd
# Settings belong in the environment, or in a file that EXTRACTD_CONFIG names: the health check reads them there too. A flag
# such as --listen reaches only the server.
ENV EXTRACTD_LISTEN=0.0.0.0:8080 \
    EXTRACTD_DATA_DIR=/data \
    EXTRACTD_MODEL_PATH=/models/SmolLM2-135M-Instruct.Q4_1.gguf
USER 65532:65532
# A host folder that is mounted here has to belong to user 65532.
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 CMD ["/extractd", "healthcheck"]
ENTRYPOINT ["/extractd"]
