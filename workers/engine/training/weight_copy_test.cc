#include "workers/engine/training/weight_copy.h"

#include "common/error.h"
#include "gtest/gtest.h"
#include "workers/engine/training/training_test_model.h"

namespace condense::training {
namespace {

class WeightCopyTest : public testing::Test {
 protected:
  WeightCopyTest() : model_(*runtime::Executor::Create(BarsNet())) {}

  void Fill(double value) {
    for (auto& [key, tensor] : ModelTensors(model_.get())) tensor.fill_(value);
  }
  double ValueOf(const char* key) {
    return ModelTensors(model_.get()).at(key).view(-1)[0].item<double>();
  }

  std::unique_ptr<runtime::Executor> model_;
};

TEST_F(WeightCopyTest, KeepsAverageAndGivesBackParametersAndStatistics) {
  WeightCopy copy(model_.get());
  EXPECT_TRUE(copy.empty());
  Fill(1);
  copy.Take();
  Fill(2);
  // 1 + .25 (2 - 1).
  copy.Average(0.75);
  copy.Exchange();
  EXPECT_EQ(ValueOf("parameter/conv.w"), 1.25);
  EXPECT_EQ(ValueOf("buffer/bn.mean"), 1.25);
  copy.Give();
  EXPECT_EQ(ValueOf("parameter/conv.w"), 2);
}

TEST_F(WeightCopyTest, ComesBackFromItsStateOrEmpty) {
  WeightCopy copy(model_.get());
  Fill(3);
  copy.Take();
  TensorMap state;
  copy.AddTo("best/", &state);
  Fill(4);
  WeightCopy other(model_.get());
  ASSERT_TRUE(other.Restore("best/", state).ok());
  other.Give();
  EXPECT_EQ(ValueOf("parameter/head.w"), 3);
  ASSERT_TRUE(other.Restore("average/", state).ok());
  EXPECT_TRUE(other.empty());
  state.erase("best/parameter/head.w");
  EXPECT_EQ(ErrorReason(other.Restore("best/", state)), "CHECKPOINT_CORRUPT");
}

}  // namespace
}  // namespace condense::training
