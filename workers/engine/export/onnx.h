#ifndef CONDENSE_WORKERS_ENGINE_EXPORT_ONNX_H_
#define CONDENSE_WORKERS_ENGINE_EXPORT_ONNX_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "workers/engine/graph/graph.h"

namespace condense::onnx_export {

struct ExportOptions {
  // Of the default domain: 13 to 21 are written.
  int opset = 17;
  // The graph as it is: nodes of the domain "condense" may stand in the file;
  // ImportOnnx reads it with `raw`.
  bool raw = false;
  // kFloat16 or kBFloat16 stores weights in half of the bytes, each behind a
  // Cast to float32.
  graph::DType weights = graph::DType::kFloat32;
  // Constants that are smaller as sparse_initializer become that.
  bool sparse = false;
};

// The bytes of an ONNX model with the graph's names, a symbolic batch and
// metadata; inputs and outputs have the types that the model declared for them
// (graph/declared_types.h). The same graph gives the same bytes. UNIMPLEMENTED
// with reason UNSUPPORTED_OPSET or NEEDS_NEWER_OPSET; without `raw`, INTERNAL
// for nodes of our own domain; RESOURCE_EXHAUSTED with reason MODEL_TOO_LARGE
// over 2 GiB.
absl::StatusOr<std::string> ExportOnnx(const graph::Graph& graph,
                                       const ExportOptions& options = {});

struct FileOptions {
  ExportOptions model;
  // Weights in one file beside the model, PATH.data, whatever their size.
  bool external_data = false;
  // A model with more bytes of constants has external data anyway: what one
  // message of Protocol Buffers can have, less room for the nodes.
  int64_t inline_bytes_max = (int64_t{1} << 31) - (int64_t{64} << 20);
};

// Writes the file, and PATH.data first if there is one. Errors as ExportOnnx
// and WriteFileAtomically have them.
absl::Status ExportOnnxFile(const graph::Graph& graph, const std::string& path,
                            const FileOptions& options = {});

}  // namespace condense::onnx_export

#endif  // CONDENSE_WORKERS_ENGINE_EXPORT_ONNX_H_
