// The fuzz targets without LibTorch on their seeds and thousands of mutations
// of them. A crash or a hang fails; so does memory that a small file should not
// cost.

#include "tests/fuzz/mutate.h"
#include "tests/fuzz/targets.h"

namespace condense::fuzz {
namespace {

TEST(MutationTest, MutatedModelsGiveAGraphOrATypedError) {
  RunMutations(OnnxImport, OnnxSeeds(), 40'000);
}

TEST(MutationTest, MutatedRecipesGiveARecipeOrATypedError) {
  RunMutations(RecipeText, RecipeSeeds(), 4'000);
}

TEST(MutationTest, MutatedTensorFilesGiveATensorOrATypedError) {
  RunMutations(TensorFile, TensorFileSeeds(), 40'000);
}

}  // namespace
}  // namespace condense::fuzz
