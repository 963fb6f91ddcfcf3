// Windows, Fourier transforms and the mel filter bank of audio models.

#include <cmath>

#include "workers/engine/runtime/dtype.h"
#include "workers/engine/runtime/step.h"

namespace condense::runtime {
namespace {

using torch::Tensor;

// sum over k of coefficients[k] * (-1)^k cos(2 pi k n / N).
KernelMaker CosineWindow(std::vector<double> coefficients) {
  return [coefficients](const KernelContext& c) -> absl::StatusOr<Kernel> {
    const bool periodic = c.node.Int("periodic", 1) != 0;
    const auto type = ScalarTypeOf(graph::DTypeFromName(c.node.String(
                                       "output_datatype", "float32")))
                          .value_or(torch::kFloat32);
    const IntsInput size_input = c.Ints(0);
    const torch::Device device(c.device);
    return Kernel([=](const Call& call) {
      const int64_t size = size_input(call).at(0);
      const double period = static_cast<double>(periodic ? size : size - 1);
      const Tensor n = at::arange(size, torch::kFloat64);
      Tensor y = at::zeros({size}, torch::kFloat64);
      for (size_t k = 0; k < coefficients.size(); ++k) {
        const double sign = k % 2 == 0 ? 1 : -1;
        y = y + sign * coefficients[k] *
                    at::cos(n * (2 * M_PI * static_cast<double>(k) / period));
      }
      return std::vector<Tensor>{y.to(device, type)};
    });
  };
}

// The last axis holds real and imaginary parts, or real parts alone.
Tensor AsComplex(const Tensor& x) {
  if (x.size(-1) == 2) return at::view_as_complex(x.contiguous());
  return at::complex(x.squeeze(-1), at::zeros_like(x.squeeze(-1)));
}

absl::StatusOr<Kernel> Dft(const KernelContext& c) {
  const bool onesided = c.node.Int("onesided", 0) != 0;
  const bool inverse = c.node.Int("inverse", 0) != 0;
  const int64_t axis_attribute = c.node.Int("axis", 1);
  const IntsInput length = c.Ints(1), axis_input = c.Ints(2);
  return Kernel([=](const Call& call) {
    const Tensor x = AsComplex(call.in[0]);
    const int64_t axis =
        WrapAxis(axis_input.Or(call, {axis_attribute}).at(0), call.in[0].dim());
    c10::optional<int64_t> n;
    if (length.given()) n = length(call).at(0);
    Tensor y = inverse ? at::fft_ifft(x, n, axis) : at::fft_fft(x, n, axis);
    if (onesided) y = at::slice(y, axis, 0, y.size(axis) / 2 + 1);
    return std::vector<Tensor>{at::view_as_real(y).contiguous()};
  });
}

absl::StatusOr<Kernel> Stft(const KernelContext& c) {
  const bool onesided = c.node.Int("onesided", 1) != 0;
  const IntsInput step = c.Ints(1), length = c.Ints(3);
  return Kernel([=](const Call& call) {
    Tensor x = call.in[0];
    const bool complex = x.dim() == 3 && x.size(-1) == 2;
    x = complex ? AsComplex(x) : (x.dim() == 3 ? x.squeeze(-1) : x);
    const int64_t frame =
        length.given() ? length(call).at(0) : call.in[2].size(0);
    Tensor frames = x.unfold(1, frame, step(call).at(0));
    if (call.Has(2)) frames = frames * call.in[2];
    Tensor y = at::fft_fft(frames, c10::nullopt, -1);
    if (onesided) y = at::slice(y, -1, 0, frame / 2 + 1);
    return std::vector<Tensor>{at::view_as_real(y).contiguous()};
  });
}

double Mel(double hertz) { return 2595 * std::log10(1 + hertz / 700); }
double Hertz(double mel) { return 700 * (std::pow(10, mel / 2595) - 1); }

// Triangles that are evenly spread over the mel scale.
absl::StatusOr<Kernel> MelWeights(const KernelContext& c) {
  const auto type = ScalarTypeOf(graph::DTypeFromName(c.node.String(
                                     "output_datatype", "float32")))
                        .value_or(torch::kFloat32);
  return Kernel([type](const Call& call) {
    const int64_t bins = IntsOf(call.in[0]).at(0);
    const int64_t length = IntsOf(call.in[1]).at(0);
    const double rate = call.in[2].item<double>();
    const double low = Mel(call.in[3].item<double>());
    const double high = Mel(call.in[4].item<double>());
    const int64_t rows = length / 2 + 1;
    std::vector<int64_t> at(bins + 2);
    for (int64_t i = 0; i < bins + 2; ++i) {
      const double hertz = Hertz(low + static_cast<double>(i) * (high - low) /
                                           static_cast<double>(bins + 2));
      at[i] = static_cast<int64_t>(
          std::floor((static_cast<double>(length) + 1) * hertz / rate));
    }
    std::vector<double> matrix(rows * bins, 0);
    for (int64_t i = 0; i < bins; ++i) {
      const int64_t from = at[i], top = at[i + 1], to = at[i + 2];
      auto cell = [&](int64_t row) -> double& {
        return matrix[row * bins + i];
      };
      if (from == top && top < rows) cell(top) = 1;
      for (int64_t j = from; j <= top && from < top && j < rows; ++j) {
        cell(j) =
            static_cast<double>(j - from) / static_cast<double>(top - from);
      }
      for (int64_t j = top; j < to && j < rows; ++j) {
        cell(j) = static_cast<double>(to - j) / static_cast<double>(to - top);
      }
    }
    return std::vector<Tensor>{
        torch::tensor(matrix, torch::kFloat64).reshape({rows, bins}).to(type)};
  });
}

}  // namespace

void AddSignalKernels(KernelTable* table) {
  (*table)["BlackmanWindow"] = CosineWindow({0.42, 0.5, 0.08});
  (*table)["DFT"] = Dft;
  (*table)["HammingWindow"] = CosineWindow({25.0 / 46, 21.0 / 46});
  (*table)["HannWindow"] = CosineWindow({0.5, 0.5});
  (*table)["MelWeightMatrix"] = MelWeights;
  (*table)["STFT"] = Stft;
}

}  // namespace condense::runtime
