# condense-worker with its engine, on NVIDIA GPUs. LibTorch for CUDA is in no
# Debian or Ubuntu package, so say where its archive (cxx11 ABI, shared, with
# dependencies, the same CUDA major version as below) is: a URL, or a path
# within the build context. Build from the project's root:
#   docker build -f deploy/docker/worker-cuda.Dockerfile -t condense-worker-cuda \
#     --build-arg LIBTORCH=third_party/libtorch.zip .
# Run with --gpus all (the NVIDIA container toolkit brings the driver).
ARG CUDA_VERSION=12.6.3
ARG UBUNTU=24.04

FROM nvidia/cuda:${CUDA_VERSION}-cudnn-devel-ubuntu${UBUNTU} AS build
ARG LIBTORCH
RUN apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
         build-essential cmake ninja-build pkg-config unzip \
         libabsl-dev libarchive-dev libcli11-dev libgrpc++-dev libjpeg-dev libonnx-dev \
         libpng-dev libprotobuf-dev libre2-dev libspdlog-dev libsqlite3-dev libssl-dev \
         libyaml-cpp-dev nlohmann-json3-dev prometheus-cpp-dev protobuf-compiler \
         protobuf-compiler-grpc zlib1g-dev
# ADD takes a URL as well as a path.
ADD ${LIBTORCH} /opt/libtorch.zip
RUN unzip -q /opt/libtorch.zip -d /opt && rm /opt/libtorch.zip
WORKDIR /src
COPY . .
RUN CONDENSE_SKIP_APT=1 scripts/setup -DBUILD_TESTING=OFF -DCMAKE_PREFIX_PATH=/opt/libtorch \
    && cmake --install build --prefix /opt/condense --strip
# What the binaries load beyond the C library, CUDA and LibTorch.
RUN deploy/docker/collect-libraries /opt/condense/lib \
      /opt/condense/bin/condense /opt/condense/bin/condense-worker /opt/condense/bin/condense-engine

FROM nvidia/cuda:${CUDA_VERSION}-cudnn-runtime-ubuntu${UBUNTU}
RUN useradd --system --uid 65532 --user-group --home-dir /var/lib/condense --create-home condense
COPY --from=build /opt/libtorch/lib /opt/libtorch/lib
COPY --from=build /opt/condense/lib /opt/condense/lib
COPY --from=build /opt/condense/bin/condense /opt/condense/bin/condense-worker \
     /opt/condense/bin/condense-engine /opt/condense/bin/
COPY --from=build /opt/condense/share/condense /opt/condense/share/condense
ENV PATH=/opt/condense/bin:$PATH \
    LD_LIBRARY_PATH=/opt/condense/lib:/opt/libtorch/lib:/usr/local/nvidia/lib:/usr/local/nvidia/lib64 \
    OMP_WAIT_POLICY=PASSIVE OPENBLAS_NUM_THREADS=1 CONDENSE_SERVER=server:50551 \
    NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER 65532:65532
VOLUME /var/lib/condense
EXPOSE 50553
STOPSIGNAL SIGTERM
ENTRYPOINT ["/bin/sh", "-c", "exec condense-worker --server \"$CONDENSE_SERVER\" \"$@\"", "--"]
CMD ["--work-dir", "/var/lib/condense", "--slots", "1", "--device", "auto", \
     "--metrics-listen", "0.0.0.0:50553", "--grace", "60"]
