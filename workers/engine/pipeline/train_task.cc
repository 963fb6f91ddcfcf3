#include "workers/engine/pipeline/train_task.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "common/status_macros.h"
#include "workers/engine/distillation/embedding_cosine.h"
#include "workers/engine/distillation/soft_response.h"
#include "workers/engine/pipeline/compute.h"
#include "workers/engine/pipeline/qat_task.h"
#include "workers/engine/quantization/calibrate.h"
#include "workers/engine/quantization/quantizers_in_graph.h"
#include "workers/engine/runtime/executor.h"

namespace condense::pipeline {
namespace {

bool IsTraining(const Task& task) {
  return task.kind == Task::Kind::kTrain || task.kind == Task::Kind::kQat;
}

v1::Job::Phase PhaseOf(const Task& task, const TrainingSettings& settings) {
  if (task.kind == Task::Kind::kQat) return v1::Job::QAT;
  return settings.has_teacher() ? v1::Job::DISTILLING : v1::Job::FINETUNING;
}

// What one training needs to live while it runs.
struct Session {
  // QAT: what the student runs, and what happens between its steps.
  std::unique_ptr<graph::Graph> qat_graph;
  std::unique_ptr<QatSteps> qat;
  std::unique_ptr<runtime::Executor> student;
  std::unique_ptr<runtime::Executor> teacher;
  std::unique_ptr<data::Loader> loader;
  std::unique_ptr<data::Loader> eval;
  std::unique_ptr<training::Trainer> trainer;
};

// What stands around the trainer of a session.
void Connect(RunContext* context, const Task& task, Session* session) {
  if (task.kind == Task::Kind::kQat) {
    session->qat = std::make_unique<QatSteps>(
        context->state().graph, *session->qat_graph,
        context->job().recipe().stages(task.settings).quantize(),
        session->student.get());
    session->trainer->BeforeStep(
        [steps = session->qat.get(), trainer = session->trainer.get()] {
          steps->Before(trainer->position().step, trainer->total_steps());
        });
  } else if (quantization::HasQuantizers(context->state().graph)) {
    // A model that came quantized is finetuned through its own quantizers.
    session->trainer->BeforeStep(
        [graph = &context->state().graph, student = session->student.get()] {
          quantization::RefreshWeightScales(*graph, student);
        });
  }
  session->trainer->EvaluateBy(
      [context, student = session->student.get(),
       eval = session->eval.get()]() -> absl::StatusOr<training::Measurement> {
        CONDENSE_ASSIGN_OR_RETURN(
            Evaluated found,
            EvaluateModel(context->job(), student, eval,
                          [context] { return context->Interrupted(); }));
        return std::move(found.figures);
      });
}

absl::StatusOr<Session> Prepare(RunContext* context, const Task& task,
                                const TrainingSettings& settings) {
  const Job& job = context->job();
  RunState& state = context->state();
  const runtime::ExecutorOptions options =
      TrainingOptions(job, state.compute, task);
  Session session;
  const graph::Graph* graph = &state.graph;
  if (task.kind == Task::Kind::kQat) {
    const v1::Quantize& quantize =
        job.recipe().stages(task.settings).quantize();
    BeginQat(quantize, task, &state.graph);
    session.qat_graph =
        std::make_unique<graph::Graph>(QatGraph(state.graph, quantize, task));
    graph = session.qat_graph.get();
  }
  CONDENSE_ASSIGN_OR_RETURN(session.student,
                            runtime::Executor::Create(*graph, options));
  if (settings.has_teacher()) {
    CONDENSE_ASSIGN_OR_RETURN(
        session.teacher, runtime::Executor::Create(job.teacher(), options));
  }
  session.loader = TrainLoaderOf(job, settings);
  session.eval = job.EvalLoader();
  training::TrainOptions train = settings.train;
  train.seed = static_cast<uint64_t>(job.recipe().seed());
  train.graph = graph;
  train.collective = context->collective();
  if (options.precision == runtime::Precision::kFloat16) {
    train.loss_scaling.emplace();
  }
  session.trainer = std::make_unique<training::Trainer>(
      session.student.get(), session.loader.get(),
      LossOf(job, settings, session.teacher.get()), train);
  Connect(context, task, &session);
  if (state.training.has_value()) {
    CONDENSE_RETURN_IF_ERROR(session.trainer->Restore(state.training->position,
                                                      state.training->tensors));
  }
  return session;
}

// Keeps where the trainer stands and writes it.
absl::Status Save(RunContext* context, const training::Trainer& trainer) {
  context->state().training =
      TrainingState{trainer.position(), trainer.State()};
  absl::Status status = context->SaveCheckpoint();
  context->state().training.reset();
  return status;
}

// Says why a training ended before its last step.
void NoteEarlyEnd(RunContext* context, const training::Trainer& trainer,
                  report::Stage* row) {
  const int64_t steps = trainer.position().step;
  if (steps >= trainer.total_steps()) return;
  if (!trainer.stopped_early()) {
    context->NoteCut("training", steps, trainer.total_steps(), row);
    return;
  }
  row->ended = absl::StrFormat("early stop after %d of %d steps", steps,
                               trainer.total_steps());
  context->narrator().Log(row->ended);
}

// The loss of a model that knows nothing of its classes: ln of their number.
double GuessingLoss(const graph::Graph& graph) {
  const auto& shape = graph.value(graph.outputs()[0]).shape;
  const bool known = shape && shape->size() > 1 && (*shape)[1].known();
  return known ? std::log(static_cast<double>((*shape)[1].value)) : 0;
}

// Says that training made the model worse without being stopped for it: in the
// end it does not know more than a guess, or its loss is well above that of the
// first steps.
void WarnOfRisenLoss(RunContext* context, const training::Trainer& trainer,
                     const TrainingSettings& settings) {
  constexpr size_t kPointsMin = 10;
  constexpr size_t kFirst = 3;
  constexpr double kRise = 1.25;
  constexpr double kNearGuess = 0.95;
  const int64_t start = context->state().steps - trainer.position().step;
  std::vector<double> losses;
  for (const auto& [step, loss] : context->narrator().curves()["loss"]) {
    if (step > start) losses.push_back(loss);
  }
  if (losses.size() < kPointsMin) return;
  const auto mean = [](auto from, auto to) {
    return std::accumulate(from, to, 0.0) / static_cast<double>(to - from);
  };
  const double first = mean(losses.begin(), losses.begin() + kFirst);
  const double last = mean(
      losses.end() - static_cast<int64_t>(losses.size() / 10), losses.end());
  const double guess = GuessingLoss(context->state().graph);
  const bool rose = last >= kRise * first && last >= guess / 2;
  // What teachers add to the loss has another scale.
  const bool guesses = settings.has_labels() && settings.kd.empty() &&
                       guess > 0 && last >= kNearGuess * guess;
  if (!rose && !guesses) return;
  context->narrator().Warn(
      "LOSS_ROSE",
      absl::StrFormat(
          "training began with a loss of %.3f and ended with %.3f%s: %s", first,
          last, guesses ? ", that of a guess" : "",
          settings.train.clip_norm > 0
              ? "lower the learning rate"
              : "set clip_norm (1, say), or lower the learning rate"));
}

}  // namespace

TrainingSettings SettingsOf(const v1::Recipe& recipe, const Task& task) {
  const v1::Stage& stage = recipe.stages(task.settings);
  TrainingSettings settings = task.kind == Task::Kind::kQat
                                  ? TrainingOf(stage.quantize())
                                  : TrainingOf(stage.finetune());
  if (recipe.task() == v1::Recipe::VERIFICATION && stage.has_finetune()) {
    settings.data = v1::Quantize::UNLABELED;
  }
  if (task.epochs > 0) settings.train.epochs = task.epochs;
  return settings;
}

int64_t PlannedSteps(const Job& job, const Task& task) {
  if (!IsTraining(task)) return 0;
  const TrainingSettings settings = SettingsOf(job.recipe(), task);
  const auto loader = TrainLoaderOf(job, settings);
  if (loader == nullptr) return 0;
  return settings.train.epochs *
         training::StepsPerEpoch(*loader, settings.train.accumulate);
}

std::unique_ptr<data::Loader> TrainLoaderOf(const Job& job,
                                            const TrainingSettings& settings) {
  return settings.data == v1::Quantize::SYNTHETIC
             ? job.SyntheticLoader(settings.batch_size)
             : job.TrainLoader(settings.batch_size);
}

namespace {

torch::Tensor TeacherOutput(runtime::Executor* teacher,
                            const training::TrainBatch& batch) {
  const torch::NoGradGuard no_grad;
  return teacher->Forward({batch.x})[0];
}

training::LossFunction LossWithoutLabels(const Job& job,
                                         runtime::Executor* teacher) {
  const bool classes = job.Classifies();
  return [classes, teacher](const training::TrainBatch& batch,
                            const std::vector<torch::Tensor>& outputs) {
    const torch::Tensor target = TeacherOutput(teacher, batch);
    if (!classes) {
      return distillation::EmbeddingCosineLoss(outputs[0], target);
    }
    return distillation::SoftResponseLoss(outputs[0], target, batch.labels,
                                          {.temperature = 1, .lambda = 1});
  };
}

}  // namespace

training::LossFunction LossOf(const Job& job, const TrainingSettings& settings,
                              runtime::Executor* teacher) {
  if (!settings.has_labels()) return LossWithoutLabels(job, teacher);
  if (settings.kd.empty()) {
    return [smoothing = settings.label_smoothing](
               const training::TrainBatch& batch,
               const std::vector<torch::Tensor>& outputs) {
      return training::CrossEntropy(batch, outputs[0], smoothing);
    };
  }
  std::vector<distillation::SoftResponseOptions> losses;
  for (const v1::KdLoss& kd : settings.kd) {
    losses.push_back({kd.soft_response().temperature(),
                      kd.soft_response().lambda(), settings.label_smoothing});
  }
  return [losses, teacher](const training::TrainBatch& batch,
                           const std::vector<torch::Tensor>& outputs) {
    const torch::Tensor target = TeacherOutput(teacher, batch);
    torch::Tensor sum;
    for (const distillation::SoftResponseOptions& options : losses) {
      const torch::Tensor loss =
          training::OverLabels(batch, [&](const torch::Tensor& labels) {
            return distillation::SoftResponseLoss(outputs[0], target, labels,
                                                  options);
          });
      sum = sum.defined() ? sum + loss : loss;
    }
    return sum;
  };
}

absl::Status RunTraining(RunContext* context, const Task& task) {
  const TrainingSettings settings = SettingsOf(context->job().recipe(), task);
  context->narrator().Phase(PhaseOf(task, settings));
  report::Stage& row = context->Row(task);
  CONDENSE_ASSIGN_OR_RETURN(Session session, Prepare(context, task, settings));
  training::Trainer& trainer = *session.trainer;
  const absl::Time deadline =
      context->TrainingDeadline(trainer.position().step);
  absl::Status stopped;
  const auto after_step = [&](const training::StepInfo& info) {
    context->CountStep(info);
    ++row.steps;
    row.seconds += info.seconds + info.data_wait_seconds;
    stopped = context->Interrupted();
    if (!stopped.ok()) return training::Next::kStop;
    if (absl::Now() >= deadline) return training::Next::kFinish;
    if (context->CheckpointIsDue()) stopped = Save(context, trainer);
    return stopped.ok() ? training::Next::kGoOn : training::Next::kStop;
  };
  CONDENSE_ASSIGN_OR_RETURN(const bool complete, trainer.Run(after_step));
  if (!complete) {
    // Asked to stop, not to cancel: the work so far is kept.
    if (absl::IsCancelled(stopped) && context->StopsToGoOn()) {
      CONDENSE_RETURN_IF_ERROR(Save(context, trainer));
      CONDENSE_RETURN_IF_ERROR(context->FlushCheckpoint());
    }
    return stopped.ok() ? absl::CancelledError("the leading rank stopped")
                        : stopped;
  }
  NoteEarlyEnd(context, trainer, &row);
  WarnOfRisenLoss(context, trainer, settings);
  RunState& state = context->state();
  state.training.reset();
  if (task.kind == Task::Kind::kQat) {
    CONDENSE_ASSIGN_OR_RETURN(
        const auto snr_db,
        FinishQat(std::move(*session.qat_graph),
                  context->job().recipe().stages(task.settings).quantize(),
                  task, session.student.get(), &state.graph));
    KeepWeightNoise(snr_db, context->job().profiles()[task.profile].id(),
                    &state);
    return absl::OkStatus();
  }
  const bool quantized = quantization::HasQuantizers(state.graph);
  if (quantized) {
    quantization::RefreshWeightScales(state.graph, session.student.get());
  }
  CONDENSE_RETURN_IF_ERROR(session.student->StoreTo(&state.graph));
  if (quantized) quantization::SnapBiases(&state.graph);
  return absl::OkStatus();
}

}  // namespace condense::pipeline
