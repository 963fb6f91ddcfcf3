#include "workers/engine/pipeline/train_task.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "workers/engine/pipeline/digits_job_test_util.h"

namespace condense::pipeline {
namespace {

constexpr char kVnni[] = "onnxruntime-cpu-x86-vnni";

class TrainTaskTest : public DigitsJobTest {
 protected:
  // The warnings of 20 steps of training through quantizers.
  std::string WarningsOf(const std::string& keys) {
    const std::string job =
        WriteJob("job", "mode: qat, epochs: 5, " + keys, kVnni);
    const JobResult result = Run(job);
    EXPECT_TRUE(result.status.ok()) << result.status;
    return result.status.ok() ? Report(job, kVnni)["warnings"].dump() : "";
  }
};

TEST_F(TrainTaskTest, SaysThatTrainingEndedWithTheLossOfAGuess) {
  const std::string wild =
      "weights: {bits: 2}, optimizer: {sgd: {lr: 0.05}}, "
      "qat: {batch_norm: folded}";
  EXPECT_THAT(WarningsOf(wild),
              testing::AllOf(testing::HasSubstr("that of a guess"),
                             testing::HasSubstr("set clip_norm")));
  EXPECT_THAT(sink_.text, testing::HasSubstr("LOSS_ROSE"));
  WarningsOf(wild + ", clip_norm: 1");
  EXPECT_THAT(sink_.text, testing::Not(testing::HasSubstr("LOSS_ROSE")));
}

TEST_F(TrainTaskTest, WhereGradientsAreClippedTheRateIsWhatIsLeft) {
  EXPECT_THAT(
      WarningsOf("optimizer: {sgd: {lr: 50}}, clip_norm: 1"),
      testing::AllOf(testing::HasSubstr("training began with a loss of"),
                     testing::HasSubstr("lower the learning rate"),
                     testing::Not(testing::HasSubstr("set clip_norm"))));
}

}  // namespace
}  // namespace condense::pipeline
