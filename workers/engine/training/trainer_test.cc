#include "workers/engine/training/trainer.h"

#include <cmath>
#include <limits>

#include "common/error.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/temp_dir.h"
#include "workers/engine/training/checkpoint.h"
#include "workers/engine/training/training_test_model.h"

namespace condense::training {
namespace {

using ::testing::HasSubstr;
using State = std::map<std::string, torch::Tensor>;

std::unique_ptr<runtime::Executor> Model(const graph::Graph& graph) {
  auto model = runtime::Executor::Create(graph);
  EXPECT_TRUE(model.ok()) << model.status();
  return *std::move(model);
}

TEST(LearningRateTest, CosineFallsFromTheFullRateToNothing) {
  EXPECT_DOUBLE_EQ(LearningRate(Schedule::kCosine, 0.4, 0, 10), 0.4);
  EXPECT_DOUBLE_EQ(LearningRate(Schedule::kCosine, 0.4, 5, 10), 0.2);
  EXPECT_NEAR(LearningRate(Schedule::kCosine, 0.4, 10, 10), 0, 1e-12);
  // cos(pi / 3) = 1/2: three quarters after a third of the way.
  EXPECT_NEAR(LearningRate(Schedule::kCosine, 0.4, 4, 12), 0.3, 1e-12);
  EXPECT_EQ(LearningRate(Schedule::kConstant, 0.4, 7, 10), 0.4);
  EXPECT_EQ(LearningRate(Schedule::kCosine, 0.4, 0, 0), 0.4);
}

TEST(CrossEntropyTest, MatchesAHandComputedValue) {
  // Softmax of (0, ln 3) is (1/4, 3/4), of (0, 0) (1/2, 1/2).
  const TrainBatch batch = {{}, torch::tensor({0, 1}, torch::kInt64)};
  const torch::Tensor logits =
      torch::tensor({{0.0, std::log(3.0)}, {0.0, 0.0}});
  EXPECT_NEAR(CrossEntropyLoss(batch, {logits}).item<double>(),
              (std::log(4.0) + std::log(2.0)) / 2, 1e-6);
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
  EXPECT_NEAR(CrossEntropyLoss(batch, {logits}).item<double>(),
              0.3 * a + 0.7 * b, 1e-6);
}

TEST(TrainerTest, TrainsOnMixedBatchesAndGoesOnAsIfItHadNotStopped) {
  Bars data(48);
  data::LoaderOptions options = BarsOptions(true);
  options.mixup_alpha = 0.4;
  std::vector<double> whole, parts;
  for (std::vector<double>* losses : {&whole, &parts}) {
    auto model = Model(BarsNet());
    Position position;
    State state;
    // All at once, or with a new trainer and loader after every second step.
    for (bool complete = false; !complete;) {
      data::Loader loader(&data, options);
      Trainer trainer(model.get(), &loader, CrossEntropyLoss,
                      {.epochs = 2, .optimizer = {.lr = 0.02}});
      if (!state.empty()) {
        ASSERT_TRUE(trainer.Restore(position, state).ok());
      }
      auto result = trainer.Run([&](const StepInfo& info) {
        losses->push_back(info.loss);
        return losses == &parts && losses->size() % 2 == 0 ? Next::kStop
                                                           : Next::kGoOn;
      });
      ASSERT_TRUE(result.ok()) << result.status();
      complete = *result;
      position = trainer.position();
      state.clear();
      for (const auto& [name, tensor] : trainer.State()) {
        state[name] = tensor.clone();
      }
    }
  }
  EXPECT_EQ(whole.size(), 12u);
  EXPECT_EQ(whole, parts);
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

TEST(TrainerTest, TheLossFallsAndTheModelLearns) {
  Bars train(48), test(30);
  auto model = Model(BarsNet());
  data::Loader loader(&train, BarsOptions(true));
  Trainer trainer(model.get(), &loader, CrossEntropyLoss,
                  {.epochs = 8, .optimizer = {.lr = 0.02}});
  EXPECT_EQ(trainer.total_steps(), 48);
  std::vector<StepInfo> steps;
  int hooks = 0;
  trainer.BeforeStep([&hooks] { ++hooks; });
  auto complete = trainer.Run([&](const StepInfo& info) {
    steps.push_back(info);
    return Next::kGoOn;
  });
  ASSERT_TRUE(complete.ok()) << complete.status();
  EXPECT_TRUE(*complete);
  ASSERT_EQ(steps.size(), 48u);
  EXPECT_EQ(hooks, 48);
  EXPECT_LT(steps.back().loss, 0.3 * steps.front().loss);
  EXPECT_EQ(steps.front().lr, 0.02);
  EXPECT_EQ(steps.front().samples, 8);
  EXPECT_EQ(steps.front().total_steps, 48);
  EXPECT_EQ(steps.back().next.step, 48);
  EXPECT_FALSE(model->training());
  data::Loader held_out(&test, BarsOptions(false));
  auto accuracy = Evaluate(model.get(), &held_out);
  ASSERT_TRUE(accuracy.ok()) << accuracy.status();
  EXPECT_GE(accuracy->top1, 0.95);
}

// The state after `epochs` epochs, stopped after each step of `stops`: then a
// new process reads the checkpoint and goes on.
State Train(const OptimizerOptions& optimizer, std::vector<int64_t> stops) {
  TempDir dir;
  Bars data(50);
  data::LoaderOptions loading = BarsOptions(true);
  loading.augmentations = {data::RandomCrop{1}, data::HorizontalFlip{}};
  Checkpoint saved;
  Position position;
  for (stops.push_back(-1);; stops.erase(stops.begin())) {
    auto model = Model(BarsNet());
    data::Loader loader(&data, loading);
    Trainer trainer(model.get(), &loader, CrossEntropyLoss,
                    {.epochs = 3, .optimizer = optimizer});
    if (position.step > 0) {
      auto read = ReadCheckpoint(dir.path() + "/c", "job");
      EXPECT_TRUE(read.ok()) << read.status();
      EXPECT_EQ(read->step, position.step);
      EXPECT_TRUE(trainer.Restore(position, read->tensors).ok());
    }
    auto complete = trainer.Run([&](const StepInfo& info) {
      return info.next.step == stops[0] ? Next::kStop : Next::kGoOn;
    });
    EXPECT_TRUE(complete.ok()) << complete.status();
    EXPECT_EQ(*complete, stops[0] < 0);
    State state = trainer.State();
    for (auto& [name, tensor] : state) tensor = tensor.detach().clone();
    if (*complete) return state;
    position = trainer.position();
    EXPECT_TRUE(WriteCheckpoint(dir.path() + "/c", {.fingerprint = "job",
                                                    .step = position.step,
                                                    .tensors = state})
                    .ok());
  }
}

void ExpectEqual(const State& a, const State& b) {
  ASSERT_EQ(a.size(), b.size());
  for (const auto& [name, tensor] : a) {
    ASSERT_TRUE(b.count(name)) << name;
    EXPECT_TRUE(torch::equal(tensor, b.at(name))) << name;
  }
}

TEST(TrainerTest, InterruptedEqualsUninterruptedBitByBit) {
  // 6 batches an epoch: in the first, at its end, and twice later on.
  for (const OptimizerOptions& optimizer :
       {OptimizerOptions{.lr = 0.05, .weight_decay = 1e-3},
        OptimizerOptions{.kind = OptimizerOptions::Kind::kAdam}}) {
    const State whole = Train(optimizer, {});
    // Weights, moments, running statistics.
    EXPECT_TRUE(whole.count("parameter/conv.w"));
    EXPECT_TRUE(whole.count("optimizer/first/conv.w"));
    EXPECT_TRUE(whole.count("buffer/bn.mean"));
    ExpectEqual(whole, Train(optimizer, {1}));
    ExpectEqual(whole, Train(optimizer, {6}));
    ExpectEqual(whole, Train(optimizer, {9, 14}));
  }
}

TEST(TrainerTest, TheSameTrainerGoesOnAfterAStop) {
  const State whole = Train({.lr = 0.05}, {});
  Bars data(50);
  data::LoaderOptions loading = BarsOptions(true);
  loading.augmentations = {data::RandomCrop{1}, data::HorizontalFlip{}};
  auto model = Model(BarsNet());
  data::Loader loader(&data, loading);
  Trainer trainer(model.get(), &loader, CrossEntropyLoss,
                  {.epochs = 3, .optimizer = {.lr = 0.05}});
  ASSERT_FALSE(*trainer.Run([](const StepInfo& info) {
    return info.next.step == 7 ? Next::kStop : Next::kGoOn;
  }));
  EXPECT_EQ(trainer.position().epoch, 1);
  EXPECT_EQ(trainer.position().batch, 1);
  ASSERT_TRUE(*trainer.Run([](const StepInfo&) { return Next::kGoOn; }));
  ExpectEqual(whole, trainer.State());
}

TEST(TrainerTest, WithoutTrainingModeStatisticsStay) {
  Bars data(16);
  for (bool moves : {false, true}) {
    auto model = Model(BarsNet());
    const torch::Tensor before = model->buffers().at("bn.mean").clone();
    data::Loader loader(&data, BarsOptions(true));
    Trainer trainer(model.get(), &loader, CrossEntropyLoss,
                    {.training_mode = moves});
    ASSERT_TRUE(trainer.Run([](const StepInfo&) { return Next::kGoOn; }).ok());
    EXPECT_EQ(torch::equal(before, model->buffers().at("bn.mean")), !moves);
  }
}

TEST(TrainerTest, ALossThatIsNotFiniteNamesTheStep) {
  Bars data(48);
  auto model = Model(BarsNet());
  data::Loader loader(&data, BarsOptions(true));
  int calls = 0;
  const LossFunction loss = [&calls](const TrainBatch& batch,
                                     const std::vector<torch::Tensor>& out) {
    const torch::Tensor value = CrossEntropyLoss(batch, out);
    return ++calls == 4 ? value / 0 : value;
  };
  Trainer trainer(model.get(), &loader, loss, {});
  const auto complete =
      trainer.Run([](const StepInfo&) { return Next::kGoOn; });
  EXPECT_EQ(complete.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ErrorReason(complete.status()), "NAN_LOSS");
  EXPECT_THAT(std::string(complete.status().message()), HasSubstr("step 3"));
  EXPECT_EQ(trainer.position().step, 3);
}

TEST(TrainerTest, AModelThatDoesNotFitTheBatchIsAnErrorNotACrash) {
  Bars data(16);
  auto model = Model(BarsNet());
  data::LoaderOptions options = BarsOptions(true);
  options.shape = {};
  options.preprocess.resize_height = options.preprocess.resize_width = 9;
  data::Loader loader(&data, options);
  Trainer trainer(model.get(), &loader, CrossEntropyLoss, {});
  EXPECT_EQ(
      ErrorReason(
          trainer.Run([](const StepInfo&) { return Next::kGoOn; }).status()),
      "RUNTIME_ERROR");
}

TEST(TrainerTest, AStateOfAnotherModelIsRefused) {
  Bars data(16);
  auto model = Model(BarsNet());
  data::Loader loader(&data, BarsOptions(true));
  Trainer trainer(model.get(), &loader, CrossEntropyLoss, {});
  for (const char* gone : {"parameter/head.w", "buffer/bn.var"}) {
    State state = trainer.State();
    state.erase(gone);
    const absl::Status status = trainer.Restore({}, state);
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
    EXPECT_THAT(std::string(status.message()), HasSubstr(gone));
  }
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
  EXPECT_DOUBLE_EQ(accuracy->top1, 1.0 / 3);
  EXPECT_DOUBLE_EQ(accuracy->top5, 2.0 / 3);
  EXPECT_NEAR(accuracy->loss,
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
