#ifndef CONDENSE_WORKERS_ENGINE_EXPORT_ONNX_H_
#define CONDENSE_WORKERS_ENGINE_EXPORT_ONNX_H_

#include <string>

#include "absl/status/statusor.h"
#include "workers/engine/graph/graph.h"

namespace condense::onnx_export {

struct ExportOptions {
  // Of the default domain: 13 to 17 are written.
  int opset = 17;
  // Nodes of the domain "condense" may stand in the file; ImportOnnx reads it
  // with `raw`.
  bool raw = false;
};

// The bytes of an ONNX model with the graph's names, a symbolic batch and
// metadata. The same graph gives the same bytes. UNIMPLEMENTED with reason
// UNSUPPORTED_OPSET or, without `raw`, INTERNAL for nodes of our own domain.
absl::StatusOr<std::string> ExportOnnx(const graph::Graph& graph,
                                       const ExportOptions& options = {});

}  // namespace condense::onnx_export

#endif  // CONDENSE_WORKERS_ENGINE_EXPORT_ONNX_H_
