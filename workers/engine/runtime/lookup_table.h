#ifndef CONDENSE_WORKERS_ENGINE_RUNTIME_LOOKUP_TABLE_H_
#define CONDENSE_WORKERS_ENGINE_RUNTIME_LOOKUP_TABLE_H_

#include <vector>

namespace condense::runtime {

// The 2^bits levels with the least squared error to the weights that Lloyd's
// turns find (k-means in one dimension; Han et al., arXiv:1510.00149), from
// levels that are equally far apart, from equally many weights to each, and
// from those of FitBasis: never worse than that. Ascending; where the weights
// have no more than 2^bits values these, the last one repeated. No LibTorch.
std::vector<float> FitLevels(const std::vector<float>& weights, int bits);

}  // namespace condense::runtime

#endif  // CONDENSE_WORKERS_ENGINE_RUNTIME_LOOKUP_TABLE_H_
