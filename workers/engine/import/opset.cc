#include "workers/engine/import/opset.h"

#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/error.h"
#include "common/status_macros.h"

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
absl::Status OldSoftmax(Graph& graph, Node& node) {
  const auto& shape = graph.value(node.input(0)).shape;
  const int64_t axis = node.Int("axis", 1);
  const bool last =
      axis == -1 || (shape && axis == static_cast<int64_t>(shape->size()) - 1);
  if (!last && shape) {
    return MakeError(absl::StatusCode::kUnimplemented, "UNSUPPORTED_OPERATOR",
                     "Softmax of an opset before 13 over several axes",
                     {.node = node.name});
  }
  node.attrs["axis"] = int64_t{-1};
  return absl::OkStatus();
}

absl::Status BringNode(Graph& graph, NodeId id, int from) {
  Node& node = graph.mutable_node(id);
  const std::string& op = node.op;
  if (from < 10 && op == "Slice") {
    IntsToInput(graph, node, "starts", 1);
    IntsToInput(graph, node, "ends", 2);
    IntsToInput(graph, node, "axes", 3);
  }
  if (from < 11 && op == "Pad") {
    IntsToInput(graph, node, "pads", 1);
    FloatToInput(graph, node, "value", 2);
  }
  if (from < 11 && op == "Clip") {
    FloatToInput(graph, node, "min", 1);
    FloatToInput(graph, node, "max", 2);
  }
  if (from < 13 &&
      (op == "Squeeze" || op == "Unsqueeze" || op == "ReduceSum")) {
    IntsToInput(graph, node, "axes", 1);
  }
  if (from < 13 && op == "Split") IntsToInput(graph, node, "split", 1);
  if (from >= 18 && op == "Split") node.attrs.erase("num_outputs");
  if (from < 12 && op == "Dropout") node.attrs.erase("ratio");
  if (from < 13 && (op == "Softmax" || op == "LogSoftmax")) {
    CONDENSE_RETURN_IF_ERROR(OldSoftmax(graph, node));
  }
  if (op == "Upsample") {
    node.op = "Resize";
    if (node.Has("scales")) {
      const auto it = node.attrs.find("scales");
      const auto* scales = std::get_if<std::vector<float>>(&it->second);
      const std::vector<float> values = scales ? *scales : std::vector<float>();
      node.attrs.erase("scales");
      SetInput(
          graph, node, 2, "scales",
          Tensor::Of<float>({static_cast<int64_t>(values.size())}, values));
    } else if (node.inputs.size() == 2) {
      node.inputs = {node.inputs[0], kNoValue, node.inputs[1]};
    }
    node.attrs["coordinate_transformation_mode"] = std::string("asymmetric");
    node.attrs["nearest_mode"] = std::string("floor");
  } else if (from == 10 && op == "Resize" && node.inputs.size() == 2) {
    node.inputs = {node.inputs[0], kNoValue, node.inputs[1]};
    node.attrs["coordinate_transformation_mode"] = std::string("asymmetric");
    node.attrs["nearest_mode"] = std::string("floor");
  }
  if (op == "BatchNormalization") {
    node.attrs.erase("spatial");
    node.attrs.erase("training_mode");
    // Extra outputs belong to training at export time.
    node.outputs.resize(1);
  }
  if (op == "Dropout") node.outputs.resize(1);
  return absl::OkStatus();
}

constexpr char kKnownOperators[] =
    "Abs Add And ArgMax ArgMin AveragePool BatchNormalization Cast "
    "Ceil Clip Concat Constant ConstantOfShape Conv ConvTranspose "
    "Cos DequantizeLinear Div Dropout Elu Equal Erf Exp Expand "
    "Flatten Floor Gather Gemm GlobalAveragePool GlobalMaxPool "
    "Greater GreaterOrEqual HardSigmoid HardSwish Identity "
    "InstanceNormalization LayerNormalization LeakyRelu Less "
    "LessOrEqual Log LogSoftmax MatMul Max MaxPool Min Mul Neg Not "
    "Or PRelu Pad Pow QuantizeLinear Reciprocal ReduceMax ReduceMean "
    "ReduceMin ReduceSum Relu Reshape Resize Round Shape Sigmoid "
    "Sign Sin Slice Softmax Softplus Split Sqrt Squeeze Sub Tanh "
    "Transpose Unsqueeze Upsample Where";

}  // namespace

absl::Status BringToOpset(Graph& graph, int from) {
  const std::vector<NodeId> order = graph.order();
  for (NodeId id : order) {
    if (!graph.node(id).domain.empty()) continue;
    CONDENSE_RETURN_IF_ERROR(BringNode(graph, id, from));
  }
  graph.opset = Graph::kOpset;
  return absl::OkStatus();
}

bool IsKnownOperator(const std::string& op) {
  static const auto& known =
      *new std::set<std::string>(absl::StrSplit(kKnownOperators, ' '));
  return known.count(op) > 0;
}

}  // namespace condense::onnx_import
