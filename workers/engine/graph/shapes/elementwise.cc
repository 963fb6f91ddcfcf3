#include <algorithm>

#include "common/status_macros.h"
#include "workers/engine/graph/shapes/rules.h"
#include "workers/engine/graph/window.h"

namespace condense::graph {
namespace {

absl::Status Elementwise(const Context& c, DType dtype) {
  MaybeShape shape = c.ShapeOf(0);
  for (size_t i = 1; i < c.node.inputs.size() && shape.has_value(); ++i) {
    const MaybeShape other = c.ShapeOf(i);
    if (!other.has_value()) {
      shape = std::nullopt;
      break;
    }
    CONDENSE_ASSIGN_OR_RETURN(shape, Broadcast(c, *shape, *other));
  }
  c.Set(0, dtype, shape);
  return absl::OkStatus();
}
absl::Status Arithmetic(const Context& c) {
  return Elementwise(c, c.DTypeAt(0));
}
absl::Status Comparison(const Context& c) {
  return Elementwise(c, DType::kBool);
}
absl::Status Where(const Context& c) { return Elementwise(c, c.DTypeAt(1)); }

absl::Status Cast(const Context& c) {
  c.Set(0, DTypeFromName(c.node.String("to", "")), c.ShapeOf(0));
  return absl::OkStatus();
}

absl::Status Quantize(const Context& c) {
  const DType dtype = c.DTypeAt(2);
  c.Set(0, dtype == DType::kUndefined ? DType::kUint8 : dtype, c.ShapeOf(0));
  return absl::OkStatus();
}

absl::Status Dequantize(const Context& c) {
  c.Set(0, DType::kFloat32, c.ShapeOf(0));
  return absl::OkStatus();
}

absl::Status Normalization(const Context& c) {
  const MaybeShape x = c.ShapeOf(0), scale = c.ShapeOf(1);
  if (c.node.op == "BatchNormalization" && x && scale && x->size() > 1 &&
      scale->size() == 1 && (*x)[1].known() && (*scale)[0].known() &&
      (*x)[1].value != (*scale)[0].value) {
    return c.Mismatch("scale and input have different channels");
  }
  return SameAsInput(c);
}

}  // namespace

void AddElementwiseRules(RuleTable* table) {
  for (const char* op : {"Abs",
                         "Acos",
                         "Asin",
                         "Atan",
                         "Ceil",
                         "Clip",
                         "Cos",
                         "Dropout",
                         "Elu",
                         "Erf",
                         "Exp",
                         "Floor",
                         "Gelu",
                         "HardSigmoid",
                         "HardSwish",
                         "Identity",
                         "LeakyRelu",
                         "Log",
                         "LogSoftmax",
                         "Mish",
                         "Neg",
                         "Not",
                         "PRelu",
                         "Reciprocal",
                         "Relu",
                         "Round",
                         "Selu",
                         "Sigmoid",
                         "Sign",
                         "Sin",
                         "Softmax",
                         "Softplus",
                         "Softsign",
                         "Sqrt",
                         "Tan",
                         "Tanh",
                         "ThresholdedRelu",
                         "LRN",
                         "LpNormalization",
                         "CumSum"}) {
    (*table)[op] = SameAsInput;
  }
  for (const char* op : {"Add", "Sub", "Mul", "Div", "Pow", "Min", "Max",
                         "Mean", "Sum", "Mod"}) {
    (*table)[op] = Arithmetic;
  }
  for (const char* op : {"Equal", "Greater", "GreaterOrEqual", "Less",
                         "LessOrEqual", "And", "Or", "Xor"}) {
    (*table)[op] = Comparison;
  }
  for (const char* op : {"BatchNormalization", "InstanceNormalization",
                         "LayerNormalization", "GroupNormalization"}) {
    (*table)[op] = Normalization;
  }
  (*table)["Where"] = Where;
  (*table)["Cast"] = Cast;
  (*table)["QuantizeLinear"] = Quantize;
  (*table)["DequantizeLinear"] = Dequantize;
}

}  // namespace condense::graph
