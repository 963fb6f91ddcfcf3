#ifndef CONDENSE_WORKERS_ENGINE_GRAPH_SATURATING_H_
#define CONDENSE_WORKERS_ENGINE_GRAPH_SATURATING_H_

#include <cstdint>
#include <limits>

namespace condense::graph {

// Sums and products of sizes that a file names, which may be anything: what
// does not fit stays at the end of the range.

inline int64_t SaturatingAdd(int64_t a, int64_t b) {
  int64_t sum = 0;
  if (!__builtin_add_overflow(a, b, &sum)) return sum;
  return a < 0 ? std::numeric_limits<int64_t>::min()
               : std::numeric_limits<int64_t>::max();
}

inline int64_t SaturatingMultiply(int64_t a, int64_t b) {
  int64_t product = 0;
  if (!__builtin_mul_overflow(a, b, &product)) return product;
  return (a < 0) != (b < 0) ? std::numeric_limits<int64_t>::min()
                            : std::numeric_limits<int64_t>::max();
}

}  // namespace condense::graph

#endif  // CONDENSE_WORKERS_ENGINE_GRAPH_SATURATING_H_
