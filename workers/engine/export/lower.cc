#include "workers/engine/export/lower.h"

#include <algorithm>
#include <map>
#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/error.h"
#include "common/status_macros.h"
#include "workers/engine/export/first_opset.h"
#include "workers/engine/graph/infer_shapes.h"
#include "workers/engine/graph/rewrite.h"

namespace condense::onnx_export {
namespace {

using graph::Graph;
using graph::Node;
using graph::NodeId;
using graph::Rewriter;
using graph::ValueId;

// x/2 (1 + erf(x / sqrt 2)), or its approximation by tanh.
ValueId Gelu(Rewriter& r, const Node& node) {
  const ValueId x = node.inputs[0];
  ValueId gate;
  if (node.String("approximate", "none") == "tanh") {
    const ValueId cube = r.Op("Mul", {r.Op("Mul", {x, x}), x});
    const ValueId sum =
        r.Op("Add", {x, r.Op("Mul", {cube, r.Float(0.044715f)})});
    gate = r.Op("Tanh", {r.Op("Mul", {sum, r.Float(0.797884561f)})});
  } else {
    gate = r.Op("Erf", {r.Op("Div", {x, r.Float(1.41421356f)})});
  }
  const ValueId one_plus = r.Op("Add", {gate, r.Float(1)});
  return r.Op("Mul", {r.Op("Mul", {x, one_plus}), r.Float(0.5f)});
}

ValueId Mish(Rewriter& r, const Node& node) {
  const ValueId x = node.inputs[0];
  return r.Op("Mul", {x, r.Op("Tanh", {r.Op("Softplus", {x})})});
}

ValueId Swish(Rewriter& r, const Node& node) {
  const ValueId x = node.inputs[0];
  const float alpha = node.Float("alpha", 1);
  const ValueId scaled = alpha == 1 ? x : r.Op("Mul", {x, r.Float(alpha)});
  return r.Op("Mul", {x, r.Op("Sigmoid", {scaled})});
}

ValueId HardSwish(Rewriter& r, const Node& node) {
  const ValueId x = node.inputs[0];
  return r.Op("Mul", {x, r.Op("HardSigmoid", {x},
                              {{"alpha", 1.0f / 6}, {"beta", 0.5f}})});
}

absl::Status NeedsShape(const Node& node) {
  return MakeError(absl::StatusCode::kUnimplemented, "NEEDS_NEWER_OPSET",
                   absl::StrCat(node.op, " over an unknown shape"),
                   {.hint = "export with opset 21", .node = node.name});
}

// Through InstanceNormalization, as PyTorch writes it.
absl::Status GroupNorm(Graph& graph, NodeId id) {
  const Node node = graph.node(id);
  const auto shape = graph.value(node.inputs[0]).shape;
  if (!shape || shape->size() < 3 || !(*shape)[1].known()) {
    return NeedsShape(node);
  }
  const int64_t groups = node.Int("num_groups", 1);
  Rewriter r(&graph, id);
  auto filled = [&](float value) {
    return graph.AddConstant(
        absl::StrCat(node.name, "/groups"),
        graph::Tensor::Of<float>({groups}, std::vector<float>(groups, value)));
  };
  const ValueId x = node.inputs[0];
  const ValueId grouped = r.Op("Reshape", {x, r.Ints({0, groups, -1})});
  const ValueId normal =
      r.Op("InstanceNormalization", {grouped, filled(1), filled(0)},
           {{"epsilon", node.Float("epsilon", 1e-5f)}});
  ValueId y = r.Op("Reshape", {normal, r.Op("Shape", {x})});
  std::vector<int64_t> channel(shape->size() - 1, 1);
  channel[0] = (*shape)[1].value;
  for (const auto& [op, input] :
       {std::pair<const char*, size_t>("Mul", 1), {"Add", 2}}) {
    const graph::Tensor* constant = graph.ConstantOf(node.inputs[input]);
    ValueId operand;
    if (constant != nullptr) {
      const std::string name = graph.value(node.inputs[input]).name;
      operand = graph.AddConstant(
          name, graph::Tensor(constant->dtype(), channel, constant->bytes()));
      graph.RenameValue(operand, name);
    } else {
      operand = r.Op("Reshape", {node.inputs[input], r.Ints(channel)});
    }
    y = r.Op(op, {y, operand});
  }
  r.Replace(y);
  return absl::OkStatus();
}

// (x - mean) / sqrt(mean of squares + epsilon) * scale + bias
absl::Status LayerNorm(Graph& graph, NodeId id, bool centred) {
  const Node node = graph.node(id);
  const auto& shape = graph.value(node.inputs[0]).shape;
  if (!shape || node.outputs.size() > 1) return NeedsShape(node);
  const int64_t rank = static_cast<int64_t>(shape->size());
  int64_t axis = node.Int("axis", -1);
  if (axis >= 0) axis -= rank;
  std::vector<int64_t> axes;
  for (; axis < 0; ++axis) axes.push_back(axis);
  Rewriter r(&graph, id);
  auto mean = [&](ValueId of) {
    return r.Op("ReduceMean", {of}, {{"axes", axes}, {"keepdims", int64_t{1}}});
  };
  ValueId x = node.inputs[0];
  if (centred) x = r.Op("Sub", {x, mean(x)});
  const ValueId variance = mean(r.Op("Mul", {x, x}));
  const ValueId deviation = r.Op(
      "Sqrt", {r.Op("Add", {variance, r.Float(node.Float("epsilon", 1e-5f))})});
  ValueId y = r.Op("Mul", {r.Op("Div", {x, deviation}), node.inputs[1]});
  if (node.input(2) != graph::kNoValue) y = r.Op("Add", {y, node.inputs[2]});
  r.Replace(y);
  return absl::OkStatus();
}

bool IsWideInteger(graph::DType dtype) {
  return graph::DTypeBits(dtype) == 16 && !graph::IsFloating(dtype);
}

// (x - zero point) * scale of integers of 16 bits, which DequantizeLinear takes
// from opset 21 on.
void DequantizeWide(Graph& graph, NodeId id) {
  const Node node = graph.node(id);
  const auto& shape = graph.value(node.inputs[0]).shape;
  const int64_t rank = shape ? static_cast<int64_t>(shape->size()) : 0;
  Rewriter r(&graph, id);
  // Broadcasts along the axis.
  const auto along = [&](ValueId input) {
    const graph::Tensor& tensor = *graph.ConstantOf(input);
    std::vector<int64_t> dims;
    if (tensor.num_elements() > 1) {
      int64_t axis = node.Int("axis", 1);
      if (axis < 0) axis += rank;
      dims.assign(rank - axis, 1);
      dims[0] = tensor.num_elements();
    }
    return graph.AddConstant(graph.value(input).name,
                             graph::Tensor::Of<float>(dims, tensor.ToFloats()));
  };
  ValueId y = r.Op("Cast", {node.inputs[0]}, {{"to", std::string("float32")}});
  if (node.input(2) != graph::kNoValue) {
    const std::vector<float> zeros =
        graph.ConstantOf(node.inputs[2])->ToFloats();
    const bool any = std::any_of(zeros.begin(), zeros.end(),
                                 [](float zero) { return zero != 0; });
    if (any) y = r.Op("Sub", {y, along(node.inputs[2])});
  }
  r.Replace(r.Op("Mul", {y, along(node.inputs[1])}));
}

bool NeedsDequantizeWide(const Graph& graph, const Node& node, int opset) {
  return opset < 21 && node.Is("DequantizeLinear") &&
         IsWideInteger(graph.value(node.inputs[0]).dtype) &&
         node.Int("block_size", 0) == 0 && graph.IsConstant(node.inputs[1]) &&
         (node.input(2) == graph::kNoValue || graph.IsConstant(node.inputs[2]));
}

struct Lowering {
  // The first opset that has the operator itself.
  int since;
  ValueId (*lower)(Rewriter&, const Node&);
};

const std::map<std::string, Lowering>& Lowerings() {
  static const auto& table =
      *new std::map<std::string, Lowering>{{"Gelu", {20, Gelu}},
                                           {"HardSwish", {14, HardSwish}},
                                           {"Mish", {18, Mish}},
                                           {"Swish", {24, Swish}}};
  return table;
}

// Attributes that older opsets do not know, where they say nothing.
void DropDefaults(Node& node, int opset) {
  struct Default {
    const char* op;
    const char* key;
    int since;
  };
  constexpr Default kDefaults[] = {
      {"GRU", "layout", 14},
      {"LSTM", "layout", 14},
      {"RNN", "layout", 14},
      {"Reshape", "allowzero", 14},
      {"Shape", "start", 15},
      {"LpPool", "ceil_mode", 18},
      {"LpPool", "dilations", 18},
      {"AveragePool", "dilations", 19},
      {"Resize", "antialias", 18},
      {"Resize", "keep_aspect_ratio_policy", 18},
      {"ScatterND", "reduction", 16},
      {"ScatterElements", "reduction", 16},
      {"RoiAlign", "coordinate_transformation_mode", 16},
      {"QuantizeLinear", "output_dtype", 21},
      {"QuantizeLinear", "block_size", 21},
      {"DequantizeLinear", "block_size", 21}};
  for (const Default& d : kDefaults) {
    if (node.op == d.op && opset < d.since) node.attrs.erase(d.key);
  }
}

// CastLike to the type that is known here.
bool CastLikeToCast(const Graph& graph, Node& node) {
  const graph::DType to = graph.value(node.inputs[1]).dtype;
  if (to == graph::DType::kUndefined) return false;
  node.op = "Cast";
  node.inputs.resize(1);
  node.attrs = {{"to", std::string(graph::DTypeName(to))}};
  return true;
}

// A QuantizeLinear that names its type gets a zero point of that type, which
// older opsets need.
void TypeToZeroPoint(Graph& graph, NodeId id) {
  Node& node = graph.mutable_node(id);
  const graph::DType type =
      graph::DTypeFromName(node.String("output_dtype", "uint8"));
  const graph::Tensor* scale = graph.ConstantOf(node.input(1));
  if (node.input(2) != graph::kNoValue || type == graph::DType::kUint8 ||
      scale == nullptr || graph::DTypeBits(type) != 8) {
    return;
  }
  node.inputs.resize(2);
  node.inputs.push_back(graph.AddConstant(
      absl::StrCat(node.name, "/zero_point"),
      graph::Tensor(type, scale->dims(),
                    std::string(scale->num_elements(), '\0'))));
}

// The axis of DFT is an input from opset 20 on.
void DftAxisToInput(Graph& graph, NodeId id) {
  Node& node = graph.mutable_node(id);
  const ValueId axis =
      graph.AddConstant(absl::StrCat(node.name, "/axis"),
                        graph::Tensor::Scalar<int64_t>(node.Int("axis", 1)));
  node.attrs.erase("axis");
  node.inputs.resize(3, graph::kNoValue);
  node.inputs[2] = axis;
}

// Axes are an input of every reduction from opset 18 on.
void AxesToInput(Graph& graph, NodeId id) {
  Node& node = graph.mutable_node(id);
  if (!absl::StartsWith(node.op, "Reduce")) return;
  // ONNX Runtime wants to see that there are none.
  const bool none = node.Int("noop_with_empty_axes", 0) != 0 &&
                    node.input(1) == graph::kNoValue;
  if (!node.Has("axes") && !none) return;
  const std::vector<int64_t> axes = node.Ints("axes");
  node.attrs.erase("axes");
  const ValueId input = graph.AddConstant(
      absl::StrCat(node.name, "/axes"),
      graph::Tensor::Of<int64_t>({static_cast<int64_t>(axes.size())}, axes));
  node.inputs.resize(1);
  node.inputs.push_back(input);
}

void WriteAs(Graph& graph, NodeId id, int opset) {
  Node& node = graph.mutable_node(id);
  if (opset < 21 && node.Is("QuantizeLinear")) TypeToZeroPoint(graph, id);
  DropDefaults(node, opset);
  if (opset >= 20 && node.Is("DFT") && node.input(2) == graph::kNoValue) {
    DftAxisToInput(graph, id);
  }
  if (opset < 18 && node.op != "ReduceSum" &&
      absl::StartsWith(node.op, "Reduce") && node.Has("axes")) {
    node.attrs.erase("noop_with_empty_axes");
  }
  if (opset >= 18) {
    AxesToInput(graph, id);
    if (node.Is("Split") && node.input(1) == graph::kNoValue) {
      node.attrs["num_outputs"] = static_cast<int64_t>(node.outputs.size());
    }
  }
  if (opset >= 20 && node.Is("GridSample")) {
    const std::string mode = node.String("mode", "bilinear");
    if (mode == "bilinear") node.attrs["mode"] = std::string("linear");
    if (mode == "bicubic") node.attrs["mode"] = std::string("cubic");
  }
  if (opset < 20 && node.Is("GridSample")) {
    const std::string mode = node.String("mode", "bilinear");
    if (mode == "linear") node.attrs["mode"] = std::string("bilinear");
    if (mode == "cubic") node.attrs["mode"] = std::string("bicubic");
  }
}

absl::Status LowerBodies(Node& node, int opset) {
  for (auto& [key, value] : node.attrs) {
    const auto* body = std::get_if<std::shared_ptr<const Graph>>(&value);
    if (body == nullptr) continue;
    auto copy = std::make_shared<Graph>(**body);
    CONDENSE_RETURN_IF_ERROR(LowerToOpset(*copy, opset));
    value = std::shared_ptr<const Graph>(std::move(copy));
  }
  return absl::OkStatus();
}

absl::Status LowerNode(Graph& graph, NodeId id, int opset) {
  const Node& node = graph.node(id);
  CONDENSE_RETURN_IF_ERROR(LowerBodies(graph.mutable_node(id), opset));
  if (opset < 15 && node.Is("CastLike") &&
      CastLikeToCast(graph, graph.mutable_node(id))) {
    return absl::OkStatus();
  }
  if (NeedsDequantizeWide(graph, node, opset)) {
    DequantizeWide(graph, id);
    return absl::OkStatus();
  }
  if (const int first = FirstOpset(graph, node); first > opset) {
    return MakeError(
        absl::StatusCode::kUnimplemented, "NEEDS_NEWER_OPSET",
        absl::StrCat(node.op, " needs opset ", first, ", not ", opset),
        {.hint = "export with a newer opset", .node = node.name});
  }
  if (opset < 21 && node.Is("GroupNormalization")) return GroupNorm(graph, id);
  if (opset < 17 && node.Is("LayerNormalization")) {
    return LayerNorm(graph, id, true);
  }
  if (opset < 23 && node.Is("RMSNormalization")) {
    return LayerNorm(graph, id, false);
  }
  auto lowering = Lowerings().find(node.op);
  if (lowering != Lowerings().end() && lowering->second.since > opset) {
    Rewriter rewriter(&graph, id);
    rewriter.Replace(lowering->second.lower(rewriter, Node(node)));
    return absl::OkStatus();
  }
  WriteAs(graph, id, opset);
  return absl::OkStatus();
}

}  // namespace

absl::Status LowerToOpset(Graph& graph, int opset) {
  const std::vector<NodeId> order = graph.order();
  for (NodeId id : order) {
    if (!graph.node(id).domain.empty()) continue;
    CONDENSE_RETURN_IF_ERROR(LowerNode(graph, id, opset));
  }
  // Also what the new nodes write otherwise.
  const std::vector<NodeId> after = graph.order();
  for (NodeId id : after) WriteAs(graph, id, opset);
  graph.RemoveDeadValues();
  return absl::OkStatus();
}

}  // namespace condense::onnx_export
