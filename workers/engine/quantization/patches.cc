#include "workers/engine/quantization/patches.h"

#include <vector>

#include "workers/engine/data/random.h"
#include "workers/engine/graph/window.h"

namespace condense::quantization {
namespace {

// Which of `count` positions make up the sample: one at a random place in each
// of `rows` equal stretches.
std::vector<int64_t> DrawRows(int64_t count, int64_t rows, uint64_t seed) {
  std::vector<int64_t> drawn;
  data::Random random(seed);
  for (int64_t i = 0; i < rows; ++i) {
    const int64_t from = i * count / rows, to = (i + 1) * count / rows;
    drawn.push_back(from + static_cast<int64_t>(
                               random.Below(static_cast<uint64_t>(to - from))));
  }
  return drawn;
}

// Of a convolution with its sizes bound.
class Gatherer {
 public:
  Gatherer(const torch::Tensor& x, const graph::Node& node,
           const std::vector<int64_t>& kernel)
      : spatial_(x.sizes().begin() + 2, x.sizes().end()),
        window_(graph::WindowOf(node, kernel, spatial_)) {
    for (size_t i = 0; i < spatial_.size(); ++i) {
      out_.push_back(window_.OutputSize(i, spatial_[i]));
      positions_ *= out_.back();
    }
  }

  int64_t positions() const { return positions_; }

  // For each element of the kernel its place in the image; -1: padding.
  void Offsets(int64_t position, std::vector<int64_t>* offsets) const {
    std::vector<int64_t> at(out_.size());
    for (size_t i = out_.size(); i > 0; --i) {
      at[i - 1] = position % out_[i - 1];
      position /= out_[i - 1];
    }
    for (size_t k = 0; k < offsets->size(); ++k) {
      int64_t rest = static_cast<int64_t>(k), offset = 0, stride = 1;
      for (size_t i = out_.size(); i > 0; --i) {
        const size_t a = i - 1;
        const int64_t place = at[a] * window_.strides[a] -
                              window_.pads_begin[a] +
                              rest % window_.kernel[a] * window_.dilations[a];
        rest /= window_.kernel[a];
        if (place < 0 || place >= spatial_[a]) offset = -1;
        if (offset >= 0) offset += place * stride;
        stride *= spatial_[a];
      }
      (*offsets)[k] = offset;
    }
  }

 private:
  const std::vector<int64_t> spatial_;
  const graph::Window window_;
  std::vector<int64_t> out_;
  int64_t positions_ = 1;
};

torch::Tensor SampleLinear(const torch::Tensor& x, int64_t inputs,
                           int64_t rows_max, uint64_t seed) {
  const torch::Tensor flat = x.reshape({-1, inputs});
  if (flat.size(0) <= rows_max) return flat.unsqueeze(0);
  const std::vector<int64_t> rows = DrawRows(flat.size(0), rows_max, seed);
  return flat.index_select(0, torch::tensor(rows, torch::kInt64)).unsqueeze(0);
}

}  // namespace

torch::Tensor SamplePatches(const torch::Tensor& x, const graph::Node& node,
                            const WeightView& view, int64_t rows_max,
                            uint64_t seed) {
  const torch::Tensor flat =
      x.detach().to(torch::kCPU).contiguous(at::MemoryFormat::Contiguous);
  if (!node.Is("Conv")) return SampleLinear(flat, view.inputs, rows_max, seed);
  const Gatherer gatherer(flat, node, view.kernel_sizes);
  const int64_t all = flat.size(0) * gatherer.positions();
  const int64_t rows = std::min(all, rows_max);
  const int64_t width = view.inputs * view.kernel;
  const int64_t channels = flat.size(1), image = flat.numel() / flat.size(0);
  const int64_t plane = image / channels;
  torch::Tensor out = torch::empty({view.groups, rows, width});
  float* to = out.data_ptr<float>();
  const float* from = flat.data_ptr<float>();
  std::vector<int64_t> offsets(view.kernel);
  int64_t row = 0;
  for (int64_t at : DrawRows(all, rows, seed)) {
    gatherer.Offsets(at % gatherer.positions(), &offsets);
    const float* base = from + at / gatherer.positions() * image;
    for (int64_t c = 0; c < channels; ++c) {
      float* cell = to + (c / view.inputs * rows + row) * width +
                    c % view.inputs * view.kernel;
      for (int64_t k = 0; k < view.kernel; ++k) {
        cell[k] = offsets[k] < 0 ? 0 : base[c * plane + offsets[k]];
      }
    }
    ++row;
  }
  return out;
}

}  // namespace condense::quantization
