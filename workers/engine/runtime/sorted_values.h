#ifndef CONDENSE_WORKERS_ENGINE_RUNTIME_SORTED_VALUES_H_
#define CONDENSE_WORKERS_ENGINE_RUNTIME_SORTED_VALUES_H_

#include <cstdint>
#include <vector>

namespace condense::runtime {

// Numbers for which many sets of levels are tried: after one sort each costs
// O(levels log n). No LibTorch.
class SortedValues {
 public:
  // What is nearest to one level.
  struct Cell {
    double count = 0;
    double sum = 0;
    double squares = 0;
  };

  explicit SortedValues(std::vector<float> values);

  const std::vector<float>& values() const { return values_; }

  // The cell of each level; levels ascend. What lies in the middle of two goes
  // to the lower one.
  std::vector<Cell> Cells(const std::vector<double>& levels) const;
  // Sum of (value - nearest level)^2.
  double Error(const std::vector<double>& levels) const;

 private:
  std::vector<float> values_;
  // Of the first i values.
  std::vector<double> sums_;
  std::vector<double> squares_;
};

}  // namespace condense::runtime

#endif  // CONDENSE_WORKERS_ENGINE_RUNTIME_SORTED_VALUES_H_
