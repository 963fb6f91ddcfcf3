#include "common/error.h"
#include "common/recipe/recipe.h"
#include "gtest/gtest.h"

namespace condense::recipe {
namespace {

// Reason and place below the stage, or "" for a recipe that is taken.
std::string Refusal(const std::string& keys) {
  const absl::Status status =
      ParseRecipe("stages: [quantize: {" + keys + "}]").status();
  if (status.ok()) return "";
  std::string field = ErrorDetailOf(status).field;
  const std::string stage = "stages[0].quantize.";
  if (field.rfind(stage, 0) == 0) field = field.substr(stage.size());
  return ErrorReason(status) + " " + field;
}

TEST(StepwiseRangesTest, SharesRiseToOne) {
  const auto shares = [](const std::string& values) {
    return Refusal("mode: incremental, incremental: {shares: [" + values +
                   "]}");
  };
  EXPECT_EQ(shares("0.5, 0.75, 1"), "");
  EXPECT_EQ(Refusal("mode: incremental"), "");
  EXPECT_EQ(shares("0.5, 0.75"), "OUT_OF_RANGE incremental.shares");
  EXPECT_EQ(shares("1"), "OUT_OF_RANGE incremental.shares");
  EXPECT_EQ(shares("0.5, 0.5, 1"), "OUT_OF_RANGE incremental.shares[1]");
  EXPECT_EQ(shares("0, 1"), "OUT_OF_RANGE incremental.shares[0]");
  EXPECT_EQ(shares("0.5, 1.5"), "OUT_OF_RANGE incremental.shares[1]");
}

TEST(StepwiseRangesTest, IncrementalLevelsAreFixedAtTheStart) {
  const std::string mode = "mode: incremental, ";
  EXPECT_EQ(Refusal(mode + "weights: {scheme: log2}"), "");
  EXPECT_EQ(Refusal(mode + "weights: {scheme: binary}"),
            "UNSUPPORTED_COMBINATION weights.scheme");
  EXPECT_EQ(Refusal(mode + "weights: {scheme: lut}"),
            "UNSUPPORTED_COMBINATION weights.scheme");
  EXPECT_EQ(Refusal(mode + "weights: {granularity: block}"),
            "UNSUPPORTED_COMBINATION weights.scheme");
  EXPECT_EQ(Refusal(mode + "qat: {grids: lsq}"),
            "UNSUPPORTED_COMBINATION qat.grids");
  EXPECT_EQ(Refusal(mode + "qat: {batch_norm: live}"),
            "UNSUPPORTED_COMBINATION qat.batch_norm");
  EXPECT_EQ(Refusal(mode + "ptq: {smooth: 0}"), "UNUSED_KEY ptq");
  EXPECT_EQ(Refusal("mode: qat, incremental: {shares: [0.5, 1]}"),
            "UNUSED_KEY incremental");
}

TEST(StepwiseRangesTest, MixedPrecisionHasOneTargetAndSeveralWidths) {
  const auto mixed = [](const std::string& keys) {
    return Refusal("mode: ptq, mixed_precision: {" + keys + "}");
  };
  const std::string target = "target: {mean_bits: 4}";
  EXPECT_EQ(mixed(target), "");
  EXPECT_EQ(mixed("sensitivity: hessian, bits: [2, 4, 8], " + target), "");
  EXPECT_EQ(mixed("bits: [2, 4]"), "MISSING_KEY mixed_precision.target");
  EXPECT_EQ(mixed("target: {mean_bits: 4, bops: 5}"),
            "TOO_MANY_KEYS mixed_precision.target");
  EXPECT_EQ(mixed("target: {mean_bits: 9}"),
            "OUT_OF_RANGE mixed_precision.target.mean_bits");
  EXPECT_EQ(mixed("target: {latency_ms: 0}"),
            "OUT_OF_RANGE mixed_precision.target.latency_ms");
  EXPECT_EQ(mixed("bits: [4], " + target), "OUT_OF_RANGE mixed_precision.bits");
  EXPECT_EQ(mixed("bits: [1, 4], " + target),
            "OUT_OF_RANGE mixed_precision.bits[0]");
  EXPECT_EQ(mixed("bits: [4, 2, 4], " + target),
            "OUT_OF_RANGE mixed_precision.bits[2]");
}

TEST(StepwiseRangesTest, MixedPrecisionAndSchemesOfOneWidthExcludeEachOther) {
  const std::string mixed = "mixed_precision: {target: {mean_bits: 4}}";
  EXPECT_EQ(Refusal("mode: ptq, weights: {bits: 4}, " + mixed),
            "UNUSED_KEY weights.bits");
  EXPECT_EQ(Refusal("mode: qat, weights: {scheme: ternary}, " + mixed),
            "UNSUPPORTED_COMBINATION mixed_precision");
  EXPECT_EQ(Refusal("mode: qat, weights: {scheme: log2}, mixed_precision: "
                    "{bits: [2, 8], target: {mean_bits: 4}}"),
            "UNSUPPORTED_COMBINATION mixed_precision.bits[1]");
}

TEST(StepwiseRangesTest, BlocksGoWithTraining) {
  EXPECT_EQ(Refusal("mode: qat, blocks: {count: 2, order: forward}"), "");
  EXPECT_EQ(Refusal("mode: ptq, blocks: {count: 2}"), "UNUSED_KEY blocks");
  EXPECT_EQ(Refusal("mode: incremental, blocks: {}"), "UNUSED_KEY blocks");
  EXPECT_EQ(Refusal("mode: qat, blocks: {count: 1}"),
            "OUT_OF_RANGE blocks.count");
}

TEST(StepwiseRangesTest, DefaultsAreWrittenOut) {
  auto parsed = ParseRecipe(
      "stages: [quantize: {mode: qat, blocks: {}, mixed_precision: {target: "
      "{mean_bits: 4}}}]");
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  ResolveRecipe(&parsed->recipe);
  const v1::Quantize& qat = parsed->recipe.stages(0).quantize();
  EXPECT_EQ(qat.blocks().count(), 4);
  EXPECT_EQ(qat.blocks().order(), v1::Blocks::ROBUST_FIRST);
  EXPECT_EQ(qat.mixed_precision().sensitivity(), v1::MixedPrecision::KL);
  parsed = ParseRecipe("stages: [quantize: {mode: incremental}]");
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  ResolveRecipe(&parsed->recipe);
  const v1::Quantize& incremental = parsed->recipe.stages(0).quantize();
  EXPECT_EQ(incremental.incremental().shares_size(), 4);
  EXPECT_EQ(incremental.incremental().shares(2), 0.875);
  EXPECT_EQ(incremental.epochs(), 1);
  // What is written out is taken again.
  EXPECT_TRUE(ParseRecipe(RecipeToYaml(parsed->recipe)).ok());
}

}  // namespace
}  // namespace condense::recipe
