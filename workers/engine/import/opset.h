#ifndef CONDENSE_WORKERS_ENGINE_IMPORT_OPSET_H_
#define CONDENSE_WORKERS_ENGINE_IMPORT_OPSET_H_

#include "absl/status/status.h"
#include "workers/engine/graph/graph.h"

namespace condense::onnx_import {

// Rewrites nodes of operator set `from` (7 to 21) to mean the same at
// Graph::kOpset: attributes that became inputs, inputs that became attributes.
absl::Status BringToOpset(graph::Graph& graph, int from);

// Whether the engine has this operator of the default domain at all.
bool IsKnownOperator(const std::string& op);

}  // namespace condense::onnx_import

#endif  // CONDENSE_WORKERS_ENGINE_IMPORT_OPSET_H_
