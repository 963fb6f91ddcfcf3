#include "workers/engine/runtime/executor.h"

#include <set>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/error.h"
#include "common/status_macros.h"
#include "workers/engine/runtime/checkpointing.h"
#include "workers/engine/runtime/in_place.h"
#include "workers/engine/runtime/step.h"

namespace condense::runtime {
namespace {

using graph::Graph;
using graph::kNoValue;
using graph::Node;
using graph::ValueId;

// A quantizer whose scale is trained with the weights (learned_step.h).
bool HasLearnedScale(const Node& node) {
  return node.IsFakeQuantize() && node.Has("learned");
}

// A quantizer whose table of levels is (table_quantize.h).
bool HasLearnedTable(const Node& node) {
  return node.IsFakeQuantize() && node.String("projection", "") == "lut";
}

// What input `i` of the node is to training, if it is a float constant.
std::optional<ParameterKind> KindOf(const Node& node, size_t i) {
  if (HasLearnedScale(node) && i == 1) return ParameterKind::kNorm;
  if (HasLearnedTable(node) && i == 3) return ParameterKind::kNorm;
  // A quantized weight is trained through its quantizer.
  if (node.IsFakeQuantize() && i == 0 && node.String("role", "") == "weight") {
    return ParameterKind::kWeight;
  }
  if (!node.domain.empty()) return std::nullopt;
  const std::string& op = node.op;
  if (op == "Conv" || op == "ConvTranspose" || op == "Gemm") {
    if (i == 1) return ParameterKind::kWeight;
    if (i == 2) return ParameterKind::kBias;
    return std::nullopt;
  }
  if (op == "MatMul") return ParameterKind::kWeight;
  if (op == "BatchNormalization" || op == "InstanceNormalization" ||
      op == "LayerNormalization") {
    if (i == 1 || i == 2) return ParameterKind::kNorm;
    return std::nullopt;
  }
  if (op == "PRelu" && i == 1) return ParameterKind::kBias;
  if (op == "Add" || op == "Mul" || op == "Sub") return ParameterKind::kBias;
  return std::nullopt;
}

bool IsBuffer(const Node& node, size_t i) {
  if (HasLearnedTable(node) && i == 3) return false;
  return (node.Is("BatchNormalization") && i >= 3) ||
         (node.IsFakeQuantize() && i >= (HasLearnedScale(node) ? 2 : 1));
}

absl::Status FromException(const std::exception& error) {
  const std::string what = error.what();
  const std::string first = what.substr(0, what.find('\n'));
  if (absl::StrContains(what, "out of memory") ||
      absl::StrContains(what, "can't allocate memory")) {
    return MakeError(absl::StatusCode::kResourceExhausted, "OUT_OF_MEMORY",
                     first, {.hint = "use a smaller batch_size"});
  }
  return MakeError(absl::StatusCode::kInternal, "RUNTIME_ERROR", first);
}

}  // namespace

Executor::Executor() : device_(torch::kCPU) {}

Executor::~Executor() = default;

// Turns a graph into an executor.
class Compiler {
 public:
  Compiler(const Graph& graph, const ExecutorOptions& options)
      : graph_(graph), options_(options), executor_(new Executor()) {}

  absl::StatusOr<std::unique_ptr<Executor>> Run() {
    executor_->device_ = torch::Device(options_.device);
    executor_->options_ = options_;
    executor_->inputs_ = graph_.inputs();
    executor_->outputs_ = graph_.outputs();
    executor_->slots_.resize(graph_.value_limit());
    executor_->constant_.assign(graph_.value_limit(), false);
    executor_->observed_.assign(graph_.value_limit(), false);
    executor_->names_.resize(graph_.value_limit());
    for (ValueId id : graph_.values()) {
      executor_->names_[id] = graph_.value(id).name;
    }
    for (graph::NodeId id : graph_.order()) {
      CONDENSE_RETURN_IF_ERROR(AddStep(graph_.node(id)));
    }
    for (ValueId id : graph_.outputs()) {
      CONDENSE_RETURN_IF_ERROR(AddConstant(id));
    }
    PlanReleases();
    PlanInPlace();
    if (options_.checkpoint_activations) executor_->cuts_ = PlanCuts(graph_);
    executor_->PlanSegments();
    return std::move(executor_);
  }

 private:
  absl::Status AddConstant(ValueId id) {
    const graph::Tensor* tensor = graph_.ConstantOf(id);
    if (tensor == nullptr || executor_->constant_[id]) return absl::OkStatus();
    CONDENSE_ASSIGN_OR_RETURN(torch::Tensor value, ToTorch(*tensor));
    value = value.to(executor_->device_);
    if (options_.channels_last && value.dim() == 4) {
      value = value.contiguous(at::MemoryFormat::ChannelsLast);
    }
    executor_->slots_[id] = value;
    executor_->constant_[id] = true;
    return absl::OkStatus();
  }

  void Register(const Node& node, size_t i) {
    const ValueId id = node.inputs[i];
    torch::Tensor& value = executor_->slots_[id];
    if (!registered_.insert(id).second) return;
    if (IsBuffer(node, i)) {
      executor_->buffers_[graph_.value(id).name] = value;
      return;
    }
    const auto kind = KindOf(node, i);
    if (!kind || !value.is_floating_point() || !Trainable(node, i)) {
      registered_.erase(id);
      return;
    }
    value.set_requires_grad(true);
    executor_->parameters_.push_back({graph_.value(id).name, id, *kind, value});
  }

  // Scalars of decomposed activations and image scaling are not weights.
  bool Trainable(const Node& node, size_t i) const {
    const bool elementwise =
        node.op == "Add" || node.op == "Mul" || node.op == "Sub";
    const graph::Tensor& tensor = *graph_.ConstantOf(node.inputs[i]);
    return !elementwise || tensor.num_elements() > 1;
  }

  absl::Status AddStep(const Node& node) {
    const std::string key = node.domain.empty()
                                ? node.op
                                : absl::StrCat(node.domain, "::", node.op);
    auto maker = AllKernels().find(key);
    if (maker == AllKernels().end()) {
      return MakeError(absl::StatusCode::kUnimplemented, "NO_KERNEL",
                       absl::StrCat("the runtime cannot run ", key),
                       {.node = node.name});
    }
    auto kernel = maker->second(KernelContext{graph_, node, options_.device});
    if (!kernel.ok()) {
      return MakeError(kernel.status().code(), ErrorReason(kernel.status()),
                       std::string(kernel.status().message()),
                       {.node = node.name});
    }
    auto step = std::make_unique<Step>();
    step->node = node.id;
    step->name = node.name;
    step->kernel = *std::move(kernel);
    step->inputs = node.inputs;
    step->outputs = node.outputs;
    step->arguments.resize(node.inputs.size());
    step->constant.assign(node.inputs.size(), false);
    if (options_.precision != Precision::kFloat32) {
      step->cast = CastPolicyOf(node);
    }
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      if (node.inputs[i] == kNoValue) continue;
      CONDENSE_RETURN_IF_ERROR(AddConstant(node.inputs[i]));
      if (executor_->constant_[node.inputs[i]]) Register(node, i);
      step->constant[i] = executor_->constant_[node.inputs[i]];
    }
    executor_->steps_.push_back(std::move(step));
    return absl::OkStatus();
  }

  void PlanReleases() {
    std::vector<bool> seen(graph_.value_limit(), false);
    for (ValueId id : graph_.outputs()) seen[id] = true;
    for (auto it = executor_->steps_.rbegin(); it != executor_->steps_.rend();
         ++it) {
      auto release = [&](ValueId id) {
        if (id == kNoValue || seen[id] || executor_->constant_[id]) return;
        seen[id] = true;
        (*it)->release.push_back(id);
      };
      for (ValueId id : (*it)->inputs) release(id);
      for (ValueId id : (*it)->outputs) release(id);
    }
  }

  void PlanInPlace() {
    std::vector<int> uses(graph_.value_limit(), 0);
    std::vector<int> maker(graph_.value_limit(), -1);
    for (ValueId id : graph_.outputs()) ++uses[id];
    for (size_t i = 0; i < executor_->steps_.size(); ++i) {
      const Step& step = *executor_->steps_[i];
      for (ValueId id : step.inputs) {
        if (id != kNoValue) ++uses[id];
      }
      for (ValueId id : step.outputs) {
        if (id != kNoValue) maker[id] = static_cast<int>(i);
      }
    }
    // The step whose result `x` may be written over, or -1.
    const auto free_maker = [&](ValueId x) {
      if (x == kNoValue || uses[x] != 1 || maker[x] < 0) return -1;
      const Step& before = *executor_->steps_[maker[x]];
      return LeavesItsResult(graph_.node(before.node)) ? maker[x] : -1;
    };
    for (const auto& step : executor_->steps_) {
      const Node& node = graph_.node(step->node);
      if (!WritesInPlace(node)) continue;
      step->in_place_of = free_maker(step->inputs[0]);
      // A sum does not mind which side it is written over.
      if (step->in_place_of >= 0 || !node.Is("Add")) continue;
      step->in_place_of = free_maker(step->inputs[1]);
      if (step->in_place_of >= 0) {
        std::swap(step->inputs[0], step->inputs[1]);
        step->constant = {step->constant[1], step->constant[0]};
      }
    }
  }

  const Graph& graph_;
  const ExecutorOptions options_;
  std::unique_ptr<Executor> executor_;
  std::set<ValueId> registered_;
};

absl::StatusOr<std::unique_ptr<Executor>> Executor::Create(
    const Graph& graph, const ExecutorOptions& options) {
  try {
    return Compiler(graph, options).Run();
  } catch (const std::exception& error) {
    return FromException(error);
  }
}

void Executor::SetInputs(const std::vector<torch::Tensor>& inputs) {
  for (size_t i = 0; i < inputs_.size(); ++i) {
    torch::Tensor x = inputs[i].to(device_);
    if (options_.channels_last && x.dim() == 4 && x.is_floating_point()) {
      x = x.contiguous(at::MemoryFormat::ChannelsLast);
    }
    slots_[inputs_[i]] = std::move(x);
    if (observer_ && observed_[inputs_[i]]) {
      observer_(inputs_[i], slots_[inputs_[i]]);
    }
  }
}

void Executor::RunStep(Step& step, int first, Pass pass) {
  for (size_t i = 0; i < step.inputs.size(); ++i) {
    if (step.inputs[i] != kNoValue) step.arguments[i] = slots_[step.inputs[i]];
  }
  if (step.cast != CastPolicy::kKeep) {
    CastArguments(step.cast, ScalarTypeOf(options_.precision), step.constant,
                  &step.arguments);
  }
  const bool in_place = step.in_place_of >= first && !observed_[step.inputs[0]];
  std::vector<torch::Tensor> results = step.kernel(
      Call{step.arguments, training_, in_place, pass == Pass::kReplay});
  for (torch::Tensor& argument : step.arguments) argument.reset();
  for (size_t i = 0; i < step.outputs.size(); ++i) {
    const ValueId id = step.outputs[i];
    if (id == kNoValue || i >= results.size()) continue;
    slots_[id] = std::move(results[i]);
    // Sizes and indices are made on the CPU.
    if (!device_.is_cpu() && slots_[id].defined()) {
      slots_[id] = slots_[id].to(device_);
    }
    if (observer_ && observed_[id] && pass == Pass::kPlain) {
      observer_(id, slots_[id]);
    }
  }
  for (ValueId id : step.release) {
    if (pass == Pass::kPlain || !observed_[id]) slots_[id].reset();
  }
}

void Executor::RunSteps(int begin, int end, Pass pass) {
  for (int i = begin; i < end; ++i) RunStep(*steps_[i], begin, pass);
}

std::vector<torch::Tensor> Executor::TakeOutputs() {
  std::vector<torch::Tensor> outputs;
  outputs.reserve(outputs_.size());
  for (ValueId id : outputs_) {
    outputs.push_back(slots_[id]);
    if (options_.precision != Precision::kFloat32 && outputs.back().defined() &&
        outputs.back().scalar_type() == ScalarTypeOf(options_.precision)) {
      outputs.back() = outputs.back().to(torch::kFloat32);
    }
  }
  for (ValueId id : outputs_) {
    if (!constant_[id]) slots_[id].reset();
  }
  return outputs;
}

void Executor::DropActivations() {
  for (const auto& step : steps_) {
    for (torch::Tensor& argument : step->arguments) argument.reset();
  }
  for (size_t id = 0; id < slots_.size(); ++id) {
    if (!constant_[id]) slots_[id].reset();
  }
}

std::vector<torch::Tensor> Executor::Forward(
    const std::vector<torch::Tensor>& inputs) {
  try {
    SetInputs(inputs);
    if (training_ && !segments_.empty() && torch::GradMode::is_enabled()) {
      RunSegments();
    } else {
      RunSteps(0, static_cast<int>(steps_.size()), Pass::kPlain);
    }
    return TakeOutputs();
  } catch (...) {
    // What a step that failed has left would be held until the next run.
    DropActivations();
    throw;
  }
}

absl::StatusOr<std::vector<torch::Tensor>> Executor::Run(
    const std::vector<torch::Tensor>& inputs) {
  if (inputs.size() != inputs_.size()) {
    return MakeError(absl::StatusCode::kInvalidArgument, "WRONG_INPUTS",
                     absl::StrCat("the model takes ", inputs_.size(),
                                  " inputs, not ", inputs.size()));
  }
  try {
    return Forward(inputs);
  } catch (const std::exception& error) {
    return FromException(error);
  }
}

torch::Tensor Executor::ConstantTensor(ValueId id) const {
  return constant_[id] ? slots_[id] : torch::Tensor();
}

void Executor::SetConstantTensor(ValueId id, const torch::Tensor& tensor) {
  torch::NoGradGuard no_grad;
  slots_[id].copy_(tensor);
}

void Executor::Observe(const std::vector<ValueId>& values, Observer callback) {
  observed_.assign(observed_.size(), false);
  for (ValueId id : values) observed_[id] = true;
  observer_ = values.empty() ? nullptr : std::move(callback);
  // What is observed leaves its segment.
  PlanSegments();
}

absl::Status Executor::StoreTo(Graph* graph) const {
  auto store = [&](const std::string& name,
                   const torch::Tensor& tensor) -> absl::Status {
    const ValueId id = graph->FindValue(name);
    if (id == kNoValue || !graph->IsConstant(id)) {
      return MakeError(absl::StatusCode::kInternal, "VALUE_GONE",
                       absl::StrCat("no constant '", name, "' in the graph"));
    }
    graph->SetConstant(id, FromTorch(tensor));
    return absl::OkStatus();
  };
  for (const Parameter& parameter : parameters_) {
    CONDENSE_RETURN_IF_ERROR(store(parameter.name, parameter.tensor));
  }
  for (const auto& [name, tensor] : buffers_) {
    CONDENSE_RETURN_IF_ERROR(store(name, tensor));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> ResolveDevice(const std::string& name) {
  const int gpus = torch::cuda::is_available()
                       ? static_cast<int>(torch::cuda::device_count())
                       : 0;
  if (name.empty() || name == "cpu") return std::string("cpu");
  if (name == "auto") return std::string(gpus > 0 ? "cuda:0" : "cpu");
  int index = 0;
  const bool cuda =
      name == "cuda" || (absl::StartsWith(name, "cuda:") &&
                         absl::SimpleAtoi(name.substr(5), &index));
  if (cuda && index >= 0 && index < gpus) return absl::StrCat("cuda:", index);
  return MakeError(absl::StatusCode::kInvalidArgument, "NO_DEVICE",
                   absl::StrCat("no device '", name, "' here"),
                   {.hint = absl::StrCat("cpu, or one of ", gpus, " GPUs")});
}

void SetThreads(int threads) {
  if (threads <= 0)
    threads = static_cast<int>(std::thread::hardware_concurrency());
  at::set_num_threads(std::max(1, threads));
}

}  // namespace condense::runtime
