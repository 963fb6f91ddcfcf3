// Arithmetic, activations, comparisons and reductions.

#include <cmath>

#include "workers/engine/import/torchscript/interpreter.h"

namespace condense::torchscript_import {
namespace {

using graph::DType;
using graph::ValueId;
using Items = std::vector<Item>;

Handler Unary(const char* op) {
  return [op](Builder& b, const Arguments& a) {
    return Items{b.Result(op, {b.TensorOf(a[0])})};
  };
}

// Both operands as tensors of one type: the graph's tensor decides over numbers
// and floats over integers.
std::pair<ValueId, ValueId> Operands(Builder& b, const Item& x, const Item& y) {
  const bool x_number = !x.IsTensor() && !x.IsConstantTensor();
  ValueId left, right;
  if (x_number) {
    right = b.TensorOf(y);
    left = b.Operand(x, right);
  } else {
    left = b.TensorOf(x);
    right = b.Operand(y, left);
  }
  if (graph::IsFloating(b.DTypeOf(right)) &&
      !graph::IsFloating(b.DTypeOf(left))) {
    left = b.Cast(left, b.DTypeOf(right));
  }
  if (b.DTypeOf(left) == DType::kBool && b.DTypeOf(right) != DType::kBool) {
    left = b.Cast(left, b.DTypeOf(right));
  } else if (b.DTypeOf(right) == DType::kBool &&
             b.DTypeOf(left) != DType::kBool) {
    right = b.Cast(right, b.DTypeOf(left));
  }
  return {left, right};
}

Handler Binary(const char* op) {
  return [op](Builder& b, const Arguments& a) {
    const auto [x, y] = Operands(b, a[0], a[1]);
    return Items{b.Result(op, {x, y})};
  };
}

// x + alpha * y and the like.
Handler Scaled(const char* op, bool swapped) {
  return [=](Builder& b, const Arguments& a) {
    auto [x, y] = Operands(b, a[0], a[1]);
    const double alpha = a.size() > 2 ? a.Double(2) : 1;
    ValueId& scaled = swapped ? x : y;
    if (alpha != 1) {
      scaled = b.Op("Mul", {scaled, b.ScalarLike(alpha, scaled)});
    }
    return Items{swapped ? b.Result(op, {y, x}) : b.Result(op, {x, y})};
  };
}

Items Divide(Builder& b, const Arguments& a) {
  auto [x, y] = Operands(b, a[0], a[1]);
  const std::string mode =
      a.size() > 2 && !a.IsNone(2) ? a.String(2) : std::string();
  if (mode.empty() && !graph::IsFloating(b.DTypeOf(x))) {
    x = b.Cast(x, DType::kFloat32);
    y = b.Cast(y, DType::kFloat32);
  }
  const ValueId quotient = b.Op("Div", {x, y});
  if (mode == "floor" && graph::IsFloating(b.DTypeOf(x))) {
    return {b.Result("Floor", {quotient})};
  }
  return {Item::Tensor(quotient)};
}

Items FloorDivide(Builder& b, const Arguments& a) {
  const auto [x, y] = Operands(b, a[0], a[1]);
  const ValueId quotient = b.Op("Div", {x, y});
  return {graph::IsFloating(b.DTypeOf(x)) ? b.Result("Floor", {quotient})
                                          : Item::Tensor(quotient)};
}

Handler Attributed(const char* op,
                   std::vector<std::pair<const char*, double>> attrs) {
  return [=](Builder& b, const Arguments& a) {
    std::map<std::string, graph::Attribute> values;
    for (const auto& [key, value] : attrs) {
      values[key] = static_cast<float>(value);
    }
    return Items{b.Result(op, {b.TensorOf(a[0])}, std::move(values))};
  };
}

Items Clamp(Builder& b, ValueId x, c10::optional<double> low,
            c10::optional<double> high) {
  return {b.Result("Clip", {x, low ? b.ScalarLike(*low, x) : graph::kNoValue,
                            high ? b.ScalarLike(*high, x) : graph::kNoValue})};
}

Items ClampItems(Builder& b, const Arguments& a) {
  c10::optional<double> low, high;
  if (!a.IsNone(1)) low = a.Double(1);
  if (!a.IsNone(2)) high = a.Double(2);
  return Clamp(b, b.TensorOf(a[0]), low, high);
}

Items Gelu(Builder& b, const Arguments& a) {
  const std::string approximate =
      a.size() > 1 ? a.String(1) : std::string("none");
  return {b.Result("Gelu", {b.TensorOf(a[0])}, {{"approximate", approximate}})};
}

Items LeakyRelu(Builder& b, const Arguments& a) {
  const double slope = a.size() > 1 ? a.Double(1) : 0.01;
  return {b.Result("LeakyRelu", {b.TensorOf(a[0])},
                   {{"alpha", static_cast<float>(slope)}})};
}

Items Elu(Builder& b, const Arguments& a) {
  return {b.Result("Elu", {b.TensorOf(a[0])},
                   {{"alpha", static_cast<float>(a.Double(1))}})};
}

// ONNX aligns the slopes at the end, PyTorch with the channels.
Items PRelu(Builder& b, const Arguments& a) {
  const ValueId x = b.TensorOf(a[0]);
  if (!a[1].IsConstantTensor() || b.RankOf(x) < 3) {
    return {b.Result("PRelu", {x, b.TensorOf(a[1])})};
  }
  const torch::Tensor slope = a[1].value.toTensor();
  std::vector<int64_t> shape(b.RankOf(x) - 1, 1);
  shape[0] = slope.numel();
  return {b.Result(
      "PRelu", {x, b.NamedConstant(b.NameOf(slope), slope.reshape(shape))})};
}

Items Softplus(Builder& b, const Arguments& a) {
  if (a.Double(1) != 1) Fail("UNSUPPORTED_OPERATOR", "softplus with a beta");
  return {b.Result("Softplus", {b.TensorOf(a[0])})};
}

Handler AlongAxis(const char* op) {
  return [op](Builder& b, const Arguments& a) {
    ValueId x = b.TensorOf(a[0]);
    if (!a.IsNone(2) && a.size() > 2) {
      x = b.Cast(x, DTypeOfScalarType(a.Int(2)));
    }
    return Items{b.Result(op, {x}, {{"axis", b.AxisOf(x, a.Int(1))}})};
  };
}

// Reductions: over all axes, or over those of argument 1.
Handler Reduce(const char* op) {
  return [op](Builder& b, const Arguments& a) {
    ValueId x = b.TensorOf(a[0]);
    const bool over_axes =
        a.size() > 2 && (a[1].kind == Item::Kind::kList ||
                         (a[1].kind == Item::Kind::kConcrete &&
                          (a[1].value.isList() || a[1].value.isInt())));
    std::vector<int64_t> axes;
    if (over_axes) axes = a.Ints(1);
    for (int64_t& axis : axes) axis = b.AxisOf(x, axis);
    const int64_t keep = over_axes && a.size() > 2 && a.Bool(2) ? 1 : 0;
    if (std::string(op) == "ReduceSum") {
      return Items{b.Result(op,
                            {x, axes.empty() ? graph::kNoValue : b.Ints(axes)},
                            {{"keepdims", keep}})};
    }
    std::map<std::string, graph::Attribute> attrs = {{"keepdims", keep}};
    if (!axes.empty()) attrs["axes"] = axes;
    return Items{b.Result(op, {x}, std::move(attrs))};
  };
}

// max(x), max(x, y) or max(x, axis, keepdim) with indices.
Handler Extreme(const char* reduce, const char* pairwise, const char* arg) {
  return [=](Builder& b, const Arguments& a) {
    const ValueId x = b.TensorOf(a[0]);
    if (a.size() == 1) {
      return Items{b.Result(reduce, {x}, {{"keepdims", int64_t{0}}})};
    }
    if (a[1].IsTensor() || a[1].IsConstantTensor()) {
      const auto [p, q] = Operands(b, a[0], a[1]);
      return Items{b.Result(pairwise, {p, q})};
    }
    const int64_t axis = b.AxisOf(x, a.Int(1));
    const int64_t keep = a.size() > 2 && a.Bool(2) ? 1 : 0;
    return Items{
        b.Result(reduce, {x},
                 {{"axes", std::vector<int64_t>{axis}}, {"keepdims", keep}}),
        b.Result(arg, {x}, {{"axis", axis}, {"keepdims", keep}})};
  };
}

Handler Arg(const char* op) {
  return [op](Builder& b, const Arguments& a) {
    ValueId x = b.TensorOf(a[0]);
    if (a.IsNone(1)) {
      x = b.Op("Reshape", {x, b.Ints({-1})});
      return Items{
          b.Result(op, {x}, {{"axis", int64_t{0}}, {"keepdims", int64_t{0}}})};
    }
    return Items{b.Result(op, {x},
                          {{"axis", b.AxisOf(x, a.Int(1))},
                           {"keepdims", int64_t{a.Bool(2) ? 1 : 0}}})};
  };
}

// var and std with dim, correction (or unbiased) and keepdim.
Handler Variance(bool root) {
  return [root](Builder& b, const Arguments& a) {
    const ValueId x = b.TensorOf(a[0]);
    std::vector<int64_t> axes;
    double correction = 1;
    bool keep = false;
    if (a.size() == 2) {
      correction = a.Bool(1) ? 1 : 0;
    } else {
      if (!a.IsNone(1)) axes = a.Ints(1);
      if (!a.IsNone(2)) correction = a.Double(2);
      keep = a.Bool(3);
    }
    for (int64_t& axis : axes) axis = b.AxisOf(x, axis);
    for (int64_t i = 0; axes.empty() && i < b.RankOf(x); ++i) axes.push_back(i);
    double count = 1;
    for (int64_t axis : axes) {
      const graph::Dim& dim = b.ShapeOf(x)[axis];
      if (!dim.known()) Fail("UNSUPPORTED_OPERATOR", "variance of the batch");
      count *= static_cast<double>(dim.value);
    }
    const ValueId mean =
        b.Op("ReduceMean", {x}, {{"axes", axes}, {"keepdims", int64_t{1}}});
    const ValueId centred = b.Op("Sub", {x, mean});
    ValueId y = b.Op("ReduceMean", {b.Op("Mul", {centred, centred})},
                     {{"axes", axes}, {"keepdims", int64_t{keep ? 1 : 0}}});
    if (correction != 0) {
      y = b.Op("Mul", {y, b.FloatScalar(count / (count - correction))});
    }
    return Items{root ? b.Result("Sqrt", {y}) : Item::Tensor(y)};
  };
}

Items Norm(Builder& b, const Arguments& a) {
  const ValueId x = b.TensorOf(a[0]);
  const double p = a.size() > 1 && !a.IsNone(1) ? a.Double(1) : 2;
  if (p != 1 && p != 2) Fail("UNSUPPORTED_OPERATOR", "a norm other than 1, 2");
  std::map<std::string, graph::Attribute> attrs = {
      {"keepdims", int64_t{a.size() > 3 && a.Bool(3) ? 1 : 0}}};
  if (a.size() > 2 && !a.IsNone(2)) {
    std::vector<int64_t> axes = a.Ints(2);
    for (int64_t& axis : axes) axis = b.AxisOf(x, axis);
    if (!axes.empty()) attrs["axes"] = axes;
  }
  return {b.Result(p == 1 ? "ReduceL1" : "ReduceL2", {x}, attrs)};
}

Items Where(Builder& b, const Arguments& a) {
  const ValueId condition = b.TensorOf(a[0]);
  const auto [x, y] = Operands(b, a[1], a[2]);
  return {b.Result("Where", {condition, x, y})};
}

Items MaskedFill(Builder& b, const Arguments& a) {
  const ValueId x = b.TensorOf(a[0]);
  const ValueId mask = b.Cast(b.TensorOf(a[1]), DType::kBool);
  return {b.Result("Where", {mask, b.Operand(a[2], x), x})};
}

Items NotEqual(Builder& b, const Arguments& a) {
  const auto [x, y] = Operands(b, a[0], a[1]);
  return {b.Result("Not", {b.Op("Equal", {x, y})})};
}

Items Rsqrt(Builder& b, const Arguments& a) {
  return {b.Result("Reciprocal", {b.Op("Sqrt", {b.TensorOf(a[0])})})};
}

Items Square(Builder& b, const Arguments& a) {
  const ValueId x = b.TensorOf(a[0]);
  return {b.Result("Mul", {x, x})};
}

Items Identity(Builder& b, const Arguments& a) { return {a[0]}; }

// to(x, dtype, ...) and its relatives; a device alone changes nothing.
Items To(Builder& b, const Arguments& a) {
  const ValueId x = b.TensorOf(a[0]);
  for (size_t i = 1; i < std::min<size_t>(a.size(), 3); ++i) {
    if (a[i].IsTensor()) return {Item::Tensor(b.Cast(x, b.DTypeOf(a[i].id)))};
    if (a[i].kind == Item::Kind::kConcrete && a[i].value.isInt()) {
      return {Item::Tensor(b.Cast(x, DTypeOfScalarType(a.Int(i))))};
    }
  }
  return {a[0]};
}

Handler CastTo(DType dtype) {
  return [dtype](Builder& b, const Arguments& a) {
    return Items{Item::Tensor(b.Cast(b.TensorOf(a[0]), dtype))};
  };
}

void AddActivations(HandlerTable* table) {
  HandlerTable& t = *table;
  t["aten::elu"] = Elu;
  t["aten::gelu"] = Gelu;
  t["aten::hardsigmoid"] =
      Attributed("HardSigmoid", {{"alpha", 1.0 / 6}, {"beta", 0.5}});
  t["aten::hardswish"] = Unary("HardSwish");
  t["aten::hardtanh"] = ClampItems;
  t["aten::leaky_relu"] = LeakyRelu;
  t["aten::log_softmax"] = AlongAxis("LogSoftmax");
  t["aten::mish"] = Unary("Mish");
  t["aten::prelu"] = PRelu;
  t["aten::relu"] = Unary("Relu");
  t["aten::relu6"] = [](Builder& b, const Arguments& a) {
    return Clamp(b, b.TensorOf(a[0]), 0, 6);
  };
  t["aten::selu"] = Unary("Selu");
  t["aten::sigmoid"] = Unary("Sigmoid");
  t["aten::silu"] = Unary("Swish");
  t["aten::softmax"] = AlongAxis("Softmax");
  t["aten::softplus"] = Softplus;
  t["aten::softsign"] = Unary("Softsign");
  t["aten::tanh"] = Unary("Tanh");
}

void AddReductions(HandlerTable* table) {
  HandlerTable& t = *table;
  t["aten::amax"] = Reduce("ReduceMax");
  t["aten::amin"] = Reduce("ReduceMin");
  t["aten::argmax"] = Arg("ArgMax");
  t["aten::argmin"] = Arg("ArgMin");
  t["aten::linalg_vector_norm"] = Norm;
  t["aten::logsumexp"] = Reduce("ReduceLogSumExp");
  t["aten::max"] = Extreme("ReduceMax", "Max", "ArgMax");
  t["aten::mean"] = Reduce("ReduceMean");
  t["aten::min"] = Extreme("ReduceMin", "Min", "ArgMin");
  t["aten::norm"] = Norm;
  t["aten::std"] = Variance(true);
  t["aten::sum"] = Reduce("ReduceSum");
  t["aten::var"] = Variance(false);
}

}  // namespace

void AddMathHandlers(HandlerTable* table) {
  AddActivations(table);
  AddReductions(table);
  HandlerTable& t = *table;
  const std::pair<const char*, const char*> unary[] = {
      {"aten::abs", "Abs"},
      {"aten::acos", "Acos"},
      {"aten::asin", "Asin"},
      {"aten::atan", "Atan"},
      {"aten::ceil", "Ceil"},
      {"aten::cos", "Cos"},
      {"aten::cosh", "Cosh"},
      {"aten::erf", "Erf"},
      {"aten::exp", "Exp"},
      {"aten::floor", "Floor"},
      {"aten::log", "Log"},
      {"aten::logical_not", "Not"},
      {"aten::bitwise_not", "Not"},
      {"aten::neg", "Neg"},
      {"aten::reciprocal", "Reciprocal"},
      {"aten::round", "Round"},
      {"aten::sign", "Sign"},
      {"aten::sin", "Sin"},
      {"aten::sinh", "Sinh"},
      {"aten::sqrt", "Sqrt"},
      {"aten::tan", "Tan"},
      {"aten::isnan", "IsNaN"}};
  for (const auto& [name, op] : unary) t[name] = Unary(op);
  const std::pair<const char*, const char*> binary[] = {
      {"aten::bitwise_and", "And"}, {"aten::bitwise_or", "Or"},
      {"aten::eq", "Equal"},        {"aten::ge", "GreaterOrEqual"},
      {"aten::gt", "Greater"},      {"aten::le", "LessOrEqual"},
      {"aten::logical_and", "And"}, {"aten::logical_or", "Or"},
      {"aten::logical_xor", "Xor"}, {"aten::lt", "Less"},
      {"aten::maximum", "Max"},     {"aten::minimum", "Min"},
      {"aten::mul", "Mul"},         {"aten::pow", "Pow"},
      {"aten::remainder", "Mod"}};
  for (const auto& [name, op] : binary) t[name] = Binary(op);
  t["aten::add"] = Scaled("Add", false);
  t["aten::sub"] = Scaled("Sub", false);
  t["aten::rsub"] = Scaled("Sub", true);
  t["aten::div"] = Divide;
  t["aten::floor_divide"] = FloorDivide;
  t["aten::clamp"] = ClampItems;
  t["aten::clamp_min"] = [](Builder& b, const Arguments& a) {
    return Clamp(b, b.TensorOf(a[0]), a.Double(1), c10::nullopt);
  };
  t["aten::clamp_max"] = [](Builder& b, const Arguments& a) {
    return Clamp(b, b.TensorOf(a[0]), c10::nullopt, a.Double(1));
  };
  t["aten::masked_fill"] = MaskedFill;
  t["aten::ne"] = NotEqual;
  t["aten::rsqrt"] = Rsqrt;
  t["aten::square"] = Square;
  t["aten::where"] = Where;
  for (const char* same :
       {"aten::alias", "aten::alpha_dropout", "aten::clone", "aten::contiguous",
        "aten::cpu", "aten::detach", "aten::dropout", "aten::feature_dropout",
        "aten::positive", "aten::cuda"}) {
    t[same] = Identity;
  }
  t["aten::to"] = To;
  t["aten::type_as"] = To;
  t["aten::float"] = CastTo(DType::kFloat32);
  t["aten::Float"] = CastTo(DType::kFloat32);
  t["aten::long"] = CastTo(DType::kInt64);
  t["aten::bool"] = CastTo(DType::kBool);
}

}  // namespace condense::torchscript_import
