#ifndef CONDENSE_WORKERS_ENGINE_RUNTIME_STEP_H_
#define CONDENSE_WORKERS_ENGINE_RUNTIME_STEP_H_

#include <torch/torch.h>

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "workers/engine/graph/graph.h"

namespace condense::runtime {

// What a kernel gets: its inputs (undefined where omitted) and the mode.
struct Call {
  const std::vector<torch::Tensor>& in;
  bool training = false;
};

// Computes the outputs of one node. Attributes are bound when it is made.
using Kernel = std::function<std::vector<torch::Tensor>(const Call&)>;

// What a kernel maker may look at.
struct KernelContext {
  const graph::Graph& graph;
  const graph::Node& node;

  // An integer input that must be a constant (shapes, axes); empty optional if
  // the input is omitted.
  absl::StatusOr<std::optional<std::vector<int64_t>>> Ints(size_t input) const;
  // Likewise for floats.
  absl::StatusOr<std::optional<std::vector<float>>> Floats(size_t input) const;
  int64_t RankOf(size_t input) const;
};

using KernelMaker = std::function<absl::StatusOr<Kernel>(const KernelContext&)>;
using KernelTable = std::map<std::string, KernelMaker>;

// The families; each adds its operators to the table.
void AddConvolutionKernels(KernelTable* table);
void AddElementwiseKernels(KernelTable* table);
void AddShapeKernels(KernelTable* table);
void AddReductionKernels(KernelTable* table);
void AddQuantizationKernels(KernelTable* table);

// One node, ready to run.
class Step {
 public:
  graph::NodeId node = graph::kNoNode;
  std::string name;
  Kernel kernel;
  std::vector<graph::ValueId> inputs;
  std::vector<graph::ValueId> outputs;
  // Slots that nothing reads after this step.
  std::vector<graph::ValueId> release;
  // Reused from call to call.
  std::vector<torch::Tensor> arguments;
};

}  // namespace condense::runtime

#endif  // CONDENSE_WORKERS_ENGINE_RUNTIME_STEP_H_
