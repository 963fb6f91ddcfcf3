#ifndef CONDENSE_WORKERS_ENGINE_GRAPH_CONVERT_FLOATS_H_
#define CONDENSE_WORKERS_ENGINE_GRAPH_CONVERT_FLOATS_H_

#include "workers/engine/graph/tensor.h"

namespace condense::graph {

// The elements of a floating tensor as another floating dtype: rounded to the
// nearest, ties to even. What is finite stays finite: float64 beyond float32's
// range becomes its largest number (masks of -1e308 are common), and likewise
// for float16 and bfloat16. Infinities and NaNs stay what they are.
Tensor ConvertFloats(const Tensor& tensor, DType to);

}  // namespace condense::graph

#endif  // CONDENSE_WORKERS_ENGINE_GRAPH_CONVERT_FLOATS_H_
