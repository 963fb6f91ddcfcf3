#ifndef CONDENSE_WORKERS_ENGINE_EVALUATION_INTEGER_RUNTIME_H_
#define CONDENSE_WORKERS_ENGINE_EVALUATION_INTEGER_RUNTIME_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "workers/engine/graph/graph.h"

namespace condense::evaluation {

// A tensor while a model runs: floats, or integers with their grid.
struct Activation {
  std::vector<int64_t> dims;
  // Of a value in float; empty when only `levels` is known.
  std::vector<float> values;
  // Of a quantized value (the output of QuantizeLinear): what the file stores.
  std::vector<int32_t> levels;
  float scale = 0;
  int32_t zero_point = 0;
  bool quantized() const { return scale > 0; }
  int64_t size() const;
};

// Runs an exported graph with QuantizeLinear and DequantizeLinear nodes in
// plain C++: it shares no code with the training simulation. Conv, Gemm and
// MatMul whose inputs are quantized accumulate products of integers exactly (in
// 32 bits where they fit, else in 64), add the int32 bias of scale s_x * s_w,
// and are rescaled in double precision. The rest runs in float, and so do
// weights whose scales stand per block or that plain operators make of
// integers. Also runs float models. Thread-safe: one instance may run
// on many threads.
class IntegerRuntime {
 public:
  // Runs operators that have no kernel here, in float: all outputs of the node
  // from all of its inputs (null where omitted). Must be thread-safe.
  using Others = std::function<absl::StatusOr<std::vector<Activation>>(
      const graph::Node& node, const std::vector<const Activation*>& inputs)>;

  // `graph` must outlive the runtime. Without `others`, UNIMPLEMENTED with
  // reason NO_VERIFIER and the node for an operator that it lacks.
  static absl::StatusOr<std::unique_ptr<IntegerRuntime>> Create(
      const graph::Graph* graph, Others others = nullptr);

  // Sees each value by name right after it is made; may replace it, which is
  // what the nodes behind it then read.
  using Tap = std::function<void(const std::string& name, Activation* value)>;

  // One batch; outputs in the graph's order, in float.
  absl::StatusOr<std::vector<Activation>> Run(
      const std::vector<Activation>& inputs, const Tap& tap = nullptr) const;

 private:
  IntegerRuntime(const graph::Graph* graph, Others others)
      : graph_(graph), others_(std::move(others)) {}
  const graph::Graph* const graph_;
  const Others others_;
};

}  // namespace condense::evaluation

#endif  // CONDENSE_WORKERS_ENGINE_EVALUATION_INTEGER_RUNTIME_H_
