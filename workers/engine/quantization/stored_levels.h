#ifndef CONDENSE_WORKERS_ENGINE_QUANTIZATION_STORED_LEVELS_H_
#define CONDENSE_WORKERS_ENGINE_QUANTIZATION_STORED_LEVELS_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "workers/engine/graph/graph.h"
#include "workers/engine/quantization/quantizer.h"

namespace condense::quantization {

// A condense::FakeQuantize node as a file stores it: its attributes dtype,
// qmin, qmax, axis, block_size and rows, and its constant scale and zero point.
struct StoredQuantizer {
  // int4, uint4, int8, uint8, int16 or uint16.
  graph::DType dtype = graph::DType::kInt8;
  Levels levels;
  // -1: per tensor.
  int64_t axis = -1;
  // Elements along `axis` that share a scale; 0: all of a channel.
  int64_t block_size = 0;
  // The tensor is stored as [dims[0], the rest].
  bool rows = false;
  // [], [C], or with blocks the stored dims with ceil(n / block_size) for the n
  // along `axis`.
  std::vector<int64_t> scale_dims;
  std::vector<float> scales;
  std::vector<int64_t> zero_points;

  // How a tensor with these dims is stored.
  std::vector<int64_t> StoredDims(const std::vector<int64_t>& dims) const;
  // Which scale element `index` of a tensor with these stored dims has.
  size_t ScaleAt(const std::vector<int64_t>& dims, int64_t index) const;
};

// INVALID_ARGUMENT with reason BAD_QUANTIZER and the node: scale or zero point
// not constant or of the wrong size, a storage type that ONNX lacks, or levels
// that it does not hold.
absl::StatusOr<StoredQuantizer> StoredQuantizerOf(const graph::Graph& graph,
                                                  const graph::Node& node);

// Integers as a tensor of that type; 4-bit ones two to a byte, the first low,
// the last of an odd number alone. The integers must fit the type.
graph::Tensor PackLevels(graph::DType dtype, std::vector<int64_t> dims,
                         const std::vector<int64_t>& levels);

// clip(round_half_even(x / s) + z, qmin, qmax) of each element, packed, in the
// stored dims.
graph::Tensor LevelsOf(const graph::Tensor& values,
                       const StoredQuantizer& quantizer);

// The zero points in the storage type, shaped as the scales.
graph::Tensor ZeroPointTensor(const StoredQuantizer& quantizer);

// 10 log10(sum x^2 / sum (x - q(y))^2) for `values` x, of which `rounded` y is
// stored (x itself, or what another way of rounding made of it); infinite when
// nothing is lost. Both have the same shape.
double SignalToNoiseDb(const graph::Tensor& values,
                       const graph::Tensor& rounded,
                       const StoredQuantizer& quantizer);

}  // namespace condense::quantization

#endif  // CONDENSE_WORKERS_ENGINE_QUANTIZATION_STORED_LEVELS_H_
