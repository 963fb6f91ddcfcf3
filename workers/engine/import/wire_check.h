#ifndef CONDENSE_WORKERS_ENGINE_IMPORT_WIRE_CHECK_H_
#define CONDENSE_WORKERS_ENGINE_IMPORT_WIRE_CHECK_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "google/protobuf/descriptor.h"

namespace condense::onnx_import {

// What a file may make Protobuf allocate. An empty message takes two bytes on
// the wire and over a hundred in memory: counted before they are made.
struct WireLimits {
  // Messages and strings of the whole file. A model of 10,000 nodes has about
  // 200,000.
  int64_t elements_max = 8'000'000;
  // Messages in messages; an ONNX subgraph takes three.
  int depth_max = 80;
};

// Walks the encoding of a `type` message without building it. INVALID_ARGUMENT
// with reason NOT_A_MODEL for bytes that are no such message, TOO_LARGE for
// more elements or depth than `limits` allow. Linear in the bytes; what is
// neither a message nor a string is skipped.
absl::Status CheckWire(absl::string_view bytes,
                       const google::protobuf::Descriptor& type,
                       const WireLimits& limits = {});

}  // namespace condense::onnx_import

#endif  // CONDENSE_WORKERS_ENGINE_IMPORT_WIRE_CHECK_H_
