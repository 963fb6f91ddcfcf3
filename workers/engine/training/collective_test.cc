#include "workers/engine/training/collective.h"

#include <thread>
#include <vector>

#include "common/error.h"
#include "gtest/gtest.h"
#include "tests/testing/temp_dir.h"
#include "workers/engine/training/gradient_buckets.h"
#include "workers/engine/training/trainer.h"
#include "workers/engine/training/training_test_model.h"

namespace condense::training {
namespace {

// Runs `work` as two ranks of one process.
void AsTwoRanks(const std::function<void(const Collective&)>& work) {
  TempDir dir;
  std::vector<std::thread> threads;
  for (int rank = 0; rank < 2; ++rank) {
    threads.emplace_back([&, rank] {
      auto collective =
          Collective::Join({rank, 2, "file://" + dir.path() + "/meet", "cpu"});
      ASSERT_TRUE(collective.ok()) << collective.status();
      work(**collective);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(CollectiveTest, AddsUpAndTellsWhatTheLeaderSays) {
  AsTwoRanks([](const Collective& collective) {
    const torch::Tensor tensor =
        torch::full({3}, 1.0 + collective.rank(), torch::kFloat32);
    collective.Sum(tensor);
    EXPECT_TRUE(torch::equal(tensor, torch::full({3}, 3.f)));
    EXPECT_EQ(collective.FromLeader(7.5 + collective.rank()), 7.5);
    const torch::Tensor other =
        torch::arange(4, torch::kFloat32).view({2, 2}).t() + collective.rank();
    collective.TakeFromLeader(other);
    EXPECT_EQ(other[0][1].item<double>(), 2);
    EXPECT_EQ(collective.leads(), collective.rank() == 0);
  });
}

TEST(CollectiveTest, ARendezvousThatIsNoneIsRefused) {
  for (const char* place : {"", "meet", "file://meet", "tcp://host",
                            "tcp://host:0", "tcp://host:99999"}) {
    EXPECT_EQ(ErrorReason(Collective::Join({1, 2, place, "cpu"}).status()),
              "BAD_RENDEZVOUS")
        << place;
  }
}

TEST(GradientBucketsTest, AveragesInBucketsWhileBackwardRuns) {
  AsTwoRanks([](const Collective& collective) {
    std::vector<runtime::Parameter> parameters;
    for (int i = 0; i < 5; ++i) {
      torch::Tensor tensor =
          torch::full({4}, i + 1.0, torch::kFloat32).set_requires_grad(true);
      parameters.push_back({std::to_string(i), graph::kNoValue,
                            runtime::ParameterKind::kWeight, tensor});
    }
    // Two of 16 bytes to a bucket.
    GradientBuckets buckets(parameters, &collective, 32);
    EXPECT_EQ(buckets.size(), 3u);
    for (int step = 0; step < 2; ++step) {
      // The last one gets no gradient.
      torch::Tensor sum = torch::zeros({});
      for (int i = 0; i < 4; ++i) {
        sum = sum + (parameters[i].tensor * parameters[i].tensor).sum() *
                        (1.0 + 2 * collective.rank());
      }
      for (auto& p : parameters) p.tensor.mutable_grad() = torch::Tensor();
      buckets.Arm();
      sum.backward();
      buckets.Finish();
      // 2 w, once and three times: 4 w on average.
      for (int i = 0; i < 4; ++i) {
        EXPECT_TRUE(torch::equal(parameters[i].tensor.grad(),
                                 torch::full({4}, 4.f * (i + 1))));
      }
      EXPECT_FALSE(parameters[4].tensor.grad().defined());
    }
  });
}

// Losses of a run of one rank or of both, on the same whole batches.
std::vector<double> Losses(const Collective* collective, TensorMap* weights) {
  Bars data(48);
  auto model = *runtime::Executor::Create(BarsNet());
  data::LoaderOptions loading = BarsOptions(true);
  loading.augmentations = {data::RandomCrop{1}};
  if (collective != nullptr) {
    loading.shard = collective->rank();
    loading.shards = 2;
  }
  data::Loader loader(&data, loading);
  TrainOptions options = {.epochs = 3, .optimizer = {.lr = 0.05}};
  options.accumulate = 2;
  options.clip_norm = 2;
  options.ema_decay = 0.9;
  options.collective = collective;
  Trainer trainer(model.get(), &loader, CrossEntropyLoss, options);
  std::vector<double> losses;
  const auto complete = trainer.Run([&](const StepInfo& info) {
    losses.push_back(info.loss);
    // Only the leader's word counts.
    const bool follows = collective != nullptr && !collective->leads();
    return follows ? Next::kFinish : Next::kGoOn;
  });
  EXPECT_TRUE(complete.ok()) << complete.status();
  for (const auto& [name, tensor] : ModelTensors(model.get())) {
    (*weights)[name] = tensor.clone();
  }
  return losses;
}

TEST(DataParallelTest, TwoRanksTakeTheStepsOfOneWithTheWholeBatch) {
  TensorMap wanted;
  const std::vector<double> alone = Losses(nullptr, &wanted);
  ASSERT_EQ(alone.size(), 9u);
  TensorMap weights[2];
  AsTwoRanks([&](const Collective& collective) {
    const std::vector<double> losses =
        Losses(&collective, &weights[collective.rank()]);
    ASSERT_EQ(losses.size(), alone.size());
    for (size_t i = 0; i < losses.size(); ++i) {
      EXPECT_NEAR(losses[i], alone[i], 1e-5) << "step " << i;
    }
  });
  for (const auto& [name, tensor] : wanted) {
    EXPECT_LT((tensor - weights[0][name]).abs().max().item<double>(), 1e-5)
        << name;
    EXPECT_TRUE(torch::equal(weights[0][name], weights[1][name])) << name;
  }
}

}  // namespace
}  // namespace condense::training
