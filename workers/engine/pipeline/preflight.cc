#include "workers/engine/pipeline/preflight.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "common/status_macros.h"
#include "workers/engine/evaluation/integer_runtime.h"
#include "workers/engine/graph/cost.h"
#include "workers/engine/graph/infer_shapes.h"
#include "workers/engine/graph/passes/fold_batch_norm.h"
#include "workers/engine/pipeline/compress_tasks.h"
#include "workers/engine/pipeline/compute.h"
#include "workers/engine/pipeline/evaluator.h"
#include "workers/engine/pipeline/mixed_precision.h"
#include "workers/engine/pipeline/other_operators.h"
#include "workers/engine/pipeline/quantize_settings.h"
#include "workers/engine/pipeline/settings.h"
#include "workers/engine/pipeline/synthesis_task.h"
#include "workers/engine/pipeline/train_task.h"
#include "workers/engine/quantization/lower_qdq.h"
#include "workers/engine/quantization/placement.h"
#include "workers/engine/quantization/post_training.h"
#include "workers/engine/quantization/quantizers_in_graph.h"
#include "workers/engine/runtime/executor.h"

namespace condense::pipeline {
namespace {

absl::Status Missing(const Job& job, const std::string& path,
                     const std::string& source, const std::string& why) {
  std::vector<std::string> given;
  for (const auto& [name, data] : job.file().data()) given.push_back(name);
  return recipe::ErrorAt(
      job.parsed(), path, absl::StatusCode::kInvalidArgument, "DATA_MISSING",
      absl::StrCat(
          why, " data '", source, "', which the job does not have",
          given.empty()
              ? ""
              : absl::StrCat(" (it has ", absl::StrJoin(given, ", "), ")")),
      {.nearest = NearestName(source, given),
       .hint = absl::StrCat("give it with --data ", source, "=PATH")});
}

// Each stage has the data that it needs.
absl::Status CheckData(const Job& job) {
  const v1::DataConfig& data = job.recipe().data();
  for (int i = 0; i < job.recipe().stages_size(); ++i) {
    const v1::Stage& stage = job.recipe().stages(i);
    const std::string path = absl::StrCat("stages[", i, "]");
    const bool qat =
        stage.has_quantize() && stage.quantize().mode() != v1::Quantize::PTQ;
    const bool between =
        stage.has_prune() &&
        stage.prune().schedule().iterative().epochs_between() > 0;
    if (between && NextFinetune(job.recipe(), i) < 0) {
      return recipe::ErrorAt(
          job.parsed(), path + ".prune.schedule.iterative.epochs_between",
          absl::StatusCode::kInvalidArgument, "MISSING_KEY",
          "epochs_between trains with the settings of the next finetune "
          "stage, and there is none");
    }
    const bool synthetic =
        stage.quantize().qat_data() == v1::Quantize::SYNTHETIC;
    if ((stage.has_finetune() || (qat && !synthetic) || between) &&
        job.Data(data.train().source()) == nullptr) {
      return Missing(job, path, data.train().source(), "this stage trains on");
    }
    if ((stage.finetune().has_early_stop() ||
         stage.quantize().has_early_stop()) &&
        job.Data(data.eval().source()) == nullptr) {
      return Missing(
          job, path + (qat ? ".quantize.early_stop" : ".finetune.early_stop"),
          data.eval().source(), "early_stop is measured on");
    }
    if (stage.has_quantize() && !synthetic &&
        job.Data(data.calibration().source()) == nullptr) {
      return Missing(job, path, data.calibration().source(),
                     "this stage calibrates on");
    }
  }
  const v1::Gates& gates = job.recipe().gates();
  for (const auto& [name, asked] :
       {std::pair{"max_accuracy_drop", gates.has_max_accuracy_drop()},
        {"max_eer_increase", gates.has_max_eer_increase()}}) {
    if (!asked || job.Data(data.eval().source()) != nullptr) continue;
    return Missing(job, absl::StrCat("gates.", name), data.eval().source(),
                   "this gate is measured on");
  }
  return absl::OkStatus();
}

absl::Status LabelsMissing(const std::string& name) {
  return MakeError(
      absl::StatusCode::kInvalidArgument, "LABELS_MISSING",
      absl::StrCat("data '", name, "' has no labels to train or measure with"),
      {.field = absl::StrCat("data.", name),
       .hint = "give class folders, or a manifest with the "
               "header path,label"});
}

// Whether labels of this data set are read.
bool ReadsLabels(const Job& job, const std::string& name) {
  if (!job.trains_without_labels()) return true;
  return name == job.recipe().data().eval().source() &&
         (job.HasLabels(name) || NeedsAccuracy(job.recipe()));
}

// Labels fit the model's outputs.
absl::Status CheckClasses(const Job& job) {
  const auto& data = job.file().data();
  const bool reads = std::any_of(
      data.begin(), data.end(),
      [&job](const auto& entry) { return ReadsLabels(job, entry.first); });
  if (!reads) return absl::OkStatus();
  if (job.num_classes() == 0) {
    const graph::Value& out = job.model().value(job.model().outputs()[0]);
    return MakeError(
        absl::StatusCode::kInvalidArgument, "OUTPUT_SHAPE_MISMATCH",
        absl::StrCat("classification needs an output [N, classes]; '", out.name,
                     "' is ", graph::ShapeText(out.shape)));
  }
  for (const auto& [name, path] : job.file().data()) {
    if (!ReadsLabels(job, name)) continue;
    const int64_t classes = job.Data(name)->num_classes();
    const v1::DataConfig& uses = job.recipe().data();
    if (classes == 0 &&
        (name == uses.train().source() || name == uses.eval().source())) {
      return LabelsMissing(name);
    }
    if (classes <= job.num_classes()) continue;
    return MakeError(
        absl::StatusCode::kInvalidArgument, "LABEL_OUT_OF_RANGE",
        absl::StrCat("data '", name, "' has labels up to ", classes - 1,
                     "; the model's output has ", job.num_classes(),
                     " classes (0 to ", job.num_classes() - 1, ")"),
        {.field = absl::StrCat("data.", name)});
  }
  return absl::OkStatus();
}

// The teacher's outputs can be compared with the student's.
absl::Status CheckTeacher(const Job& job) {
  const graph::Graph& teacher = job.teacher();
  const auto& wanted = job.model().value(job.model().outputs()[0]).shape;
  const auto& given = teacher.value(teacher.outputs()[0]).shape;
  if (wanted && given && wanted->size() == given->size() &&
      wanted->back() == given->back()) {
    return absl::OkStatus();
  }
  return MakeError(
      absl::StatusCode::kInvalidArgument, "TEACHER_MISMATCH",
      absl::StrCat("the teacher's output is ", graph::ShapeText(given),
                   ", the model's ", graph::ShapeText(wanted)));
}

absl::Status CheckPruning(const Job& job, int stage) {
  const v1::Prune& prune = job.recipe().stages(stage).prune();
  const double target = TargetOf(prune);
  CONDENSE_ASSIGN_OR_RETURN(const PruningPlan plan,
                            PlanPruning(job, stage, target, job.model()));
  if (plan.plan.reached) return absl::OkStatus();
  const graph::Cost cost = graph::CostOf(job.model());
  const bool macs = prune.target().has_macs();
  const double least =
      macs ? plan.plan.macs / static_cast<double>(cost.macs)
           : plan.plan.parameters / static_cast<double>(cost.parameters);
  std::string frozen;
  for (const auto& [name, reason] : plan.coupling.frozen) {
    absl::StrAppend(&frozen, frozen.empty() ? "" : "; ", name, ": ", reason);
  }
  return recipe::ErrorAt(
      job.parsed(),
      absl::StrCat("stages[", stage, "].prune.target.",
                   macs ? "macs" : "parameters"),
      absl::StatusCode::kInvalidArgument, "TARGET_UNREACHABLE",
      absl::StrFormat("%.3f cannot be reached: with every channel removed "
                      "that may go, %.3f is left",
                      target, least),
      {.hint = frozen.empty() ? "" : "frozen layers: " + frozen});
}

// The target of mixed precision can be reached, with the input as calibration
// will align it.
absl::Status CheckWidths(const Job& job, int stage,
                         const v1::DeviceProfile& profile,
                         const graph::Graph& folded) {
  CONDENSE_ASSIGN_OR_RETURN(
      const quantization::PostTrainingOptions options,
      PostTrainingOf(job.parsed(), job.recipe(), stage, profile, job.model()));
  graph::Graph floats = folded;
  CONDENSE_RETURN_IF_ERROR(graph::InferShapes(floats));
  CONDENSE_RETURN_IF_ERROR(quantization::AlignInput(options, &floats).status());
  return AskForWidths({job.parsed(), job.recipe().stages(stage).quantize(),
                       stage, profile},
                      options.numerics, floats)
      .status();
}

// Every profile takes the numerics, and what is exported can be verified.
absl::Status CheckProfiles(const Job& job) {
  graph::Graph folded = job.model();
  CONDENSE_RETURN_IF_ERROR(graph::FoldBatchNorm().Run(folded).status());
  const int stages = job.recipe().stages_size();
  for (const v1::DeviceProfile& profile : job.profiles()) {
    const v1::Stage& last = job.recipe().stages(stages - 1);
    graph::Graph exported = folded;
    if (last.has_quantize()) {
      CONDENSE_ASSIGN_OR_RETURN(const quantization::Numerics numerics,
                                NumericsOf(job.parsed(), last.quantize(),
                                           stages - 1, profile, job.model()));
      if (last.quantize().has_mixed_precision()) {
        CONDENSE_RETURN_IF_ERROR(CheckWidths(job, stages - 1, profile, folded));
      }
      CONDENSE_ASSIGN_OR_RETURN(
          quantization::Placement placement,
          quantization::PlaceQuantizers(folded, numerics));
      CONDENSE_ASSIGN_OR_RETURN(quantization::LoweredGraph lowered,
                                quantization::LowerToQdq(placement.graph));
      exported = std::move(lowered.graph);
    } else if (quantization::HasQuantizers(folded)) {
      CONDENSE_ASSIGN_OR_RETURN(quantization::LoweredGraph lowered,
                                quantization::LowerToQdq(folded));
      exported = std::move(lowered.graph);
    }
    CONDENSE_RETURN_IF_ERROR(
        evaluation::IntegerRuntime::Create(&exported, OtherOperators(&exported))
            .status());
  }
  return absl::OkStatus();
}

// Ranks take equal parts of each batch.
absl::Status CheckBatches(const Job& job) {
  const int64_t ranks = job.ranks().size;
  for (const Task& task :
       PlanTasks(job.recipe(), static_cast<int>(job.profiles().size()))) {
    if (ranks == 1 || PlannedSteps(job, task) == 0) continue;
    const int64_t batch = SettingsOf(job.recipe(), task).batch_size;
    const int64_t samples =
        TrainLoaderOf(job, SettingsOf(job.recipe(), task))->num_samples();
    if (batch % ranks == 0 && samples >= batch) continue;
    return recipe::ErrorAt(
        job.parsed(), absl::StrCat("stages[", task.settings, "]"),
        absl::StatusCode::kInvalidArgument, "BATCH_NOT_DIVISIBLE",
        absl::StrCat("batches of ", batch, " of ", samples,
                     " samples cannot be shared by ", ranks, " ranks"),
        {.hint = absl::StrCat("a batch_size that ", ranks, " divides")});
  }
  return absl::OkStatus();
}

// One batch forward, on each set of data.
absl::Status TryForward(const Job& job) {
  CONDENSE_ASSIGN_OR_RETURN(
      auto executor,
      runtime::Executor::Create(job.model(), {.device = job.device()}));
  const torch::NoGradGuard no_grad;
  for (auto& loader :
       {job.EvalLoader().release(), job.CalibrationLoader().release(),
        job.TrainLoader(64).release()}) {
    const std::unique_ptr<data::Loader> owned(loader);
    if (owned == nullptr) continue;
    CONDENSE_ASSIGN_OR_RETURN(auto batch, owned->Next());
    if (!batch.has_value()) continue;
    CONDENSE_RETURN_IF_ERROR(
        executor->Run({training::ToTensors(*batch, executor->device()).x})
            .status());
  }
  return absl::OkStatus();
}

// One training step on a copy: memory, shapes and the loss.
absl::Status TryStep(const Job& job, const Task& task) {
  TrainingSettings settings = SettingsOf(job.recipe(), task);
  const runtime::ExecutorOptions options =
      TrainingOptions(job, UnmeasuredChoice(job), task);
  CONDENSE_ASSIGN_OR_RETURN(auto student,
                            runtime::Executor::Create(job.model(), options));
  std::unique_ptr<runtime::Executor> teacher;
  if (settings.has_teacher()) {
    CONDENSE_RETURN_IF_ERROR(CheckTeacher(job));
    CONDENSE_ASSIGN_OR_RETURN(
        teacher, runtime::Executor::Create(job.teacher(), options));
  }
  auto loader = TrainLoaderOf(job, settings);
  training::TrainOptions train = settings.train;
  train.optimizer.lr = 0;
  train.early_stop.reset();
  train.graph = &job.model();
  training::Trainer trainer(student.get(), loader.get(),
                            LossOf(job, settings, teacher.get()), train);
  return trainer
      .Run([](const training::StepInfo&) { return training::Next::kStop; })
      .status();
}

}  // namespace

absl::Status Preflight(RunContext* context) {
  context->narrator().Phase(v1::Job::PREFLIGHT);
  const Job& job = context->job();
  CONDENSE_RETURN_IF_ERROR(CheckData(job));
  CONDENSE_RETURN_IF_ERROR(job.verifies() ? CheckVerification(job)
                                          : CheckClasses(job));
  CONDENSE_RETURN_IF_ERROR(CheckCompute(job));
  for (int i = 0; i < job.recipe().stages_size(); ++i) {
    if (job.recipe().stages(i).has_prune()) {
      CONDENSE_RETURN_IF_ERROR(CheckPruning(job, i));
    }
  }
  CONDENSE_RETURN_IF_ERROR(CheckProfiles(job));
  CONDENSE_RETURN_IF_ERROR(CheckBatches(job));
  CONDENSE_RETURN_IF_ERROR(TryForward(job));
  CONDENSE_RETURN_IF_ERROR(CheckSynthesis(job));
  const std::vector<Task> tasks =
      PlanTasks(job.recipe(), static_cast<int>(job.profiles().size()));
  bool trained = false;
  for (const Task& task : tasks) {
    if (task.kind == Task::Kind::kSynthesize) {
      context->planned_steps.push_back(SynthesisSteps(job));
      continue;
    }
    const int64_t steps = PlannedSteps(job, task);
    context->planned_steps.push_back(steps);
    if (steps == 0 || trained) continue;
    trained = true;
    CONDENSE_RETURN_IF_ERROR(TryStep(job, task));
  }
  if (job.EvalLoader() == nullptr) {
    context->narrator().Warn("NO_EVALUATION_DATA",
                             absl::StrCat("there is no evaluation data",
                                          job.verifies() ? "" : " with labels",
                                          ": accuracy is not measured"));
  }
  if (job.requantizes()) {
    context->narrator().Warn(
        "REQUANTIZED",
        "the model comes quantized: its weights are read as they are stored, "
        "and the quantize stage places all quantizers anew");
  }
  return context->Interrupted();
}

}  // namespace condense::pipeline
