#include "workers/engine/graph/arity.h"

#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/error.h"

namespace condense::graph {
namespace {

// Operators by the number of inputs that must be there; all others need one.
struct Group {
  size_t inputs;
  const char* operators;
};
constexpr Group kGroups[] = {
    {0, "Constant Loop"},
    {2,
     "Add AffineGrid And BitShift BitwiseAnd BitwiseOr BitwiseXor CastLike "
     "CenterCropPad Compress Conv ConvInteger ConvTranspose CumSum "
     "DequantizeLinear Div Equal Expand Gather GatherElements GatherND Gemm "
     "Greater GreaterOrEqual GridSample LayerNormalization Less LessOrEqual "
     "MatMul MatMulInteger MaxUnpool Mod Mul NegativeLogLikelihoodLoss "
     "NonMaxSuppression Or PRelu Pad Pow QuantizeLinear RMSNormalization "
     "Reshape ReverseSequence STFT SoftmaxCrossEntropyLoss Sub Tile TopK "
     "Unsqueeze Xor"},
    {3,
     "Col2Im FakeQuantize GRU GroupNormalization InstanceNormalization LSTM "
     "OneHot RNN Range RoiAlign ScatterElements ScatterND Slice Where"},
    {5, "BatchNormalization MelWeightMatrix"},
    {8, "QLinearConv QLinearMatMul"}};

size_t NeededInputs(const std::string& op) {
  static const auto& needed = *[] {
    auto* table = new std::map<std::string, size_t>();
    for (const Group& group : kGroups) {
      const std::vector<std::string> operators =
          absl::StrSplit(group.operators, ' ');
      for (const std::string& name : operators) (*table)[name] = group.inputs;
    }
    return table;
  }();
  auto it = needed.find(op);
  return it == needed.end() ? 1 : it->second;
}

}  // namespace

absl::Status CheckArity(const Node& node) {
  const size_t needed = NeededInputs(node.op);
  for (size_t i = 0; i < needed; ++i) {
    if (node.input(i) != kNoValue) continue;
    return MakeError(absl::StatusCode::kInvalidArgument, "BAD_GRAPH",
                     absl::StrCat(node.op, " needs ", needed, " inputs; input ",
                                  i, " is missing"),
                     {.node = node.name});
  }
  return absl::OkStatus();
}

}  // namespace condense::graph
