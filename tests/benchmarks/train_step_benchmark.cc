// Times a training step (forward, cross-entropy, backward, SGD with momentum)
// in our interpreter against the same network written by hand as a LibTorch
// module, and its options against each other, step by step in turn. Prints the
// median of the ratios of times and the ratio of the peaks of memory (of
// tensors, weights and moments included), one JSON object a line.
//
// Usage: train_step_benchmark [STEPS] [BATCH] [THREADS] [NETWORK]

#include <time.h>
#include <torch/torch.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tests/benchmarks/counting_allocator.h"
#include "tests/benchmarks/hand_written.h"
#include "tests/testing/networks.h"
#include "workers/engine/runtime/executor.h"
#include "workers/engine/runtime/step_time.h"
#include "workers/engine/training/optimizer.h"

namespace condense {
namespace {

using runtime::Executor;
using runtime::ExecutorOptions;
using runtime::Precision;
// One training step; owns what it trains.
using Step = std::function<void()>;

struct Batch {
  torch::Tensor x;
  torch::Tensor labels;

  torch::Tensor Loss(const torch::Tensor& y) const {
    return at::nll_loss(at::log_softmax(y, 1), labels);
  }
};

struct Network {
  const char* name;
  int64_t size;
  graph::Graph graph;
  std::function<std::shared_ptr<HandWritten>()> by_hand;
};

Batch RandomBatch(int64_t count, int64_t size) {
  torch::manual_seed(17);
  return {torch::randn({count, 3, size, size}),
          torch::randint(0, 10, {count}, torch::kInt64)};
}

Step Ours(const graph::Graph& graph, const Batch& batch,
          const ExecutorOptions& options = {}) {
  auto created = Executor::Create(graph, options);
  if (!created.ok()) {
    std::fprintf(stderr, "%s\n", created.status().ToString().c_str());
    std::exit(1);
  }
  // Shared because std::function must be copyable.
  const std::shared_ptr<Executor> executor = *std::move(created);
  executor->SetTraining(true);
  training::OptimizerOptions sgd;
  sgd.weight_decay = 5e-4;
  auto optimizer =
      std::make_shared<training::Optimizer>(executor->parameters(), sgd);
  return [executor, optimizer, batch] {
    optimizer->ZeroGrad();
    batch.Loss(executor->Forward({batch.x})[0]).backward();
    optimizer->Step(0.01);
  };
}

Step ByHand(const Network& network, const Batch& batch) {
  const std::shared_ptr<HandWritten> module = network.by_hand();
  auto sgd = std::make_shared<torch::optim::SGD>(
      module->parameters(),
      torch::optim::SGDOptions(0.01).momentum(0.9).weight_decay(5e-4));
  return [module, sgd, batch] {
    sgd->zero_grad();
    batch.Loss(module->forward(batch.x)).backward();
    sgd->step();
  };
}

double Milliseconds(const Step& step) {
  const auto start = std::chrono::steady_clock::now();
  step();
  return std::chrono::duration<double, std::milli>(
             std::chrono::steady_clock::now() - start)
      .count();
}

// Of all threads: on a loaded machine steadier than the time that passes.
double CpuMilliseconds() {
  timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return 1e3 * static_cast<double>(now.tv_sec) +
         1e-6 * static_cast<double>(now.tv_nsec);
}

struct Times {
  std::vector<double> wall, cpu;

  void Add(const Step& step) {
    const double before = CpuMilliseconds();
    wall.push_back(Milliseconds(step));
    cpu.push_back(CpuMilliseconds() - before);
  }
};

std::vector<double> Ratios(const std::vector<double>& a,
                           const std::vector<double>& b) {
  std::vector<double> ratios;
  for (size_t i = 0; i < a.size(); ++i) ratios.push_back(a[i] / b[i]);
  return ratios;
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

double Megabytes(const std::function<Step()>& make) {
  const int64_t before = TensorBytes();
  const Step step = make();
  step();
  ResetPeak();
  step();
  return static_cast<double>(PeakTensorBytes() - before) / 1e6;
}

// Both are made twice: alone for the memory, then beside each other.
void Compare(const std::string& what, const Network& network, int steps,
             const std::function<Step()>& make, const std::string& against,
             const std::function<Step()>& make_other) {
  const double memory = Megabytes(make), other_memory = Megabytes(make_other);
  const Step step = make(), other = make_other();
  for (int i = 0; i < 3; ++i) {
    step();
    other();
  }
  Times times, other_times;
  for (int i = 0; i < steps; ++i) {
    // Who comes first changes: neither always finds the other's cache.
    if (i % 2 == 0) times.Add(step);
    other_times.Add(other);
    if (i % 2 == 1) times.Add(step);
  }
  std::printf(
      "{\"benchmark\":\"train_step\",\"network\":\"%s\",\"what\":\"%s\","
      "\"against\":\"%s\",\"steps\":%d,\"ms\":%.2f,\"against_ms\":%.2f,"
      "\"time_ratio\":%.3f,\"cpu_ratio\":%.3f,\"mb\":%.1f,\"against_mb\":%.1f,"
      "\"memory_ratio\":%.3f}\n",
      network.name, what.c_str(), against.c_str(), steps, Median(times.wall),
      Median(other_times.wall), Median(Ratios(times.wall, other_times.wall)),
      Median(Ratios(times.cpu, other_times.cpu)), memory, other_memory,
      memory / other_memory);
  std::fflush(stdout);
}

void Figures(const Network& network, int64_t batch_size, int steps) {
  const Batch batch = RandomBatch(batch_size, network.size);
  const auto ours = [&](const ExecutorOptions& options) {
    return [&, options] { return Ours(network.graph, batch, options); };
  };
  const auto plain = ours({});
  Compare("interpreter", network, steps, plain, "hand_written",
          [&] { return ByHand(network, batch); });
  Compare("checkpoint_activations", network, steps,
          ours({.checkpoint_activations = true}), "plain", plain);
  // What PREFLIGHT chooses from.
  const std::vector<ExecutorOptions> options = {
      {},
      {.channels_last = true},
      {.precision = Precision::kBfloat16},
      {.channels_last = true, .precision = Precision::kBfloat16}};
  const char* names[] = {"plain", "channels_last", "bf16",
                         "bf16_channels_last"};
  const auto seconds =
      runtime::MeasureSteps(network.graph, options, {batch.x}, 3);
  if (!seconds.ok()) std::exit(1);
  const size_t chosen = runtime::FastestOption(*seconds);
  for (size_t i = 1; i < options.size(); ++i) {
    const bool is = i == chosen;
    Compare(std::string(names[i]) + (is ? " (chosen)" : ""), network, steps,
            ours(options[i]), "plain", plain);
  }
  if (chosen == 0) std::printf("{\"chosen\":\"plain\"}\n");
}

int Main(int argc, char** argv) {
  CountTensorBytes();
  const int steps = argc > 1 ? std::atoi(argv[1]) : 20;
  const int batch = argc > 2 ? std::atoi(argv[2]) : 32;
  runtime::SetThreads(argc > 3 ? std::atoi(argv[3]) : 0);
  const std::string only = argc > 4 ? argv[4] : "";
  const Network networks[] = {
      {"resnet20", 32, testing::ResNet20(), [] { return HandResNet20(); }},
      {"resnet18", 64, testing::ResNet18(), [] { return HandResNet18(); }},
      {"mobilenet_v2", 64, testing::MobileNetV2(),
       [] { return HandMobileNetV2(); }}};
  bool found = false;
  for (const Network& network : networks) {
    if (!only.empty() && only != network.name) continue;
    found = true;
    Figures(network, batch, steps);
  }
  if (!found) {
    std::fprintf(stderr, "no network '%s': resnet20, resnet18, mobilenet_v2\n",
                 only.c_str());
  }
  return found ? 0 : 2;
}

}  // namespace
}  // namespace condense

int main(int argc, char** argv) { return condense::Main(argc, argv); }
