#include "workers/engine/import/opset.h"

#include <limits>
#include <memory>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/error.h"
#include "common/status_macros.h"
#include "workers/engine/graph/infer_shapes.h"
#include "workers/engine/graph/rewrite.h"

namespace condense::onnx_import {
namespace {

using graph::Graph;
using graph::kNoValue;
using graph::Node;
using graph::NodeId;
using graph::Tensor;
using graph::ValueId;

// Appends a constant as input number `index`, with gaps before it.
void SetInput(Graph& graph, Node& node, size_t index, const char* what,
              Tensor tensor) {
  if (node.inputs.size() <= index) node.inputs.resize(index + 1, kNoValue);
  const std::string name = absl::StrCat(node.name, "/", what);
  node.inputs[index] = graph.AddConstant(name, std::move(tensor));
}

Tensor IntsTensor(const std::vector<int64_t>& values) {
  return Tensor::Of<int64_t>({static_cast<int64_t>(values.size())}, values);
}

// An attribute with integers becomes input `index`.
void IntsToInput(Graph& graph, Node& node, const char* key, size_t index) {
  if (!node.Has(key)) return;
  const std::vector<int64_t> values = node.Ints(key);
  node.attrs.erase(key);
  SetInput(graph, node, index, key, IntsTensor(values));
}

void FloatToInput(Graph& graph, Node& node, const char* key, size_t index) {
  if (!node.Has(key)) return;
  const float value = node.Float(key, 0);
  node.attrs.erase(key);
  SetInput(graph, node, index, key, Tensor::Scalar<float>(value));
}

// Softmax before opset 13 flattens to two dimensions at `axis`; over the last
// axis that is the same.
void OldSoftmax(Graph& graph, NodeId id) {
  Node& node = graph.mutable_node(id);
  const auto shape = graph.value(node.input(0)).shape;
  const int64_t axis = node.Int("axis", 1);
  node.attrs["axis"] = int64_t{-1};
  if (axis == -1 ||
      (shape && axis == static_cast<int64_t>(shape->size()) - 1)) {
    return;
  }
  const ValueId x = node.inputs[0], y = node.outputs[0];
  const std::string name = node.name;
  auto output_of = [&](NodeId added) { return graph.node(added).outputs[0]; };
  const ValueId flat = output_of(graph.InsertBefore(
      id, "Flatten", name + "/flatten", {x}, "", {{"axis", axis}}));
  const ValueId sizes =
      output_of(graph.InsertBefore(id, "Shape", name + "/shape", {x}, ""));
  graph.mutable_node(id).inputs[0] = flat;
  const NodeId back =
      graph.InsertAfter(id, "Reshape", name + "/reshape", {y, sizes}, "");
  const ValueId shaped = output_of(back);
  graph.ReplaceUses(y, shaped);
  graph.mutable_node(back).inputs[0] = y;
  // An output keeps its name.
  if (graph.IsOutput(shaped)) graph.RenameValue(shaped, graph.value(y).name);
}

// Before opset 7 the second operand is aligned at `axis`, not at the end.
void OldBroadcast(Graph& graph, NodeId id) {
  Node& node = graph.mutable_node(id);
  const bool aligned = node.Int("broadcast", 0) != 0 && node.Has("axis");
  const int64_t given = node.Int("axis", 0);
  node.attrs.erase("broadcast");
  node.attrs.erase("axis");
  const auto &a = graph.value(node.input(0)).shape,
             &b = graph.value(node.input(1)).shape;
  if (!aligned || !a || !b) return;
  const int64_t rank = static_cast<int64_t>(a->size());
  const int64_t own = static_cast<int64_t>(b->size());
  const int64_t behind = rank - (given < 0 ? given + rank : given) - own;
  std::vector<int64_t> axes;
  for (int64_t i = 0; i < behind; ++i) axes.push_back(own + i);
  if (axes.empty()) return;
  const ValueId sizes =
      graph.AddConstant(node.name + "/axes", IntsTensor(axes));
  const NodeId added = graph.InsertBefore(
      id, "Unsqueeze", node.name + "/unsqueeze", {node.inputs[1], sizes}, "");
  graph.mutable_node(id).inputs[1] = graph.node(added).outputs[0];
}

// Before opset 7 a slope per channel needs no trailing axes.
void OldPRelu(Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  const auto &x = graph.value(node.input(0)).shape,
             &slope = graph.value(node.input(1)).shape;
  if (!x || !slope || slope->size() != 1 || x->size() < 3) return;
  std::vector<int64_t> axes;
  for (size_t i = 2; i < x->size(); ++i) axes.push_back(i - 1);
  const ValueId sizes =
      graph.AddConstant(node.name + "/axes", IntsTensor(axes));
  const NodeId added = graph.InsertBefore(
      id, "Unsqueeze", node.name + "/unsqueeze", {node.inputs[1], sizes}, "");
  graph.mutable_node(id).inputs[1] = graph.node(added).outputs[0];
}

// Opset 18 to 20: scale and bias per group; from 21 on per channel.
absl::Status OldGroupNorm(Graph& graph, NodeId id) {
  const Node node = graph.node(id);
  const auto& x = graph.value(node.input(0)).shape;
  const int64_t groups = node.Int("num_groups", 1);
  if (!x || x->size() < 2 || !(*x)[1].known() || groups <= 0) {
    return MakeError(absl::StatusCode::kUnimplemented, "UNSUPPORTED_OPERATOR",
                     "GroupNormalization over an unknown number of channels",
                     {.node = node.name});
  }
  const int64_t each = (*x)[1].value / groups;
  for (size_t i : {1, 2}) {
    auto& name = node.name;
    const ValueId column =
        graph.AddConstant(name + "/column", IntsTensor({groups, 1}));
    const ValueId wide =
        graph.AddConstant(name + "/wide", IntsTensor({groups, each}));
    const ValueId flat = graph.AddConstant(name + "/flat", IntsTensor({-1}));
    ValueId value = node.inputs[i];
    for (const auto& [op, sizes] :
         {std::pair<const char*, ValueId>("Reshape", column),
          {"Expand", wide},
          {"Reshape", flat}}) {
      const NodeId added = graph.InsertBefore(id, op, "", {value, sizes}, "");
      value = graph.node(added).outputs[0];
    }
    graph.mutable_node(id).inputs[i] = value;
  }
  return absl::OkStatus();
}

// A part of a shape (opset 15) is cut out of it, as older exporters write it.
void ShapeThenSlice(Graph& graph, NodeId id) {
  Node& node = graph.mutable_node(id);
  if (!node.Has("start") && !node.Has("end")) return;
  const int64_t start = node.Int("start", 0);
  const int64_t end = node.Int("end", std::numeric_limits<int64_t>::max());
  node.attrs.clear();
  const ValueId all = node.outputs[0];
  const std::string name = node.name;
  auto list = [&](const char* what, int64_t value) {
    return graph.AddConstant(absl::StrCat(name, "/", what),
                             IntsTensor({value}));
  };
  const NodeId slice = graph.InsertAfter(
      id, "Slice", name + "/slice",
      {all, list("start", start), list("end", end), list("axis", 0)}, "");
  const ValueId part = graph.node(slice).outputs[0];
  graph.ReplaceUses(all, part);
  graph.mutable_node(slice).inputs[0] = all;
  // An output keeps its name.
  if (graph.IsOutput(part)) graph.RenameValue(part, graph.value(all).name);
}

void BringResize(Graph& graph, Node& node, int from) {
  if (node.op == "Upsample" && node.Has("width_scale")) {
    const float h = node.Float("height_scale", 1),
                w = node.Float("width_scale", 1);
    SetInput(graph, node, 2, "scales",
             Tensor::Of<float>({4}, std::vector<float>{1, 1, h, w}));
  } else if (node.op == "Upsample" && node.Has("scales")) {
    const auto* scales =
        std::get_if<std::vector<float>>(&node.attrs.find("scales")->second);
    const std::vector<float> values = scales ? *scales : std::vector<float>();
    SetInput(graph, node, 2, "scales",
             Tensor::Of<float>({static_cast<int64_t>(values.size())}, values));
  } else if (node.inputs.size() == 2) {
    node.inputs = {node.inputs[0], kNoValue, node.inputs[1]};
  }
  for (const char* key : {"scales", "width_scale", "height_scale"}) {
    node.attrs.erase(key);
  }
  if (node.op == "Upsample" || from == 10) {
    node.attrs["coordinate_transformation_mode"] = std::string("asymmetric");
    node.attrs["nearest_mode"] = std::string("floor");
  }
  if (node.String("mode", "") == "bilinear") {
    node.attrs["mode"] = std::string("linear");
  }
  node.op = "Resize";
}

// Integers that became an input: which attribute, from which opset on, where.
struct Moved {
  const char* op;
  const char* key;
  int since;
  size_t input;
};
constexpr Moved kMoved[] = {
    {"Reshape", "shape", 5, 1},   {"Slice", "starts", 10, 1},
    {"Slice", "ends", 10, 2},     {"Slice", "axes", 10, 3},
    {"Pad", "pads", 11, 1},       {"Squeeze", "axes", 13, 1},
    {"Unsqueeze", "axes", 13, 1}, {"ReduceSum", "axes", 13, 1},
    {"Split", "split", 13, 1},
};

// TopK's k and Pad's and Clip's values, which are single numbers.
void MoveNumbers(Graph& graph, Node& node, int from) {
  if (from < 10 && node.op == "TopK" && node.Has("k")) {
    const int64_t k = node.Int("k", 1);
    node.attrs.erase("k");
    SetInput(graph, node, 1, "k", IntsTensor({k}));
  }
  if (from < 11 && node.op == "Pad") FloatToInput(graph, node, "value", 2);
  if (from < 11 && node.op == "Clip") {
    FloatToInput(graph, node, "min", 1);
    FloatToInput(graph, node, "max", 2);
  }
}

// Reductions other than ReduceSum take their axes as an attribute up to 17.
void AxesToAttribute(Graph& graph, Node& node) {
  const bool reduction =
      node.op.rfind("Reduce", 0) == 0 && node.op != "ReduceSum";
  const auto axes = graph::IntegersOf(graph, node.input(1));
  if (!reduction || !axes) return;
  if (!axes->empty()) node.attrs["axes"] = *axes;
  node.inputs.resize(1);
}

// The axis of DFT is an input from opset 20 on, -2 if there is none.
void DftAxisToAttribute(const Graph& graph, Node& node) {
  const Tensor* axis = graph.ConstantOf(node.input(2));
  if (axis != nullptr && axis->dtype() == graph::DType::kInt64 &&
      axis->num_elements() == 1) {
    node.attrs["axis"] = axis->ToInts()[0];
    node.inputs.resize(2);
  } else if (node.input(2) == kNoValue) {
    node.attrs["axis"] = int64_t{-2};
  }
}

// Whether anything reads an output of the node behind its first.
bool ReadsMore(const Graph& graph, const Node& node) {
  for (size_t i = 1; i < node.outputs.size(); ++i) {
    const ValueId id = node.outputs[i];
    if (id != kNoValue &&
        (graph.IsOutput(id) || !graph.Consumers(id).empty())) {
      return true;
    }
  }
  return false;
}

// What old exporters wrote that means nothing, or not any more. Models are
// read for inference: statistics and masks that only training makes are left
// out where nothing reads them.
void DropAttributes(const Graph& graph, Node& node) {
  for (const char* key : {"consumed_inputs", "is_test", "training_mode"}) {
    node.attrs.erase(key);
  }
  if (node.op == "Gemm") node.attrs.erase("broadcast");
  // For 8-bit floats, which are not read; the scale has the type.
  if (node.op == "Cast" || node.op == "QuantizeLinear") {
    node.attrs.erase("saturate");
  }
  if (node.op == "DequantizeLinear") node.attrs.erase("output_dtype");
  if (node.op == "Split") node.attrs.erase("num_outputs");
  if (node.op == "Dropout") {
    node.attrs.erase("ratio");
    node.inputs.resize(1);
    if (!ReadsMore(graph, node)) node.outputs.resize(1);
  }
  if (node.op == "BatchNormalization") {
    node.attrs.erase("spatial");
    if (!ReadsMore(graph, node)) node.outputs.resize(1);
  }
  if (node.op == "RNN" || node.op == "GRU" || node.op == "LSTM") {
    node.attrs.erase("output_sequence");
  }
}

bool BroadcastsByAxis(const std::string& op) {
  static const auto& ops = *new std::set<std::string>(
      absl::StrSplit("Add Sub Mul Div Pow And Or Xor Equal Greater Less", ' '));
  return ops.count(op) > 0;
}

absl::Status BringNode(Graph& graph, NodeId id, int from) {
  Node& node = graph.mutable_node(id);
  if (node.input(0) == kNoValue && node.op != "Loop") {
    return MakeError(absl::StatusCode::kInvalidArgument, "BAD_GRAPH",
                     absl::StrCat(node.op, " has no first input"),
                     {.node = node.name});
  }
  if (from < 9 && node.op == "Scan") {
    return MakeError(absl::StatusCode::kUnimplemented, "UNSUPPORTED_OPERATOR",
                     "Scan of opset 8, which has a batch axis of its own",
                     {.hint = "export with opset 17", .node = node.name});
  }
  if (node.op == "BatchNormalization" && node.outputs.size() > 1 &&
      ReadsMore(graph, node)) {
    return MakeError(
        absl::StatusCode::kUnimplemented, "UNSUPPORTED_OPERATOR",
        "BatchNormalization whose new statistics are read",
        {.hint = "export the model in evaluation mode", .node = node.name});
  }
  if (node.op == "Scatter") node.op = "ScatterElements";
  if (from < 4 && node.op == "Concat" && !node.Has("axis")) {
    node.attrs["axis"] = int64_t{1};
  }
  if (from < 2 && node.op == "Pad" && node.Has("paddings")) {
    node.attrs["pads"] = node.Ints("paddings");
    node.attrs.erase("paddings");
  }
  for (const Moved& moved : kMoved) {
    if (from < moved.since && node.op == moved.op) {
      IntsToInput(graph, node, moved.key, moved.input);
    }
  }
  MoveNumbers(graph, node, from);
  if (from >= 18) AxesToAttribute(graph, node);
  if (from >= 20 && node.op == "DFT") DftAxisToAttribute(graph, node);
  if (from < 16 && node.op == "RoiAlign") {
    node.attrs["coordinate_transformation_mode"] =
        std::string("output_half_pixel");
  }
  if (node.op == "Upsample" || (from == 10 && node.op == "Resize")) {
    BringResize(graph, node, from);
  }
  DropAttributes(graph, node);
  if (node.op == "Shape") ShapeThenSlice(graph, id);
  if (from < 7 && node.op == "PRelu") OldPRelu(graph, id);
  if (from < 7 && BroadcastsByAxis(node.op)) OldBroadcast(graph, id);
  if (from < 21 && node.op == "GroupNormalization") {
    CONDENSE_RETURN_IF_ERROR(OldGroupNorm(graph, id));
  }
  const std::string& op = node.op;
  if (from < 13 && (op == "Softmax" || op == "LogSoftmax" || op == "Hardmax")) {
    OldSoftmax(graph, id);
  }
  return absl::OkStatus();
}

// The bodies of If, Loop and Scan, each in a copy.
absl::Status BringBodies(Node& node, int from) {
  for (auto& [key, value] : node.attrs) {
    const auto* body = std::get_if<std::shared_ptr<const Graph>>(&value);
    if (body == nullptr) continue;
    auto copy = std::make_shared<Graph>(**body);
    CONDENSE_RETURN_IF_ERROR(BringToOpset(*copy, from));
    value = std::shared_ptr<const Graph>(std::move(copy));
  }
  return absl::OkStatus();
}

constexpr char kKnownOperators[] =
    "Abs Acos Acosh Add AffineGrid And ArgMax ArgMin Asin Asinh Atan Atanh "
    "AveragePool BatchNormalization BitShift BitwiseAnd BitwiseNot "
    "BitwiseOr BitwiseXor BlackmanWindow Cast CastLike Ceil Celu "
    "CenterCropPad Clip Col2Im Compress Concat Constant ConstantOfShape "
    "Conv ConvInteger ConvTranspose Cos Cosh CumSum DFT DepthToSpace "
    "DequantizeLinear Det Div Dropout DynamicQuantizeLinear Einsum Elu "
    "Equal Erf Exp Expand EyeLike Flatten Floor GRU Gather GatherElements "
    "GatherND Gelu Gemm GlobalAveragePool GlobalLpPool GlobalMaxPool "
    "Greater GreaterOrEqual GridSample GroupNormalization HammingWindow "
    "HannWindow HardSigmoid HardSwish Hardmax Identity If "
    "InstanceNormalization IsInf IsNaN LRN LSTM LayerNormalization "
    "LeakyRelu Less LessOrEqual Log LogSoftmax Loop LpNormalization LpPool "
    "MatMul MatMulInteger Max MaxPool MaxUnpool Mean "
    "MeanVarianceNormalization MelWeightMatrix Min Mish Mod Mul Neg "
    "NegativeLogLikelihoodLoss NonMaxSuppression NonZero Not OneHot Or "
    "PRelu Pad Pow QLinearConv QLinearMatMul QuantizeLinear "
    "RMSNormalization RNN Range Reciprocal ReduceL1 ReduceL2 ReduceLogSum "
    "ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum "
    "ReduceSumSquare Relu Reshape Resize ReverseSequence RoiAlign Round "
    "STFT Scan Scatter ScatterElements ScatterND Selu Shape Shrink Sigmoid "
    "Sign Sin Sinh Size Slice Softmax SoftmaxCrossEntropyLoss Softplus "
    "Softsign SpaceToDepth Split Sqrt Squeeze Sub Sum Swish Tan Tanh "
    "ThresholdedRelu Tile TopK Transpose Trilu Unique Unsqueeze Upsample "
    "Where Xor";

}  // namespace

absl::Status BringToOpset(Graph& graph, int from) {
  const std::vector<NodeId> order = graph.order();
  for (NodeId id : order) {
    if (!graph.node(id).domain.empty()) continue;
    CONDENSE_RETURN_IF_ERROR(BringBodies(graph.mutable_node(id), from));
    CONDENSE_RETURN_IF_ERROR(BringNode(graph, id, from));
    // Some rules look at shapes; what cannot be inferred yet is reported later.
    CONDENSE_RETURN_IF_ERROR(graph::InferNode(graph, id));
  }
  graph.opset = Graph::kOpset;
  return absl::OkStatus();
}

std::vector<std::string> KnownOperators() {
  return absl::StrSplit(kKnownOperators, ' ');
}

bool IsKnownOperator(const std::string& op) {
  static const auto& known =
      *new std::set<std::string>(absl::StrSplit(kKnownOperators, ' '));
  return known.count(op) > 0;
}

}  // namespace condense::onnx_import
