#include "workers/engine/runtime/padding.h"

#include <algorithm>

namespace condense::runtime {

std::vector<int64_t> SpatialOf(const torch::Tensor& x) {
  return {x.sizes().begin() + 2, x.sizes().end()};
}

torch::Tensor PadRest(const torch::Tensor& x, const graph::Window& window,
                      std::vector<int64_t>* padding, double value) {
  padding->clear();
  bool any = false;
  for (size_t i = 0; i < window.pads_begin.size(); ++i) {
    padding->push_back(std::min(window.pads_begin[i], window.pads_end[i]));
    any |= window.pads_begin[i] != window.pads_end[i];
  }
  if (!any) return x;
  std::vector<int64_t> rest;
  for (size_t i = window.pads_begin.size(); i > 0; --i) {
    rest.push_back(window.pads_begin[i - 1] - (*padding)[i - 1]);
    rest.push_back(window.pads_end[i - 1] - (*padding)[i - 1]);
  }
  return at::constant_pad_nd(x, rest, value);
}

}  // namespace condense::runtime
