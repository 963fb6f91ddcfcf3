# Everything but LibTorch, which only workers/ may find.

# LibTorch's own packages carry headers and the compiler of an old Protobuf
# without its library: a prefix path that leads to LibTorch must not bring them.
set(condense_prefix_path ${CMAKE_PREFIX_PATH})
foreach(prefix ${condense_prefix_path})
  file(GLOB protobuf ${prefix}/lib*/libprotobuf.* ${prefix}/lib/*/libprotobuf.*)
  if(EXISTS ${prefix}/include/google/protobuf AND NOT protobuf)
    list(REMOVE_ITEM CMAKE_PREFIX_PATH ${prefix})
  endif()
endforeach()

find_package(Threads REQUIRED)
find_package(absl REQUIRED)
find_package(Protobuf REQUIRED)
find_package(gRPC CONFIG REQUIRED)
find_package(prometheus-cpp CONFIG REQUIRED)
find_package(spdlog CONFIG REQUIRED)
find_package(yaml-cpp REQUIRED)
find_package(OpenSSL REQUIRED)
find_package(ZLIB REQUIRED)
find_package(SQLite3 REQUIRED)
find_package(LibArchive REQUIRED)
find_package(JPEG REQUIRED)
find_package(PNG REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(CLI11 REQUIRED)
if(BUILD_TESTING)
  find_package(GTest REQUIRED)
endif()

find_program(CONDENSE_GRPC_CPP_PLUGIN grpc_cpp_plugin REQUIRED)

# ONNX ships its protos as a library without a usable CMake package.
find_library(CONDENSE_ONNX_PROTO_LIBRARY onnx_proto REQUIRED)
find_path(CONDENSE_ONNX_INCLUDE_DIR onnx/onnx_pb.h REQUIRED)
add_library(condense_onnx_proto INTERFACE)
add_library(condense::onnx_proto ALIAS condense_onnx_proto)
target_include_directories(condense_onnx_proto INTERFACE ${CONDENSE_ONNX_INCLUDE_DIR})
target_compile_definitions(condense_onnx_proto INTERFACE ONNX_NAMESPACE=onnx ONNX_ML=1)
target_link_libraries(condense_onnx_proto INTERFACE ${CONDENSE_ONNX_PROTO_LIBRARY} protobuf::libprotobuf)

set(CMAKE_PREFIX_PATH ${condense_prefix_path})
