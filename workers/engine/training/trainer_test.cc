#include "workers/engine/training/trainer.h"

#include <algorithm>
#include <cmath>

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
  // Once a step, and after the last.
  EXPECT_EQ(hooks, 49);
  EXPECT_LT(steps.back().loss, 0.3 * steps.front().loss);
  EXPECT_EQ(steps.front().lr, 0.02);
  EXPECT_EQ(steps.front().samples, 8);
  EXPECT_EQ(steps.front().total_steps, 48);
  EXPECT_EQ(steps.back().next.step, 48);
  EXPECT_FALSE(model->training());
  data::Loader held_out(&test, BarsOptions(false));
  auto accuracy = Evaluate(model.get(), &held_out);
  ASSERT_TRUE(accuracy.ok()) << accuracy.status();
  EXPECT_GE(*accuracy->main_value(), 0.95);
}

// The state after three epochs, stopped after each step of `stops`: then a new
// process reads the checkpoint and goes on.
State Train(TrainOptions options, std::vector<int64_t> stops) {
  options.epochs = 3;
  TempDir dir;
  Bars data(50);
  data::LoaderOptions loading = BarsOptions(true);
  loading.augmentations = {data::RandomCrop{1}, data::HorizontalFlip{}};
  Checkpoint saved;
  Position position;
  for (stops.push_back(-1);; stops.erase(stops.begin())) {
    auto model = Model(BarsNet());
    data::Loader loader(&data, loading);
    Bars test(30);
    data::Loader held_out(&test, BarsOptions(false));
    Trainer trainer(model.get(), &loader, CrossEntropyLoss, options);
    trainer.EvaluateBy([&] { return Evaluate(model.get(), &held_out); });
    if (position.step > 0) {
      auto read = ReadCheckpoint(dir.path() + "/c", {{"job", "1"}});
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
    EXPECT_TRUE(
        WriteCheckpoint(dir.path() + "/c", {.fingerprint = {{"job", "1"}},
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
  TrainOptions full = {
      .optimizer = {.kind = OptimizerOptions::Kind::kAdamW},
      .schedule = {.kind = Schedule::kOneCycle, .warmup_epochs = 0.5},
      .accumulate = 2,
      .clip_norm = 0.5,
      .ema_decay = 0.9,
      .early_stop = EarlyStopOptions{.patience = 9}};
  TrainOptions adam;
  adam.optimizer.kind = OptimizerOptions::Kind::kAdam;
  for (const TrainOptions& options :
       {TrainOptions{.optimizer = {.lr = 0.05, .weight_decay = 1e-3}}, adam,
        full}) {
    const State whole = Train(options, {});
    // Weights, moments, running statistics.
    EXPECT_TRUE(whole.count("parameter/conv.w"));
    EXPECT_TRUE(whole.count("optimizer/first/conv.w"));
    EXPECT_TRUE(whole.count("buffer/bn.mean"));
    ExpectEqual(whole, Train(options, {1}));
    ExpectEqual(whole, Train(options, {3, 6}));
    ExpectEqual(whole, Train(options, {2, options.accumulate == 2 ? 7 : 14}));
  }
}

TEST(TrainerTest, TheSameTrainerGoesOnAfterAStop) {
  const State whole = Train({.optimizer = {.lr = 0.05}}, {});
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

// Losses of the first steps and the final weights.
struct Outcome {
  std::vector<StepInfo> steps;
  State state;
};
Outcome TrainOnce(const TrainOptions& options, int64_t batch_size = 8,
                  const LossFunction& loss = CrossEntropyLoss) {
  Bars data(48);
  auto model = Model(BarsNet(false));
  data::LoaderOptions loading = BarsOptions(true);
  loading.batch_size = batch_size;
  data::Loader loader(&data, loading);
  Trainer trainer(model.get(), &loader, loss, options);
  Outcome outcome;
  const auto complete = trainer.Run([&](const StepInfo& info) {
    outcome.steps.push_back(info);
    return Next::kGoOn;
  });
  EXPECT_TRUE(complete.ok()) << complete.status();
  outcome.state = ModelTensors(model.get());
  return outcome;
}

void ExpectNear(const State& a, const State& b, double tolerance) {
  ASSERT_EQ(a.size(), b.size());
  for (const auto& [name, tensor] : a) {
    EXPECT_LT((tensor - b.at(name)).abs().max().item<double>(), tolerance)
        << name;
  }
}

TEST(TrainerTest, AccumulatedBatchesAreOneLargeBatch) {
  const TrainOptions options = {.epochs = 2, .optimizer = {.lr = 0.05}};
  TrainOptions small = options;
  small.accumulate = 3;
  const Outcome large = TrainOnce(options, 24);
  const Outcome accumulated = TrainOnce(small, 8);
  ASSERT_EQ(accumulated.steps.size(), 4u);
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_NEAR(accumulated.steps[i].loss, large.steps[i].loss, 1e-5);
    EXPECT_EQ(accumulated.steps[i].samples, 24);
  }
  ExpectNear(accumulated.state, large.state, 1e-5);
}

TEST(TrainerTest, TheLastStepOfAnEpochTakesTheBatchesThatAreLeft) {
  // Six batches: four, then two.
  const Outcome outcome =
      TrainOnce({.epochs = 1, .optimizer = {.lr = 0.05}, .accumulate = 4});
  ASSERT_EQ(outcome.steps.size(), 2u);
  EXPECT_EQ(outcome.steps[0].samples, 32);
  EXPECT_EQ(outcome.steps[1].samples, 16);
  EXPECT_EQ(outcome.steps[1].total_steps, 2);
}

TEST(TrainerTest, ClippingBoundsTheLengthOfAStep) {
  const TrainOptions plain = {.optimizer = {.lr = 0.5, .momentum = 0}};
  TrainOptions clipped = plain;
  clipped.clip_norm = 0.01;
  const State start = [] {
    auto model = Model(BarsNet(false));
    State state = ModelTensors(model.get());
    for (auto& [name, tensor] : state) tensor = tensor.clone();
    return state;
  }();
  const auto distance = [&](const Outcome& outcome) {
    double sum = 0;
    for (const auto& [name, tensor] : outcome.state) {
      sum += (tensor - start.at(name)).square().sum().item<double>();
    }
    return std::sqrt(sum);
  };
  const Outcome outcome = TrainOnce(clipped, 48);
  ASSERT_EQ(outcome.steps.size(), 1u);
  EXPECT_GT(outcome.steps[0].grad_norm, 0.1);
  // One step of lr times the norm.
  EXPECT_NEAR(distance(outcome), 0.5 * 0.01, 1e-5);
  EXPECT_NEAR(distance(TrainOnce(plain, 48)), 0.5 * outcome.steps[0].grad_norm,
              1e-4);
}

TEST(TrainerTest, TheRunEndsWithTheAverageOfItsWeights) {
  Bars data(48);
  auto model = Model(BarsNet());
  data::Loader loader(&data, BarsOptions(true));
  Trainer trainer(model.get(), &loader, CrossEntropyLoss,
                  {.optimizer = {.lr = 0.1}, .ema_decay = 0.3});
  // By hand, in double.
  State average;
  ASSERT_TRUE(*trainer.Run([&](const StepInfo& info) {
    const double step = static_cast<double>(info.next.step - 1);
    const double decay = std::min(0.3, (1 + step) / (10 + step));
    for (const auto& [name, tensor] : ModelTensors(model.get())) {
      const torch::Tensor now = tensor.to(torch::kFloat64, false, true);
      torch::Tensor& mean = average[name];
      mean = mean.defined() ? decay * mean + (1 - decay) * now : now;
    }
    return Next::kGoOn;
  }));
  const State last = ModelTensors(model.get());
  EXPECT_TRUE(average.count("buffer/bn.mean"));
  ExpectNear(last, average, 1e-6);
}

TEST(TrainerTest, WithoutProgressItEndsEarlyWithTheBestWeights) {
  Bars data(48);
  auto model = Model(BarsNet());
  data::Loader loader(&data, BarsOptions(true));
  TrainOptions options = {.epochs = 20, .optimizer = {.lr = 0.01}};
  options.early_stop = EarlyStopOptions{.every_epochs = 2, .patience = 2};
  Trainer trainer(model.get(), &loader, CrossEntropyLoss, options);
  const std::vector<double> scores = {0.3, 0.6, 0.5, 0.6, 0.9};
  size_t measured = 0;
  trainer.EvaluateBy([&]() -> absl::StatusOr<Measurement> {
    model->SetTraining(false);
    return Measurement{{{"top1", scores[measured++]}}, "top1"};
  });
  State best;
  int64_t steps = 0;
  ASSERT_TRUE(*trainer.Run([&](const StepInfo& info) {
    ++steps;
    EXPECT_TRUE(model->training());
    EXPECT_EQ(info.evaluated.has_value(), info.next.step % 12 == 0);
    if (info.next.step == 24) {
      for (const auto& [name, tensor] : ModelTensors(model.get())) {
        best[name] = tensor.clone();
      }
    }
    return Next::kGoOn;
  }));
  // Best at epoch 4; none better at 6 and 8.
  EXPECT_EQ(steps, 48);
  EXPECT_EQ(measured, 4u);
  ExpectEqual(best, ModelTensors(model.get()));
}

TEST(TrainerTest, WhatIsMeasuredIsTheAverage) {
  Bars data(16);
  auto model = Model(BarsNet());
  data::Loader loader(&data, BarsOptions(true));
  TrainOptions options = {.epochs = 2, .optimizer = {.lr = 0.1}};
  options.ema_decay = 0.9;
  options.early_stop = EarlyStopOptions{};
  Trainer trainer(model.get(), &loader, CrossEntropyLoss, options);
  State measured;
  int64_t step = 0;
  trainer.EvaluateBy([&]() -> absl::StatusOr<Measurement> {
    measured.clear();
    for (const auto& [name, tensor] : ModelTensors(model.get())) {
      measured[name] = tensor.clone();
    }
    return Measurement{{{"top1", 0.1 * static_cast<double>(++step)}}, "top1"};
  });
  State raw;
  ASSERT_TRUE(*trainer.Run([&](const StepInfo&) {
    raw.clear();
    for (const auto& [name, tensor] : ModelTensors(model.get())) {
      raw[name] = tensor.clone();
    }
    return Next::kGoOn;
  }));
  EXPECT_FALSE(torch::equal(raw.at("parameter/conv.w"),
                            measured.at("parameter/conv.w")));
  ExpectEqual(ModelTensors(model.get()), measured);
}

TEST(TrainerTest, FinishEndsAtOnceAsIfTheStepHadBeenTheLast) {
  Bars data(48);
  auto model = Model(BarsNet());
  data::Loader loader(&data, BarsOptions(true));
  Trainer trainer(model.get(), &loader, CrossEntropyLoss, {.epochs = 50});
  int steps = 0;
  const auto complete = trainer.Run([&](const StepInfo&) {
    return ++steps == 5 ? Next::kFinish : Next::kGoOn;
  });
  EXPECT_TRUE(*complete);
  EXPECT_EQ(steps, 5);
  EXPECT_FALSE(model->training());
}

TEST(TrainerTest, ALossThatDrawsRandomNumbersGoesOnWithTheSameOnes) {
  const LossFunction noisy = [](const TrainBatch& batch,
                                const std::vector<torch::Tensor>& outputs) {
    return CrossEntropy(at::dropout(outputs[0], 0.5, true), batch.labels);
  };
  const Outcome whole = TrainOnce({.epochs = 1}, 8, noisy);
  ExpectEqual(whole.state, TrainOnce({.epochs = 1}, 8, noisy).state);
  EXPECT_FALSE(torch::equal(whole.state.at("parameter/head.w"),
                            TrainOnce({.epochs = 1, .seed = 18}, 8, noisy)
                                .state.at("parameter/head.w")));
  Bars data(48);
  auto model = Model(BarsNet(false));
  State state;
  Position position;
  for (int64_t stop : {2, -1}) {
    data::Loader loader(&data, BarsOptions(true));
    Trainer trainer(model.get(), &loader, noisy, {.epochs = 1});
    if (stop < 0) {
      ASSERT_TRUE(trainer.Restore(position, state).ok());
    }
    ASSERT_TRUE(trainer
                    .Run([&](const StepInfo& info) {
                      return info.next.step == stop ? Next::kStop : Next::kGoOn;
                    })
                    .ok());
    position = trainer.position();
    state = trainer.State();
    for (auto& [name, tensor] : state) tensor = tensor.clone();
    torch::manual_seed(12345);
  }
  ExpectEqual(whole.state, ModelTensors(model.get()));
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

TEST(TrainerTest, ALossThatStaysHighIsDivergenceNamedByStepAndLayer) {
  Bars data(48);
  const graph::Graph net = BarsNet();
  auto model = Model(net);
  data::Loader loader(&data, BarsOptions(true));
  int calls = 0;
  const LossFunction loss = [&calls](const TrainBatch& batch,
                                     const std::vector<torch::Tensor>& out) {
    const torch::Tensor value = CrossEntropyLoss(batch, out);
    return ++calls > 2 ? value + 100 : value;
  };
  TrainOptions options = {.divergence = {.factor = 5, .steps = 3}};
  options.graph = &net;
  Trainer trainer(model.get(), &loader, loss, options);
  const auto complete =
      trainer.Run([](const StepInfo&) { return Next::kGoOn; });
  EXPECT_EQ(ErrorReason(complete.status()), "DIVERGED");
  EXPECT_THAT(std::string(complete.status().message()), HasSubstr("step 4"));
  EXPECT_FALSE(ErrorDetailOf(complete.status()).node.empty());
  EXPECT_FALSE(ErrorDetailOf(complete.status()).hint.empty());
}

TEST(TrainerTest, AGradientThatIsNotFiniteNamesItsParameter) {
  Bars data(48);
  const graph::Graph net = BarsNet();
  auto model = Model(net);
  for (runtime::Parameter& parameter : model->parameters()) {
    if (parameter.name != "conv.b") continue;
    parameter.tensor.register_hook(
        [](const torch::Tensor& grad) { return grad / 0; });
  }
  data::Loader loader(&data, BarsOptions(true));
  TrainOptions options;
  options.graph = &net;
  Trainer trainer(model.get(), &loader, CrossEntropyLoss, options);
  const auto complete =
      trainer.Run([](const StepInfo&) { return Next::kGoOn; });
  EXPECT_EQ(ErrorReason(complete.status()), "NAN_GRADIENT");
  EXPECT_THAT(std::string(complete.status().message()), HasSubstr("conv.b"));
  EXPECT_EQ(ErrorDetailOf(complete.status()).node, "conv");
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
  for (const char* gone : {"parameter/head.w", "buffer/bn.var",
                           "trainer/divergence", "random/cpu"}) {
    State state = trainer.State();
    state.erase(gone);
    const absl::Status status = trainer.Restore({}, state);
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
    EXPECT_THAT(std::string(status.message()), HasSubstr(gone));
  }
}

}  // namespace
}  // namespace condense::training
