#ifndef CONDENSE_WORKERS_ENGINE_EXPORT_FIRST_OPSET_H_
#define CONDENSE_WORKERS_ENGINE_EXPORT_FIRST_OPSET_H_

#include "workers/engine/graph/graph.h"

namespace condense::onnx_export {

// The least operator set (13 to 21) in which the node means what it means here:
// that of its operator, of its attributes that are not at their defaults, and
// of the types that it quantizes to. Types must be inferred.
int FirstOpset(const graph::Graph& graph, const graph::Node& node);

}  // namespace condense::onnx_export

#endif  // CONDENSE_WORKERS_ENGINE_EXPORT_FIRST_OPSET_H_
