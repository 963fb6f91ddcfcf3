#ifndef CONDENSE_WORKERS_ENGINE_QUANTIZATION_WEIGHT_TABLES_H_
#define CONDENSE_WORKERS_ENGINE_QUANTIZATION_WEIGHT_TABLES_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "workers/engine/graph/tensor.h"
#include "workers/engine/runtime/level_table.h"

namespace condense::quantization {

// Weight schemes whose levels stand in a table with a row per scale: "lq" and
// "mrbiq" (kBasis), "lut" (kLevels); nullopt for others.
std::optional<runtime::TableKind> TableKindOf(const std::string& scheme);

// Bits of a code that names a level, where levels are not the integers that
// such a code has: of the schemes above and "log2". 0 for others.
int CodeBits(const std::string& scheme, int bits);

// The elements that share a scale, in their order in memory: of each channel
// along `axis`, or (-1) all.
std::vector<std::vector<float>> ChannelsOf(const graph::Tensor& weight,
                                           int64_t axis);
// The inverse.
graph::Tensor FromChannels(const std::vector<std::vector<float>>& channels,
                           const std::vector<int64_t>& dims, int64_t axis);

// The table with the least squared error to the weight: [channels, bits] for
// kBasis, [channels, 2^bits] for kLevels.
graph::Tensor FitTable(const graph::Tensor& weight, int64_t axis,
                       runtime::TableKind kind, int bits);

struct TableProjection {
  graph::Tensor weight;
  std::vector<float> scales;
};
// Moves the weight to the levels of its table; see runtime::LevelTable.
TableProjection ProjectOnTable(const graph::Tensor& weight, int64_t axis,
                               runtime::TableKind kind,
                               const graph::Tensor& table, int64_t qmax);

}  // namespace condense::quantization

#endif  // CONDENSE_WORKERS_ENGINE_QUANTIZATION_WEIGHT_TABLES_H_
