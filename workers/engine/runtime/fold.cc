#include "workers/engine/runtime/fold.h"

#include <algorithm>

#include "common/status_macros.h"
#include "workers/engine/runtime/executor.h"

namespace condense::runtime {
namespace {

using graph::Graph;
using graph::kNoValue;
using graph::Node;
using graph::NodeId;
using graph::ValueId;

constexpr int64_t kBytesMax = 16 << 20;

bool CanFold(const Graph& graph, const Node& node) {
  // Quantizers of constants are what makes them small; loops may not end.
  if (!node.domain.empty() || node.Is("DequantizeLinear") ||
      node.Is("QuantizeLinear") || node.Is("Loop") || node.Is("Scan")) {
    return false;
  }
  for (ValueId id : node.inputs) {
    if (id != kNoValue && !graph.IsConstant(id)) return false;
  }
  return std::none_of(
      node.outputs.begin(), node.outputs.end(),
      [&](ValueId id) { return id != kNoValue && graph.IsOutput(id); });
}

int64_t BytesOf(const graph::Tensor& tensor) {
  return static_cast<int64_t>(tensor.bytes().size());
}

// Whether the node's outputs are known to be small, or no larger than its
// inputs.
bool Fits(const Graph& graph, const Node& node) {
  int64_t in = 0, out = 0;
  for (ValueId id : node.inputs) {
    if (id != kNoValue) in += BytesOf(*graph.ConstantOf(id));
  }
  for (ValueId id : node.outputs) {
    if (id == kNoValue) continue;
    const auto& shape = graph.value(id).shape;
    const auto dims = shape ? graph::KnownDims(*shape) : std::nullopt;
    if (!dims) return false;
    int64_t bytes = 8;
    for (int64_t dim : *dims) {
      if (dim > 0 && bytes > kBytesMax * 16 / dim) return false;
      bytes *= dim;
    }
    out += bytes;
  }
  return out <= std::max(2 * in, kBytesMax);
}

// The node alone, in a graph of its own.
absl::StatusOr<std::vector<graph::Tensor>> Evaluate(const Graph& graph,
                                                    const Node& node) {
  Graph alone;
  std::vector<ValueId> inputs;
  for (ValueId id : node.inputs) {
    inputs.push_back(id == kNoValue ? kNoValue
                                    : alone.AddConstant(graph.value(id).name,
                                                        *graph.ConstantOf(id)));
  }
  std::vector<std::string> names;
  for (size_t i = 0; i < node.outputs.size(); ++i) names.push_back("y");
  const NodeId id =
      alone.AddNode(node.op, node.name, std::move(inputs), names, node.attrs);
  for (ValueId output : alone.node(id).outputs) alone.AddOutput(output);
  for (size_t i = 0; i < node.outputs.size(); ++i) {
    if (node.outputs[i] == kNoValue) continue;
    alone.mutable_value(alone.node(id).outputs[i]).dtype =
        graph.value(node.outputs[i]).dtype;
  }
  CONDENSE_ASSIGN_OR_RETURN(auto executor, Executor::Create(alone));
  const torch::NoGradGuard no_grad;
  CONDENSE_ASSIGN_OR_RETURN(const auto results, executor->Run({}));
  std::vector<graph::Tensor> tensors;
  for (size_t i = 0; i < results.size(); ++i) {
    tensors.push_back(
        results[i].defined()
            ? FromTorch(results[i], alone.value(alone.outputs()[i]).dtype)
            : graph::Tensor());
  }
  return tensors;
}

}  // namespace

absl::StatusOr<bool> FoldNodes(Graph* graph) {
  bool changed = false;
  const std::vector<NodeId> order = graph->order();
  for (NodeId id : order) {
    const Node& node = graph->node(id);
    if (!CanFold(*graph, node) || !Fits(*graph, node)) continue;
    const auto tensors = Evaluate(*graph, node);
    if (!tensors.ok()) continue;  // it fails when the model runs, with its name
    const std::vector<ValueId> outputs = node.outputs;
    for (size_t i = 0; i < outputs.size(); ++i) {
      if (outputs[i] == kNoValue) continue;
      const std::string name = graph->value(outputs[i]).name;
      const ValueId constant = graph->AddConstant(name, (*tensors)[i]);
      graph->ReplaceUses(outputs[i], constant);
      graph->RenameValue(constant, name);
    }
    graph->RemoveNode(id);
    changed = true;
  }
  if (changed) graph->RemoveDeadValues();
  return changed;
}

}  // namespace condense::runtime
