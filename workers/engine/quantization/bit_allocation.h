#ifndef CONDENSE_WORKERS_ENGINE_QUANTIZATION_BIT_ALLOCATION_H_
#define CONDENSE_WORKERS_ENGINE_QUANTIZATION_BIT_ALLOCATION_H_

#include <cstddef>
#include <optional>
#include <vector>

namespace condense::quantization {

// One width that one layer may have.
struct BitChoice {
  int bits = 8;
  // What the model loses by it, at least 0.
  double loss = 0;
  // In the unit of the budget, at least 0.
  double cost = 0;
};

// The index of one choice for each layer: those whose costs add up to at most
// `budget` with the least sum of losses (of several, the cheapest). nullopt
// where even the cheapest choices are above the budget. A multiple-choice
// knapsack, solved by dynamic programming over the sums that no other sum beats
// in both cost and loss (Nemhauser and Ullmann, Management Science 1969).
// Exact while no more than `states_max` such sums are open after a layer;
// beyond that the best one of each of as many ranges of cost goes on, so that
// the budget is kept in any case.
std::optional<std::vector<size_t>> AllocateBits(
    const std::vector<std::vector<BitChoice>>& layers, double budget,
    size_t states_max = 20000);

}  // namespace condense::quantization

#endif  // CONDENSE_WORKERS_ENGINE_QUANTIZATION_BIT_ALLOCATION_H_
