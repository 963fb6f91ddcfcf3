#include "workers/engine/pipeline/run_context.h"

#include <algorithm>
#include <filesystem>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "common/error.h"
#include "common/files.h"
#include "common/status_macros.h"

namespace condense::pipeline {
namespace {

namespace fs = std::filesystem;

constexpr size_t kKeptCheckpoints = 2;
// Points of a curve that one task adds.
constexpr int64_t kCurvePoints = 100;
// Corrupt images that a warning names.
constexpr size_t kNamedImages = 5;
// Shares of the whole job before and after training.
constexpr double kBeforeTraining = 0.03;
constexpr double kTraining = 0.9;
// Of the time budget, kept for export and verification; with many samples these
// take as long as measuring the original some times over.
constexpr double kReserve = 0.1;
constexpr double kReserveMax = 0.5;
constexpr double kEvaluationsToFinish = 3;

// Checkpoints in a folder, oldest first.
std::vector<std::string> CheckpointsIn(const std::string& folder) {
  std::vector<std::string> paths;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (entry.path().extension() == ".ckpt") {
      paths.push_back(entry.path().string());
    }
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

// All but the newest ones.
void RemoveOldCheckpoints(const std::string& folder) {
  const std::vector<std::string> all = CheckpointsIn(folder);
  for (size_t i = 0; i + kKeptCheckpoints < all.size(); ++i) {
    std::error_code error;
    fs::remove(all[i], error);
  }
}

std::string TechniqueOf(const v1::Recipe& recipe, const Task& task) {
  const v1::Stage& s = recipe.stages(task.stage);
  if (task.kind == Task::Kind::kSynthesize) return "images from statistics";
  if (s.has_prune()) {
    const v1::Prune& prune = s.prune();
    const auto& target = prune.target();
    return absl::StrFormat(
        "%s channels to %.0f %% of the %s",
        prune.criterion() == v1::Prune::L1       ? "l1"
        : prune.criterion() == v1::Prune::RANDOM ? "random"
                                                 : "l2",
        100 * (target.has_macs() ? target.macs() : target.parameters()),
        target.has_macs() ? "multiply-accumulates" : "parameters");
  }
  if (s.has_finetune()) {
    if (recipe.task() == v1::Recipe::VERIFICATION) return "embedding cosine";
    return s.finetune().kd().empty() ? "labels" : "soft-response distillation";
  }
  if (s.quantize().mode() == v1::Quantize::INCREMENTAL) return "incremental";
  switch (s.quantize().qat_data()) {
    case v1::Quantize::UNLABELED:
      return "qat without labels";
    case v1::Quantize::SYNTHETIC:
      return "qat on synthetic images";
    default:
      return s.quantize().mode() == v1::Quantize::QAT ? "qat" : "ptq";
  }
}

std::string NameOf(const v1::Recipe& recipe, int stage) {
  const v1::Stage& s = recipe.stages(stage);
  return s.has_prune() ? "prune" : s.has_finetune() ? "finetune" : "quantize";
}

}  // namespace

absl::Status RunContext::Interrupted() const {
  switch (control_.request()) {
    case Control::Request::kNone:
      return absl::OkStatus();
    case Control::Request::kCheckpointAndStop:
      return absl::CancelledError("asked to stop");
    case Control::Request::kCancel:
      return absl::CancelledError("cancelled");
  }
  return absl::OkStatus();
}

std::string RunContext::CheckpointFolder() const {
  return job_.dir() + "/checkpoints";
}

bool RunContext::CheckpointIsDue() const {
  const v1::JobFile& file = job_.file();
  const double interval = file.has_checkpoint_interval_seconds()
                              ? file.checkpoint_interval_seconds()
                              : 30;
  return absl::Now() - last_checkpoint_ >= absl::Seconds(interval);
}

absl::Status RunContext::SaveCheckpoint() {
  if (!leads()) return absl::OkStatus();
  state_.curves = narrator_.curves();
  state_.warnings = narrator_.warnings();
  state_.elapsed_seconds = Elapsed();
  const bool training = state_.training.has_value();
  if (!training || graphs_of_ != state_.task) {
    CONDENSE_ASSIGN_OR_RETURN(graphs_, GraphsOf(state_));
    graphs_of_ = training ? std::optional<size_t>(state_.task) : std::nullopt;
  }
  training::Checkpoint checkpoint = ToCheckpoint(state_, graphs_);
  checkpoint.fingerprint = job_.fingerprint();
  const std::string folder = CheckpointFolder();
  CONDENSE_RETURN_IF_ERROR(MakeWritableFolder(folder));
  const std::string path =
      absl::StrFormat("%s/%010d-%06d.ckpt", folder, state_.steps, ++saved_);
  last_checkpoint_ = absl::Now();
  v1::EngineEvent event;
  event.mutable_checkpoint()->set_path(path);
  event.mutable_checkpoint()->set_step(state_.steps);
  return writer_.Submit(path, std::move(checkpoint),
                        [folder, event, narrator = &narrator_] {
                          RemoveOldCheckpoints(folder);
                          narrator->Send(event);
                        });
}

double RunContext::Elapsed() const {
  return elapsed_before_ + absl::ToDoubleSeconds(absl::Now() - start_);
}

absl::Time RunContext::TrainingDeadline(int64_t step) const {
  const v1::Budget& budget = job_.recipe().budget();
  if (!budget.has_time_seconds()) return absl::InfiniteFuture();
  const double total = budget.time_seconds();
  const double profiles = static_cast<double>(job_.profiles().size());
  const double reserve = std::min(
      kReserveMax * total, kReserve * total + profiles * kEvaluationsToFinish *
                                                  state_.baseline_seconds);
  int64_t planned = 0;
  for (size_t i = state_.task; i < planned_steps.size(); ++i) {
    planned += planned_steps[i];
  }
  const double share =
      static_cast<double>(planned_steps[state_.task] - step) /
      static_cast<double>(std::max<int64_t>(1, planned - step));
  const double seconds = std::max(0.0, total - reserve - Elapsed()) * share;
  return absl::Now() + absl::Seconds(seconds);
}

int64_t RunContext::all_planned_steps() const {
  return std::accumulate(planned_steps.begin(), planned_steps.end(),
                         int64_t{0});
}

absl::StatusOr<bool> RunContext::Resume() {
  last_checkpoint_ = absl::Now();
  std::string path = job_.file().resume_from();
  if (path.empty()) {
    const std::vector<std::string> own = CheckpointsIn(CheckpointFolder());
    if (own.empty()) return false;
    path = own.back();
  }
  absl::StatusOr<training::Checkpoint> checkpoint =
      training::ReadCheckpoint(path, job_.fingerprint());
  absl::Status status = checkpoint.status();
  if (status.ok()) {
    absl::StatusOr<RunState> state = FromCheckpoint(*checkpoint);
    status = state.status();
    if (status.ok()) state_ = *std::move(state);
  }
  if (!status.ok()) {
    narrator_.Warn(ErrorReason(status),
                   absl::StrCat("begins anew: ", status.message()));
    return false;
  }
  elapsed_before_ = state_.elapsed_seconds;
  narrator_.Restore(state_.curves, state_.warnings);
  saved_ = static_cast<int64_t>(state_.task) * 100;
  narrator_.Log(
      absl::StrCat("goes on from the checkpoint at step ", state_.steps));
  return true;
}

void RunContext::RemoveCheckpoints() {
  if (!leads()) return;
  std::error_code error;
  fs::remove_all(CheckpointFolder(), error);
}

report::Stage& RunContext::Row(const Task& task) {
  const std::string profile =
      task.profile < 0 ? "" : job_.profiles()[task.profile].id();
  const std::string name = NameOf(job_.recipe(), task.stage);
  const std::string technique = TechniqueOf(job_.recipe(), task);
  if (!state_.rows.empty()) {
    StageRow& last = state_.rows.back();
    if (last.stage.name == name && last.stage.technique == technique &&
        last.profile == profile && !last.stage.metric_after.has_value()) {
      return last.stage;
    }
  }
  StageRow row;
  row.stage.name = name;
  row.stage.technique = technique;
  if (state_.current) row.stage.metric_before = state_.current->main_value();
  row.profile = profile;
  state_.rows.push_back(std::move(row));
  return state_.rows.back().stage;
}

absl::StatusOr<Evaluated> RunContext::Measure(const graph::Graph& graph,
                                              data::Loader* loader) {
  return EvaluateGraph(job_, graph, loader, [this] { return Interrupted(); });
}

absl::Status RunContext::MeasureBaseline() {
  auto loader = job_.EvalLoader();
  if (loader == nullptr || !leads()) return absl::OkStatus();
  narrator_.Phase(v1::Job::BASELINE_EVALUATION);
  const absl::Time start = absl::Now();
  CONDENSE_ASSIGN_OR_RETURN(Evaluated found,
                            Measure(job_.model(), loader.get()));
  state_.baseline = state_.current = std::move(found.figures);
  if (job_.verifies()) original_embeddings_ = std::move(found.embeddings);
  state_.baseline_seconds = absl::ToDoubleSeconds(absl::Now() - start);
  for (const auto& [name, value] : state_.baseline->metrics) {
    narrator_.Metric("baseline." + name, value);
  }
  TellMain(*state_.baseline, 0);
  return absl::OkStatus();
}

absl::Status RunContext::MeasureCurrent() {
  auto loader = job_.EvalLoader();
  if (loader == nullptr || !leads()) return absl::OkStatus();
  CONDENSE_ASSIGN_OR_RETURN(const Evaluated found,
                            Measure(state_.graph, loader.get()));
  state_.current = found.figures;
  TellMain(*state_.current, state_.steps);
  return absl::OkStatus();
}

absl::StatusOr<const evaluation::EmbeddedSamples*>
RunContext::OriginalEmbeddings() {
  if (!original_embeddings_.has_value()) {
    auto loader = job_.EvalLoader();
    CONDENSE_ASSIGN_OR_RETURN(Evaluated found,
                              Measure(job_.model(), loader.get()));
    original_embeddings_ = std::move(found.embeddings);
  }
  return &*original_embeddings_;
}

void RunContext::TellMain(const training::Measurement& figures, int64_t step) {
  const std::optional<double> value = figures.main_value();
  if (value.has_value()) narrator_.Metric(figures.main, *value, step);
}

void RunContext::TellProgress(double fraction) {
  v1::Progress progress;
  progress.set_fraction(fraction);
  narrator_.Progress(progress, true);
}

void RunContext::WarnOfCorruptImages() {
  for (const auto& [source, found] : job_.corrupt()) {
    if (corrupt_told_[source] == found.size()) continue;
    corrupt_told_[source] = found.size();
    std::vector<std::string> named(found.begin(), found.end());
    if (named.size() > kNamedImages) named.resize(kNamedImages);
    narrator_.Warn(
        "CORRUPT_IMAGES",
        absl::StrCat(found.size(), found.size() == 1 ? " image" : " images",
                     " of data '", source,
                     "' could not be decoded and were left out: ",
                     absl::StrJoin(named, "; ")));
  }
}

void RunContext::Advance(const training::StepInfo& info) {
  ++state_.steps;
  stats_.set_steps(stats_.steps() + 1);
  stats_.set_step_seconds(stats_.step_seconds() + info.seconds);
  stats_.set_samples(stats_.samples() + info.samples);
  stats_.set_data_wait_seconds(stats_.data_wait_seconds() +
                               info.data_wait_seconds);
  stats_.set_device_busy_seconds(stats_.device_busy_seconds() + info.seconds);
  v1::Progress progress;
  if (const int64_t planned = all_planned_steps(); planned > 0) {
    progress.set_fraction(kBeforeTraining +
                          kTraining * static_cast<double>(state_.steps) /
                              static_cast<double>(planned));
    const double mean =
        stats_.step_seconds() / static_cast<double>(stats_.steps());
    progress.set_eta_seconds(mean *
                             static_cast<double>(planned - state_.steps));
  }
  const int64_t step = info.next.step;
  progress.set_step(step);
  progress.set_total_steps(info.total_steps);
  progress.set_epoch(static_cast<int32_t>(info.next.epoch));
  narrator_.Progress(progress, step == info.total_steps);
  if (absl::Now() - last_stats_ > absl::Seconds(1)) {
    last_stats_ = absl::Now();
    v1::EngineEvent event;
    *event.mutable_stats() = stats_;
    narrator_.Send(event);
  }
}

void RunContext::CountStep(const training::StepInfo& info) {
  Advance(info);
  const int64_t every = std::max<int64_t>(1, info.total_steps / kCurvePoints);
  const int64_t step = info.next.step;
  if (step == 1 || step % every == 0 || step == info.total_steps) {
    narrator_.Metric("loss", info.loss, state_.steps);
    narrator_.Metric("lr", info.lr, state_.steps);
    narrator_.Metric("grad_norm", info.grad_norm, state_.steps);
  }
  if (info.evaluated.has_value()) {
    TellMain(*info.evaluated, state_.steps);
  }
}

void RunContext::NoteCut(const std::string& what, int64_t done, int64_t total,
                         report::Stage* row) {
  row->cut = true;
  row->ended = absl::StrFormat("time budget after %d of %d steps", done, total);
  narrator_.Warn("TIME_BUDGET",
                 absl::StrCat(what, " was cut by the ", row->ended));
}

}  // namespace condense::pipeline
