#include "workers/engine/training/divergence.h"

#include <cmath>
#include <limits>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "workers/engine/training/training_test_model.h"

namespace condense::training {
namespace {

using testing::HasSubstr;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

TEST(DivergenceWatchTest, CountsStepsInARowAboveTheBound) {
  DivergenceWatch watch({.factor = 2, .steps = 2});
  // The larger of 3 and ln 4.
  EXPECT_FALSE(watch.Diverged(3, 4));
  EXPECT_DOUBLE_EQ(watch.bound(), 6);
  EXPECT_FALSE(watch.Diverged(7, 4));
  EXPECT_FALSE(watch.Diverged(6, 4));
  EXPECT_FALSE(watch.Diverged(7, 4));
  DivergenceWatch resumed({.factor = 2, .steps = 2});
  resumed.Restore(watch.State());
  EXPECT_TRUE(resumed.Diverged(7, 4));
}

TEST(DivergenceWatchTest, AGoodStartIsMeasuredAgainstGuessing) {
  DivergenceWatch watch({.factor = 2, .steps = 1});
  EXPECT_FALSE(watch.Diverged(0.001, 8));
  EXPECT_DOUBLE_EQ(watch.bound(), 2 * std::log(8.0));
  EXPECT_FALSE(watch.Diverged(4, 8));
  EXPECT_TRUE(watch.Diverged(4.2, 8));
}

class FindNotFiniteTest : public testing::Test {
 protected:
  FindNotFiniteTest() : net_(BarsNet()) {
    model_ = *runtime::Executor::Create(net_);
    model_->SetTraining(true);
    batch_.x = torch::rand({4, 1, 6, 6});
    batch_.labels = torch::zeros({4}, torch::kInt64);
  }
  void Plant(const std::string& name, double value) {
    const torch::NoGradGuard no_grad;
    for (auto& [key, tensor] : model_->buffers()) {
      if (key == name) tensor.view(-1)[0] = value;
    }
    for (runtime::Parameter& parameter : model_->parameters()) {
      if (parameter.name == name) parameter.tensor.view(-1)[0] = value;
    }
  }

  graph::Graph net_;
  std::unique_ptr<runtime::Executor> model_;
  TrainBatch batch_;
};

TEST_F(FindNotFiniteTest, NamesTheLayerWhereAPlantedNanBegins) {
  // Not a parameter: only the layer's output shows it.
  model_->SetTraining(false);
  Plant("bn.var", std::nan(""));
  const Fault fault = FindNotFinite(net_, batch_, model_.get());
  EXPECT_EQ(fault.node, "bn");
  EXPECT_THAT(fault.what, HasSubstr("NaN"));
}

TEST_F(FindNotFiniteTest, NamesTheLayerWhereNumbersOverflow) {
  for (const char* name : {"head.w", "head.b"}) Plant(name, 3e38);
  batch_.x *= 100;
  const Fault fault = FindNotFinite(net_, batch_, model_.get());
  EXPECT_EQ(fault.node, "head");
  EXPECT_THAT(fault.what, HasSubstr("infinite"));
}

TEST_F(FindNotFiniteTest, NamesAParameterThatIsNotFinite) {
  Plant("conv.w", kInfinity);
  const Fault fault = FindNotFinite(net_, batch_, model_.get());
  EXPECT_EQ(fault.node, "conv");
  EXPECT_THAT(fault.what, HasSubstr("'conv.w'"));
}

TEST_F(FindNotFiniteTest, NamesTheDataOrTheLoss) {
  EXPECT_THAT(FindNotFinite(net_, batch_, model_.get()).what,
              HasSubstr("in the loss"));
  batch_.x[0][0][0][0] = std::nan("");
  const Fault fault = FindNotFinite(net_, batch_, model_.get());
  EXPECT_EQ(fault.node, "");
  EXPECT_THAT(fault.what, HasSubstr("the data"));
}

TEST_F(FindNotFiniteTest, AMaskOfMinusInfinityIsNoFault) {
  // softmax(x + mask) / 0: the division is to blame, not the mask.
  graph::Graph g;
  auto out = [&g](graph::NodeId id) { return g.node(id).outputs[0]; };
  auto x = g.AddInput("x", graph::DType::kFloat32, graph::Shape{2, 2});
  const auto mask = g.AddConstant(
      "mask", graph::Tensor::Of<float>(
                  {1, 2}, std::vector<float>{
                              0, -std::numeric_limits<float>::infinity()}));
  const auto zero = g.AddConstant(
      "zero", graph::Tensor::Of<float>({}, std::vector<float>{0}));
  const auto shifted = out(g.AddNode("Add", "shift", {x, mask}, {"shifted"}));
  const auto twice =
      out(g.AddNode("Add", "twice", {shifted, shifted}, {"twice.y"}));
  const auto softmax = out(g.AddNode("Softmax", "softmax", {twice}, {"p"}));
  g.AddOutput(out(g.AddNode("Div", "div", {softmax, zero}, {"y"})));
  auto model = *runtime::Executor::Create(g);
  for (runtime::Parameter& parameter : model->parameters()) {
    parameter.tensor.set_requires_grad(false);
  }
  model->parameters().clear();
  const Fault fault = FindNotFinite(g, {torch::zeros({2, 2}), {}}, model.get());
  EXPECT_EQ(fault.node, "div");
}

TEST_F(FindNotFiniteTest, TheLargestOutputIsFoundByName) {
  Plant("head.b", 1e6);
  const Fault fault = FindLargest(net_, batch_, model_.get());
  EXPECT_EQ(fault.node, "head");
}

}  // namespace
}  // namespace condense::training
