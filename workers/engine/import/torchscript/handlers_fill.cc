// Operators that make tensors from sizes.

#include "workers/engine/import/torchscript/interpreter.h"

namespace condense::torchscript_import {
namespace {

using graph::DType;
using graph::ValueId;
using Items = std::vector<Item>;

// A filled tensor: a constant where all sizes are known.
Item Filled(Builder& b, const Items& sizes, double value, DType dtype) {
  std::vector<int64_t> known;
  for (const Item& size : sizes) {
    if (size.kind == Item::Kind::kConcrete) {
      known.push_back(size.value.toInt());
    }
  }
  const auto type = dtype == DType::kInt64  ? torch::kInt64
                    : dtype == DType::kBool ? torch::kBool
                                            : torch::kFloat32;
  if (known.size() == sizes.size()) {
    return Item::Concrete(torch::full(known, value, type));
  }
  graph::Tensor fill = graph::Tensor::Of<float>(
      {1}, std::vector<float>{static_cast<float>(value)});
  if (dtype == DType::kInt64) {
    fill = graph::Tensor::Of<int64_t>(
        {1}, std::vector<int64_t>{static_cast<int64_t>(value)});
  }
  return b.Result("ConstantOfShape", {b.SizesInput(sizes)}, {{"value", fill}});
}

DType RequestedType(const Arguments& a, size_t i, DType fallback) {
  return a.IsNone(i) ? fallback : DTypeOfScalarType(a.Int(i));
}

// zeros(size, dtype, ...), of sizes that may be symbols.
Handler Fill(double value) {
  return [value](Builder& b, const Arguments& a) {
    return Items{
        Filled(b, a.List(0), value, RequestedType(a, 1, DType::kFloat32))};
  };
}

// full(size, value, dtype, ...)
Items Full(Builder& b, const Arguments& a) {
  return {
      Filled(b, a.List(0), a.Double(1), RequestedType(a, 2, DType::kFloat32))};
}

// new_zeros(x, size, dtype, ...)
Handler NewFill(double value) {
  return [value](Builder& b, const Arguments& a) {
    return Items{Filled(b, a.List(1), value,
                        RequestedType(a, 2, b.DTypeOf(b.TensorOf(a[0]))))};
  };
}

Items NewFull(Builder& b, const Arguments& a) {
  return {Filled(b, a.List(1), a.Double(2),
                 RequestedType(a, 3, b.DTypeOf(b.TensorOf(a[0]))))};
}

// zeros_like(x, dtype, ...)
Handler FillLike(double value) {
  return [value](Builder& b, const Arguments& a) {
    const ValueId x = b.TensorOf(a[0]);
    Items sizes;
    for (int64_t i = 0; i < b.RankOf(x); ++i) sizes.push_back(b.SizeOf(x, i));
    return Items{Filled(b, sizes, value, RequestedType(a, 1, b.DTypeOf(x)))};
  };
}

// arange([start,] end, [step,] dtype, layout, device, pin_memory) of symbols.
Items Arange(Builder& b, const Arguments& a) {
  const size_t bounds = a.size() - 4;
  const ValueId start = bounds > 1 ? b.TensorOf(a[0]) : b.IntScalar(0);
  const ValueId end = b.TensorOf(a[bounds > 1 ? 1 : 0]);
  const ValueId step = bounds > 2 ? b.TensorOf(a[2]) : b.IntScalar(1);
  return {b.Result("Range", {start, end, step})};
}

}  // namespace

void AddFillHandlers(HandlerTable* table) {
  HandlerTable& t = *table;
  t["aten::arange"] = Arange;
  t["aten::full"] = Full;
  t["aten::new_full"] = NewFull;
  t["aten::new_ones"] = NewFill(1);
  t["aten::new_zeros"] = NewFill(0);
  t["aten::ones"] = Fill(1);
  t["aten::ones_like"] = FillLike(1);
  t["aten::zeros"] = Fill(0);
  t["aten::zeros_like"] = FillLike(0);
}

}  // namespace condense::torchscript_import
