// NonMaxSuppression, RoiAlign, GridSample and AffineGrid.

#include <algorithm>
#include <cmath>
#include <numeric>

#include "workers/engine/runtime/step.h"

namespace condense::runtime {
namespace {

using torch::Tensor;

struct Box {
  float y1, x1, y2, x2;
  float Area() const { return (y2 - y1) * (x2 - x1); }
};

Box BoxOf(const float* b, bool centre) {
  if (centre) {
    return {b[1] - b[3] / 2, b[0] - b[2] / 2, b[1] + b[3] / 2, b[0] + b[2] / 2};
  }
  return {std::min(b[0], b[2]), std::min(b[1], b[3]), std::max(b[0], b[2]),
          std::max(b[1], b[3])};
}

float Overlap(const Box& a, const Box& b) {
  const float h = std::min(a.y2, b.y2) - std::max(a.y1, b.y1);
  const float w = std::min(a.x2, b.x2) - std::max(a.x1, b.x1);
  if (h <= 0 || w <= 0) return 0;
  const float inside = h * w;
  return inside / (a.Area() + b.Area() - inside);
}

struct Limits {
  int64_t boxes_max = 0;
  float overlap = 0;
  bool has_score = false;
  float score = 0;
  bool centre = false;
};

// Greedy: the best box that overlaps none of those taken before.
std::vector<int64_t> Suppress(const float* boxes, const float* scores,
                              int64_t count, const Limits& limits) {
  std::vector<int64_t> order(count), taken;
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return scores[a] > scores[b]; });
  for (int64_t i : order) {
    if (static_cast<int64_t>(taken.size()) >= limits.boxes_max) break;
    if (limits.has_score && scores[i] <= limits.score) break;
    const Box box = BoxOf(boxes + 4 * i, limits.centre);
    const bool free = std::none_of(taken.begin(), taken.end(), [&](int64_t j) {
      return Overlap(box, BoxOf(boxes + 4 * j, limits.centre)) > limits.overlap;
    });
    if (free) taken.push_back(i);
  }
  return taken;
}

absl::StatusOr<Kernel> NonMaxSuppression(const KernelContext& c) {
  const bool centre = c.node.Int("center_point_box", 0) != 0;
  return Kernel([centre](const Call& call) {
    const Tensor boxes =
        call.in[0].to(torch::kCPU).to(torch::kFloat32).contiguous();
    const Tensor scores =
        call.in[1].to(torch::kCPU).to(torch::kFloat32).contiguous();
    Limits limits;
    limits.centre = centre;
    if (call.Has(2)) limits.boxes_max = IntsOf(call.in[2]).at(0);
    if (call.Has(3)) limits.overlap = call.in[3].item<float>();
    limits.has_score = call.Has(4);
    if (limits.has_score) limits.score = call.in[4].item<float>();
    const int64_t batches = scores.size(0), classes = scores.size(1),
                  count = scores.size(2);
    std::vector<int64_t> rows;
    for (int64_t n = 0; n < batches; ++n) {
      for (int64_t k = 0; k < classes; ++k) {
        for (int64_t box :
             Suppress(boxes.data_ptr<float>() + n * count * 4,
                      scores.data_ptr<float>() + (n * classes + k) * count,
                      count, limits)) {
          rows.insert(rows.end(), {n, k, box});
        }
      }
    }
    return std::vector<Tensor>{
        torch::tensor(rows, torch::kInt64).reshape({-1, 3})};
  });
}

// Bilinear samples of one image [C, H, W] at points y, x (any shape); points
// further than one pixel outside are zero.
Tensor Sample(const Tensor& image, const Tensor& y, const Tensor& x) {
  const int64_t h = image.size(1), w = image.size(2);
  const Tensor outside =
      at::logical_or(at::logical_or(y<-1, y> h), at::logical_or(x<-1, x> w));
  const Tensor yc = at::clamp(y, 0, h - 1), xc = at::clamp(x, 0, w - 1);
  const Tensor y0 = at::floor(yc), x0 = at::floor(xc);
  const Tensor y1 = at::clamp_max(y0 + 1, h - 1);
  const Tensor x1 = at::clamp_max(x0 + 1, w - 1);
  const Tensor ly = yc - y0, lx = xc - x0;
  const Tensor flat = image.reshape({image.size(0), h * w});
  auto at_points = [&](const Tensor& row, const Tensor& column) {
    std::vector<int64_t> shape = row.sizes().vec();
    shape.insert(shape.begin(), image.size(0));
    const Tensor index = (row * w + column).to(torch::kInt64);
    return flat.index_select(1, index.flatten()).reshape(shape);
  };
  // Stacked so that a maximum over the four corners can be taken too.
  const Tensor parts = at::stack({at_points(y0, x0) * (1 - ly) * (1 - lx),
                                  at_points(y0, x1) * (1 - ly) * lx,
                                  at_points(y1, x0) * ly * (1 - lx),
                                  at_points(y1, x1) * ly * lx});
  return at::where(outside, at::zeros({}, parts.options()), parts);
}

struct Align {
  int64_t height = 1, width = 1, ratio = 0;
  double scale = 1, offset = 0;
  bool maximum = false;
};

Tensor AlignOne(const Tensor& image, const float* roi, const Align& a) {
  const double x1 = roi[0] * a.scale - a.offset,
               y1 = roi[1] * a.scale - a.offset;
  double w = roi[2] * a.scale - a.offset - x1,
         h = roi[3] * a.scale - a.offset - y1;
  if (a.offset == 0) {
    w = std::max(w, 1.0);
    h = std::max(h, 1.0);
  }
  const double bin_h = h / static_cast<double>(a.height),
               bin_w = w / static_cast<double>(a.width);
  const int64_t ny =
      a.ratio > 0 ? a.ratio : static_cast<int64_t>(std::ceil(bin_h));
  const int64_t nx =
      a.ratio > 0 ? a.ratio : static_cast<int64_t>(std::ceil(bin_w));
  const auto options = image.options();
  auto points = [&](double start, double bin, int64_t bins, int64_t samples) {
    const Tensor sample = (at::arange(samples, options) + 0.5) *
                          (bin / static_cast<double>(samples));
    return start + (at::arange(bins, options) * bin).unsqueeze(1) + sample;
  };
  const Tensor y = points(y1, bin_h, a.height, ny).reshape({-1, 1});
  const Tensor x = points(x1, bin_w, a.width, nx).reshape({1, -1});
  const std::vector<int64_t> grid = {y.size(0), x.size(1)};
  const Tensor parts = Sample(image, y.expand(grid), x.expand(grid));
  const std::vector<int64_t> cells = {image.size(0), a.height, ny, a.width, nx};
  if (a.maximum) return parts.amax(0).reshape(cells).amax({2, 4});
  return parts.sum(0).reshape(cells).mean({2, 4});
}

absl::StatusOr<Kernel> RoiAlign(const KernelContext& c) {
  Align align;
  align.height = c.node.Int("output_height", 1);
  align.width = c.node.Int("output_width", 1);
  align.ratio = c.node.Int("sampling_ratio", 0);
  align.scale = c.node.Float("spatial_scale", 1);
  align.maximum = c.node.String("mode", "avg") == "max";
  align.offset = c.node.String("coordinate_transformation_mode",
                               "half_pixel") == "half_pixel"
                     ? 0.5
                     : 0;
  return Kernel([align](const Call& call) {
    const Tensor rois =
        call.in[1].to(torch::kCPU).to(torch::kFloat32).contiguous();
    const std::vector<int64_t> batch = IntsOf(call.in[2]);
    std::vector<Tensor> results;
    for (int64_t i = 0; i < rois.size(0); ++i) {
      results.push_back(AlignOne(call.in[0][batch.at(i)],
                                 rois.data_ptr<float>() + 4 * i, align));
    }
    if (results.empty()) {
      return std::vector<Tensor>{
          at::zeros({0, call.in[0].size(1), align.height, align.width},
                    call.in[0].options())};
    }
    return std::vector<Tensor>{at::stack(results)};
  });
}

absl::StatusOr<Kernel> GridSample(const KernelContext& c) {
  const std::string mode = c.node.String("mode", "bilinear");
  const std::string padding = c.node.String("padding_mode", "zeros");
  const bool corners = c.node.Int("align_corners", 0) != 0;
  const int64_t mode_number = mode == "nearest"                      ? 1
                              : mode == "bicubic" || mode == "cubic" ? 2
                                                                     : 0;
  const int64_t padding_number = padding == "border"       ? 1
                                 : padding == "reflection" ? 2
                                                           : 0;
  return Kernel([=](const Call& call) {
    const Tensor &x = call.in[0], &grid = call.in[1];
    return std::vector<Tensor>{
        x.dim() == 5
            ? at::grid_sampler_3d(x, grid, mode_number, padding_number, corners)
            : at::grid_sampler(x, grid, mode_number, padding_number, corners)};
  });
}

absl::StatusOr<Kernel> AffineGrid(const KernelContext& c) {
  const bool corners = c.node.Int("align_corners", 0) != 0;
  const IntsInput size_input = c.Ints(1);
  return Kernel([=](const Call& call) {
    const std::vector<int64_t> size = size_input(call);
    const Tensor& theta = call.in[0];
    std::vector<Tensor> axes;
    for (size_t i = 2; i < size.size(); ++i) {
      const double edge =
          corners ? 1.0 : 1.0 - 1.0 / static_cast<double>(size[i]);
      axes.push_back(at::linspace(-edge, edge, size[i], theta.options()));
    }
    std::vector<Tensor> mesh = at::meshgrid(axes, "ij");
    std::reverse(mesh.begin(), mesh.end());
    mesh.push_back(at::ones_like(mesh[0]));
    const Tensor points = at::stack(mesh, -1);
    const Tensor flat = points.reshape({1, -1, points.size(-1)});
    std::vector<int64_t> shape(size.begin() + 2, size.end());
    shape.insert(shape.begin(), size[0]);
    shape.push_back(theta.size(1));
    return std::vector<Tensor>{
        at::matmul(flat, theta.transpose(1, 2)).reshape(shape)};
  });
}

}  // namespace

void AddDetectionKernels(KernelTable* table) {
  (*table)["AffineGrid"] = AffineGrid;
  (*table)["GridSample"] = GridSample;
  (*table)["NonMaxSuppression"] = NonMaxSuppression;
  (*table)["RoiAlign"] = RoiAlign;
}

}  // namespace condense::runtime
