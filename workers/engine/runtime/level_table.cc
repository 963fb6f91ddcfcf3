#include "workers/engine/runtime/level_table.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "workers/engine/runtime/weight_projection.h"

namespace condense::runtime {
namespace {

// In the order of their origins.
std::vector<float> PlainLevels(TableKind kind, const float* row, int64_t size) {
  if (kind == TableKind::kLevels) return {row, row + size};
  std::vector<float> levels(size_t{1} << size, 0);
  for (size_t signs = 0; signs < levels.size(); ++signs) {
    for (int64_t k = 0; k < size; ++k) {
      levels[signs] += (signs >> k & 1) != 0 ? row[k] : -row[k];
    }
  }
  return levels;
}

}  // namespace

LevelTable LevelTableOf(TableKind kind, const float* row, int64_t size,
                        int64_t qmax) {
  std::vector<float> plain = PlainLevels(kind, row, size);
  float most = 0;
  for (float level : plain) most = std::max(most, std::abs(level));
  LevelTable table;
  table.scale = MaxAbsScale(most, qmax);
  const float end = static_cast<float>(qmax);
  for (float& level : plain) {
    level = std::clamp(std::nearbyint(level / table.scale), -end, end) *
            table.scale;
  }
  table.origin.resize(plain.size());
  std::iota(table.origin.begin(), table.origin.end(), 0);
  std::stable_sort(table.origin.begin(), table.origin.end(),
                   [&](int64_t a, int64_t b) { return plain[a] < plain[b]; });
  for (int64_t origin : table.origin) table.levels.push_back(plain[origin]);
  return table;
}

int64_t NearestLevel(const std::vector<float>& levels, float w) {
  int64_t code = 0;
  // At most 16: counting beats a search.
  for (size_t i = 0; i + 1 < levels.size(); ++i) {
    code += w > (levels[i] + levels[i + 1]) / 2;
  }
  return code;
}

void ProjectOnTable(const LevelTable& table, const float* w, int64_t n,
                    float* y) {
  for (int64_t i = 0; i < n; ++i) {
    y[i] = table.levels[NearestLevel(table.levels, w[i])];
  }
}

}  // namespace condense::runtime
