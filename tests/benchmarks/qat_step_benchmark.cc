// Times a QAT training step (forward, cross-entropy, backward, SGD with
// momentum; batch normalisation folded, weights per channel, activations per
// tensor and observed) against the float training step of the same network by
// the same engine, batch normalisation unfolded and in training mode. Both in
// one process, step by step in turn; prints the ratio of the medians. With
// "live" batch normalisation stays in the QAT graph too.
//
// Usage: qat_step_benchmark [resnet18|mobilenet_v2] [STEPS] [BATCH] [SIZE]
//                           [THREADS] [folded|live]

#include <torch/torch.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "tests/testing/networks.h"
#include "workers/engine/graph/passes/fold_batch_norm.h"
#include "workers/engine/quantization/placement.h"
#include "workers/engine/quantization/range_average.h"
#include "workers/engine/quantization/training_graph.h"
#include "workers/engine/runtime/executor.h"
#include "workers/engine/training/optimizer.h"

namespace condense {
namespace {

// The value, or the end of the program.
template <typename T>
T Must(absl::StatusOr<T> result) {
  if (result.ok()) return *std::move(result);
  std::fprintf(stderr, "%s\n", result.status().ToString().c_str());
  std::exit(1);
}

// As the profile of ONNX Runtime on x86-64 has it.
quantization::Numerics ProfileNumerics() {
  quantization::Numerics numerics;
  numerics.quantized_ops = {"Conv", "Gemm",    "Add",  "GlobalAveragePool",
                            "Relu", "MaxPool", "Clip", "Flatten"};
  numerics.fusions = {
      {"Conv", "Relu"}, {"Conv", "Clip"}, {"Gemm", "Relu"}, {"Add", "Relu"}};
  return numerics;
}

struct Model {
  std::unique_ptr<runtime::Executor> executor;
  std::unique_ptr<training::Optimizer> optimizer;
  std::unique_ptr<quantization::RangeAverage> ranges;

  explicit Model(const graph::Graph& graph)
      : executor(Must(runtime::Executor::Create(graph))) {
    executor->SetTraining(true);
    training::OptimizerOptions sgd;
    sgd.weight_decay = 5e-4;
    optimizer =
        std::make_unique<training::Optimizer>(executor->parameters(), sgd);
  }

  void Step(const torch::Tensor& x, const torch::Tensor& labels) {
    if (ranges != nullptr) ranges->Update();
    optimizer->ZeroGrad();
    at::nll_loss(at::log_softmax(executor->Forward({x})[0], 1), labels)
        .backward();
    optimizer->Step(1e-4);
  }
};

Model QatModel(graph::Graph graph, bool live) {
  if (!live && !graph::FoldBatchNorm().Run(graph).ok()) std::abort();
  const quantization::Placement placement =
      Must(quantization::PlaceQuantizers(graph, ProfileNumerics()));
  const graph::Graph training =
      quantization::TrainingGraph(placement.graph, {.observe = true});
  Model model(training);
  model.ranges = std::make_unique<quantization::RangeAverage>(
      training, model.executor.get(),
      quantization::RangeAverage::Options{.rate = 0.01});
  return model;
}

template <typename Step>
double Milliseconds(const Step& step) {
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

void Compare(const std::string& network, int steps, int batch, int size,
             bool live) {
  const auto build = [&] {
    return network == "resnet18" ? testing::ResNet18(1000, size)
                                 : testing::MobileNetV2(1000, size);
  };
  torch::manual_seed(17);
  const torch::Tensor x = torch::randn({batch, 3, size, size});
  const torch::Tensor labels = torch::randint(0, 1000, {batch}, torch::kInt64);
  Model plain(build());
  Model qat = QatModel(build(), live);
  std::vector<double> plain_times, qat_times, ratios;
  for (int i = -3; i < steps; ++i) {
    const double a = Milliseconds([&] { plain.Step(x, labels); });
    const double b = Milliseconds([&] { qat.Step(x, labels); });
    if (i < 0) continue;
    plain_times.push_back(a);
    qat_times.push_back(b);
    ratios.push_back(b / a);
  }
  std::printf(
      "{\"benchmark\":\"qat_step_%s\",\"batch_norm\":\"%s\",\"batch\":%d,"
      "\"size\":%d,\"steps\":%d,"
      "\"threads\":%d,\"float_ms\":%.2f,\"qat_ms\":%.2f,\"ratio\":%.3f,"
      "\"median_of_ratios\":%.3f}\n",
      network.c_str(), live ? "live" : "folded", batch, size, steps,
      at::get_num_threads(), Median(plain_times), Median(qat_times),
      Median(qat_times) / Median(plain_times), Median(ratios));
}

int Main(int argc, char** argv) {
  const std::string network = argc > 1 ? argv[1] : "resnet18";
  runtime::SetThreads(argc > 5 ? std::atoi(argv[5]) : 2);
  Compare(network, argc > 2 ? std::atoi(argv[2]) : 15,
          argc > 3 ? std::atoi(argv[3]) : 32,
          argc > 4 ? std::atoi(argv[4]) : 64,
          argc > 6 && std::string(argv[6]) == "live");
  return 0;
}

}  // namespace
}  // namespace condense

int main(int argc, char** argv) { return condense::Main(argc, argv); }
