// Resize in all of its modes, as one matrix per resized axis (ONNX operator
// Resize, opset 19): nearest, linear and cubic are all linear in the input.

#include <algorithm>
#include <cmath>
#include <numeric>

#include "workers/engine/runtime/step.h"

namespace condense::runtime {
namespace {

using torch::Tensor;
using Sizes = std::vector<int64_t>;

struct Settings {
  std::string mode;
  std::string transform;
  std::string nearest;
  std::string policy;
  double cubic_a = -0.75;
  double extrapolation = 0;
  bool exclude_outside = false;
  bool antialias = false;
  Sizes axes;
};

Settings SettingsOf(const graph::Node& node) {
  Settings s;
  s.mode = node.String("mode", "nearest");
  s.transform = node.String("coordinate_transformation_mode", "half_pixel");
  s.nearest = node.String("nearest_mode", "round_prefer_floor");
  s.policy = node.String("keep_aspect_ratio_policy", "stretch");
  s.cubic_a = node.Float("cubic_coeff_a", -0.75f);
  s.extrapolation = node.Float("extrapolation_value", 0);
  s.exclude_outside = node.Int("exclude_outside", 0) != 0;
  s.antialias = node.Int("antialias", 0) != 0;
  s.axes = node.Ints("axes");
  return s;
}

// One resized axis.
struct Axis {
  int64_t axis = 0;
  int64_t in = 0;
  int64_t out = 0;
  double scale = 1;
  // tf_crop_and_resize only: the part of the input, in units of its size.
  double roi_begin = 0;
  double roi_end = 1;
};

// The place in the input that output `i` looks at.
double SourceOf(const Settings& s, const Axis& a, int64_t i) {
  const double x = static_cast<double>(i);
  const double in = static_cast<double>(a.in), out = static_cast<double>(a.out);
  if (s.transform == "asymmetric") return x / a.scale;
  if (s.transform == "align_corners") {
    return a.out == 1 ? 0 : x * (in - 1) / (in * a.scale - 1);
  }
  if (s.transform == "pytorch_half_pixel" && a.out <= 1) return 0;
  if (s.transform == "tf_crop_and_resize") {
    return a.out > 1 ? a.roi_begin * (in - 1) +
                           x * (a.roi_end - a.roi_begin) * (in - 1) / (out - 1)
                     : 0.5 * (a.roi_begin + a.roi_end) * (in - 1);
  }
  if (s.transform == "tf_half_pixel_for_nn") return (x + 0.5) / a.scale;
  if (s.transform == "half_pixel_symmetric") {
    const double adjust = out / (in * a.scale);
    return in / 2 * (1 - adjust) + (x + 0.5) / a.scale - 0.5;
  }
  return (x + 0.5) / a.scale - 0.5;
}

double Kernel1d(const Settings& s, double t) {
  t = std::abs(t);
  if (s.mode == "linear") return std::max(0.0, 1 - t);
  const double a = s.cubic_a;
  if (t <= 1) return ((a + 2) * t - (a + 3)) * t * t + 1;
  if (t < 2) return ((a * t - 5 * a) * t + 8 * a) * t - 4 * a;
  return 0;
}

int64_t Nearest(const Settings& s, double x) {
  if (s.nearest == "floor") return static_cast<int64_t>(std::floor(x));
  if (s.nearest == "ceil") return static_cast<int64_t>(std::ceil(x));
  if (s.nearest == "round_prefer_ceil") {
    return static_cast<int64_t>(std::floor(x + 0.5));
  }
  return static_cast<int64_t>(std::ceil(x - 0.5));
}

// Weights of the inputs around `x`, row `row` of the matrix.
void FillRow(const Settings& s, const Axis& a, double x, double* row) {
  auto clamp = [&](int64_t i) { return std::clamp<int64_t>(i, 0, a.in - 1); };
  if (s.mode == "nearest") {
    row[clamp(Nearest(s, x))] = 1;
    return;
  }
  // Antialiasing widens the kernel when the image shrinks.
  const double stretch = s.antialias ? std::min(1.0, a.scale) : 1.0;
  const double reach = (s.mode == "linear" ? 1 : 2) / stretch;
  const int64_t from = static_cast<int64_t>(std::floor(x - reach)) + 1;
  const int64_t to = static_cast<int64_t>(std::ceil(x + reach)) - 1;
  double sum = 0;
  std::vector<std::pair<int64_t, double>> weights;
  for (int64_t i = from; i <= to; ++i) {
    if (s.exclude_outside && (i < 0 || i >= a.in)) continue;
    const double w = Kernel1d(s, (static_cast<double>(i) - x) * stretch);
    weights.emplace_back(clamp(i), w);
    sum += w;
  }
  for (const auto& [i, w] : weights) row[i] += w / sum;
}

Tensor MatrixOf(const Settings& s, const Axis& a, Tensor* outside) {
  std::vector<double> matrix(a.out * a.in, 0);
  std::vector<uint8_t> beyond(a.out, 0);
  for (int64_t i = 0; i < a.out; ++i) {
    const double x = SourceOf(s, a, i);
    beyond[i] = x < 0 || x > static_cast<double>(a.in - 1);
    FillRow(s, a, x, &matrix[i * a.in]);
  }
  *outside = torch::tensor(beyond, torch::kUInt8).to(torch::kBool);
  return torch::tensor(matrix, torch::kFloat64).reshape({a.out, a.in});
}

Tensor ResizeAxis(const Tensor& x, const Settings& s, const Axis& a) {
  Tensor outside;
  const Tensor matrix = MatrixOf(s, a, &outside);
  Tensor y;
  if (s.mode == "nearest") {
    y = at::index_select(x, a.axis, matrix.argmax(1).to(x.device()));
  } else {
    const Tensor weights =
        matrix.to(x.is_floating_point() ? x.scalar_type() : torch::kFloat32)
            .to(x.device());
    y = at::matmul(x.transpose(a.axis, -1).to(weights.scalar_type()),
                   weights.t())
            .transpose(a.axis, -1);
    if (!x.is_floating_point()) y = at::round(y).to(x.scalar_type());
  }
  if (s.transform != "tf_crop_and_resize") return y;
  Sizes shape(x.dim(), 1);
  shape[a.axis] = a.out;
  return at::where(outside.to(x.device()).reshape(shape),
                   at::full({}, s.extrapolation, y.options()), y);
}

// LibTorch's own kernels where they mean the same: images in half-pixel linear
// or floor-asymmetric nearest mode.
bool RunFast(const Tensor& x, const Settings& s, const std::vector<Axis>& axes,
             Tensor* y) {
  if (x.dim() != 4 || axes.size() != 2 || axes[0].axis != 2 ||
      axes[1].axis != 3 || s.antialias || s.exclude_outside ||
      !x.is_floating_point()) {
    return false;
  }
  for (const Axis& a : axes) {
    const double exact = static_cast<double>(a.out) / static_cast<double>(a.in);
    if (std::abs(exact - a.scale) > 1e-6 || a.out <= 1) return false;
  }
  const Sizes size = {axes[0].out, axes[1].out};
  if (s.mode == "linear" &&
      (s.transform == "half_pixel" || s.transform == "pytorch_half_pixel" ||
       s.transform == "align_corners")) {
    *y = at::upsample_bilinear2d(x, size, s.transform == "align_corners");
    return true;
  }
  if (s.mode == "nearest" && s.transform == "asymmetric" &&
      s.nearest == "floor") {
    *y = at::upsample_nearest2d(x, size);
    return true;
  }
  return false;
}

std::vector<float> FloatsOf(const Tensor& tensor) {
  const Tensor flat = tensor.to(torch::kCPU).to(torch::kFloat32).contiguous();
  return {flat.data_ptr<float>(), flat.data_ptr<float>() + flat.numel()};
}

// keep_aspect_ratio_policy: one scale for all axes.
void KeepAspect(const Settings& s, std::vector<Axis>* axes) {
  if (s.policy == "stretch" || axes->empty()) return;
  double scale = (*axes)[0].scale;
  for (const Axis& a : *axes) {
    scale = s.policy == "not_larger" ? std::min(scale, a.scale)
                                     : std::max(scale, a.scale);
  }
  for (Axis& a : *axes) {
    a.scale = scale;
    a.out = static_cast<int64_t>(
        std::floor(scale * static_cast<double>(a.in) + 0.5));
  }
}

std::vector<Axis> AxesOf(const Settings& s, const Call& call) {
  const Tensor& x = call.in[0];
  Sizes order = s.axes;
  if (order.empty()) {
    order.resize(x.dim());
    std::iota(order.begin(), order.end(), 0);
  }
  const size_t count = order.size();
  const bool by_size = call.Has(3) && call.in[3].numel() > 0;
  const Sizes sizes = by_size ? IntsOf(call.in[3]) : Sizes();
  const std::vector<float> scales =
      by_size ? std::vector<float>() : FloatsOf(call.in[2]);
  std::vector<float> roi;
  if (call.Has(1) && call.in[1].numel() > 0) roi = FloatsOf(call.in[1]);
  std::vector<Axis> axes;
  for (size_t i = 0; i < count; ++i) {
    Axis a;
    a.axis = WrapAxis(order[i], x.dim());
    a.in = x.size(a.axis);
    a.roi_begin = roi.size() == 2 * count ? roi[i] : 0;
    a.roi_end = roi.size() == 2 * count ? roi[i + count] : 1;
    if (by_size) {
      a.out = sizes.at(i);
      a.scale = static_cast<double>(a.out) / static_cast<double>(a.in);
    } else {
      a.scale = scales.at(i);
      a.out = static_cast<int64_t>(std::floor(
          static_cast<double>(a.in) * a.scale *
          (s.transform == "tf_crop_and_resize" ? a.roi_end - a.roi_begin
                                               : 1.0)));
    }
    axes.push_back(a);
  }
  if (by_size) KeepAspect(s, &axes);
  std::vector<Axis> changed;
  for (const Axis& a : axes) {
    const bool cropped = s.transform == "tf_crop_and_resize" &&
                         (a.roi_begin != 0 || a.roi_end != 1);
    if (a.in != a.out || a.scale != 1 || cropped) changed.push_back(a);
  }
  return changed;
}

absl::StatusOr<Kernel> Resize(const KernelContext& c) {
  const Settings settings = SettingsOf(c.node);
  if (!c.Has(2) && !c.Has(3)) return c.Unsupported("without scales and sizes");
  return Kernel([settings](const Call& call) {
    const std::vector<Axis> axes = AxesOf(settings, call);
    Tensor y = call.in[0];
    if (RunFast(call.in[0], settings, axes, &y)) return std::vector<Tensor>{y};
    for (const Axis& a : axes) y = ResizeAxis(y, settings, a);
    return std::vector<Tensor>{y};
  });
}

}  // namespace

void AddResizeKernels(KernelTable* table) { (*table)["Resize"] = Resize; }

}  // namespace condense::runtime
