#ifndef CONDENSE_WORKERS_ENGINE_DATA_RANDOM_H_
#define CONDENSE_WORKERS_ENGINE_DATA_RANDOM_H_

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace condense::data {

// SplitMix64 (Steele et al., OOPSLA 2014): small, and the same on every
// platform, unlike the distributions of <random>.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  // A stream of its own for each (seed, stream) pair.
  Random(uint64_t seed, uint64_t stream)
      : state_(seed ^ (stream * 0xd1342543de82ef95ull)) {
    Next();
  }

  uint64_t Next() {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
  }
  // 0 to bound - 1; the bias is below 2^-32 for the bounds met here.
  uint64_t Below(uint64_t bound) {
    return static_cast<uint64_t>(
        (static_cast<unsigned __int128>(Next()) * bound) >> 64);
  }
  // From 0 to below 1, and from `low` to below `high`.
  double Uniform() { return static_cast<double>(Next() >> 11) * 0x1.0p-53; }
  double Uniform(double low, double high) {
    return low + (high - low) * Uniform();
  }

  // Fisher-Yates.
  template <typename T>
  void Shuffle(std::vector<T>* values) {
    for (size_t i = values->size(); i > 1; --i) {
      std::swap((*values)[i - 1], (*values)[Below(i)]);
    }
  }

 private:
  uint64_t state_;
};

}  // namespace condense::data

#endif  // CONDENSE_WORKERS_ENGINE_DATA_RANDOM_H_
