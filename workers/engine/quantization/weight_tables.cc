#include "workers/engine/quantization/weight_tables.h"

#include <algorithm>

#include "workers/engine/runtime/learned_basis.h"
#include "workers/engine/runtime/lookup_table.h"

namespace condense::quantization {

using graph::Tensor;
using runtime::TableKind;

namespace {

// An element's channel is index / inner % channels.
struct Spans {
  int64_t channels = 1;
  int64_t inner = 1;
};

Spans SpansOf(const std::vector<int64_t>& dims, int64_t axis) {
  Spans spans;
  for (size_t i = 0; i < dims.size(); ++i) {
    if (static_cast<int64_t>(i) > axis) spans.inner *= dims[i];
  }
  if (axis >= 0) spans.channels = dims[axis];
  return spans;
}

}  // namespace

std::optional<TableKind> TableKindOf(const std::string& scheme) {
  if (scheme == "lq" || scheme == "mrbiq") return TableKind::kBasis;
  if (scheme == "lut") return TableKind::kLevels;
  return std::nullopt;
}

int CodeBits(const std::string& scheme, int bits) {
  return TableKindOf(scheme).has_value() || scheme == "log2" ? bits : 0;
}

std::vector<std::vector<float>> ChannelsOf(const Tensor& weight, int64_t axis) {
  const std::vector<float> values = weight.ToFloats();
  const Spans spans = SpansOf(weight.dims(), axis);
  std::vector<std::vector<float>> channels(spans.channels);
  for (size_t i = 0; i < values.size(); ++i) {
    channels[static_cast<int64_t>(i) / spans.inner % spans.channels].push_back(
        values[i]);
  }
  return channels;
}

Tensor FromChannels(const std::vector<std::vector<float>>& channels,
                    const std::vector<int64_t>& dims, int64_t axis) {
  const Spans spans = SpansOf(dims, axis);
  std::vector<size_t> next(channels.size(), 0);
  size_t count = 0;
  for (const std::vector<float>& channel : channels) count += channel.size();
  std::vector<float> values(count);
  for (size_t i = 0; i < values.size(); ++i) {
    const int64_t c = static_cast<int64_t>(i) / spans.inner % spans.channels;
    values[i] = channels[c][next[c]++];
  }
  return Tensor::Of<float>(dims, values);
}

Tensor FitTable(const Tensor& weight, int64_t axis, TableKind kind, int bits) {
  std::vector<float> table;
  int64_t rows = 0;
  for (const std::vector<float>& channel : ChannelsOf(weight, axis)) {
    const std::vector<float> row = kind == TableKind::kBasis
                                       ? runtime::FitBasis(channel, bits)
                                       : runtime::FitLevels(channel, bits);
    table.insert(table.end(), row.begin(), row.end());
    ++rows;
  }
  const int64_t width = static_cast<int64_t>(table.size()) / rows;
  return Tensor::Of<float>({rows, width}, table);
}

TableProjection ProjectOnTable(const Tensor& weight, int64_t axis,
                               TableKind kind, const Tensor& table,
                               int64_t qmax) {
  std::vector<std::vector<float>> channels = ChannelsOf(weight, axis);
  const std::vector<float> rows = table.ToFloats();
  const int64_t width = table.dims()[1];
  TableProjection out;
  for (size_t c = 0; c < channels.size(); ++c) {
    const runtime::LevelTable levels = runtime::LevelTableOf(
        kind, rows.data() + static_cast<int64_t>(c) * width, width, qmax);
    out.scales.push_back(levels.scale);
    std::vector<float>& channel = channels[c];
    runtime::ProjectOnTable(levels, channel.data(),
                            static_cast<int64_t>(channel.size()),
                            channel.data());
  }
  out.weight = FromChannels(channels, weight.dims(), axis);
  return out;
}

}  // namespace condense::quantization
