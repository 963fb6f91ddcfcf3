#ifndef CONDENSE_WORKERS_ENGINE_EXPORT_EDGE_TYPES_H_
#define CONDENSE_WORKERS_ENGINE_EXPORT_EDGE_TYPES_H_

#include "workers/engine/graph/graph.h"

namespace condense::onnx_export {

// Gives inputs and outputs the types that the model declared for them
// (graph/declared_types.h), by a Cast behind or before each, and drops the
// notes. The importer takes both out again.
void RestoreDeclaredTypes(graph::Graph& graph);

// Stores float32 weights (constants of two or more dimensions that no quantizer
// reads) as float16 or bfloat16, each behind a Cast to float32: half of the
// bytes, the same arithmetic.
void StoreWeightsAs(graph::Graph& graph, graph::DType dtype);

}  // namespace condense::onnx_export

#endif  // CONDENSE_WORKERS_ENGINE_EXPORT_EDGE_TYPES_H_
