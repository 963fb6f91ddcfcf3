#ifndef CONDENSE_WORKERS_ENGINE_RUNTIME_LEVEL_TABLE_H_
#define CONDENSE_WORKERS_ENGINE_RUNTIME_LEVEL_TABLE_H_

// Weights that take one of a few levels, which need not be equally far apart,
// but all of which are integers times one scale: any int8 kernel runs them. No
// LibTorch.

#include <cstdint>
#include <vector>

namespace condense::runtime {

// How a row of numbers says what the levels are.
enum class TableKind {
  // K numbers: the 2^K sums of them with every choice of signs. Zhang et al.,
  // arXiv:1807.10029.
  kBasis,
  // The levels themselves, in any order.
  kLevels,
};

struct LevelTable {
  float scale = 1;
  // Ascending; integers in [-qmax, qmax] times `scale`.
  std::vector<float> levels;
  // By level. kBasis: its signs, bit k set where number k is added; kLevels:
  // its place in the row.
  std::vector<int64_t> origin;
};

// scale = max |level| / qmax, and every level at the nearest integer.
LevelTable LevelTableOf(TableKind kind, const float* row, int64_t size,
                        int64_t qmax);

// The place of the level nearest to w; of two the lower one.
int64_t NearestLevel(const std::vector<float>& levels, float w);

// Moves n weights to their nearest level.
void ProjectOnTable(const LevelTable& table, const float* w, int64_t n,
                    float* y);

}  // namespace condense::runtime

#endif  // CONDENSE_WORKERS_ENGINE_RUNTIME_LEVEL_TABLE_H_
