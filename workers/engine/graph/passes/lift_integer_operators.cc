#include "workers/engine/graph/passes/lift_integer_operators.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "workers/engine/graph/infer_shapes.h"
#include "workers/engine/graph/passes/dead_code.h"
#include "workers/engine/graph/rewrite.h"

namespace condense::graph {
namespace {

using Attributes = std::map<std::string, Attribute>;

Attributes AlongAxis(const Graph& graph, ValueId scale, int64_t axis) {
  const Tensor* tensor = graph.ConstantOf(scale);
  if (tensor == nullptr || tensor->num_elements() == 1) return {};
  return {{"axis", axis}};
}

// s_x * s_w, what an int32 bias is counted in.
ValueId BiasScale(Graph& graph, const Node& node) {
  const Tensor* x = graph.ConstantOf(node.input(1));
  const Tensor* w = graph.ConstantOf(node.input(4));
  if (x == nullptr || w == nullptr || x->num_elements() != 1) return kNoValue;
  std::vector<float> scale = w->ToFloats();
  for (float& s : scale) s *= x->ToFloats()[0];
  return graph.AddConstant(absl::StrCat(node.name, "/bias_scale"),
                           scale.size() == 1
                               ? Tensor::Scalar<float>(scale[0])
                               : Tensor::Of<float>(w->dims(), scale));
}

// x, its scale and zero point; w, its; y's scale and zero point; bias.
bool LiftQLinear(Graph& graph, NodeId id) {
  const Node node = graph.node(id);
  const bool conv = node.Is("QLinearConv");
  if (!graph.IsConstant(node.input(3))) return false;
  ValueId bias_scale = kNoValue;
  if (conv && node.input(8) != kNoValue) {
    bias_scale = BiasScale(graph, node);
    if (bias_scale == kNoValue) return false;
  }
  Rewriter r(&graph, id);
  const int64_t axis = conv ? 0 : graph.ConstantOf(node.inputs[3])->rank() - 1;
  std::vector<ValueId> inputs = {
      r.Op("DequantizeLinear",
           {node.inputs[0], node.inputs[1], node.inputs[2]}),
      r.Op("DequantizeLinear", {node.inputs[3], node.inputs[4], node.inputs[5]},
           AlongAxis(graph, node.inputs[4], axis))};
  if (bias_scale != kNoValue) {
    inputs.push_back(r.Op("DequantizeLinear", {node.inputs[8], bias_scale},
                          AlongAxis(graph, bias_scale, 0)));
  }
  const ValueId y = r.Op(conv ? "Conv" : "MatMul", inputs, node.attrs);
  r.Replace(r.Op("QuantizeLinear", {y, node.inputs[6], node.inputs[7]}));
  return true;
}

bool MovesElements(const Node& node) {
  return (node.Is("MaxPool") && node.outputs.size() == 1) ||
         node.Is("Reshape") || node.Is("Flatten") || node.Is("Transpose") ||
         node.Is("Squeeze") || node.Is("Unsqueeze") || node.Is("Slice") ||
         node.Is("Concat");
}

bool SameConstant(const Graph& graph, ValueId a, ValueId b) {
  if (a == b) return true;
  const Tensor *x = graph.ConstantOf(a), *y = graph.ConstantOf(b);
  return x != nullptr && y != nullptr && *x == *y;
}

bool LiftMove(Graph& graph, NodeId id) {
  const Node node = graph.node(id);
  const Node* first = MadeBy(graph, node.input(0), "QuantizeLinear");
  if (!MovesElements(node) || first == nullptr) return false;
  const ValueId scale = first->input(1), zero = first->input(2);
  const Tensor* number = graph.ConstantOf(scale);
  if (number == nullptr || number->num_elements() != 1) return false;
  const size_t moved = node.Is("Concat") ? node.inputs.size() : 1;
  for (size_t i = 1; i < moved; ++i) {
    const Node* other = MadeBy(graph, node.inputs[i], "QuantizeLinear");
    if (other == nullptr || !SameConstant(graph, other->input(1), scale) ||
        !SameConstant(graph, other->input(2), zero)) {
      return false;
    }
  }
  Rewriter r(&graph, id);
  std::vector<ValueId> grid = {scale};
  if (zero != kNoValue) grid.push_back(zero);
  auto with_grid = [&](ValueId x) {
    std::vector<ValueId> inputs = {x};
    inputs.insert(inputs.end(), grid.begin(), grid.end());
    return inputs;
  };
  std::vector<ValueId> inputs = node.inputs;
  for (size_t i = 0; i < moved; ++i) {
    inputs[i] = r.Op("DequantizeLinear", with_grid(inputs[i]));
  }
  r.Replace(
      r.Op("QuantizeLinear", with_grid(r.Op(node.op, inputs, node.attrs))));
  return true;
}

// The scale of the weight: what the node multiplies by beside `dynamic`.
ValueId WeightScale(const Graph& graph, ValueId product, ValueId dynamic) {
  const Node* mul = MadeBy(graph, product, "Mul");
  if (mul == nullptr || mul->inputs.size() != 2) return kNoValue;
  for (size_t i : {0, 1}) {
    if (mul->inputs[i] == dynamic && graph.IsConstant(mul->inputs[1 - i])) {
      return mul->inputs[1 - i];
    }
  }
  return kNoValue;
}

bool LiftDynamic(Graph& graph, NodeId id) {
  const Node node = graph.node(id);
  const Node* dynamic = MadeBy(graph, node.input(0), "DynamicQuantizeLinear");
  if (dynamic == nullptr || dynamic->outputs.size() != 3 ||
      node.input(2) != dynamic->outputs[2] ||
      !graph.IsConstant(node.input(1))) {
    return false;
  }
  const ValueId x = dynamic->inputs[0], x_scale = dynamic->outputs[1];
  const NodeId cast = OnlyConsumer(graph, node.outputs[0]);
  if (cast == kNoNode || !graph.node(cast).Is("Cast")) return false;
  const NodeId mul = OnlyConsumer(graph, graph.node(cast).outputs[0]);
  if (mul == kNoNode || !graph.node(mul).Is("Mul")) return false;
  const Node& scaled = graph.node(mul);
  const size_t at = scaled.inputs[0] == graph.node(cast).outputs[0] ? 1 : 0;
  const ValueId scale = WeightScale(graph, scaled.inputs[at], x_scale);
  if (scale == kNoValue) return false;
  const bool conv = node.Is("ConvInteger");
  const Tensor& weight = *graph.ConstantOf(node.inputs[1]);
  const int64_t axis = conv ? 0 : weight.rank() - 1;
  const std::vector<float> scales = graph.ConstantOf(scale)->ToFloats();
  if (scales.size() != 1 &&
      static_cast<int64_t>(scales.size()) != weight.dims()[axis]) {
    return false;
  }
  const ValueId flat = graph.AddConstant(
      absl::StrCat(node.name, "/scale"),
      scales.size() == 1
          ? Tensor::Scalar<float>(scales[0])
          : Tensor::Of<float>({static_cast<int64_t>(scales.size())}, scales));
  Rewriter r(&graph, mul);
  std::vector<ValueId> quantized = {node.inputs[1], flat};
  if (node.input(3) != kNoValue) quantized.push_back(node.inputs[3]);
  const ValueId w =
      r.Op("DequantizeLinear", quantized, AlongAxis(graph, flat, axis));
  r.Replace(r.Op(conv ? "Conv" : "MatMul", {x, w}, node.attrs));
  return true;
}

bool Lift(Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  if (node.Is("QLinearConv") || node.Is("QLinearMatMul")) {
    return LiftQLinear(graph, id);
  }
  if (node.Is("ConvInteger") || node.Is("MatMulInteger")) {
    return LiftDynamic(graph, id);
  }
  return LiftMove(graph, id);
}

}  // namespace

absl::StatusOr<bool> LiftIntegerOperators::Run(Graph& graph) const {
  bool changed = false;
  const std::vector<NodeId> order = graph.order();
  for (NodeId id : order) {
    if (graph.HasNode(id)) changed |= Lift(graph, id);
  }
  if (!changed) return false;
  CONDENSE_RETURN_IF_ERROR(DeadCode().Run(graph).status());
  CONDENSE_RETURN_IF_ERROR(InferShapes(graph));
  return true;
}

}  // namespace condense::graph
