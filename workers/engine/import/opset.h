#ifndef CONDENSE_WORKERS_ENGINE_IMPORT_OPSET_H_
#define CONDENSE_WORKERS_ENGINE_IMPORT_OPSET_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "workers/engine/graph/graph.h"

namespace condense::onnx_import {

// Rewrites nodes of operator set `from` (1 to 23) to mean the same at
// Graph::kOpset: attributes that became inputs, inputs that became attributes.
absl::Status BringToOpset(graph::Graph& graph, int from);

// The operators of the default domain that the engine has, sorted. Constant,
// Scatter and Upsample are turned into others.
std::vector<std::string> KnownOperators();

bool IsKnownOperator(const std::string& op);

}  // namespace condense::onnx_import

#endif  // CONDENSE_WORKERS_ENGINE_IMPORT_OPSET_H_
