#include "workers/engine/runtime/step_time.h"

#include <algorithm>
#include <limits>
#include <memory>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/status_macros.h"

namespace condense::runtime {
namespace {

constexpr double kNever = std::numeric_limits<double>::infinity();
// A first step that takes so many times as long needs no second one.
constexpr double kHopeless = 4;
// What is gained must be more than what a measurement is off by.
constexpr double kWorthwhile = 0.95;

absl::StatusOr<double> TimeStep(Executor* executor,
                                const std::vector<torch::Tensor>& inputs) {
  const absl::Time start = absl::Now();
  CONDENSE_ASSIGN_OR_RETURN(std::vector<torch::Tensor> outputs,
                            executor->Run(inputs));
  try {
    outputs.at(0).to(torch::kFloat32).pow(2).mean().backward();
    if (executor->device().is_cuda()) {
      torch::cuda::synchronize(executor->device().index());
    }
  } catch (const std::exception& error) {
    return absl::InternalError(error.what());
  }
  const double seconds = absl::ToDoubleSeconds(absl::Now() - start);
  for (Parameter& parameter : executor->parameters()) {
    parameter.tensor.mutable_grad() = torch::Tensor();
  }
  return seconds;
}

double Median(std::vector<double> values) {
  if (values.empty()) return kNever;
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// One option on its way: no executor, no time.
struct Contender {
  std::unique_ptr<Executor> executor;
  std::vector<double> seconds;
};

absl::StatusOr<double> WarmUp(const graph::Graph& graph,
                              const ExecutorOptions& options,
                              const std::vector<torch::Tensor>& inputs,
                              Contender* contender) {
  CONDENSE_ASSIGN_OR_RETURN(contender->executor,
                            Executor::Create(graph, options));
  contender->executor->SetTraining(true);
  return TimeStep(contender->executor.get(), inputs);
}

}  // namespace

absl::StatusOr<std::vector<double>> MeasureSteps(
    const graph::Graph& graph, const std::vector<ExecutorOptions>& options,
    const std::vector<torch::Tensor>& inputs, int rounds) {
  std::vector<Contender> contenders(options.size());
  double first = 0;
  for (size_t i = 0; i < options.size(); ++i) {
    const absl::StatusOr<double> seconds =
        WarmUp(graph, options[i], inputs, &contenders[i]);
    if (i == 0) {
      CONDENSE_RETURN_IF_ERROR(seconds.status());
      first = *seconds;
    } else if (!seconds.ok() || *seconds > kHopeless * first) {
      contenders[i].executor = nullptr;
    }
  }
  for (int round = 0; round < rounds; ++round) {
    for (Contender& contender : contenders) {
      if (contender.executor == nullptr) continue;
      CONDENSE_ASSIGN_OR_RETURN(const double seconds,
                                TimeStep(contender.executor.get(), inputs));
      contender.seconds.push_back(seconds);
    }
  }
  std::vector<double> medians;
  for (const Contender& contender : contenders) {
    medians.push_back(Median(contender.seconds));
  }
  return medians;
}

size_t FastestOption(const std::vector<double>& seconds) {
  const size_t best =
      std::min_element(seconds.begin(), seconds.end()) - seconds.begin();
  return seconds[best] < kWorthwhile * seconds[0] ? best : 0;
}

}  // namespace condense::runtime
