// Integer arithmetic of quantized models: QLinearConv, QLinearMatMul,
// ConvInteger, MatMulInteger and DynamicQuantizeLinear. Products of 8-bit
// levels and their sums are exact in double precision.

#include "workers/engine/graph/window.h"
#include "workers/engine/runtime/padding.h"
#include "workers/engine/runtime/step.h"

namespace condense::runtime {
namespace {

using graph::Node;
using torch::Tensor;

constexpr auto kWide = torch::kFloat64;

// x minus its zero point, which may be per row (axis 0 of a weight) or missing.
Tensor Centred(const Tensor& x, const Tensor& zero_point, int64_t axis) {
  const Tensor wide = x.to(kWide);
  if (!zero_point.defined()) return wide;
  if (zero_point.numel() == 1) return wide - zero_point.to(kWide).reshape({});
  std::vector<int64_t> shape(x.dim(), 1);
  shape[axis] = zero_point.numel();
  return wide - zero_point.to(kWide).reshape(shape);
}

Tensor Convolve(const Node& node, const Tensor& x, const Tensor& w,
                const Tensor& bias) {
  const graph::Window window =
      graph::WindowOf(node, SpatialOf(w), SpatialOf(x));
  std::vector<int64_t> padding;
  const Tensor padded = PadRest(x, window, &padding, 0);
  return at::convolution(
      padded, w, bias, window.strides, padding, window.dilations, false,
      std::vector<int64_t>(padding.size(), 0), node.Int("group", 1));
}

// Integer sums back to levels of the output's scale.
Tensor Requantize(const Tensor& sums, const Tensor& factor, const Tensor& scale,
                  const Tensor& zero_point) {
  const bool is_unsigned = zero_point.scalar_type() == torch::kUInt8;
  const Tensor level =
      at::round(sums * factor / scale.to(kWide)) + zero_point.to(kWide);
  return at::clamp(level, is_unsigned ? 0 : -128, is_unsigned ? 255 : 127)
      .to(zero_point.scalar_type());
}

Tensor Along(const Tensor& values, int64_t axis, int64_t rank) {
  if (values.numel() == 1) return values.to(kWide).reshape({});
  std::vector<int64_t> shape(rank, 1);
  shape[axis] = values.numel();
  return values.to(kWide).reshape(shape);
}

absl::StatusOr<Kernel> ConvInteger(const KernelContext& c) {
  const Node node = c.node;
  return Kernel([node](const Call& call) {
    const Tensor x = Centred(call.in[0], call.Optional(2), 1);
    const Tensor w = Centred(call.in[1], call.Optional(3), 0);
    return std::vector<Tensor>{Convolve(node, x, w, {}).to(torch::kInt32)};
  });
}

absl::StatusOr<Kernel> MatMulInteger(const KernelContext&) {
  return Kernel([](const Call& call) {
    const Tensor a =
        Centred(call.in[0], call.Optional(2), call.in[0].dim() - 2);
    const Tensor b =
        Centred(call.in[1], call.Optional(3), call.in[1].dim() - 1);
    return std::vector<Tensor>{at::matmul(a, b).to(torch::kInt32)};
  });
}

absl::StatusOr<Kernel> QLinearConv(const KernelContext& c) {
  const Node node = c.node;
  return Kernel([node](const Call& call) {
    const Tensor x = Centred(call.in[0], call.in[2], 1);
    const Tensor w = Centred(call.in[3], call.in[5], 0);
    const Tensor bias = call.Has(8) ? call.in[8].to(kWide) : Tensor();
    const Tensor sums = Convolve(node, x, w, bias);
    const Tensor factor =
        call.in[1].to(kWide) * Along(call.in[4], 1, sums.dim());
    return std::vector<Tensor>{
        Requantize(sums, factor, call.in[6], call.in[7])};
  });
}

absl::StatusOr<Kernel> QLinearMatMul(const KernelContext&) {
  return Kernel([](const Call& call) {
    const int64_t rows = call.in[0].dim() - 2, columns = call.in[3].dim() - 1;
    const Tensor sums = at::matmul(Centred(call.in[0], call.in[2], rows),
                                   Centred(call.in[3], call.in[5], columns));
    const Tensor factor = Along(call.in[1], sums.dim() - 2, sums.dim()) *
                          Along(call.in[4], sums.dim() - 1, sums.dim());
    return std::vector<Tensor>{
        Requantize(sums, factor, call.in[6], call.in[7])};
  });
}

// uint8 over the range of the tensor itself, zero included.
absl::StatusOr<Kernel> DynamicQuantize(const KernelContext&) {
  return Kernel([](const Call& call) {
    const Tensor& x = call.in[0];
    const Tensor low = at::clamp_max(x.min(), 0),
                 high = at::clamp_min(x.max(), 0);
    const Tensor scale = (high - low) / 255;
    const Tensor zero = at::clamp(at::round(-low / scale), 0, 255);
    const Tensor y = at::clamp(at::round(x / scale) + zero, 0, 255);
    return std::vector<Tensor>{y.to(torch::kUInt8), scale,
                               zero.to(torch::kUInt8)};
  });
}

}  // namespace

void AddIntegerKernels(KernelTable* table) {
  (*table)["ConvInteger"] = ConvInteger;
  (*table)["DynamicQuantizeLinear"] = DynamicQuantize;
  (*table)["MatMulInteger"] = MatMulInteger;
  (*table)["QLinearConv"] = QLinearConv;
  (*table)["QLinearMatMul"] = QLinearMatMul;
}

}  // namespace condense::runtime
