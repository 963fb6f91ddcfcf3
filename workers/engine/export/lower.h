#ifndef CONDENSE_WORKERS_ENGINE_EXPORT_LOWER_H_
#define CONDENSE_WORKERS_ENGINE_EXPORT_LOWER_H_

#include "absl/status/status.h"
#include "workers/engine/graph/graph.h"

namespace condense::onnx_export {

// Rewrites what the operator set of a file (13 to 21) lacks into operators that
// it has, and what it writes otherwise than Graph::kOpset into its own way.
// UNIMPLEMENTED with reason NEEDS_NEWER_OPSET and the node for operators that
// cannot be written with others.
absl::Status LowerToOpset(graph::Graph& graph, int opset);

}  // namespace condense::onnx_export

#endif  // CONDENSE_WORKERS_ENGINE_EXPORT_LOWER_H_
