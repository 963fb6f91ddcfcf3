#ifndef CONDENSE_WORKERS_ENGINE_RUNTIME_STEP_H_
#define CONDENSE_WORKERS_ENGINE_RUNTIME_STEP_H_

#include <torch/torch.h>

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "workers/engine/graph/graph.h"
#include "workers/engine/runtime/precision.h"

namespace condense::runtime {

// What a kernel gets: its inputs (undefined where omitted) and the mode.
struct Call {
  const std::vector<torch::Tensor>& in;
  bool training = false;
  // The result may be written over input 0, which nothing else reads. Only
  // kernels that WritesInPlace names are asked to.
  bool in_place = false;
  // The node runs once more for its gradients (checkpointing.h): what it keeps
  // from step to step, as running statistics, has been updated already.
  bool replay = false;

  bool Has(size_t i) const { return i < in.size() && in[i].defined(); }
  // Input `i`, undefined if it is omitted.
  torch::Tensor Optional(size_t i) const {
    return Has(i) ? in[i] : torch::Tensor();
  }
};

// Computes the outputs of one node. Attributes are bound when it is made.
using Kernel = std::function<std::vector<torch::Tensor>(const Call&)>;

// The elements of an integer tensor, whatever its device and width.
std::vector<int64_t> IntsOf(const torch::Tensor& tensor);

// An integer input (sizes, axes, pads): bound once where it is a constant, read
// at every call where it is computed.
class IntsInput {
 public:
  IntsInput() = default;
  IntsInput(size_t index, std::optional<std::vector<int64_t>> constant)
      : index_(index), given_(true), constant_(std::move(constant)) {}

  // False where the node omits it.
  bool given() const { return given_; }
  std::vector<int64_t> operator()(const Call& call) const {
    return constant_ ? *constant_ : IntsOf(call.in[index_]);
  }
  // The elements, or `fallback` where the node omits the input.
  std::vector<int64_t> Or(const Call& call,
                          std::vector<int64_t> fallback) const {
    return given_ ? (*this)(call) : std::move(fallback);
  }

 private:
  size_t index_ = 0;
  bool given_ = false;
  std::optional<std::vector<int64_t>> constant_;
};

// What a kernel maker may look at.
struct KernelContext {
  const graph::Graph& graph;
  const graph::Node& node;
  // "cpu" or "cuda:N": where subgraphs run.
  std::string device = "cpu";

  bool Has(size_t input) const { return node.input(input) != graph::kNoValue; }
  IntsInput Ints(size_t input) const;
  // The number of dimensions, -1 if it is not known.
  int64_t RankOf(size_t input) const;
  // UNIMPLEMENTED with reason NO_KERNEL: "<op> <what>".
  absl::Status Unsupported(const std::string& what) const;
};

using KernelMaker = std::function<absl::StatusOr<Kernel>(const KernelContext&)>;
using KernelTable = std::map<std::string, KernelMaker>;

// The families; each adds its operators to the table.
void AddActivationKernels(KernelTable* table);
void AddArithmeticKernels(KernelTable* table);
void AddControlFlowKernels(KernelTable* table);
void AddConvolutionKernels(KernelTable* table);
void AddDetectionKernels(KernelTable* table);
void AddIndexingKernels(KernelTable* table);
void AddIntegerKernels(KernelTable* table);
void AddLogicKernels(KernelTable* table);
void AddLossKernels(KernelTable* table);
void AddNormalizationKernels(KernelTable* table);
void AddPoolingKernels(KernelTable* table);
void AddQuantizationKernels(KernelTable* table);
void AddQuantizeLinearKernels(KernelTable* table);
void AddRecurrentKernels(KernelTable* table);
void AddReductionKernels(KernelTable* table);
void AddResizeKernels(KernelTable* table);
void AddShapeKernels(KernelTable* table);
void AddSignalKernels(KernelTable* table);

// Every operator that the runtime has a kernel for, "domain::Op" outside of the
// default domain.
const KernelTable& AllKernels();

// A negative axis counts from the end.
inline int64_t WrapAxis(int64_t axis, int64_t rank) {
  return axis < 0 ? axis + rank : axis;
}

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
  CastPolicy cast = CastPolicy::kKeep;
  // The step that made input 0, where this one may write over it; -1: it may
  // not.
  int in_place_of = -1;
  // Of inputs: whether it is a constant of the graph.
  std::vector<bool> constant;
  // Reused from call to call.
  std::vector<torch::Tensor> arguments;
};

}  // namespace condense::runtime

#endif  // CONDENSE_WORKERS_ENGINE_RUNTIME_STEP_H_
