#include "common/recipe/task_ranges.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace condense::recipe {
namespace {

// "REASON field line:column" of a recipe that must be refused.
std::string Refusal(absl::string_view task, absl::string_view stage,
                    absl::string_view more = "") {
  const auto parsed = ParseRecipe(
      absl::StrCat("task: ", task, "\nstages:\n  - ", stage, "\n", more, "\n"));
  if (parsed.ok()) return "accepted";
  const ErrorDetail detail = ErrorDetailOf(parsed.status());
  return absl::StrCat(ErrorReason(parsed.status()), " ", detail.field, " ",
                      detail.line, ":", detail.column);
}

TEST(TaskRangesTest, VerificationTrainsWithoutLabels) {
  const auto refusal = [](const std::string& stage) {
    return Refusal("verification", stage);
  };
  EXPECT_EQ(refusal("quantize: {mode: ptq}"), "accepted");
  EXPECT_EQ(refusal("quantize: {mode: qat}"), "accepted");
  EXPECT_EQ(refusal("quantize: {mode: qat, qat_data: synthetic}"), "accepted");
  EXPECT_EQ(refusal("quantize: {mode: qat, qat_data: labeled}"),
            "UNSUPPORTED_COMBINATION stages[0].quantize.qat_data 3:27");
  EXPECT_EQ(refusal("quantize: {mode: qat, kd: [soft_response]}"),
            "UNSUPPORTED_COMBINATION stages[0].quantize.kd 3:27");
  EXPECT_EQ(refusal("quantize: {mode: incremental, label_smoothing: 0.1}"),
            "UNUSED_KEY stages[0].quantize.label_smoothing 3:35");
  EXPECT_EQ(refusal("finetune: {epochs: 1}"), "accepted");
  EXPECT_EQ(refusal("finetune: {epochs: 1, kd: [soft_response]}"),
            "UNSUPPORTED_COMBINATION stages[0].finetune.kd 3:27");
}

TEST(TaskRangesTest, EarlyStopWatchesAFigureOfTheTask) {
  const auto refusal = [](const char* task, const std::string& metric) {
    return Refusal(
        task, "finetune: {epochs: 1, early_stop: {metric: " + metric + "}}");
  };
  EXPECT_EQ(refusal("verification", "accuracy"), "accepted");
  EXPECT_EQ(refusal("verification", "top1"),
            "UNSUPPORTED_COMBINATION stages[0].finetune.early_stop.metric "
            "3:40");
  EXPECT_EQ(refusal("verification", "loss").substr(0, 23),
            "UNSUPPORTED_COMBINATION");
  EXPECT_EQ(refusal("classification", "loss"), "accepted");
  EXPECT_EQ(refusal("classification", "accuracy").substr(0, 23),
            "UNSUPPORTED_COMBINATION");
}

TEST(TaskRangesTest, TheEqualErrorRateIsAGateOfVerificationAlone) {
  const std::string gate = "gates: {max_eer_increase: 0.01}";
  EXPECT_EQ(Refusal("verification", "quantize: {mode: ptq}", gate), "accepted");
  EXPECT_EQ(Refusal("classification", "quantize: {mode: ptq}", gate),
            "UNSUPPORTED_COMBINATION gates.max_eer_increase 4:9");
  EXPECT_EQ(Refusal("verification", "quantize: {mode: ptq}",
                    "gates: {max_eer_increase: 2}"),
            "OUT_OF_RANGE gates.max_eer_increase 4:9");
}

TEST(TaskRangesTest, AGateOfTheCommandLineIsHeldAgainstTheTask) {
  v1::Recipe recipe;
  const auto apply = [&recipe] {
    return ApplyGateOverrides({{"max_eer_increase", "0.005"}}, &recipe);
  };
  EXPECT_EQ(ErrorReason(apply()), "UNSUPPORTED_COMBINATION");
  EXPECT_FALSE(recipe.gates().has_max_eer_increase());
  recipe.set_task(v1::Recipe::VERIFICATION);
  ASSERT_TRUE(apply().ok());
  EXPECT_EQ(recipe.gates().max_eer_increase(), 0.005);
}

TEST(TaskRangesTest, ResolvedVerificationNamesItsDefaults) {
  const auto parsed = ParseRecipe(
      "task: verification\nstages:\n  - finetune: {epochs: 1, early_stop: {}}\n"
      "  - quantize: {mode: qat}\n");
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  v1::Recipe recipe = parsed->recipe;
  ResolveRecipe(&recipe);
  EXPECT_EQ(recipe.stages(0).finetune().early_stop().metric(),
            v1::EarlyStop::ACCURACY);
  EXPECT_EQ(recipe.stages(1).quantize().qat_data(), v1::Quantize::UNLABELED);
  // What was resolved is resolved again: label_smoothing stands there as 0.
  const auto again = ParseRecipe(RecipeToYaml(recipe));
  ASSERT_TRUE(again.ok()) << again.status();
}

}  // namespace
}  // namespace condense::recipe
