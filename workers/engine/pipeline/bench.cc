// condense-engine bench, and the warm-up of an idle engine.

#include <sys/resource.h>

#include <algorithm>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/error.h"
#include "common/status_macros.h"
#include "nlohmann/json.hpp"
#include "workers/engine/graph/passes/fold_batch_norm.h"
#include "workers/engine/pipeline/commands.h"
#include "workers/engine/pipeline/load_model.h"
#include "workers/engine/quantization/calibrate.h"
#include "workers/engine/quantization/placement.h"
#include "workers/engine/runtime/executor.h"
#include "workers/engine/training/optimizer.h"

namespace condense::pipeline {
namespace {

constexpr int kWarmUpSteps = 3;
// Open sizes of an input that are not the batch.
constexpr int64_t kOpenSize = 8;

absl::StatusOr<std::vector<torch::Tensor>> RandomInputs(
    const graph::Graph& graph, int64_t batch, const torch::Device& device) {
  std::vector<torch::Tensor> inputs;
  auto generator = at::detail::createCPUGenerator(17);
  for (graph::ValueId id : graph.inputs()) {
    const graph::Value& value = graph.value(id);
    std::vector<int64_t> dims;
    for (const graph::Dim& dim : value.shape.value_or(graph::Shape{})) {
      dims.push_back(dim.known()    ? dim.value
                     : dims.empty() ? batch
                                    : kOpenSize);
    }
    if (value.dtype != graph::DType::kFloat32) {
      return MakeError(absl::StatusCode::kUnimplemented, "UNSUPPORTED_INPUT",
                       absl::StrCat("input '", value.name, "' is ",
                                    graph::DTypeName(value.dtype),
                                    "; random inputs are float32"));
    }
    inputs.push_back(torch::randn(dims, generator).to(device));
  }
  return inputs;
}

// The int8 simulation of a model, with ranges of -4 to 4 everywhere: the time
// does not depend on them.
absl::StatusOr<graph::Graph> Simulated(graph::Graph graph) {
  CONDENSE_RETURN_IF_ERROR(graph::FoldBatchNorm().Run(graph).status());
  quantization::Numerics numerics;
  numerics.quantized_ops = {
      "Conv",    "Gemm",    "MatMul",  "Add",
      "Relu",    "Clip",    "MaxPool", "GlobalAveragePool",
      "Flatten", "Reshape", "Concat",  "AveragePool"};
  numerics.fusions = {
      {"Conv", "Relu"}, {"Conv", "Clip"}, {"Gemm", "Relu"}, {"Add", "Relu"}};
  CONDENSE_ASSIGN_OR_RETURN(quantization::Placement placement,
                            quantization::PlaceQuantizers(graph, numerics));
  for (graph::NodeId id : placement.graph.order()) {
    const graph::Node& node = placement.graph.node(id);
    if (!node.IsFakeQuantize() || node.String("role", "") != "activation") {
      continue;
    }
    placement.graph.SetConstant(node.inputs[1],
                                graph::Tensor::Scalar<float>(8.0f / 255));
    placement.graph.SetConstant(node.inputs[2],
                                graph::Tensor::Scalar<int32_t>(128));
  }
  return std::move(placement.graph);
}

// Cross-entropy to class 0 for [N, C], the mean otherwise.
torch::Tensor SyntheticLoss(const std::vector<torch::Tensor>& outputs) {
  const torch::Tensor& y = outputs[0];
  if (y.dim() != 2) return y.mean();
  return at::nll_loss(
      at::log_softmax(y, 1),
      torch::zeros(
          {y.size(0)},
          torch::TensorOptions().dtype(torch::kInt64).device(y.device())));
}

int64_t PeakBytes() {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss * 1024;
}

double Quantile(const std::vector<double>& sorted, double q) {
  const auto last = static_cast<double>(sorted.size() - 1);
  return sorted[static_cast<size_t>(q * last + 0.5)];
}

}  // namespace

absl::Status Bench(const std::string& model, const std::string& device,
                   int threads, const BenchOptions& options) {
  CONDENSE_ASSIGN_OR_RETURN(graph::Graph graph,
                            LoadModelWith(model, options.model));
  const bool qat = options.mode == "qat";
  const bool train = qat || options.mode == "train";
  if (qat) {
    CONDENSE_ASSIGN_OR_RETURN(graph, Simulated(std::move(graph)));
  }
  runtime::ExecutorOptions executor_options;
  CONDENSE_ASSIGN_OR_RETURN(executor_options.device,
                            runtime::ResolveDevice(device));
  runtime::SetThreads(threads);
  CONDENSE_ASSIGN_OR_RETURN(auto executor,
                            runtime::Executor::Create(graph, executor_options));
  CONDENSE_ASSIGN_OR_RETURN(
      const std::vector<torch::Tensor> inputs,
      RandomInputs(graph, options.batch, executor->device()));
  executor->SetTraining(train);
  training::OptimizerOptions sgd;
  sgd.lr = 1e-4;
  training::Optimizer optimizer(executor->parameters(), sgd);
  std::vector<double> times;
  for (int step = -kWarmUpSteps; step < options.steps; ++step) {
    const absl::Time start = absl::Now();
    try {
      const torch::AutoGradMode gradients(train);
      if (qat) quantization::RefreshWeightScales(graph, executor.get());
      optimizer.ZeroGrad();
      const std::vector<torch::Tensor> outputs = executor->Forward(inputs);
      if (train) {
        SyntheticLoss(outputs).backward();
        optimizer.Step(sgd.lr);
      }
      if (executor->device().is_cuda()) {
        outputs[0].flatten().slice(0, 0, 1).cpu();  // waits for the device
      }
    } catch (const std::exception& error) {
      return absl::InternalError(error.what());
    }
    if (step >= 0) {
      times.push_back(absl::ToDoubleMilliseconds(absl::Now() - start));
    }
  }
  std::sort(times.begin(), times.end());
  const nlohmann::ordered_json result = {{"median_ms", Quantile(times, 0.5)},
                                         {"p10_ms", Quantile(times, 0.1)},
                                         {"p90_ms", Quantile(times, 0.9)},
                                         {"peak_bytes", PeakBytes()},
                                         {"steps", options.steps},
                                         {"mode", options.mode},
                                         {"batch", options.batch},
                                         {"device", executor_options.device}};
  if (options.json) {
    std::printf("%s\n", result.dump().c_str());
  } else {
    std::printf("%s, batch %d: median %.3f ms (p10 %.3f, p90 %.3f), %.0f MiB\n",
                options.mode.c_str(), options.batch, Quantile(times, 0.5),
                Quantile(times, 0.1), Quantile(times, 0.9),
                static_cast<double>(PeakBytes()) / (1 << 20));
  }
  return absl::OkStatus();
}

void WarmUp(const std::string& device, int threads) {
  runtime::SetThreads(threads);
  const auto resolved = runtime::ResolveDevice(device);
  try {
    const torch::NoGradGuard no_grad;
    const torch::Device place(resolved.ok() ? *resolved : "cpu");
    const auto options = torch::TensorOptions().device(place);
    const torch::Tensor x = torch::ones({1, 8, 16, 16}, options);
    const torch::Tensor w = torch::ones({8, 8, 3, 3}, options);
    at::conv2d(x, w).sum().item<float>();
    at::mm(torch::ones({32, 32}, options), torch::ones({32, 32}, options));
  } catch (const std::exception&) {
    // The job will meet the same and say so.
  }
}

}  // namespace condense::pipeline
