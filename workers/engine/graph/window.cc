#include "workers/engine/graph/window.h"

#include <algorithm>

namespace condense::graph {
namespace {

std::vector<int64_t> OrOnes(std::vector<int64_t> values, size_t rank) {
  if (values.empty()) values.assign(rank, 1);
  return values;
}

}  // namespace

int64_t Window::OutputSize(size_t axis, int64_t input_size) const {
  const int64_t extent = (kernel[axis] - 1) * dilations[axis] + 1;
  const int64_t room = input_size + pads_begin[axis] + pads_end[axis] - extent;
  if (room < 0) return -1;
  if (!ceil_mode) return room / strides[axis] + 1;
  int64_t size = (room + strides[axis] - 1) / strides[axis] + 1;
  // As in PyTorch and ONNX from opset 19 on: no window starts in the padding.
  if ((size - 1) * strides[axis] >= input_size + pads_begin[axis]) --size;
  return size;
}

Window WindowOf(const Node& node, absl::Span<const int64_t> kernel,
                absl::Span<const int64_t> spatial) {
  Window window;
  const size_t rank = spatial.size();
  window.kernel.assign(kernel.begin(), kernel.end());
  if (window.kernel.empty()) window.kernel = node.Ints("kernel_shape");
  window.kernel = OrOnes(std::move(window.kernel), rank);
  window.strides = OrOnes(node.Ints("strides"), rank);
  window.dilations = OrOnes(node.Ints("dilations"), rank);
  window.ceil_mode = node.Int("ceil_mode", 0) != 0;
  std::vector<int64_t> pads = node.Ints("pads");
  pads.resize(2 * rank, 0);
  window.pads_begin.assign(pads.begin(), pads.begin() + rank);
  window.pads_end.assign(pads.begin() + rank, pads.end());
  const std::string auto_pad = node.String("auto_pad", "NOTSET");
  if (auto_pad == "VALID") {
    window.pads_begin.assign(rank, 0);
    window.pads_end.assign(rank, 0);
  } else if (auto_pad == "SAME_UPPER" || auto_pad == "SAME_LOWER") {
    for (size_t i = 0; i < rank; ++i) {
      const int64_t extent = (window.kernel[i] - 1) * window.dilations[i] + 1;
      const int64_t size =
          (spatial[i] + window.strides[i] - 1) / window.strides[i];
      const int64_t total = std::max<int64_t>(
          0, (size - 1) * window.strides[i] + extent - spatial[i]);
      const int64_t small = total / 2;
      const bool upper = auto_pad == "SAME_UPPER";
      window.pads_begin[i] = upper ? small : total - small;
      window.pads_end[i] = total - window.pads_begin[i];
    }
  }
  return window;
}

}  // namespace condense::graph
