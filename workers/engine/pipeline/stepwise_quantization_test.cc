// Quantize stages that train share by share or block by block.

#include "absl/strings/str_cat.h"
#include "common/recipe/recipe.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "workers/engine/graph/graph.h"
#include "workers/engine/import/onnx.h"
#include "workers/engine/pipeline/digits_job_test_util.h"
#include "workers/engine/pipeline/tasks.h"

namespace condense::pipeline {
namespace {

constexpr char kVnni[] = "onnxruntime-cpu-x86-vnni";

v1::Recipe RecipeOf(const std::string& stage) {
  auto parsed = recipe::ParseRecipe("stages: [quantize: {" + stage + "}]");
  EXPECT_TRUE(parsed.ok()) << parsed.status();
  recipe::ResolveRecipe(&parsed->recipe);
  return parsed->recipe;
}

int QatTasks(const std::string& stage) {
  int count = 0;
  for (const Task& task : PlanTasks(RecipeOf(stage), 1)) {
    if (task.kind != Task::Kind::kQat) continue;
    EXPECT_EQ(task.step, ++count);
  }
  return count;
}

TEST(StepwiseTasksTest, EachBlockAndEachShareButTheLastIsOneTraining) {
  EXPECT_EQ(QatTasks("mode: ptq"), 0);
  EXPECT_EQ(QatTasks("mode: qat"), 1);
  EXPECT_EQ(QatTasks("mode: qat, blocks: {count: 3}"), 3);
  EXPECT_EQ(QatTasks("mode: incremental"), 3);
  EXPECT_EQ(QatTasks("mode: incremental, incremental: {shares: [0.3, 1]}"), 1);
}

class StepwiseQuantizationTest : public DigitsJobTest {
 protected:
  // Whole and in pieces it is the same file, and the report's row counts all
  // steps.
  nlohmann::json ExpectStopsChangeNothing(const std::string& stage, int steps) {
    const std::string whole = WriteJob("whole", stage, kVnni);
    const JobResult result = Run(whole);
    EXPECT_TRUE(result.status.ok()) << result.status;
    if (!result.status.ok()) return {};
    const std::string parts = WriteJob("parts", stage, kVnni, 0);
    EXPECT_GE(RunInPieces(parts), 3);
    EXPECT_EQ(ModelDigest(parts, kVnni), ModelDigest(whole, kVnni));
    const nlohmann::json report = Report(parts, kVnni);
    EXPECT_EQ(report["stages"].size(), 1u);
    EXPECT_EQ(report["stages"][0]["steps"], steps);
    EXPECT_GE(report["agreement"]["top1"].get<double>(), 0.99);
    EXPECT_GT(report["compressed"]["metrics"]["top1"].get<double>(), 0.9);
    return report;
  }
};

TEST_F(StepwiseQuantizationTest, SharesSurviveStopsWithMomentsAndAverages) {
  const auto report = ExpectStopsChangeNothing(
      "mode: incremental, epochs: 1, weights: {bits: 5}, optimizer: {sgd: {lr: "
      "0.002, momentum: 0.9, weight_decay: 0.001}}, ema: {decay: 0.5}, "
      "clip_norm: 5",
      3 * 4);
  EXPECT_EQ(report["stages"][0]["technique"], "incremental");
  for (const auto& layer : report["layers"]) {
    EXPECT_EQ(layer["bits_weight"], 5) << layer;
    // All weights lie on their levels, but for the last bit of a float.
    EXPECT_GT(layer.value("snr_db", 1000.0), 120) << layer;
  }
}

TEST_F(StepwiseQuantizationTest, SharesOfPowersOfTwo) {
  const std::string job = WriteJob(
      "log2", "mode: incremental, weights: {scheme: log2}, epochs: 1", kVnni);
  const JobResult result = Run(job);
  ASSERT_TRUE(result.status.ok()) << result.status;
  const auto report = Report(job, kVnni);
  EXPECT_GT(report["compressed"]["metrics"]["top1"].get<double>(), 0.9);
  // What the file holds is 0 or plus or minus a power of two.
  const auto file = onnx_import::ImportOnnx(
      *ReadFile(job + "/artifacts/" + kVnni + "/model.onnx"), {.raw = true});
  ASSERT_TRUE(file.ok()) << file.status();
  int64_t weights = 0;
  for (graph::ValueId id : file->values()) {
    const graph::Tensor* tensor = file->ConstantOf(id);
    if (tensor == nullptr || tensor->dtype() != graph::DType::kInt8 ||
        tensor->rank() < 2) {
      continue;
    }
    for (int64_t level : tensor->ToInts()) {
      const int64_t size = level < 0 ? -level : level;
      EXPECT_EQ(size & (size - 1), 0) << level;
      ++weights;
    }
  }
  EXPECT_GT(weights, 1000);
}

TEST_F(StepwiseQuantizationTest, BlocksSurviveStopsWithLearntScales) {
  ExpectStopsChangeNothing(
      "mode: qat, epochs: 1, weights: {bits: 4}, qat: {grids: lsq}, blocks: "
      "{count: 3}",
      3 * 4);
  EXPECT_THAT(sink_.text, testing::HasSubstr("in 3 blocks, in this order"));
}

TEST_F(StepwiseQuantizationTest, BlocksOfChosenWidthsAroundNormalisation) {
  const auto report = ExpectStopsChangeNothing(
      "mode: qat, epochs: 1, qat: {batch_norm: live}, blocks: {count: 3, "
      "order: sensitive_first}, mixed_precision: {target: {mean_bits: 5}}",
      3 * 4);
  EXPECT_THAT(sink_.text, testing::HasSubstr("mixed precision: mean of"));
}

TEST_F(StepwiseQuantizationTest, BlocksWithLevelsOfATable) {
  for (const char* keys :
       {"weights: {scheme: lq, bits: 3}",
        "weights: {scheme: lut, bits: 3}, qat: {grids: lsq}"}) {
    TearDown();
    const auto report = ExpectStopsChangeNothing(
        absl::StrCat("mode: qat, epochs: 1, blocks: {count: 3}, ", keys),
        3 * 4);
    for (const auto& layer : report["layers"]) {
      EXPECT_EQ(layer["bits_weight"], 3) << keys;
      // Against what was trained, not against what was stored.
      EXPECT_LT(layer["snr_db"].get<double>(), 40) << keys;
    }
  }
}

}  // namespace
}  // namespace condense::pipeline
