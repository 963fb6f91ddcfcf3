#include "workers/engine/quantization/placement.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "workers/engine/graph/bodies.h"
#include "workers/engine/graph/infer_shapes.h"

namespace condense::quantization {
namespace {

using graph::Graph;
using graph::kNoValue;
using graph::Node;
using graph::NodeId;
using graph::Tensor;
using graph::ValueId;

// Elements move or are selected; no new values appear.
bool KeepsValues(const Node& node) {
  static const auto& ops =
      *new std::set<std::string>{"MaxPool", "Reshape",   "Flatten", "Transpose",
                                 "Squeeze", "Unsqueeze", "Slice",   "Pad"};
  return node.domain.empty() && ops.count(node.op) > 0;
}

bool HasWeight(const Graph& graph, const Node& node) {
  return (node.Is("Conv") || node.Is("Gemm") || node.Is("MatMul")) &&
         graph.IsConstant(node.input(1));
}

// The axis of output channels in the weight; -1 for a vector, which has none.
int64_t ChannelAxis(const Node& node, const Tensor& weight) {
  if (node.Is("Conv")) return 0;
  if (node.Is("Gemm")) return node.Int("transB", 0) ? 0 : 1;
  return weight.rank() < 2 ? -1 : weight.rank() - 1;
}

class Placer {
 public:
  Placer(const Graph& graph, const Numerics& numerics)
      : numerics_(numerics),
        levels_(ActivationLevels(numerics.activation_unsigned)) {
    placement_.graph = graph;
  }

  absl::StatusOr<Placement> Run() {
    for (const graph::InnerLayer& layer : graph::InnerLayers(graph())) {
      placement_.frozen[layer.name] = layer.reason;
    }
    FindKernels();
    MarkValues();
    const std::vector<NodeId> order = graph().order();
    for (NodeId id : order) QuantizeWeight(id);
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
    if (node.Is("Conv") || node.Is("Gemm") || node.Is("MatMul")) {
      return HasWeight(graph(), node);
    }
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

  // The nodes that the longest fitting fusion adds to `id`.
  std::vector<NodeId> FusedAfter(NodeId id) {
    std::vector<NodeId> best;
    for (const auto& fusion : numerics_.fusions) {
      if (fusion.empty() || fusion[0] != graph().node(id).op) continue;
      std::vector<NodeId> chain;
      NodeId at = id;
      for (size_t i = 1; i < fusion.size(); ++i) {
        const ValueId out = graph().node(at).outputs[0];
        if (graph().IsOutput(out) || consumers_[out].size() != 1) break;
        const NodeId next = consumers_[out][0];
        if (!graph().node(next).Is(fusion[i])) break;
        chain.push_back(next);
        at = next;
      }
      if (chain.size() + 1 == fusion.size() && chain.size() > best.size()) {
        best = chain;
      }
    }
    return best;
  }

  // Values that get a quantizer.
  void MarkValues() {
    for (const auto& [id, output] : kernel_output_) {
      const Node& node = graph().node(id);
      const size_t activations =
          HasWeight(graph(), node) || node.Is("Clip") ? 1 : node.inputs.size();
      for (size_t i = 0; i < activations; ++i) {
        if (node.inputs[i] != kNoValue) marked_.insert(node.inputs[i]);
      }
      marked_.insert(output);
    }
    // What moves marked elements is marked too, in both directions.
    for (NodeId id : graph().order()) {
      const Node& node = graph().node(id);
      if (!KeepsValues(node) || !Wanted(node)) continue;
      if (marked_.count(node.inputs[0]) > 0) {
        marked_.insert(node.outputs[0]);
        same_as_input_.insert(id);
      }
    }
    const std::vector<NodeId> order = graph().order();
    for (auto it = order.rbegin(); it != order.rend(); ++it) {
      const Node& node = graph().node(*it);
      if (!KeepsValues(node) || !Wanted(node)) continue;
      if (marked_.count(node.outputs[0]) > 0 &&
          !graph().IsConstant(node.inputs[0])) {
        marked_.insert(node.inputs[0]);
        same_as_input_.insert(*it);
      }
    }
  }

  void QuantizeWeight(NodeId id) {
    if (kernel_output_.count(id) == 0 ||
        !HasWeight(graph(), graph().node(id))) {
      return;
    }
    const Node& node = graph().node(id);
    const ValueId weight_id = node.inputs[1];
    const Tensor weight = *graph().ConstantOf(weight_id);
    const int64_t axis =
        numerics_.per_channel ? ChannelAxis(node, weight) : int64_t{-1};
    auto bits = numerics_.bits.find(node.name);
    const Levels levels = WeightLevels(
        bits == numerics_.bits.end() ? numerics_.weight_bits : bits->second);
    const std::vector<float> scales = WeightScales(weight, axis, levels.qmax);
    const std::vector<int64_t> dims =
        axis < 0 ? std::vector<int64_t>{}
                 : std::vector<int64_t>{static_cast<int64_t>(scales.size())};
    const std::string name = graph().value(weight_id).name;
    const ValueId scale =
        graph().AddConstant(name + ".scale", Tensor::Of<float>(dims, scales));
    const ValueId zero = graph().AddConstant(
        name + ".zero_point",
        Tensor::Of<int32_t>(dims, std::vector<int32_t>(scales.size(), 0)));
    std::map<std::string, graph::Attribute> attrs = {
        {"qmin", levels.qmin},
        {"qmax", levels.qmax},
        {"dtype", std::string("int8")},
        {"role", std::string("weight")}};
    if (axis >= 0) attrs["axis"] = axis;
    const NodeId quantizer = graph().InsertBefore(
        id, "FakeQuantize", name + ".quantize", {weight_id, scale, zero},
        name + ".quantized", attrs, "condense");
    graph().mutable_node(id).inputs[1] = graph().node(quantizer).outputs[0];
  }

  std::map<std::string, graph::Attribute> ActivationAttributes() const {
    return {{"qmin", levels_.qmin},
            {"qmax", levels_.qmax},
            {"dtype",
             std::string(numerics_.activation_unsigned ? "uint8" : "int8")},
            {"role", std::string("activation")}};
  }

  struct GridIds {
    ValueId scale = kNoValue;
    ValueId zero = kNoValue;
  };

  GridIds NewGrid(const std::string& name) {
    return {
        graph().AddConstant(name + ".scale", Tensor::Scalar<float>(1)),
        graph().AddConstant(name + ".zero_point", Tensor::Scalar<int32_t>(0))};
  }

  void QuantizeInput(ValueId id) {
    if (graph().order().empty()) return;
    const std::string name = graph().value(id).name;
    const GridIds grid = NewGrid(name);
    const NodeId quantizer = graph().InsertBefore(
        graph().order().front(), "FakeQuantize", name + ".quantize",
        {id, grid.scale, grid.zero}, name + ".quantized",
        ActivationAttributes(), "condense");
    Reroute(id, quantizer);
    grids_[id] = grid;
  }

  void QuantizeOutput(NodeId id, ValueId out) {
    if (out == kNoValue || marked_.count(out) == 0) return;
    const std::string name = graph().value(out).name;
    GridIds grid;
    if (same_as_input_.count(id) > 0) {
      // The input is a quantizer's output by now; its grid serves here too.
      const NodeId source = graph().value(graph().node(id).inputs[0]).producer;
      grid = {graph().node(source).inputs[1], graph().node(source).inputs[2]};
    } else {
      grid = NewGrid(name);
    }
    const NodeId quantizer = graph().InsertAfter(
        id, "FakeQuantize", name + ".quantize", {out, grid.scale, grid.zero},
        name + ".quantized", ActivationAttributes(), "condense");
    Reroute(out, quantizer);
    grids_[out] = grid;
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
  Placement placement_;
  std::vector<std::vector<NodeId>> consumers_;
  std::map<NodeId, ValueId> kernel_output_;
  std::set<ValueId> marked_;
  std::set<NodeId> same_as_input_;
  std::map<ValueId, GridIds> grids_;
};

}  // namespace

std::vector<float> WeightScales(const Tensor& weight, int64_t axis,
                                int64_t qmax) {
  const std::vector<float> values = weight.ToFloats();
  const int64_t channels = axis < 0 ? 1 : weight.dims()[axis];
  int64_t inner = 1;
  for (int64_t i = axis + 1; axis >= 0 && i < weight.rank(); ++i) {
    inner *= weight.dims()[i];
  }
  std::vector<double> most(channels, 0);
  for (size_t i = 0; i < values.size(); ++i) {
    double& m = most[axis < 0 ? 0 : static_cast<int64_t>(i) / inner % channels];
    m = std::max<double>(m, std::abs(values[i]));
  }
  std::vector<float> scales;
  for (double m : most) scales.push_back(SymmetricGrid(m, {-qmax, qmax}).scale);
  return scales;
}

absl::StatusOr<Placement> PlaceQuantizers(const Graph& graph,
                                          const Numerics& numerics) {
  return Placer(graph, numerics).Run();
}

}  // namespace condense::quantization
