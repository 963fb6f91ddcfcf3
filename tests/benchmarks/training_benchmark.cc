// What training costs beside forward and backward, each against its rival in
// turn in one run:
//   checkpoint_stall  how long training stands still for a checkpoint: copied
//                     in memory and written by another thread / written at once
//   optimizer_*       one step of our loops / of LibTorch's optimizer
//
// Usage: training_benchmark [ROUNDS] [THREADS]

#include <torch/torch.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "workers/engine/runtime/executor.h"
#include "workers/engine/training/checkpoint_writer.h"
#include "workers/engine/training/optimizer.h"

namespace condense {
namespace {

using training::OptimizerOptions;

double Milliseconds(const std::function<void()>& step) {
  const auto start = std::chrono::steady_clock::now();
  step();
  return std::chrono::duration<double, std::milli>(
             std::chrono::steady_clock::now() - start)
      .count();
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// The shapes of ResNet-18's parameters: 11.7 million floats.
std::vector<torch::Tensor> Parameters() {
  std::vector<torch::Tensor> all = {torch::randn({64, 3, 7, 7}),
                                    torch::randn({1000, 512}),
                                    torch::randn({1000})};
  int64_t in = 64;
  for (int64_t out : {64, 128, 256, 512}) {
    for (int block = 0; block < 2; ++block) {
      all.push_back(torch::randn({out, in, 3, 3}));
      all.push_back(torch::randn({out, out, 3, 3}));
      if (in != out) all.push_back(torch::randn({out, in, 1, 1}));
      for (int i = 0; i < 4; ++i) all.push_back(torch::randn({out}));
      in = out;
    }
  }
  for (torch::Tensor& tensor : all) {
    tensor.mul_(0.01).set_requires_grad(true);
    tensor.mutable_grad() = torch::randn_like(tensor);
  }
  return all;
}

void Report(const char* name, const std::vector<double>& ours,
            const std::vector<double>& theirs) {
  std::vector<double> ratios;
  for (size_t i = 0; i < ours.size(); ++i) {
    ratios.push_back(ours[i] / theirs[i]);
  }
  std::printf(
      "{\"benchmark\":\"%s\",\"ours_ms\":%.2f,\"other_ms\":%.2f,"
      "\"median_of_ratios\":%.3f}\n",
      name, Median(ours), Median(theirs), Median(ratios));
}

void CheckpointStall(int rounds) {
  const std::string folder =
      (std::filesystem::temp_directory_path() / "condense_benchmark").string();
  std::filesystem::create_directories(folder);
  training::Checkpoint checkpoint;
  int i = 0;
  for (const torch::Tensor& tensor : Parameters()) {
    const std::string name = std::to_string(i++);
    checkpoint.tensors["parameter/" + name] = tensor.detach();
    checkpoint.tensors["optimizer/first/" + name] = tensor.detach().clone();
  }
  training::CheckpointWriter writer;
  std::vector<double> asynchronous, synchronous;
  for (int round = 0; round <= rounds; ++round) {
    absl::Status status;
    const double copied = Milliseconds(
        [&] { status = writer.Submit(folder + "/a", checkpoint, nullptr); });
    if (status.ok()) status = writer.Flush();
    const double written = Milliseconds([&] {
      if (status.ok()) {
        status = training::WriteCheckpoint(folder + "/b", checkpoint);
      }
    });
    if (!status.ok()) {
      std::fprintf(stderr, "%s\n", status.ToString().c_str());
      std::exit(1);
    }
    // The first makes the copy's memory.
    if (round == 0) continue;
    asynchronous.push_back(copied);
    synchronous.push_back(written);
  }
  std::filesystem::remove_all(folder);
  Report("checkpoint_stall", asynchronous, synchronous);
}

void OptimizerStep(const char* name, const OptimizerOptions& options,
                   const std::function<std::unique_ptr<torch::optim::Optimizer>(
                       std::vector<torch::Tensor>)>& make,
                   int rounds) {
  std::vector<runtime::Parameter> parameters;
  for (const torch::Tensor& tensor : Parameters()) {
    parameters.push_back({std::to_string(parameters.size()), graph::kNoValue,
                          runtime::ParameterKind::kWeight, tensor});
  }
  training::Optimizer ours(parameters, options);
  const auto theirs = make(Parameters());
  std::vector<double> our_times, their_times;
  for (int round = 0; round < rounds + 2; ++round) {
    const double a = Milliseconds([&] { ours.Step(0.001); });
    const double b = Milliseconds([&] { theirs->step(); });
    if (round < 2) continue;
    our_times.push_back(a);
    their_times.push_back(b);
  }
  Report(name, our_times, their_times);
}

int Main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 20;
  runtime::SetThreads(argc > 2 ? std::atoi(argv[2]) : 0);
  torch::manual_seed(17);
  CheckpointStall(rounds);
  OptimizerStep(
      "optimizer_sgd",
      {.momentum = 0.9, .nesterov = true, .weight_decay = 5e-4},
      [](std::vector<torch::Tensor> parameters) {
        return std::make_unique<torch::optim::SGD>(
            parameters, torch::optim::SGDOptions(0.001)
                            .momentum(0.9)
                            .nesterov(true)
                            .weight_decay(5e-4));
      },
      rounds);
  OptimizerStep(
      "optimizer_adamw",
      {.kind = OptimizerOptions::Kind::kAdamW, .weight_decay = 0.01},
      [](std::vector<torch::Tensor> parameters) {
        return std::make_unique<torch::optim::AdamW>(
            parameters, torch::optim::AdamWOptions(0.001).weight_decay(0.01));
      },
      rounds);
  return 0;
}

}  // namespace
}  // namespace condense

int main(int argc, char** argv) { return condense::Main(argc, argv); }
