// As mutation_test, for the target that LibTorch takes part in.

#include "tests/fuzz/mutate.h"
#include "tests/fuzz/targets.h"

namespace condense::fuzz {
namespace {

TEST(TorchScriptMutationTest, MutatedProgramsGiveAGraphOrATypedError) {
  RunMutations(TorchScriptImport, TorchScriptSeeds(), 300);
}

}  // namespace
}  // namespace condense::fuzz
