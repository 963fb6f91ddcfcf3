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

absl::Status CastLike(const Context& c) {
  c.Set(0, c.DTypeAt(1), c.ShapeOf(0));
  return absl::OkStatus();
}

absl::Status Quantize(const Context& c) {
  const DType dtype = c.DTypeAt(2);
  c.Set(0,
        dtype == DType::kUndefined
            ? DTypeFromName(c.node.String("output_dtype", "uint8"))
            : dtype,
        c.ShapeOf(0));
  return absl::OkStatus();
}

absl::Status Dequantize(const Context& c) {
  const DType scale = c.DTypeAt(1);
  c.Set(0, scale == DType::kUndefined ? DType::kFloat32 : scale, c.ShapeOf(0));
  return absl::OkStatus();
}

absl::Status DynamicQuantize(const Context& c) {
  c.Set(0, DType::kUint8, c.ShapeOf(0));
  c.Set(1, DType::kFloat32, Shape());
  c.Set(2, DType::kUint8, Shape());
  return absl::OkStatus();
}

// To bool, element by element.
absl::Status Predicate(const Context& c) {
  c.Set(0, DType::kBool, c.ShapeOf(0));
  return absl::OkStatus();
}

absl::Status Dropout(const Context& c) {
  c.Set(1, DType::kBool, c.ShapeOf(0));
  return SameAsInput(c);
}

absl::Status Normalization(const Context& c) {
  const MaybeShape x = c.ShapeOf(0), scale = c.ShapeOf(1);
  if (c.node.op == "BatchNormalization" && x && scale && x->size() > 1 &&
      scale->size() == 1 && (*x)[1].known() && (*scale)[0].known() &&
      (*x)[1].value != (*scale)[0].value) {
    return c.Mismatch("scale and input have different channels");
  }
  if (c.node.op == "LayerNormalization" && x) {
    CONDENSE_ASSIGN_OR_RETURN(size_t from,
                              Axis(c, c.node.Int("axis", -1), x->size()));
    Shape statistics = *x;
    for (size_t i = from; i < x->size(); ++i) statistics[i] = Dim(1);
    c.Set(1, DType::kFloat32, statistics);
    c.Set(2, DType::kFloat32, statistics);
  }
  return SameAsInput(c);
}

// Their output is like their first input.
constexpr const char* kKeepShape[] = {"Abs",
                                      "Acos",
                                      "Acosh",
                                      "Asin",
                                      "Asinh",
                                      "Atan",
                                      "Atanh",
                                      "BitwiseNot",
                                      "Celu",
                                      "Ceil",
                                      "Clip",
                                      "Cos",
                                      "Cosh",
                                      "Elu",
                                      "Erf",
                                      "Exp",
                                      "Floor",
                                      "Gelu",
                                      "HardSigmoid",
                                      "Hardmax",
                                      "HardSwish",
                                      "Identity",
                                      "LeakyRelu",
                                      "Log",
                                      "LogSoftmax",
                                      "MeanVarianceNormalization",
                                      "Mish",
                                      "Neg",
                                      "Not",
                                      "PRelu",
                                      "Reciprocal",
                                      "Relu",
                                      "Round",
                                      "Selu",
                                      "Shrink",
                                      "Sigmoid",
                                      "Sign",
                                      "Sin",
                                      "Sinh",
                                      "Softmax",
                                      "Softplus",
                                      "Softsign",
                                      "Sqrt",
                                      "Swish",
                                      "Tan",
                                      "Tanh",
                                      "ThresholdedRelu",
                                      "LRN",
                                      "LpNormalization",
                                      "CumSum",
                                      "RMSNormalization",
                                      "ReverseSequence",
                                      "Trilu"};

}  // namespace

void AddElementwiseRules(RuleTable* table) {
  for (const char* op : kKeepShape) (*table)[op] = SameAsInput;
  for (const char* op :
       {"Add", "Sub", "Mul", "Div", "Pow", "Min", "Max", "Mean", "Sum", "Mod",
        "BitShift", "BitwiseAnd", "BitwiseOr", "BitwiseXor"}) {
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
  (*table)["CastLike"] = CastLike;
  (*table)["Dropout"] = Dropout;
  (*table)["DynamicQuantizeLinear"] = DynamicQuantize;
  (*table)["IsInf"] = Predicate;
  (*table)["IsNaN"] = Predicate;
  (*table)["Cast"] = Cast;
  (*table)["QuantizeLinear"] = Quantize;
  (*table)["DequantizeLinear"] = Dequantize;
}

}  // namespace condense::graph
