// QuantizeLinear and DequantizeLinear (opset 21: per tensor, per axis, in
// blocks; 4, 8 and 16 bits).

#include <utility>

#include "workers/engine/runtime/dtype.h"
#include "workers/engine/runtime/step.h"

namespace condense::runtime {
namespace {

using graph::DType;
using torch::Tensor;

// Scale or zero point so that it broadcasts with x.
Tensor Spread(const Tensor& value, const Tensor& x, int64_t axis,
              int64_t block) {
  if (value.numel() == 1) return value.reshape({});
  const int64_t at = WrapAxis(axis, x.dim());
  if (block > 0) {
    return at::slice(at::repeat_interleave(value, block, at), at, 0,
                     x.size(at));
  }
  if (value.dim() == x.dim()) return value;
  std::vector<int64_t> shape(x.dim(), 1);
  shape[at] = value.numel();
  return value.reshape(shape);
}

std::pair<int64_t, int64_t> RangeOf(DType dtype) {
  const int bits = graph::DTypeBits(dtype);
  const bool is_signed = dtype == DType::kInt4 || dtype == DType::kInt8 ||
                         dtype == DType::kInt16 || dtype == DType::kInt32;
  const int64_t levels = int64_t{1} << bits;
  return is_signed ? std::make_pair(-levels / 2, levels / 2 - 1)
                   : std::make_pair(int64_t{0}, levels - 1);
}

absl::StatusOr<Kernel> QuantizeLinear(const KernelContext& c) {
  const int64_t axis = c.node.Int("axis", 1);
  const int64_t block = c.node.Int("block_size", 0);
  DType dtype = graph::DTypeFromName(c.node.String("output_dtype", "uint8"));
  if (c.Has(2)) dtype = c.graph.value(c.node.input(2)).dtype;
  if (graph::IsFloating(dtype) || !ScalarTypeOf(dtype)) {
    return c.Unsupported("to a floating type");
  }
  const auto [low, high] = RangeOf(dtype);
  return Kernel([=, low = low, high = high](const Call& call) {
    const Tensor& x = call.in[0];
    const Tensor wide = x.to(torch::kFloat32);
    Tensor level = at::round(
        wide / Spread(call.in[1].to(torch::kFloat32), x, axis, block));
    if (call.Has(2)) {
      level = level + Spread(call.in[2].to(torch::kFloat32), x, axis, block);
    }
    return std::vector<Tensor>{
        at::clamp(level, low, high).to(*ScalarTypeOf(dtype))};
  });
}

absl::StatusOr<Kernel> DequantizeLinear(const KernelContext& c) {
  const int64_t axis = c.node.Int("axis", 1);
  const int64_t block = c.node.Int("block_size", 0);
  return Kernel([=](const Call& call) {
    const Tensor& x = call.in[0];
    Tensor level = x.to(torch::kFloat32);
    if (call.Has(2)) {
      level = level - Spread(call.in[2].to(torch::kFloat32), x, axis, block);
    }
    const Tensor scale = Spread(call.in[1].to(torch::kFloat32), x, axis, block);
    return std::vector<Tensor>{(level * scale).to(call.in[1].scalar_type())};
  });
}

}  // namespace

void AddQuantizeLinearKernels(KernelTable* table) {
  (*table)["QuantizeLinear"] = QuantizeLinear;
  (*table)["DequantizeLinear"] = DequantizeLinear;
}

}  // namespace condense::runtime
