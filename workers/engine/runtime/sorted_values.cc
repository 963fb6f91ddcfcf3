#include "workers/engine/runtime/sorted_values.h"

#include <algorithm>
#include <utility>

namespace condense::runtime {

SortedValues::SortedValues(std::vector<float> values)
    : values_(std::move(values)), sums_(1, 0), squares_(1, 0) {
  std::sort(values_.begin(), values_.end());
  for (const double v : values_) {
    sums_.push_back(sums_.back() + v);
    squares_.push_back(squares_.back() + v * v);
  }
}

std::vector<SortedValues::Cell> SortedValues::Cells(
    const std::vector<double>& levels) const {
  std::vector<Cell> cells;
  size_t from = 0;
  for (size_t i = 0; i < levels.size(); ++i) {
    size_t to = values_.size();
    if (i + 1 < levels.size()) {
      const double middle = (levels[i] + levels[i + 1]) / 2;
      to = std::upper_bound(values_.begin() + static_cast<int64_t>(from),
                            values_.end(), middle) -
           values_.begin();
    }
    cells.push_back({static_cast<double>(to - from), sums_[to] - sums_[from],
                     squares_[to] - squares_[from]});
    from = to;
  }
  return cells;
}

double SortedValues::Error(const std::vector<double>& levels) const {
  const std::vector<Cell> cells = Cells(levels);
  double error = 0;
  for (size_t i = 0; i < cells.size(); ++i) {
    error += cells[i].squares - 2 * levels[i] * cells[i].sum +
             levels[i] * levels[i] * cells[i].count;
  }
  return error;
}

}  // namespace condense::runtime
