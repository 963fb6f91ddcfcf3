#ifndef CONDENSE_TESTS_FUZZ_MUTATE_H_
#define CONDENSE_TESTS_FUZZ_MUTATE_H_

#include <sys/resource.h>

#include <random>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "gtest/gtest.h"

namespace condense::fuzz {

// What a small file may cost.
inline constexpr int64_t kMemoryMax = int64_t{3} << 30;

// Changes, adds or removes a few bytes.
inline std::string Mutate(std::string bytes, std::mt19937* random) {
  auto below = [&](size_t n) { return (*random)() % n; };
  if (below(8) == 0) bytes.resize(below(bytes.size()));
  const size_t edits = 1 + below(6);
  for (size_t i = 0; i < edits && !bytes.empty(); ++i) {
    const size_t at = below(bytes.size());
    switch (below(4)) {
      case 0:
        bytes[at] = static_cast<char>(below(256));
        break;
      case 1:
        bytes[at] ^= static_cast<char>(1 << below(8));
        break;
      case 2:
        bytes.insert(at, 1 + below(9), static_cast<char>(0xff));
        break;
      default:
        bytes.erase(at, 1 + below(4));
    }
  }
  return bytes;
}

// Each seed as it is, then `mutations` seeded changes of it.
inline void RunMutations(void (*target)(absl::string_view),
                         const std::vector<std::string>& seeds, int mutations) {
  std::mt19937 random(17);
  for (const std::string& seed : seeds) {
    target(seed);
    for (int i = 0; i < mutations; ++i) target(Mutate(seed, &random));
  }
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  EXPECT_LT(usage.ru_maxrss * 1024, kMemoryMax);
}

}  // namespace condense::fuzz

#endif  // CONDENSE_TESTS_FUZZ_MUTATE_H_
