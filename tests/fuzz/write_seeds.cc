// write_seeds FOLDER: one file per seed of this program's target.

#include <cstdio>

#include "absl/strings/str_cat.h"
#include "common/files.h"
#include "tests/fuzz/targets.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: write_seeds FOLDER\n");
    return 2;
  }
  int count = 0;
  for (const std::string& seed : condense::fuzz::CONDENSE_FUZZ_SEEDS()) {
    const auto status = condense::WriteFileAtomically(
        absl::StrCat(argv[1], "/seed-", count++), seed);
    if (!status.ok()) {
      std::fprintf(stderr, "%s\n", status.ToString().c_str());
      return 1;
    }
  }
  return 0;
}
