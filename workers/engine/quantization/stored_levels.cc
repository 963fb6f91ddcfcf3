#include "workers/engine/quantization/stored_levels.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/error.h"

namespace condense::quantization {
namespace {

using graph::DType;
using graph::Graph;
using graph::Node;
using graph::Tensor;

bool IsSigned(DType dtype) {
  return dtype == DType::kInt4 || dtype == DType::kInt8 ||
         dtype == DType::kInt16;
}

bool IsStorage(DType dtype) {
  return IsSigned(dtype) || dtype == DType::kUint4 || dtype == DType::kUint8 ||
         dtype == DType::kUint16;
}

// The integers that a storage type has.
Levels RangeOf(DType dtype) {
  const int64_t count = int64_t{1} << graph::DTypeBits(dtype);
  return IsSigned(dtype) ? Levels{-count / 2, count / 2 - 1}
                         : Levels{0, count - 1};
}

absl::Status Bad(const Node& node, const std::string& why) {
  return MakeError(absl::StatusCode::kInvalidArgument, "BAD_QUANTIZER",
                   absl::StrCat("a quantizer ", why), {.node = node.name});
}

// The dims that the scales of a tensor with this shape must have.
std::vector<int64_t> BlockDims(std::vector<int64_t> dims, int64_t axis,
                               int64_t block) {
  dims[axis] = (dims[axis] + block - 1) / block;
  return dims;
}

absl::Status CheckScales(const Graph& graph, const Node& node,
                         const StoredQuantizer& q) {
  if (q.zero_points.size() != q.scales.size()) {
    return Bad(node, "has another number of zero points than of scales");
  }
  auto shape = graph.value(node.inputs[0]).shape;
  if (const auto known = shape ? graph::KnownDims(*shape) : std::nullopt) {
    const std::vector<int64_t> stored = q.StoredDims(*known);
    shape = graph::Shape(stored.begin(), stored.end());
  }
  const int64_t rank = shape ? static_cast<int64_t>(shape->size()) : 0;
  if (q.axis < 0) {
    return q.scales.size() == 1 && q.block_size == 0
               ? absl::OkStatus()
               : Bad(node, "has several scales but no axis");
  }
  if (!shape || q.axis >= rank || !(*shape)[q.axis].known()) {
    return Bad(node, "has an axis whose size is not known");
  }
  if (q.block_size == 0) {
    return static_cast<int64_t>(q.scales.size()) == (*shape)[q.axis].value
               ? absl::OkStatus()
               : Bad(node, "has another number of scales than of channels");
  }
  const auto dims = graph::KnownDims(*shape);
  if (!dims || q.scale_dims != BlockDims(*dims, q.axis, q.block_size)) {
    return Bad(node, "has another number of scales than of blocks");
  }
  return absl::OkStatus();
}

}  // namespace

std::vector<int64_t> StoredQuantizer::StoredDims(
    const std::vector<int64_t>& dims) const {
  if (!rows || dims.empty()) return dims;
  int64_t rest = 1;
  for (size_t i = 1; i < dims.size(); ++i) rest *= dims[i];
  return {dims[0], rest};
}

size_t StoredQuantizer::ScaleAt(const std::vector<int64_t>& dims,
                                int64_t index) const {
  if (axis < 0) return 0;
  int64_t inner = 1;
  for (size_t i = axis + 1; i < dims.size(); ++i) inner *= dims[i];
  const int64_t at = index / inner % dims[axis];
  if (block_size == 0) return at;
  const int64_t outer = index / inner / dims[axis];
  const int64_t blocks = scale_dims[axis];
  return (outer * blocks + at / block_size) * inner + index % inner;
}

absl::StatusOr<StoredQuantizer> StoredQuantizerOf(const Graph& graph,
                                                  const Node& node) {
  const Tensor* scale = graph.ConstantOf(node.input(1));
  const Tensor* zero = graph.ConstantOf(node.input(2));
  if (scale == nullptr || zero == nullptr) {
    return Bad(node, "has scales that are not constant");
  }
  StoredQuantizer q;
  q.dtype = graph::DTypeFromName(node.String("dtype", "int8"));
  q.levels = {node.Int("qmin", -127), node.Int("qmax", 127)};
  q.axis = node.Int("axis", -1);
  q.block_size = node.Int("block_size", 0);
  q.rows = node.Int("rows", 0) != 0;
  q.scale_dims = scale->dims();
  q.scales = scale->ToFloats();
  q.zero_points = zero->ToInts();
  if (!IsStorage(q.dtype)) {
    return Bad(node, absl::StrCat("cannot be stored as ",
                                  node.String("dtype", "int8")));
  }
  const Levels range = RangeOf(q.dtype);
  if (q.levels.qmin < range.qmin || q.levels.qmax > range.qmax) {
    return Bad(node, absl::StrCat("has levels that ", graph::DTypeName(q.dtype),
                                  " does not hold"));
  }
  if (absl::Status status = CheckScales(graph, node, q); !status.ok()) {
    return status;
  }
  return q;
}

Tensor PackLevels(DType dtype, std::vector<int64_t> dims,
                  const std::vector<int64_t>& levels) {
  const int bits = graph::DTypeBits(dtype);
  std::string bytes((levels.size() * bits + 7) / 8, '\0');
  for (size_t i = 0; i < levels.size(); ++i) {
    if (bits == 4) {
      const int nibble = static_cast<int>(levels[i] & 15);
      bytes[i / 2] = static_cast<char>(static_cast<uint8_t>(bytes[i / 2]) |
                                       (i % 2 == 0 ? nibble : nibble << 4));
    } else {  // little-endian, as everything here
      std::memcpy(bytes.data() + i * bits / 8, &levels[i], bits / 8);
    }
  }
  return Tensor(dtype, std::move(dims), std::move(bytes));
}

Tensor LevelsOf(const Tensor& values, const StoredQuantizer& q) {
  const std::vector<float> floats = values.ToFloats();
  const std::vector<int64_t> dims = q.StoredDims(values.dims());
  std::vector<int64_t> levels;
  levels.reserve(floats.size());
  for (size_t i = 0; i < floats.size(); ++i) {
    const size_t at = q.ScaleAt(dims, static_cast<int64_t>(i));
    const Grid grid{q.scales[at], static_cast<int32_t>(q.zero_points[at])};
    levels.push_back(QuantizeValue(floats[i], grid, q.levels));
  }
  return PackLevels(q.dtype, dims, levels);
}

Tensor ZeroPointTensor(const StoredQuantizer& q) {
  return PackLevels(q.dtype, q.scale_dims, q.zero_points);
}

double SignalToNoiseDb(const Tensor& values, const Tensor& rounded,
                       const StoredQuantizer& q) {
  const std::vector<float> floats = values.ToFloats();
  const std::vector<int64_t> levels = LevelsOf(rounded, q).ToInts();
  const std::vector<int64_t> dims = q.StoredDims(values.dims());
  double signal = 0, noise = 0;
  for (size_t i = 0; i < floats.size(); ++i) {
    const size_t at = q.ScaleAt(dims, static_cast<int64_t>(i));
    const double error =
        floats[i] - double{q.scales[at]} *
                        static_cast<double>(levels[i] - q.zero_points[at]);
    signal += double{floats[i]} * floats[i];
    noise += error * error;
  }
  return noise == 0 ? std::numeric_limits<double>::infinity()
                    : 10 * std::log10(signal / noise);
}

}  // namespace condense::quantization
