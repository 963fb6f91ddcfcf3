# condense-server, the condense command line, and compress.sh with jq for pipelines. Build from the project's root:
#   docker build -f deploy/docker/server.Dockerfile -t condense-server .
FROM debian:12-slim AS build
WORKDIR /src
COPY . .
# The same steps as worker.Dockerfile, so that both share these layers.
RUN scripts/setup -DBUILD_TESTING=OFF \
    && cmake --install build --prefix /opt/condense --strip

FROM debian:12-slim
RUN apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
         jq libabsl20220623 libarchive13 libgrpc++1.51 libgrpc29 libprometheus-cpp-core1.0 \
         libprometheus-cpp-pull1.0 libprotobuf32 libre2-9 libspdlog1.10 libsqlite3-0 libssl3 \
         libyaml-cpp0.7 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 65532 --user-group --home-dir /var/lib/condense --create-home condense
COPY --from=build /opt/condense/bin/condense /opt/condense/bin/condense-server /opt/condense/bin/
COPY examples/pipeline/compress.sh /opt/condense/bin/
COPY --from=build /opt/condense/share/condense /opt/condense/share/condense
ENV PATH=/opt/condense/bin:$PATH
USER 65532:65532
VOLUME /var/lib/condense
# gRPC, and /metrics for Prometheus.
EXPOSE 50551 50552
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=5s \
  CMD ["condense", "health", "--server", "127.0.0.1:50551"]
ENTRYPOINT ["condense-server"]
CMD ["--data-dir", "/var/lib/condense", "--listen", "0.0.0.0:50551", \
     "--metrics-listen", "0.0.0.0:50552", "--log-format", "json"]
