# condense-worker with its engine, on the CPU. Build from the project's root:
#   docker build -f deploy/docker/worker.Dockerfile -t condense-worker .
FROM debian:12-slim AS build
WORKDIR /src
COPY . .
# The same steps as server.Dockerfile, so that both share these layers.
RUN scripts/setup -DBUILD_TESTING=OFF \
    && cmake --install build --prefix /opt/condense --strip

FROM debian:12-slim
RUN apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
         libabsl20220623 libarchive13 libgrpc++1.51 libgrpc29 libjpeg62-turbo libonnx1 \
         libopenblas0-pthread libpng16-16 libprometheus-cpp-core1.0 libprometheus-cpp-pull1.0 \
         libprotobuf32 libre2-9 libspdlog1.10 libssl3 libtorch1.13 libyaml-cpp0.7 zlib1g \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 65532 --user-group --home-dir /var/lib/condense --create-home condense
COPY --from=build /opt/condense/bin/condense /opt/condense/bin/condense-worker \
     /opt/condense/bin/condense-engine /opt/condense/bin/
COPY --from=build /opt/condense/share/condense /opt/condense/share/condense
# LibTorch's OpenMP must sleep, not spin, while it waits.
ENV PATH=/opt/condense/bin:$PATH OMP_WAIT_POLICY=PASSIVE OPENBLAS_NUM_THREADS=1 \
    CONDENSE_SERVER=server:50551
USER 65532:65532
VOLUME /var/lib/condense
# /metrics for Prometheus.
EXPOSE 50553
STOPSIGNAL SIGTERM
# `exec`: the agent is process 1 and gets SIGTERM.
ENTRYPOINT ["/bin/sh", "-c", "exec condense-worker --server \"$CONDENSE_SERVER\" \"$@\"", "--"]
CMD ["--work-dir", "/var/lib/condense", "--slots", "1", "--device", "cpu", \
     "--metrics-listen", "0.0.0.0:50553", "--grace", "60"]
