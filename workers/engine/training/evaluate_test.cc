#include "workers/engine/training/evaluate.h"

#include <cmath>

#include "common/error.h"
#include "gtest/gtest.h"
#include "workers/engine/training/training_test_model.h"

namespace condense::training {
namespace {

std::unique_ptr<runtime::Executor> Model(const graph::Graph& graph) {
  auto model = runtime::Executor::Create(graph);
  EXPECT_TRUE(model.ok()) << model.status();
  return *std::move(model);
}

TEST(CrossEntropyTest, MatchesAHandComputedValue) {
  // Softmax of (0, ln 3) is (1/4, 3/4), of (0, 0) (1/2, 1/2).
  const TrainBatch batch = {{}, torch::tensor({0, 1}, torch::kInt64)};
  const torch::Tensor logits =
      torch::tensor({{0.0, std::log(3.0)}, {0.0, 0.0}});
  EXPECT_NEAR(CrossEntropy(logits, batch.labels).item<double>(),
              (std::log(4.0) + std::log(2.0)) / 2, 1e-6);
  // Against the uniform distribution: (ln 4 + ln 4/3) / 2 and ln 2.
  const double uniform =
      ((std::log(4.0) + std::log(4.0 / 3)) / 2 + std::log(2.0)) / 2;
  EXPECT_NEAR(CrossEntropy(logits, batch.labels, 0.2).item<double>(),
              0.8 * (std::log(4.0) + std::log(2.0)) / 2 + 0.2 * uniform, 1e-6);
}

TEST(CrossEntropyTest, OfMixedLabelsIsTheMixOfBothLosses) {
  const torch::Tensor logits =
      torch::tensor({{0.0, std::log(3.0)}, {0.0, 0.0}});
  TrainBatch batch = {{}, torch::tensor({0, 1}, torch::kInt64)};
  batch.mixed_labels = torch::tensor({1, 0}, torch::kInt64);
  batch.lambda = 0.3;
  // ln 4 and ln (4/3) of the first sample, ln 2 of the second either way.
  const double a = (std::log(4.0) + std::log(2.0)) / 2;
  const double b = (std::log(4.0 / 3) + std::log(2.0)) / 2;
  EXPECT_NEAR(CrossEntropy(batch, logits).item<double>(), 0.3 * a + 0.7 * b,
              1e-6);
}

TEST(CrossEntropyTest, SmoothingIsLibTorchsAndSoIsItsGradient) {
  torch::manual_seed(5);
  const torch::Tensor labels = torch::tensor({2, 0, 1}, torch::kInt64);
  torch::Tensor ours = torch::randn({3, 4}).set_requires_grad(true);
  torch::Tensor theirs = ours.detach().clone().set_requires_grad(true);
  const torch::Tensor a = CrossEntropy(ours, labels, 0.1);
  const torch::Tensor b = at::cross_entropy_loss(
      theirs, labels, {}, at::Reduction::Mean, -100, 0.1);
  a.backward();
  b.backward();
  EXPECT_TRUE(torch::allclose(a, b));
  EXPECT_TRUE(torch::allclose(ours.grad(), theirs.grad(), 1e-5, 1e-7));
}

TEST(ToTensorsTest, KeepsTheLayout) {
  data::Batch batch;
  batch.count = 1;
  batch.shape = {2, 1, 3};
  batch.pixels = {1, 2, 3, 4, 5, 6};
  batch.labels = {4};
  const TrainBatch first = ToTensors(batch, torch::kCPU);
  EXPECT_EQ(first.x.sizes().vec(), (std::vector<int64_t>{1, 2, 1, 3}));
  EXPECT_EQ(first.labels.item<int64_t>(), 4);
  batch.channels_last = true;
  const TrainBatch last = ToTensors(batch, torch::kCPU);
  EXPECT_EQ(last.x.sizes().vec(), (std::vector<int64_t>{1, 1, 3, 2}));
  // A copy of its own.
  batch.pixels[0] = 9;
  EXPECT_EQ(last.x.view(-1)[0].item<double>(), 1);
}

// Samples whose pixels are the logits.
class Logits : public data::Dataset {
 public:
  explicit Logits(std::vector<data::Sample> samples)
      : samples_(std::move(samples)) {}
  int64_t size() const override { return samples_.size(); }
  int64_t num_classes() const override { return 6; }
  absl::StatusOr<data::Sample> Get(int64_t index) const override {
    return samples_[index];
  }

 private:
  const std::vector<data::Sample> samples_;
};

graph::Graph FlattenNet() {
  graph::Graph g;
  const auto x = g.AddInput("x", graph::DType::kFloat32,
                            graph::Shape{graph::Dim::Symbol("N"), 1, 1, 6});
  g.AddOutput(g.node(g.AddNode("Flatten", "", {x}, {"y"})).outputs[0]);
  return g;
}

TEST(EvaluateTest, CountsTopOneTopFiveAndLossAsByHand) {
  // With scale ln 2 a pixel p weighs 2^p. First: 8/13 for label 0, the best.
  // Second: 1/63, the sixth of six. Third: 2/63, the fifth.
  Logits data({{1, 6, 1, {3, 0, 0, 0, 0, 0}, 0},
               {1, 6, 1, {0, 1, 2, 3, 4, 5}, 0},
               {1, 6, 1, {5, 4, 3, 2, 1, 0}, 4}});
  data::LoaderOptions options;
  options.batch_size = 2;
  options.preprocess.scale = std::log(2.0);
  data::Loader loader(&data, options);
  auto model = Model(FlattenNet());
  int64_t seen = 0;
  auto accuracy = Evaluate(
      model.get(), &loader,
      [&](const data::Batch& batch, const std::vector<torch::Tensor>& outputs) {
        EXPECT_EQ(outputs[0].size(0), batch.count);
        seen += batch.count;
        return absl::OkStatus();
      });
  ASSERT_TRUE(accuracy.ok()) << accuracy.status();
  EXPECT_EQ(accuracy->samples, 3);
  EXPECT_EQ(seen, 3);
  EXPECT_DOUBLE_EQ(*accuracy->Find("top1"), 1.0 / 3);
  EXPECT_DOUBLE_EQ(*accuracy->Find("top5"), 2.0 / 3);
  EXPECT_NEAR(*accuracy->Find("loss"),
              (std::log(13.0 / 8) + std::log(63.0) + std::log(31.5)) / 3, 1e-6);
}

TEST(EvaluateTest, ALabelPastTheOutputsIsAnErrorNotACrash) {
  Logits data({{1, 6, 1, {3, 0, 0, 0, 0, 0}, 6}});
  data::Loader loader(&data, {});
  auto model = Model(FlattenNet());
  EXPECT_EQ(ErrorReason(Evaluate(model.get(), &loader).status()),
            "RUNTIME_ERROR");
}

}  // namespace
}  // namespace condense::training
