#include "workers/engine/quantization/training_graph.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "workers/engine/graph/rewrite.h"
#include "workers/engine/quantization/placement.h"
#include "workers/engine/quantization/weight_quantizer.h"

namespace condense::quantization {
namespace {

using graph::Graph;
using graph::kNoNode;
using graph::kNoValue;
using graph::Node;
using graph::NodeId;
using graph::Tensor;
using graph::ValueId;

bool IsQuantizer(const Node& node, const char* role) {
  return node.IsFakeQuantize() && node.String("role", "") == role;
}

// Whose backward pass does not look at the output.
bool ForgetsItsOutput(const Node& node) {
  static const auto& ops = *new std::set<std::string>{
      "Add",    "AveragePool",       "BatchNormalization", "Concat", "Conv",
      "Gemm",   "GlobalAveragePool", "ConvTranspose",      "MatMul", "Mul",
      "MaxPool"};
  return node.IsFakeQuantize() ||
         (node.domain.empty() && ops.count(node.op) > 0);
}

// Esser et al., arXiv:1902.08153, 2.1: 2 mean |w| / sqrt(qmax).
std::vector<float> LsqScales(const Tensor& weight, const WeightGrid& grid) {
  const std::vector<float> values = weight.ToFloats();
  const int64_t channels = grid.axis < 0 ? 1 : weight.dims()[grid.axis];
  int64_t inner = 1;
  for (int64_t i = grid.axis + 1; grid.axis >= 0 && i < weight.rank(); ++i) {
    inner *= weight.dims()[i];
  }
  std::vector<double> sums(channels, 0);
  for (size_t i = 0; i < values.size(); ++i) {
    sums[static_cast<int64_t>(i) / inner % channels] += std::abs(values[i]);
  }
  const double count = static_cast<double>(values.size()) / channels;
  std::vector<float> scales;
  for (double sum : sums) {
    const double scale =
        2 * sum / count / std::sqrt(static_cast<double>(grid.levels.qmax));
    scales.push_back(scale > 0 ? static_cast<float>(scale) : 1.0f);
  }
  return scales;
}

class Fuser {
 public:
  Fuser(const Graph& graph, const TrainingGraphOptions& options)
      : graph_(graph), options_(options) {}

  Graph Run() {
    const std::vector<NodeId> order = graph_.order();
    for (NodeId id : order) {
      Node& node = graph_.mutable_node(id);
      if (IsQuantizer(node, "weight")) {
        PrepareWeight(&node);
      } else if (IsQuantizer(node, "activation")) {
        if (ChangesNothing(node)) {
          graph_.ReplaceUses(node.outputs[0], node.inputs[0]);
          graph_.RemoveNode(id);
          continue;
        }
        node.inputs.resize(5, kNoValue);
        if (IsLearned(node)) {
          node.attrs["learned"] =
              std::string(options_.rule == ScaleRule::kLsq ? "lsq" : "pact");
        } else if (options_.observe) {
          node.inputs[3] = RangeOf(node);
        }
        TakeActivation(id);
        TakeAdd(id);
        WorkInPlace(id);
      }
    }
    return std::move(graph_);
  }

 private:
  void PrepareWeight(Node* node) {
    const WeightGrid grid = WeightGridOf(*node);
    if (grid.block_size > 0 || grid.scheme == "affine") {
      node->attrs["projection"] = std::string("fit");
      return;
    }
    if (options_.rule != ScaleRule::kLsq || grid.scheme != "max_abs") {
      node->attrs["projection"] = grid.scheme;
      return;
    }
    node->attrs["learned"] = std::string("lsq");
    if (node->Has("trained")) return;
    graph_.SetConstant(
        node->inputs[1],
        Tensor::Of<float>(
            graph_.ConstantOf(node->inputs[1])->dims(),
            LsqScales(*graph_.ConstantOf(node->inputs[0]), grid)));
  }

  // Quantizers that share a scale learn it together, in the same way.
  bool IsLearned(const Node& node) const {
    if (options_.rule == ScaleRule::kGiven) return false;
    return options_.rule == ScaleRule::kLsq ||
           graph_.ConstantOf(node.inputs[2])->ToInts()[0] ==
               node.Int("qmin", 0);
  }

  // Its input are elements of what the same grid quantized before.
  bool ChangesNothing(const Node& node) const {
    return !graph_.IsOutput(node.outputs[0]) &&
           IsOnGrid(node.inputs[0], node.inputs[1]);
  }

  bool IsOnGrid(ValueId id, ValueId scale) const {
    if (graph_.value(id).producer == kNoNode) return false;
    const Node& node = graph_.node(graph_.value(id).producer);
    if (node.IsFakeQuantize()) return node.inputs[1] == scale;
    if (KeepsValues(node)) return IsOnGrid(node.inputs[0], scale);
    if (!node.Is("Concat")) return false;
    return std::all_of(node.inputs.begin(), node.inputs.end(),
                       [&](ValueId input) { return IsOnGrid(input, scale); });
  }

  ValueId RangeOf(const Node& node) {
    const auto known = ranges_.find(node.inputs[1]);
    if (known != ranges_.end()) return known->second;
    const float scale = graph_.ConstantOf(node.inputs[1])->ToFloats()[0];
    const int64_t zero = graph_.ConstantOf(node.inputs[2])->ToInts()[0];
    const float infinity = std::numeric_limits<float>::infinity();
    const std::vector<float> ends = {
        scale * static_cast<float>(node.Int("qmin", 0) - zero),
        scale * static_cast<float>(node.Int("qmax", 255) - zero), infinity,
        -infinity};
    const ValueId range = graph_.AddConstant(
        absl::StrCat(graph_.value(node.inputs[1]).name, ".range"),
        Tensor::Of<float>({4}, ends));
    ranges_[node.inputs[1]] = range;
    return range;
  }

  // What makes the quantizer's input, if the quantizer alone reads that.
  NodeId OwnProducer(NodeId id) const {
    const ValueId x = graph_.node(id).inputs[0];
    return graph::OnlyConsumer(graph_, x) == id ? graph_.value(x).producer
                                                : kNoNode;
  }

  void TakeActivation(NodeId id) {
    const NodeId from = OwnProducer(id);
    if (from == kNoNode) return;
    const Node& producer = graph_.node(from);
    Node& node = graph_.mutable_node(id);
    if (producer.Is("Clip")) {
      const float infinity = std::numeric_limits<float>::infinity();
      const auto bound = [&](size_t i, float none) -> std::optional<float> {
        if (producer.input(i) == kNoValue) return none;
        return graph::NumberOf(graph_, producer.input(i));
      };
      const auto low = bound(1, -infinity), high = bound(2, infinity);
      if (!low || !high) return;
      node.attrs["clip_low"] = *low;
      node.attrs["clip_high"] = *high;
    } else if (!producer.Is("Relu")) {
      return;
    }
    node.attrs["before"] = producer.op;
    node.inputs[0] = producer.inputs[0];
    graph_.RemoveNode(from);
  }

  void TakeAdd(NodeId id) {
    const NodeId from = OwnProducer(id);
    if (from == kNoNode || !graph_.node(from).Is("Add")) return;
    const Node& add = graph_.node(from);
    const auto& a = graph_.value(add.inputs[0]).shape;
    const auto& b = graph_.value(add.inputs[1]).shape;
    // The quantizer's result has the shape of x.
    if (!a || !b || *a != *b || graph_.IsConstant(add.inputs[0]) ||
        graph_.IsConstant(add.inputs[1])) {
      return;
    }
    Node& node = graph_.mutable_node(id);
    node.inputs[0] = add.inputs[0];
    node.inputs[4] = add.inputs[1];
    graph_.RemoveNode(from);
    // What is read once may be written over: that one is x.
    if (OwnProducer(id) == kNoNode) std::swap(node.inputs[0], node.inputs[4]);
  }

  void WorkInPlace(NodeId id) {
    const NodeId from = OwnProducer(id);
    Node& node = graph_.mutable_node(id);
    if (from != kNoNode && !node.Has("learned") &&
        node.inputs[0] != node.inputs[4] &&
        ForgetsItsOutput(graph_.node(from))) {
      node.attrs["in_place"] = int64_t{1};
    }
  }

  Graph graph_;
  const TrainingGraphOptions options_;
  // By scale.
  std::map<ValueId, ValueId> ranges_;
};

}  // namespace

Graph TrainingGraph(const Graph& graph, const TrainingGraphOptions& options) {
  return Fuser(graph, options).Run();
}

void TakeTrained(const Graph& trained, Graph* graph) {
  for (ValueId id : graph->values()) {
    if (!graph->IsConstant(id)) continue;
    const ValueId from = trained.FindValue(graph->value(id).name);
    const Tensor* tensor = trained.ConstantOf(from);
    if (from != kNoValue && tensor != nullptr) graph->SetConstant(id, *tensor);
  }
}

}  // namespace condense::quantization
