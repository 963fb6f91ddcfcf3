#ifndef CONDENSE_WORKERS_ENGINE_RUNTIME_EXECUTOR_H_
#define CONDENSE_WORKERS_ENGINE_RUNTIME_EXECUTOR_H_

#include <torch/torch.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "workers/engine/graph/graph.h"
#include "workers/engine/runtime/precision.h"

namespace condense::runtime {

struct ExecutorOptions {
  // "cpu" or "cuda:N".
  std::string device = "cpu";
  // 4-D activations and weights in channels_last memory format.
  bool channels_last = false;
  // Of convolutions and matrix products; outputs are float32 in any case.
  Precision precision = Precision::kFloat32;
  // In training, keep activations only where the graph is cut into segments
  // and compute the rest again for the gradients (checkpointing.h): less
  // memory, one more forward pass.
  bool checkpoint_activations = false;
};

// What a parameter is to the optimizer: weight decay is for weights only.
enum class ParameterKind { kWeight, kBias, kNorm };

// A trainable constant of the graph as a leaf tensor.
struct Parameter {
  // The value's name.
  std::string name;
  graph::ValueId value = graph::kNoValue;
  ParameterKind kind = ParameterKind::kWeight;
  torch::Tensor tensor;
};

class Step;

// A graph compiled to a flat list of LibTorch calls: runs forward, and backward
// through autograd. Trainable are the float constants that Conv,
// ConvTranspose, Gemm, MatMul, BatchNormalization (scale, shift), PRelu,
// LayerNormalization and elementwise operators read. Tensors are dropped after
// their last use, and written over where nothing else reads them. Not
// thread-safe; must outlive the gradients of what it returned.
class Executor {
 public:
  // The graph is read, not kept; shapes need not be inferred. UNIMPLEMENTED
  // with reason NO_KERNEL and the node for an operator without kernel.
  static absl::StatusOr<std::unique_ptr<Executor>> Create(
      const graph::Graph& graph, const ExecutorOptions& options = {});
  ~Executor();

  // Batch statistics and their running averages, as ONNX defines
  // BatchNormalization in training: running = running * momentum + batch * (1 -
  // momentum), with the biased batch variance for normalising and the unbiased
  // one for the average (PyTorch's rule, which exported models were trained
  // by); a single value per channel is not averaged. Off at first.
  void SetTraining(bool training) { training_ = training; }
  bool training() const { return training_; }

  // Outputs in the graph's order. Run catches LibTorch's exceptions: INTERNAL
  // with reason RUNTIME_ERROR, RESOURCE_EXHAUSTED with reason OUT_OF_MEMORY.
  // Forward lets them through, for loops inside of the engine.
  absl::StatusOr<std::vector<torch::Tensor>> Run(
      const std::vector<torch::Tensor>& inputs);
  std::vector<torch::Tensor> Forward(const std::vector<torch::Tensor>& inputs);

  std::vector<Parameter>& parameters() { return parameters_; }
  // Running statistics, and scales and zero points of FakeQuantize, by name.
  std::map<std::string, torch::Tensor>& buffers() { return buffers_; }
  // The tensor of a constant; undefined if the executor does not hold one.
  torch::Tensor ConstantTensor(graph::ValueId id) const;
  void SetConstantTensor(graph::ValueId id, const torch::Tensor& tensor);

  // Calls `callback` with each of these values right after it is computed
  // (graph inputs too). Replaces the observer before; empty: none.
  using Observer = std::function<void(graph::ValueId, const torch::Tensor&)>;
  void Observe(const std::vector<graph::ValueId>& values, Observer callback);

  // Writes parameters and buffers back into the constants of the graph that it
  // was made from (or one with the same value names).
  absl::Status StoreTo(graph::Graph* graph) const;

  torch::Device device() const { return device_; }

 private:
  friend class Compiler;
  friend class SegmentFunction;

  // Steps that run without graph in the forward pass and once more, with it, in
  // the backward pass.
  struct Segment {
    int begin = 0;
    int end = 0;
    // Values from before that it reads.
    std::vector<graph::ValueId> inputs;
    // Those of its own that are read later, and behind these `crossing` ones
    // those that are only observed.
    std::vector<graph::ValueId> outputs;
    size_t crossing = 0;
    // Constants that it reads.
    std::vector<graph::ValueId> constants;
  };

  Executor();
  void SetInputs(const std::vector<torch::Tensor>& inputs);
  std::vector<torch::Tensor> TakeOutputs();
  // In a segment observers see its outputs alone; a replay changes nothing.
  enum class Pass { kPlain, kSegment, kReplay };
  void RunSteps(int begin, int end, Pass pass);
  void RunStep(Step& step, int first, Pass pass);
  void RunSegments();
  void RunSegment(size_t index);
  // The values `outputs` of the segment, computed again from its inputs.
  std::vector<torch::Tensor> Replay(const Segment& segment,
                                    const std::vector<torch::Tensor>& inputs,
                                    const std::vector<int64_t>& outputs);
  void PlanSegments();
  void AddSegmentOutputs(const std::vector<int>& last_use, Segment* segment);
  void DropActivations();

  torch::Device device_;
  ExecutorOptions options_;
  bool training_ = false;
  std::vector<std::unique_ptr<Step>> steps_;
  // Indexed by ValueId; constants stay, others live during Forward.
  std::vector<torch::Tensor> slots_;
  std::vector<bool> constant_;
  std::vector<bool> observed_;
  std::vector<graph::ValueId> inputs_;
  std::vector<graph::ValueId> outputs_;
  std::vector<std::string> names_;
  std::vector<Parameter> parameters_;
  std::map<std::string, torch::Tensor> buffers_;
  Observer observer_;
  // Where segments begin; empty without checkpointing.
  std::vector<int> cuts_;
  std::vector<Segment> segments_;
};

// A tensor of the graph as LibTorch has it (see dtype.h for the types that it
// lacks), and back. UNIMPLEMENTED with reason NO_TORCH_DTYPE for strings.
absl::StatusOr<torch::Tensor> ToTorch(const graph::Tensor& tensor);
graph::Tensor FromTorch(const torch::Tensor& tensor);
// With the type that the graph gives the value: uint16 for the int32 that
// LibTorch computed it in. Another type than `dtype`'s is kept as it is.
graph::Tensor FromTorch(const torch::Tensor& tensor, graph::DType dtype);

// "cpu", "cuda:N" or "auto" to a device that is there. INVALID_ARGUMENT with
// reason NO_DEVICE.
absl::StatusOr<std::string> ResolveDevice(const std::string& name);

// Intra-op threads; 0: one per core.
void SetThreads(int threads);

}  // namespace condense::runtime

#endif  // CONDENSE_WORKERS_ENGINE_RUNTIME_EXECUTOR_H_
