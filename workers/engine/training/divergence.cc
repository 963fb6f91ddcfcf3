#include "workers/engine/training/divergence.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <set>
#include <vector>

#include "absl/strings/str_cat.h"

namespace condense::training {
namespace {

bool IsFinite(const torch::Tensor& tensor) {
  return !tensor.is_floating_point() || at::isfinite(tensor).all().item<bool>();
}

const char* KindOf(const torch::Tensor& tensor) {
  return at::isnan(tensor).any().item<bool>() ? "NaN" : "an infinite value";
}

std::string Describe(const graph::Node& node) {
  return absl::StrCat("layer '", node.name, "' (", node.op, ")");
}

// Calls `see` with each value that a node computes, in order.
void RunObserved(
    const graph::Graph& graph, const TrainBatch& batch,
    runtime::Executor* model,
    const std::function<void(const graph::Node&, const torch::Tensor&)>& see) {
  const torch::NoGradGuard no_grad;
  std::vector<graph::ValueId> computed;
  for (graph::NodeId id : graph.order()) {
    for (graph::ValueId out : graph.node(id).outputs) {
      if (out != graph::kNoValue) computed.push_back(out);
    }
  }
  model->Observe(computed, [&](graph::ValueId id, const torch::Tensor& value) {
    see(graph.node(graph.value(id).producer), value);
  });
  model->Forward({batch.x});
  model->Observe({}, nullptr);
}

// Values that are infinite because the model says so (attention masks), and
// what they make infinite in turn.
class Excuses {
 public:
  Excuses(const graph::Graph& graph, const runtime::Executor& model)
      : graph_(graph), model_(model) {}

  // Notes a node whose output is not finite; true: that is no fault.
  bool Excuse(const graph::Node& node, const torch::Tensor& output) {
    if (at::isnan(output).any().item<bool>()) return false;
    for (graph::ValueId input : node.inputs) {
      if (input == graph::kNoValue || !IsInfinite(input)) continue;
      excused_.insert(node.outputs.begin(), node.outputs.end());
      return true;
    }
    return false;
  }

 private:
  bool IsInfinite(graph::ValueId id) const {
    if (graph_.ConstantOf(id) == nullptr) return excused_.count(id) > 0;
    const torch::Tensor constant = model_.ConstantTensor(id);
    return constant.defined() && !constant.requires_grad() &&
           !IsFinite(constant);
  }

  const graph::Graph& graph_;
  const runtime::Executor& model_;
  std::set<graph::ValueId> excused_;
};

}  // namespace

bool DivergenceWatch::Diverged(double loss, int64_t classes) {
  if (reference_ == 0) {
    reference_ =
        std::max(std::abs(loss),
                 std::log(std::max<double>(2, static_cast<double>(classes))));
  }
  above_ = loss > bound() ? above_ + 1 : 0;
  return above_ >= options_.steps;
}

torch::Tensor DivergenceWatch::State() const {
  return torch::tensor({reference_, static_cast<double>(above_)},
                       torch::kFloat64);
}

void DivergenceWatch::Restore(const torch::Tensor& state) {
  reference_ = state.data_ptr<double>()[0];
  above_ = static_cast<int64_t>(state.data_ptr<double>()[1]);
}

std::string ReaderOf(const graph::Graph& graph, const std::string& value) {
  const graph::ValueId id = graph.FindValue(value);
  if (id == graph::kNoValue) return "";
  const auto readers = graph.Consumers(id);
  return readers.empty() ? "" : graph.node(readers[0]).name;
}

Fault FindNotFinite(const graph::Graph& graph, const TrainBatch& batch,
                    runtime::Executor* model) {
  if (!IsFinite(batch.x)) {
    return {"", absl::StrCat("the data has ", KindOf(batch.x))};
  }
  for (const runtime::Parameter& parameter : model->parameters()) {
    if (IsFinite(parameter.tensor)) continue;
    const std::string node = ReaderOf(graph, parameter.name);
    return {node,
            absl::StrCat("the parameter '", parameter.name, "' of layer '",
                         node, "' has ", KindOf(parameter.tensor))};
  }
  Fault fault;
  Excuses excuses(graph, *model);
  RunObserved(graph, batch, model,
              [&](const graph::Node& node, const torch::Tensor& value) {
                if (!fault.what.empty() || IsFinite(value) ||
                    excuses.Excuse(node, value)) {
                  return;
                }
                fault = {node.name,
                         absl::StrCat("it began in ", Describe(node),
                                      ", whose output has ", KindOf(value))};
              });
  if (fault.what.empty()) fault.what = "it began in the loss";
  return fault;
}

Fault FindLargest(const graph::Graph& graph, const TrainBatch& batch,
                  runtime::Executor* model) {
  Fault fault;
  double most = -1;
  RunObserved(graph, batch, model,
              [&](const graph::Node& node, const torch::Tensor& value) {
                if (!value.is_floating_point() || value.numel() == 0) return;
                const double size = value.abs().max().item<double>();
                if (size <= most) return;
                most = size;
                fault = {node.name,
                         absl::StrCat("outputs are the largest in ",
                                      Describe(node), ", up to ", size)};
              });
  return fault;
}

}  // namespace condense::training
