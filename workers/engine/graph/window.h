#ifndef CONDENSE_WORKERS_ENGINE_GRAPH_WINDOW_H_
#define CONDENSE_WORKERS_ENGINE_GRAPH_WINDOW_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "workers/engine/graph/graph.h"

namespace condense::graph {

// The sliding window of a convolution or pooling node over its spatial axes,
// with every default of ONNX filled in.
struct Window {
  std::vector<int64_t> kernel;
  std::vector<int64_t> strides;
  std::vector<int64_t> dilations;
  // Pixels added before and after each axis; auto_pad resolved.
  std::vector<int64_t> pads_begin;
  std::vector<int64_t> pads_end;
  bool ceil_mode = false;

  // The output's size along one spatial axis; negative if the window does not
  // fit.
  int64_t OutputSize(size_t axis, int64_t input_size) const;
};

// `kernel` overrides the node's kernel_shape (Conv: taken from the weight).
// auto_pad needs the input's spatial sizes; without it `spatial` is only
// counted.
Window WindowOf(const Node& node, absl::Span<const int64_t> kernel,
                absl::Span<const int64_t> spatial);

}  // namespace condense::graph

#endif  // CONDENSE_WORKERS_ENGINE_GRAPH_WINDOW_H_
