#include "workers/engine/graph/arity.h"

#include <limits>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/error.h"

namespace condense::graph {
namespace {

constexpr size_t kAny = std::numeric_limits<size_t>::max();

struct Arity {
  // Inputs that must be there; none of them may be omitted.
  size_t inputs = 1;
  size_t inputs_max = kAny;
  size_t outputs_max = kAny;
};
struct Group {
  Arity arity;
  const char* operators;
};
constexpr Group kGroups[] = {
    {{0, 0, 1}, "Constant"},
    {{0, kAny, kAny}, "Loop"},
    {{1, 1, 1},
     "Abs Acos Acosh ArgMax ArgMin Asin Asinh Atan Atanh AveragePool "
     "BitwiseNot BlackmanWindow Cast Ceil Celu ConstantOfShape Cos Cosh "
     "DepthToSpace Det Elu Erf Exp EyeLike Flatten Floor Gelu "
     "GlobalAveragePool GlobalLpPool GlobalMaxPool HammingWindow HannWindow "
     "HardSigmoid HardSwish Hardmax Identity IsInf IsNaN LRN LeakyRelu Log "
     "LogSoftmax LpNormalization LpPool MeanVarianceNormalization Mish Neg "
     "NonZero Not Reciprocal Relu Round Selu Shape Shrink Sigmoid Sign Sin "
     "Sinh Size Softmax Softplus Softsign SpaceToDepth Sqrt Swish Tan Tanh "
     "ThresholdedRelu Transpose"},
    {{1, 1, 2}, "MaxPool"},
    {{1, 1, 3}, "DynamicQuantizeLinear"},
    {{1, 1, 4}, "Unique"},
    {{1, 2, 1},
     "ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean "
     "ReduceMin ReduceProd ReduceSum ReduceSumSquare Squeeze Trilu"},
    {{1, 2, kAny}, "Split"},
    {{1, 3, 1}, "Clip DFT"},
    {{1, 3, 2}, "Dropout"},
    {{1, 4, 1}, "Resize"},
    {{1, kAny, 1}, "Concat Einsum Max Mean Min Sum"},
    {{2, 2, 1},
     "Add AffineGrid And BitShift BitwiseAnd BitwiseOr BitwiseXor CastLike "
     "CenterCropPad Compress CumSum Div Equal Expand Gather GatherElements "
     "GatherND Greater GreaterOrEqual GridSample Less LessOrEqual MatMul Mod "
     "Mul Or PRelu Pow RMSNormalization Reshape ReverseSequence Sub Tile "
     "Unsqueeze Xor"},
    {{2, 2, 2}, "TopK"},
    {{2, 3, 1},
     "Conv ConvTranspose DequantizeLinear Gemm MaxUnpool "
     "NegativeLogLikelihoodLoss QuantizeLinear"},
    {{2, 3, 2}, "SoftmaxCrossEntropyLoss"},
    {{2, 3, 3}, "LayerNormalization"},
    {{2, 4, 1}, "ConvInteger MatMulInteger Pad STFT"},
    {{2, 5, 1}, "NonMaxSuppression"},
    {{3, 3, 1},
     "Col2Im GroupNormalization InstanceNormalization OneHot "
     "Range RoiAlign ScatterElements ScatterND Where"},
    {{3, 4, 1}, "FakeQuantize"},
    {{3, 5, 1}, "Slice"},
    {{3, 6, 2}, "GRU RNN"},
    {{3, 8, 3}, "LSTM"},
    {{5, 5, 1}, "MelWeightMatrix"},
    {{5, 5, 5}, "BatchNormalization"},
    {{8, 8, 1}, "QLinearMatMul"},
    {{8, 9, 1}, "QLinearConv"}};

// All others need one input.
Arity ArityOf(const std::string& op) {
  static const auto& arities = *[] {
    auto* table = new std::map<std::string, Arity>();
    for (const Group& group : kGroups) {
      const std::vector<std::string> operators =
          absl::StrSplit(group.operators, ' ');
      for (const std::string& name : operators) (*table)[name] = group.arity;
    }
    return table;
  }();
  auto it = arities.find(op);
  return it == arities.end() ? Arity() : it->second;
}

absl::Status Bad(const Node& node, const std::string& message) {
  return MakeError(absl::StatusCode::kInvalidArgument, "BAD_GRAPH", message,
                   {.node = node.name});
}

}  // namespace

absl::Status CheckArity(const Node& node) {
  const Arity arity = ArityOf(node.op);
  for (size_t i = 0; i < arity.inputs; ++i) {
    if (node.input(i) != kNoValue) continue;
    return Bad(node, absl::StrCat(node.op, " needs ", arity.inputs,
                                  " inputs; input ", i, " is missing"));
  }
  if (node.inputs.size() > arity.inputs_max) {
    return Bad(node, absl::StrCat(node.op, " takes ", arity.inputs_max,
                                  " inputs, not ", node.inputs.size()));
  }
  if (node.outputs.empty() || node.outputs.size() > arity.outputs_max) {
    return Bad(node, absl::StrCat(node.op, " cannot make ", node.outputs.size(),
                                  " outputs"));
  }
  return absl::OkStatus();
}

}  // namespace condense::graph
