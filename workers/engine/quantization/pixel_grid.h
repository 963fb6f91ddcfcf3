#ifndef CONDENSE_WORKERS_ENGINE_QUANTIZATION_PIXEL_GRID_H_
#define CONDENSE_WORKERS_ENGINE_QUANTIZATION_PIXEL_GRID_H_

#include <vector>

#include "absl/status/statusor.h"
#include "workers/engine/data/loader.h"
#include "workers/engine/graph/graph.h"
#include "workers/engine/quantization/quantizer.h"

namespace condense::quantization {

// How the input's channels come from pixels 0 to 255:
//   x = (pixel * scale - mean) / std. One value, or one per channel.
struct PixelScaling {
  double scale = 1;
  std::vector<double> mean = {0};
  std::vector<double> std = {1};
};

struct PixelGrid {
  // The value to quantize on `grid`, which loses nothing; kNoValue: there is
  // none.
  graph::ValueId value = graph::kNoValue;
  Grid grid;
};

// Makes the quantizer of an image input lossless. Normalisation by a mean and a
// deviation per channel leaves no scale for a whole tensor on which the levels
// are the pixels; so x (padded as the layer wants it) is brought back to
// pixel - z by one Mul and one Add, in float, and the first convolution's
// weight and bias take up the normalisation:
//   w' = w / k,  b' = b - sum w' d,  x' = k x + d,  k = std / scale,
//   d = mean / scale - z.
// Where one mean and deviation serve all channels and mean / scale is a level,
// the input's own grid is lossless and the graph stays.
// Only where the graph's one input [N, C, H, W] is read by one Conv of one
// group with a constant weight and bias; unsigned levels 0 to 255. Shapes of
// the graph are known.
absl::StatusOr<PixelGrid> AlignInputToPixels(const PixelScaling& scaling,
                                             graph::Graph* graph);

// How far samples reach, in pixels.
struct PixelRange {
  double low = 0;
  double high = 0;
  // Leaves 0 to 255 by no more than 1 % of that.
  bool OnGrid() const;
};

// The smallest and largest of one epoch of the loader's inputs [N, C, H, W],
// brought back to pixels. NaN where an input is NaN. Errors of the loader.
absl::StatusOr<PixelRange> RangeInPixels(const PixelScaling& scaling,
                                         data::Loader* loader);

}  // namespace condense::quantization

#endif  // CONDENSE_WORKERS_ENGINE_QUANTIZATION_PIXEL_GRID_H_
