#include "workers/engine/pipeline/other_operators.h"

#include <map>
#include <memory>

#include "absl/synchronization/mutex.h"
#include "common/status_macros.h"
#include "workers/engine/runtime/dtype.h"
#include "workers/engine/runtime/executor.h"

namespace condense::pipeline {
namespace {

using evaluation::Activation;
using graph::Graph;
using graph::kNoValue;
using graph::Node;
using graph::NodeId;
using graph::ValueId;

// One node in a graph of its own; what is no constant is an input of it.
struct Alone {
  std::unique_ptr<runtime::Executor> executor;
  std::vector<size_t> inputs;
};

class Kernels {
 public:
  explicit Kernels(const Graph* graph) : graph_(*graph) {}

  absl::StatusOr<std::vector<Activation>> Run(
      const Node& node, const std::vector<const Activation*>& inputs) {
    // An executor runs one call at a time.
    absl::MutexLock lock(&mu_);
    CONDENSE_ASSIGN_OR_RETURN(Alone * alone, Find(node));
    std::vector<torch::Tensor> tensors;
    for (size_t i : alone->inputs) {
      const auto type =
          runtime::ScalarTypeOf(graph_.value(node.inputs[i]).dtype)
              .value_or(torch::kFloat32);
      tensors.push_back(
          torch::tensor(inputs[i]->values).reshape(inputs[i]->dims).to(type));
    }
    const torch::NoGradGuard no_grad;
    CONDENSE_ASSIGN_OR_RETURN(const auto results,
                              alone->executor->Run(tensors));
    std::vector<Activation> outputs;
    for (const torch::Tensor& result : results) {
      Activation y;
      if (result.defined()) {
        const torch::Tensor flat = result.to(torch::kFloat32).contiguous();
        y.dims = flat.sizes().vec();
        y.values.assign(flat.data_ptr<float>(),
                        flat.data_ptr<float>() + flat.numel());
      }
      outputs.push_back(std::move(y));
    }
    return outputs;
  }

 private:
  absl::StatusOr<Alone*> Find(const Node& node)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    auto it = alone_.find(node.id);
    if (it != alone_.end()) return &it->second;
    Graph graph;
    Alone alone;
    std::vector<ValueId> inputs;
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      const ValueId id = node.inputs[i];
      if (id == kNoValue) {
        inputs.push_back(kNoValue);
        continue;
      }
      const graph::Value& value = graph_.value(id);
      if (const graph::Tensor* tensor = graph_.ConstantOf(id)) {
        inputs.push_back(graph.AddConstant(value.name, *tensor));
      } else {
        alone.inputs.push_back(i);
        inputs.push_back(graph.AddInput(value.name, value.dtype, value.shape));
      }
    }
    const std::vector<std::string> names(node.outputs.size(), "y");
    const NodeId id =
        graph.AddNode(node.op, node.name, inputs, names, node.attrs);
    for (ValueId output : graph.node(id).outputs) graph.AddOutput(output);
    CONDENSE_ASSIGN_OR_RETURN(alone.executor, runtime::Executor::Create(graph));
    return &alone_.emplace(node.id, std::move(alone)).first->second;
  }

  const Graph& graph_;
  absl::Mutex mu_;
  std::map<NodeId, Alone> alone_ ABSL_GUARDED_BY(mu_);
};

}  // namespace

evaluation::IntegerRuntime::Others OtherOperators(const Graph* graph) {
  // Shared because std::function must be copyable.
  auto kernels = std::make_shared<Kernels>(graph);
  return [kernels](const Node& node,
                   const std::vector<const Activation*>& inputs) {
    return kernels->Run(node, inputs);
  };
}

}  // namespace condense::pipeline
