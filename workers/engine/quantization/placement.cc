#include "workers/engine/quantization/placement.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "workers/engine/graph/bodies.h"
#include "workers/engine/graph/infer_shapes.h"
#include "workers/engine/quantization/quantizer.h"
#include "workers/engine/quantization/weight_tables.h"

namespace condense::quantization {
namespace {

using graph::Graph;
using graph::kNoValue;
using graph::Node;
using graph::NodeId;
using graph::Tensor;
using graph::ValueId;

// The least that outputs of the model get: of a few levels the largest of
// several classes is often not one.
constexpr int kOutputBits = 8;

class Placer {
 public:
  Placer(const Graph& graph, const Numerics& numerics)
      : numerics_(numerics),
        levels_(ActivationLevels(numerics.activation_unsigned,
                                 numerics.activation_bits)),
        output_levels_(
            ActivationLevels(numerics.activation_unsigned,
                             std::max(numerics.activation_bits, kOutputBits))) {
    placement_.graph = graph;
  }

  absl::StatusOr<Placement> Run() {
    for (const graph::InnerLayer& layer : graph::InnerLayers(graph())) {
      placement_.frozen[layer.name] = layer.reason;
    }
    FindKernels();
    MarkValues();
    const std::vector<NodeId> order = graph().order();
    for (NodeId id : order) QuantizeWeightOf(id);
    const std::vector<ValueId> inputs = graph().inputs();
    for (ValueId id : inputs) {
      if (marked_.count(id) > 0) QuantizeInput(id);
    }
    for (NodeId id : order) {
      const std::vector<ValueId> outputs = graph().node(id).outputs;
      for (ValueId output : outputs) QuantizeOutput(id, output);
    }
    CONDENSE_RETURN_IF_ERROR(graph::InferShapes(graph()));
    return std::move(placement_);
  }

 private:
  Graph& graph() { return placement_.graph; }

  bool Wanted(const Node& node) const {
    if (!node.domain.empty() || numerics_.skip.count(node.name) > 0)
      return false;
    // Arithmetic of shapes and indices is exact.
    const graph::DType dtype = placement_.graph.value(node.outputs[0]).dtype;
    if (dtype != graph::DType::kUndefined && !graph::IsFloating(dtype)) {
      return false;
    }
    return numerics_.quantized_ops.count(node.op) > 0;
  }

  // Computes something new on integers: not only moves elements.
  bool Computes(const Node& node) {
    if (!Wanted(node) || KeepsValues(node)) return false;
    if (HasWeight(graph(), node)) return true;
    if (node.Is("Conv") || node.Is("Gemm")) return false;
    // Arithmetic with a constant stays in float.
    for (ValueId id : node.inputs) {
      if (id != kNoValue && graph().IsConstant(id) && !node.Is("Clip"))
        return false;
    }
    return true;
  }

  // Each kernel: its first node, and the value that leaves its last.
  void FindKernels() {
    consumers_ = graph().ConsumerTable();
    std::set<NodeId> inside;
    for (NodeId id : graph().order()) {
      const Node& node = graph().node(id);
      if (inside.count(id) > 0) continue;
      if (!Computes(node)) {
        if (HasWeight(graph(), node)) {
          placement_.frozen[node.name] =
              numerics_.skip.count(node.name) > 0
                  ? "the recipe's overrides leave it in float"
                  : "the device profile runs it in float";
        }
        continue;
      }
      NodeId last = id;
      for (NodeId next : FusedAfter(id)) {
        inside.insert(next);
        last = next;
      }
      kernel_output_[id] = graph().node(last).outputs[0];
    }
  }

  // The one node that reads the node's output, if it is this operator.
  NodeId Next(NodeId id, const std::string& op) const {
    const ValueId out = placement_.graph.node(id).outputs[0];
    if (placement_.graph.IsOutput(out) || consumers_[out].size() != 1) {
      return graph::kNoNode;
    }
    const NodeId next = consumers_[out][0];
    return placement_.graph.node(next).Is(op) ? next : graph::kNoNode;
  }

  // The nodes that the longest fitting fusion adds to `id`. A normalisation
  // that will be folded into the node is part of it.
  std::vector<NodeId> FusedAfter(NodeId id) const {
    const NodeId norm = HasWeight(placement_.graph, placement_.graph.node(id))
                            ? Next(id, "BatchNormalization")
                            : graph::kNoNode;
    std::vector<NodeId> best;
    if (norm != graph::kNoNode) best.push_back(norm);
    const std::vector<NodeId> start = best;
    for (const auto& fusion : numerics_.fusions) {
      if (fusion.empty() || fusion[0] != placement_.graph.node(id).op) continue;
      std::vector<NodeId> chain = start;
      NodeId at = start.empty() ? id : norm;
      for (size_t i = 1; i < fusion.size() && at != graph::kNoNode; ++i) {
        at = Next(at, fusion[i]);
        if (at != graph::kNoNode) chain.push_back(at);
      }
      if (at != graph::kNoNode && chain.size() > best.size()) best = chain;
    }
    return best;
  }

  int BitsOf(const Node& node) const {
    const auto own = numerics_.bits.find(node.name);
    return own == numerics_.bits.end() ? numerics_.weight_bits : own->second;
  }

  // Wide weights gain nothing from activations of 8 bits.
  bool IsComputedInFloat(const Node& node) const {
    return numerics_.activation_bits <= 8 &&
           numerics_.float_bits.count(BitsOf(node)) > 0;
  }

  // Values that get a quantizer.
  void MarkValues() {
    if (numerics_.float_activations) return;
    for (const auto& [id, output] : kernel_output_) {
      const Node& node = graph().node(id);
      if (HasWeight(graph(), node) && IsComputedInFloat(node)) continue;
      const size_t activations =
          HasWeight(graph(), node) || node.Is("Clip") ? 1 : node.inputs.size();
      for (size_t i = 0; i < activations; ++i) {
        if (node.inputs[i] != kNoValue) marked_.insert(node.inputs[i]);
        // Integers that are put side by side mean the same.
        if (node.Is("Concat")) Unite(node.inputs[i], output);
      }
      marked_.insert(output);
    }
    // What moves marked elements is marked too, in both directions.
    for (NodeId id : graph().order()) {
      const Node& node = graph().node(id);
      if (!KeepsValues(node) || !Wanted(node)) continue;
      if (marked_.count(node.inputs[0]) > 0) {
        marked_.insert(node.outputs[0]);
        Unite(node.inputs[0], node.outputs[0]);
      }
    }
    const std::vector<NodeId> order = graph().order();
    for (auto it = order.rbegin(); it != order.rend(); ++it) {
      const Node& node = graph().node(*it);
      if (!KeepsValues(node) || !Wanted(node)) continue;
      if (marked_.count(node.outputs[0]) > 0 &&
          !graph().IsConstant(node.inputs[0])) {
        marked_.insert(node.inputs[0]);
        Unite(node.inputs[0], node.outputs[0]);
      }
    }
    for (ValueId id : graph().outputs()) output_roots_.insert(RootOf(id));
  }

  void QuantizeWeightOf(NodeId id) {
    if (numerics_.weight_scheme == "float" || kernel_output_.count(id) == 0 ||
        !HasWeight(graph(), graph().node(id))) {
      return;
    }
    const Node& node = graph().node(id);
    const Tensor& weight = *graph().ConstantOf(node.inputs[1]);
    WeightGrid grid;
    if (numerics_.block_size > 0) {
      SetBlocks(node, weight, numerics_.block_size, &grid);
    } else if (numerics_.per_channel) {
      grid.axis = ChannelAxis(node, weight);
    }
    grid.packed = numerics_.packed;
    grid.scheme = numerics_.weight_scheme;
    grid.levels = SchemeLevels(grid.scheme, BitsOf(node));
    // log2 of 2 and 3 bits fits int4.
    if (grid.levels.qmax > 7) {
      grid.code_bits = CodeBits(grid.scheme, BitsOf(node));
    }
    QuantizeWeight(&graph(), id, grid);
  }

  std::map<std::string, graph::Attribute> AttributesFor(ValueId id) const {
    const Levels& levels =
        output_roots_.count(RootOf(id)) > 0 ? output_levels_ : levels_;
    return {
        {"qmin", levels.qmin},
        {"qmax", levels.qmax},
        {"dtype", absl::StrCat(numerics_.activation_unsigned ? "uint" : "int",
                               numerics_.activation_bits > 8 ? 16 : 8)},
        {"role", std::string("activation")}};
  }

  struct GridIds {
    ValueId scale = kNoValue;
    ValueId zero = kNoValue;
  };

  // Values that share a grid form a set with one root.
  ValueId RootOf(ValueId id) const {
    for (auto it = parent_.find(id); it != parent_.end();
         it = parent_.find(id)) {
      id = it->second;
    }
    return id;
  }
  void Unite(ValueId a, ValueId b) {
    const ValueId from = RootOf(a), to = RootOf(b);
    if (from != to) parent_[from] = to;
  }

  // The grid of the value's set, named after the first of it.
  GridIds GridOf(ValueId id) {
    const auto [it, is_new] = grids_.try_emplace(RootOf(id));
    if (is_new) {
      const std::string name = graph().value(id).name;
      it->second = {
          graph().AddConstant(name + ".scale", Tensor::Scalar<float>(1)),
          graph().AddConstant(name + ".zero_point",
                              Tensor::Scalar<int32_t>(0))};
    }
    return it->second;
  }

  void QuantizeInput(ValueId id) {
    if (graph().order().empty()) return;
    const std::string name = graph().value(id).name;
    const GridIds grid = GridOf(id);
    const NodeId quantizer = graph().InsertBefore(
        graph().order().front(), "FakeQuantize", name + ".quantize",
        {id, grid.scale, grid.zero}, name + ".quantized", AttributesFor(id),
        "condense");
    Reroute(id, quantizer);
  }

  void QuantizeOutput(NodeId id, ValueId out) {
    if (out == kNoValue || marked_.count(out) == 0) return;
    const std::string name = graph().value(out).name;
    const GridIds grid = GridOf(out);
    const NodeId quantizer = graph().InsertAfter(
        id, "FakeQuantize", name + ".quantize", {out, grid.scale, grid.zero},
        name + ".quantized", AttributesFor(out), "condense");
    Reroute(out, quantizer);
  }

  // Everyone but the quantizer reads its output; a graph output keeps its name.
  void Reroute(ValueId from, NodeId quantizer) {
    const ValueId to = graph().node(quantizer).outputs[0];
    const bool output = graph().IsOutput(from);
    const std::string name = graph().value(from).name;
    graph().ReplaceUses(from, to);
    graph().mutable_node(quantizer).inputs[0] = from;
    if (output) {
      graph().RenameValue(from, name + ".unquantized");
      graph().RenameValue(to, name);
    }
  }

  const Numerics& numerics_;
  const Levels levels_;
  const Levels output_levels_;
  Placement placement_;
  std::vector<std::vector<NodeId>> consumers_;
  std::map<NodeId, ValueId> kernel_output_;
  std::set<ValueId> marked_;
  std::map<ValueId, ValueId> parent_;
  // Of the sets that outputs of the model are in.
  std::set<ValueId> output_roots_;
  // By root.
  std::map<ValueId, GridIds> grids_;
};

}  // namespace

bool KeepsValues(const Node& node) {
  static const auto& ops =
      *new std::set<std::string>{"MaxPool", "Reshape",   "Flatten", "Transpose",
                                 "Squeeze", "Unsqueeze", "Slice",   "Pad"};
  return node.domain.empty() && ops.count(node.op) > 0;
}

void RoundScalesToPowersOfTwo(Graph* graph) {
  for (NodeId id : graph->order()) {
    const Node& node = graph->node(id);
    if (!node.IsFakeQuantize() || node.String("role", "") != "activation") {
      continue;
    }
    const Grid grid = PowerOfTwoGrid(
        {graph->ConstantOf(node.inputs[1])->ToFloats()[0],
         static_cast<int32_t>(graph->ConstantOf(node.inputs[2])->ToInts()[0])},
        {node.Int("qmin", 0), node.Int("qmax", 255)});
    graph->SetConstant(node.inputs[1], Tensor::Scalar<float>(grid.scale));
    graph->SetConstant(node.inputs[2],
                       Tensor::Scalar<int32_t>(grid.zero_point));
  }
}

absl::StatusOr<Placement> PlaceQuantizers(const Graph& graph,
                                          const Numerics& numerics) {
  return Placer(graph, numerics).Run();
}

}  // namespace condense::quantization
