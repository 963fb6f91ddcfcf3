#include "workers/engine/pipeline/compute.h"

#include <cmath>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/error.h"
#include "common/status_macros.h"
#include "workers/engine/pipeline/run_context.h"
#include "workers/engine/pipeline/train_task.h"
#include "workers/engine/runtime/step_time.h"

namespace condense::pipeline {
namespace {

using runtime::ExecutorOptions;
using runtime::Precision;
using MemoryFormat = v1::Compute::MemoryFormat;

constexpr int kRounds = 3;
// Steps, and seconds in all, from which on a dozen steps of measuring are a
// small part.
constexpr int64_t kStepsMin = 200;
constexpr double kSecondsMin = 60;

bool OnGpu(const Job& job) { return absl::StartsWith(job.device(), "cuda"); }

std::vector<Precision> PrecisionsOf(const Job& job, bool finetunes) {
  switch (job.recipe().compute().precision()) {
    case v1::Compute::FLOAT32:
      return {Precision::kFloat32};
    case v1::Compute::BF16:
      return {Precision::kBfloat16};
    case v1::Compute::FP16:
      return {Precision::kFloat16};
    default:
      break;
  }
  if (!finetunes) return {Precision::kFloat32};
  std::vector<Precision> all = {Precision::kFloat32, Precision::kBfloat16};
  if (OnGpu(job)) all.push_back(Precision::kFloat16);
  return all;
}

std::vector<bool> FormatsOf(const Job& job) {
  switch (job.recipe().compute().memory_format()) {
    case MemoryFormat::CONTIGUOUS:
      return {false};
    case MemoryFormat::CHANNELS_LAST:
      return {true};
    default:
      return {false, true};
  }
}

std::string NameOf(const ComputeChoice& choice) {
  return absl::StrCat(runtime::PrecisionName(choice.precision), " ",
                      MemoryFormatName(choice));
}

ExecutorOptions OptionsOf(const Job& job, const ComputeChoice& choice) {
  ExecutorOptions options;
  options.device = job.device();
  options.channels_last = choice.channels_last;
  options.precision = choice.precision;
  options.checkpoint_activations =
      job.recipe().compute().checkpoint_activations();
  return options;
}

// The first task that trains, nullptr if none does; whether one finetunes.
const Task* FirstTraining(const std::vector<Task>& tasks, bool* finetunes) {
  const Task* first = nullptr;
  *finetunes = false;
  for (const Task& task : tasks) {
    const bool plain = task.kind == Task::Kind::kTrain;
    if (!plain && task.kind != Task::Kind::kQat) continue;
    *finetunes = *finetunes || plain;
    if (first == nullptr) first = &task;
  }
  return first;
}

// Of all ranks the first decides.
absl::StatusOr<size_t> Agreed(const RunContext& context, size_t choice) {
  const training::Collective* collective = context.collective();
  if (collective == nullptr) return choice;
  try {
    return static_cast<size_t>(
        collective->FromLeader(static_cast<double>(choice)));
  } catch (const std::exception& error) {
    return training::RuntimeError(error);
  }
}

// Measures the choices; empty if the training is too short to.
absl::StatusOr<std::vector<double>> Measure(
    const RunContext& context, const Task& task,
    const std::vector<ComputeChoice>& choices) {
  const Job& job = context.job();
  if (context.all_planned_steps() < kStepsMin) return std::vector<double>();
  auto loader = TrainLoaderOf(job, SettingsOf(job.recipe(), task));
  if (loader == nullptr) return std::vector<double>();
  CONDENSE_ASSIGN_OR_RETURN(auto batch, loader->Next());
  if (!batch.has_value()) return std::vector<double>();
  const std::vector<torch::Tensor> x = {
      training::ToTensors(*batch, torch::Device(job.device())).x};
  std::vector<ExecutorOptions> options;
  for (const ComputeChoice& choice : choices) {
    options.push_back(OptionsOf(job, choice));
  }
  CONDENSE_ASSIGN_OR_RETURN(
      const std::vector<double> first,
      runtime::MeasureSteps(job.model(), {options[0]}, x, 1));
  if (first[0] * static_cast<double>(context.all_planned_steps()) <
      kSecondsMin) {
    return std::vector<double>();
  }
  return runtime::MeasureSteps(job.model(), options, x, kRounds);
}

std::string Told(const std::vector<ComputeChoice>& choices,
                 const std::vector<double>& seconds, size_t best) {
  std::string text = absl::StrCat("trains in ", NameOf(choices[best]), ":");
  for (size_t i = 0; i < choices.size(); ++i) {
    absl::StrAppend(&text, i == 0 ? " " : ", ", NameOf(choices[i]), " ",
                    std::isinf(seconds[i])
                        ? std::string("does not pay")
                        : absl::StrFormat("%.1f ms a step", 1e3 * seconds[i]));
  }
  return text;
}

}  // namespace

std::string MemoryFormatName(const ComputeChoice& choice) {
  return choice.channels_last ? "channels_last" : "contiguous";
}

absl::Status CheckCompute(const Job& job) {
  if (job.recipe().compute().precision() != v1::Compute::FP16 || OnGpu(job)) {
    return absl::OkStatus();
  }
  return recipe::ErrorAt(
      job.parsed(), "compute.precision", absl::StatusCode::kInvalidArgument,
      "PRECISION_UNSUPPORTED",
      absl::StrCat("fp16 needs a GPU; the job runs on ", job.device()),
      {.hint = "bf16 and float32 run anywhere"});
}

ComputeChoice UnmeasuredChoice(const Job& job) {
  return {PrecisionsOf(job, /*finetunes=*/false)[0], FormatsOf(job)[0]};
}

absl::Status ChooseCompute(RunContext* context) {
  const Job& job = context->job();
  const std::vector<Task> tasks =
      PlanTasks(job.recipe(), static_cast<int>(job.profiles().size()));
  bool finetunes = false;
  const Task* task = FirstTraining(tasks, &finetunes);
  std::vector<ComputeChoice> choices;
  for (Precision precision : PrecisionsOf(job, finetunes)) {
    for (bool channels_last : FormatsOf(job)) {
      choices.push_back({precision, channels_last});
    }
  }
  context->state().compute = UnmeasuredChoice(job);
  if (task == nullptr || choices.size() == 1) return absl::OkStatus();
  CONDENSE_ASSIGN_OR_RETURN(const std::vector<double> seconds,
                            Measure(*context, *task, choices));
  const size_t fastest = seconds.empty() ? 0 : runtime::FastestOption(seconds);
  CONDENSE_ASSIGN_OR_RETURN(const size_t agreed, Agreed(*context, fastest));
  context->state().compute = choices.at(agreed);
  if (!seconds.empty()) {
    context->narrator().Log(Told(choices, seconds, agreed));
  }
  return absl::OkStatus();
}

ExecutorOptions TrainingOptions(const Job& job, const ComputeChoice& choice,
                                const Task& task) {
  ExecutorOptions options = OptionsOf(job, choice);
  const v1::Compute::Precision asked = job.recipe().compute().precision();
  const bool measured =
      asked == v1::Compute::AUTO || asked == v1::Compute::PRECISION_UNSPECIFIED;
  if (task.kind == Task::Kind::kQat && measured) {
    options.precision = Precision::kFloat32;
  }
  return options;
}

}  // namespace condense::pipeline
