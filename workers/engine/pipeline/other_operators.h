#ifndef CONDENSE_WORKERS_ENGINE_PIPELINE_OTHER_OPERATORS_H_
#define CONDENSE_WORKERS_ENGINE_PIPELINE_OTHER_OPERATORS_H_

#include "workers/engine/evaluation/integer_runtime.h"
#include "workers/engine/graph/graph.h"

namespace condense::pipeline {

// The runtime's float kernels for operators that the verifier lacks: those
// without quantized inputs, whose arithmetic the file does not change.
// `graph` must outlive it. Thread-safe.
evaluation::IntegerRuntime::Others OtherOperators(const graph::Graph* graph);

}  // namespace condense::pipeline

#endif  // CONDENSE_WORKERS_ENGINE_PIPELINE_OTHER_OPERATORS_H_
