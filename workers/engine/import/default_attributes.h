#ifndef CONDENSE_WORKERS_ENGINE_IMPORT_DEFAULT_ATTRIBUTES_H_
#define CONDENSE_WORKERS_ENGINE_IMPORT_DEFAULT_ATTRIBUTES_H_

#include "workers/engine/graph/graph.h"

namespace condense::onnx_import {

// Drops attributes that came with an operator set after 13 and say nothing:
// those at their defaults, and those about a case that is not there (allowzero
// where no size is 0, noop_with_empty_axes where there are axes). So a graph is
// the same whichever opset it was written in, and can be written in older ones.
void DropDefaultAttributes(graph::Graph& graph);

}  // namespace condense::onnx_import

#endif  // CONDENSE_WORKERS_ENGINE_IMPORT_DEFAULT_ATTRIBUTES_H_
