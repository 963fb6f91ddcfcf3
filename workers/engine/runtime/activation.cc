// Activations and what is computed along one axis like them.

#include <cmath>

#include "workers/engine/runtime/step.h"

namespace condense::runtime {
namespace {

using torch::Tensor;

KernelMaker Plain(Tensor (*function)(const Tensor&)) {
  return [function](const KernelContext&) -> absl::StatusOr<Kernel> {
    return Kernel([function](const Call& call) {
      return std::vector<Tensor>{function(call.in[0])};
    });
  };
}

absl::StatusOr<Kernel> Relu(const KernelContext&) {
  return Kernel([](const Call& call) {
    if (!call.in_place) return std::vector<Tensor>{at::relu(call.in[0])};
    Tensor y = call.in[0];
    return std::vector<Tensor>{at::relu_(y)};
  });
}

// Attributes alpha and beta (or lambd and bias) with ONNX's defaults.
struct Constants {
  double alpha = 0;
  double beta = 0;
};
using WithConstants = Tensor (*)(const Tensor&, const Constants&);

KernelMaker Parametric(WithConstants function, const char* first, float alpha,
                       const char* second = "", float beta = 0) {
  return [=](const KernelContext& c) -> absl::StatusOr<Kernel> {
    const Constants constants{c.node.Float(first, alpha),
                              *second ? c.node.Float(second, beta) : 0};
    return Kernel([function, constants](const Call& call) {
      return std::vector<Tensor>{function(call.in[0], constants)};
    });
  };
}

absl::StatusOr<Kernel> PRelu(const KernelContext&) {
  return Kernel([](const Call& call) {
    const Tensor &x = call.in[0], &slope = call.in[1];
    if (!x.is_floating_point()) {
      return std::vector<Tensor>{at::where(x < 0, x * slope, x)};
    }
    return std::vector<Tensor>{at::relu(x) + slope * at::clamp_max(x, 0)};
  });
}

absl::StatusOr<Kernel> Gelu(const KernelContext& c) {
  const std::string approximate = c.node.String("approximate", "none");
  return Kernel([approximate](const Call& call) {
    return std::vector<Tensor>{at::gelu(call.in[0], approximate)};
  });
}

KernelMaker AlongAxis(Tensor (*function)(const Tensor&, int64_t)) {
  return [function](const KernelContext& c) -> absl::StatusOr<Kernel> {
    const int64_t axis = c.node.Int("axis", -1);
    return Kernel([function, axis](const Call& call) {
      return std::vector<Tensor>{function(call.in[0], axis)};
    });
  };
}

// One at the first of the greatest elements, zero elsewhere.
Tensor Hardmax(const Tensor& x, int64_t axis) {
  const Tensor first = at::argmax(x, axis, true);
  return at::zeros_like(x).scatter(axis, first, 1);
}

Tensor Shrink(const Tensor& x, const Constants& k) {
  const Tensor low = at::where(x < -k.alpha, x + k.beta, at::zeros_like(x));
  return at::where(x > k.alpha, x - k.beta, low);
}

void AddParametric(KernelTable* table) {
  (*table)["LeakyRelu"] =
      Parametric([](const Tensor& x,
                    const Constants& k) { return at::leaky_relu(x, k.alpha); },
                 "alpha", 0.01f);
  (*table)["Elu"] = Parametric(
      [](const Tensor& x, const Constants& k) { return at::elu(x, k.alpha); },
      "alpha", 1.0f);
  (*table)["Celu"] = Parametric(
      [](const Tensor& x, const Constants& k) { return at::celu(x, k.alpha); },
      "alpha", 1.0f);
  (*table)["Selu"] = Parametric(
      [](const Tensor& x, const Constants& k) {
        return at::elu(x, k.alpha, k.beta);
      },
      "alpha", 1.67326319217681884765625f, "gamma", 1.05070102214813232421875f);
  (*table)["ThresholdedRelu"] = Parametric(
      [](const Tensor& x, const Constants& k) {
        return at::where(x > k.alpha, x, at::zeros_like(x));
      },
      "alpha", 1.0f);
  (*table)["Shrink"] = Parametric(Shrink, "lambd", 0.5f, "bias", 0.0f);
  (*table)["HardSigmoid"] = Parametric(
      [](const Tensor& x, const Constants& k) {
        return at::clamp(x * k.alpha + k.beta, 0, 1);
      },
      "alpha", 0.2f, "beta", 0.5f);
  (*table)["Swish"] = Parametric(
      [](const Tensor& x, const Constants& k) {
        // Keeps x alone for its gradient, not the gate.
        if (k.alpha == 1) return at::silu(x);
        return x * at::sigmoid(x * k.alpha);
      },
      "alpha", 1.0f);
}

}  // namespace

void AddActivationKernels(KernelTable* table) {
  AddParametric(table);
  (*table)["HardSwish"] =
      Plain([](const Tensor& x) { return at::hardswish(x); });
  (*table)["Identity"] = Plain([](const Tensor& x) { return x; });
  (*table)["Mish"] = Plain([](const Tensor& x) { return at::mish(x); });
  (*table)["Relu"] = Relu;
  (*table)["Sigmoid"] = Plain([](const Tensor& x) { return at::sigmoid(x); });
  (*table)["Softplus"] = Plain([](const Tensor& x) {
    // Without the cut-off at 20 that LibTorch's default has.
    return at::softplus(x, 1, 80);
  });
  (*table)["Softsign"] =
      Plain([](const Tensor& x) { return x / (1 + at::abs(x)); });
  (*table)["Tanh"] = Plain([](const Tensor& x) { return at::tanh(x); });
  (*table)["Gelu"] = Gelu;
  (*table)["PRelu"] = PRelu;
  (*table)["Softmax"] = AlongAxis(
      [](const Tensor& x, int64_t axis) { return at::softmax(x, axis); });
  (*table)["LogSoftmax"] = AlongAxis(
      [](const Tensor& x, int64_t axis) { return at::log_softmax(x, axis); });
  (*table)["Hardmax"] = AlongAxis(Hardmax);
}

}  // namespace condense::runtime
