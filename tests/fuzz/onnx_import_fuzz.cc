// libFuzzer target: any bytes as an ONNX model give a graph or a typed error.

#include <cstdint>

#include "common/error.h"
#include "common/log.h"
#include "workers/engine/export/onnx.h"
#include "workers/engine/import/onnx.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto graph = condense::onnx_import::ImportOnnx(bytes);
  if (!graph.ok()) {
    CONDENSE_CHECK(!condense::ErrorReason(graph.status()).empty());
    return 0;
  }
  // What was read can be written, or there is a reason why not.
  const auto again = condense::onnx_export::ExportOnnx(*graph, {.opset = 21});
  CONDENSE_CHECK(again.ok() || !condense::ErrorReason(again.status()).empty());
  return 0;
}
