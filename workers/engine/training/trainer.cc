#include "workers/engine/training/trainer.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/error.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "workers/engine/training/generators.h"

namespace condense::training {
namespace {

constexpr char kAverage[] = "average/";
constexpr char kBest[] = "best/";
constexpr char kEarlyStop[] = "trainer/early_stop";
constexpr char kWatch[] = "trainer/divergence";

}  // namespace

torch::Tensor CrossEntropyLoss(const TrainBatch& batch,
                               const std::vector<torch::Tensor>& outputs) {
  return CrossEntropy(batch, outputs[0]);
}

Trainer::Trainer(runtime::Executor* model, data::Loader* loader,
                 LossFunction loss, TrainOptions options)
    : model_(model),
      loader_(loader),
      loss_(std::move(loss)),
      options_(options),
      optimizer_(model->parameters(), options.optimizer),
      average_(model),
      best_(model),
      watch_(options.divergence) {
  if (options_.loss_scaling) scaler_.emplace(*options_.loss_scaling);
  if (options_.early_stop) early_stop_.emplace(*options_.early_stop);
  if (options_.collective == nullptr) return;
  buckets_ = std::make_unique<GradientBuckets>(model->parameters(),
                                               options_.collective);
  add_up_ = [collective = options_.collective](const torch::Tensor& tensor) {
    collective->Sum(tensor);
  };
}

Trainer::~Trainer() = default;

int64_t StepsPerEpoch(const data::Loader& loader, int64_t accumulate) {
  return (loader.batches_per_epoch() + accumulate - 1) / accumulate;
}

int64_t Trainer::steps_per_epoch() const {
  return StepsPerEpoch(*loader_, options_.accumulate);
}

int64_t Trainer::total_steps() const {
  return options_.epochs * steps_per_epoch();
}

void Trainer::Refresh() {
  if (before_step_) before_step_();
}

absl::Status Trainer::Failed(const char* reason, const std::string& what,
                             const Fault& fault,
                             const std::string& hint) const {
  return MakeError(absl::StatusCode::kInvalidArgument, reason,
                   absl::StrCat(what, " at step ", position_.step,
                                fault.what.empty() ? "" : ": ", fault.what),
                   {.hint = hint, .node = fault.node});
}

absl::StatusOr<double> Trainer::OneBatch(const data::Batch& batch) {
  Refresh();
  last_batch_ = ToTensors(batch, model_->device());
  const runtime::SyncStatistics sync(buckets_ ? &add_up_ : nullptr);
  const std::vector<torch::Tensor> outputs = model_->Forward({last_batch_.x});
  classes_ = outputs[0].dim() > 1 ? outputs[0].size(1) : 0;
  const torch::Tensor loss = loss_(last_batch_, outputs);
  const double value = loss.item<double>();
  // Ranks fail together, after the step.
  if (!std::isfinite(value) && !buckets_) return LossFailed();
  (scaler_ ? scaler_->Scale(loss) : loss).backward();
  return value;
}

absl::Status Trainer::LossFailed() {
  Fault fault;
  if (options_.graph != nullptr) {
    fault = FindNotFinite(*options_.graph, last_batch_, model_);
  }
  return Failed("NAN_LOSS", "the loss is not finite", fault,
                "lower the learning rate, set clip_norm or warmup_epochs, or "
                "look for extreme values in the data");
}

double Trainer::SharedLoss(double loss) const {
  if (!buckets_) return loss;
  const torch::Tensor sum = torch::full(
      {1}, loss / options_.collective->size(),
      torch::TensorOptions().dtype(torch::kFloat64).device(model_->device()));
  options_.collective->Sum(sum);
  return sum.item<double>();
}

Next Trainer::SharedNext(Next next) const {
  if (!buckets_) return next;
  return static_cast<Next>(
      options_.collective->FromLeader(static_cast<double>(next)));
}

void Trainer::ShareBuffers() {
  if (!buckets_) return;
  for (auto& [name, tensor] : model_->buffers()) {
    options_.collective->TakeFromLeader(tensor);
  }
}

absl::Status Trainer::Update(int64_t batches, StepInfo* info) {
  // Scaled gradients that overflow are no fault: the step is skipped.
  if (scaler_ && !scaler_->Unscale(model_->parameters())) {
    return absl::OkStatus();
  }
  const double share = 1.0 / static_cast<double>(batches);
  info->grad_norm = optimizer_.GradientNorm() * share;
  if (!std::isfinite(info->grad_norm)) {
    Fault fault;
    const std::string parameter = optimizer_.FirstBadGradient();
    if (options_.graph != nullptr) {
      fault.node = ReaderOf(*options_.graph, parameter);
    }
    if (!parameter.empty()) {
      fault.what = absl::StrCat("the first is that of '", parameter,
                                "' in layer '", fault.node, "'");
    }
    return Failed("NAN_GRADIENT", "a gradient is not finite", fault,
                  "lower the learning rate, or set warmup_epochs");
  }
  const bool clip =
      options_.clip_norm > 0 && info->grad_norm > options_.clip_norm;
  optimizer_.Step(info->lr,
                  clip ? share * options_.clip_norm / info->grad_norm : share);
  if (options_.ema_decay > 0) {
    const torch::NoGradGuard no_grad;
    const double step = static_cast<double>(position_.step);
    if (average_.empty()) {
      average_.Take();
    } else {
      average_.Average(std::min(options_.ema_decay, (1 + step) / (10 + step)));
    }
  }
  return absl::OkStatus();
}

void Trainer::MoveOn(int64_t batches) {
  ++position_.step;
  position_.batch += batches;
  if (position_.batch < loader_->batches_per_epoch()) return;
  ++position_.epoch;
  position_.batch = 0;
  if (position_.epoch < options_.epochs) loader_->Seek(position_.epoch, 0);
}

absl::StatusOr<StepInfo> Trainer::OneStep() {
  StepInfo info;
  info.total_steps = total_steps();
  info.lr = LearningRate(options_.schedule, options_.optimizer.lr,
                         position_.step, info.total_steps, steps_per_epoch());
  const double waited = loader_->wait_seconds();
  const absl::Time start = absl::Now();
  const int64_t wanted = std::min(
      options_.accumulate, loader_->batches_per_epoch() - position_.batch);
  try {
    optimizer_.ZeroGrad();
    for (int64_t i = 0; i < wanted; ++i) {
      CONDENSE_ASSIGN_OR_RETURN(auto batch, loader_->Next());
      if (!batch.has_value()) {
        return MakeError(absl::StatusCode::kInternal, "DATA_ENDED",
                         absl::StrCat("the data of epoch ", position_.epoch,
                                      " ended before its last batch"));
      }
      if (buckets_ && i + 1 == wanted) buckets_->Arm();
      CONDENSE_ASSIGN_OR_RETURN(const double loss, OneBatch(*batch));
      info.loss += loss / static_cast<double>(wanted);
      info.samples += batch->count;
    }
    if (buckets_) buckets_->Finish();
    info.loss = SharedLoss(info.loss);
    if (!std::isfinite(info.loss)) return LossFailed();
    CONDENSE_RETURN_IF_ERROR(Update(wanted, &info));
    if (watch_.Diverged(info.loss, classes_)) {
      Fault fault;
      if (options_.graph != nullptr) {
        fault = FindLargest(*options_.graph, last_batch_, model_);
      }
      return Failed("DIVERGED",
                    absl::StrCat("the loss stayed above ", watch_.bound(),
                                 " for ", options_.divergence.steps, " steps"),
                    fault,
                    "lower the learning rate, or set clip_norm or "
                    "warmup_epochs");
    }
  } catch (const std::exception& error) {
    return RuntimeError(error);
  }
  MoveOn(wanted);
  info.data_wait_seconds = loader_->wait_seconds() - waited;
  info.seconds =
      absl::ToDoubleSeconds(absl::Now() - start) - info.data_wait_seconds;
  info.next = position_;
  return info;
}

absl::StatusOr<Measurement> Trainer::Measure() {
  const torch::NoGradGuard no_grad;
  ShareBuffers();
  const bool averaged = !average_.empty();
  if (averaged) average_.Exchange();
  Refresh();
  CONDENSE_ASSIGN_OR_RETURN(Measurement measured, evaluation_());
  if (buckets_) {
    for (auto& [name, value] : measured.metrics) {
      value = options_.collective->FromLeader(value);
    }
  }
  if (early_stop_->IsBest(measured)) best_.Take();
  if (averaged) average_.Exchange();
  model_->SetTraining(options_.training_mode);
  return measured;
}

absl::Status Trainer::MeasureIfDue(StepInfo* info) {
  if (!early_stop_ || position_.batch != 0) return absl::OkStatus();
  const bool last = position_.epoch == options_.epochs;
  if (!last && position_.epoch % early_stop_->options().every_epochs != 0) {
    return absl::OkStatus();
  }
  try {
    CONDENSE_ASSIGN_OR_RETURN(info->evaluated, Measure());
  } catch (const std::exception& error) {
    return RuntimeError(error);
  }
  return absl::OkStatus();
}

bool Trainer::Done() const {
  return position_.epoch >= options_.epochs || stopped_early();
}

absl::Status Trainer::Finish() {
  const torch::NoGradGuard no_grad;
  try {
    ShareBuffers();
  } catch (const std::exception& error) {
    return RuntimeError(error);
  }
  if (!best_.empty()) {
    best_.Give();
  } else if (!average_.empty()) {
    average_.Give();
  }
  Refresh();
  model_->SetTraining(false);
  optimizer_.ZeroGrad();
  last_batch_ = {};
  return absl::OkStatus();
}

absl::StatusOr<bool> Trainer::Run(
    const std::function<Next(const StepInfo&)>& after_step) {
  CONDENSE_CHECK(!early_stop_ || evaluation_);
  model_->SetTraining(options_.training_mode);
  if (position_.step == 0) SeedGenerators(options_.seed);
  if (!Done()) loader_->Seek(position_.epoch, position_.batch);
  while (!Done()) {
    CONDENSE_ASSIGN_OR_RETURN(StepInfo info, OneStep());
    CONDENSE_RETURN_IF_ERROR(MeasureIfDue(&info));
    Next next = after_step(info);
    try {
      next = SharedNext(next);
    } catch (const std::exception& error) {
      return RuntimeError(error);
    }
    if (next == Next::kStop) {
      model_->SetTraining(false);
      return false;
    }
    if (next == Next::kFinish) break;
  }
  CONDENSE_RETURN_IF_ERROR(Finish());
  return true;
}

TensorMap Trainer::State() const {
  TensorMap state = optimizer_.State();
  state.merge(ModelTensors(model_));
  average_.AddTo(kAverage, &state);
  best_.AddTo(kBest, &state);
  if (early_stop_) state[kEarlyStop] = early_stop_->State();
  state[kWatch] = watch_.State();
  state.merge(GeneratorStates(model_->device()));
  if (scaler_) state.merge(scaler_->State());
  return state;
}

absl::Status Trainer::Restore(const Position& position,
                              const TensorMap& state) {
  torch::NoGradGuard no_grad;
  CONDENSE_RETURN_IF_ERROR(CopyInto(state, "", ModelTensors(model_)));
  CONDENSE_RETURN_IF_ERROR(optimizer_.Restore(state));
  CONDENSE_RETURN_IF_ERROR(average_.Restore(kAverage, state));
  CONDENSE_RETURN_IF_ERROR(best_.Restore(kBest, state));
  for (const auto& [key, size] :
       {std::pair<const char*, int64_t>{kWatch, 2},
        {early_stop_ ? kEarlyStop : kWatch, early_stop_ ? 3 : 2}}) {
    const auto it = state.find(key);
    if (it == state.end() || it->second.numel() != size ||
        it->second.scalar_type() != torch::kFloat64) {
      return MakeError(absl::StatusCode::kDataLoss, "CHECKPOINT_CORRUPT",
                       absl::StrCat("the checkpoint lacks '", key, "'"));
    }
  }
  if (scaler_) CONDENSE_RETURN_IF_ERROR(scaler_->Restore(state));
  watch_.Restore(state.at(kWatch));
  if (early_stop_) early_stop_->Restore(state.at(kEarlyStop));
  CONDENSE_RETURN_IF_ERROR(RestoreGenerators(model_->device(), state));
  position_ = position;
  return absl::OkStatus();
}

}  // namespace condense::training
