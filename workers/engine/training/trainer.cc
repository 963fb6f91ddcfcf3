#include "workers/engine/training/trainer.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/error.h"
#include "common/status_macros.h"

namespace condense::training {
namespace {

constexpr char kParameter[] = "parameter/";
constexpr char kBuffer[] = "buffer/";

absl::Status RuntimeError(const std::exception& error) {
  const std::string what = error.what();
  const bool memory = what.find("out of memory") != std::string::npos ||
                      what.find("can't allocate") != std::string::npos;
  return MakeError(memory ? absl::StatusCode::kResourceExhausted
                          : absl::StatusCode::kInternal,
                   memory ? "OUT_OF_MEMORY" : "RUNTIME_ERROR",
                   what.substr(0, what.find('\n')));
}

}  // namespace

double LearningRate(Schedule schedule, double lr, int64_t step, int64_t total) {
  if (schedule == Schedule::kConstant || total <= 0) return lr;
  return lr / 2 * (1 + std::cos(M_PI * static_cast<double>(step) / total));
}

TrainBatch ToTensors(const data::Batch& batch, const torch::Device& device) {
  const data::InputShape& s = batch.shape;
  std::vector<int64_t> shape = {batch.count, s.channels, s.height, s.width};
  if (batch.channels_last) shape = {batch.count, s.height, s.width, s.channels};
  TrainBatch out;
  out.x = torch::from_blob(const_cast<float*>(batch.pixels.data()), shape,
                           torch::kFloat32)
              .clone()
              .to(device);
  out.labels = torch::tensor(batch.labels, torch::kInt64).to(device);
  if (!batch.mixed_labels.empty()) {
    out.mixed_labels =
        torch::tensor(batch.mixed_labels, torch::kInt64).to(device);
    out.lambda = batch.lambda;
  }
  return out;
}

torch::Tensor OverLabels(
    const TrainBatch& batch,
    const std::function<torch::Tensor(const torch::Tensor&)>& loss) {
  if (!batch.mixed_labels.defined()) return loss(batch.labels);
  return batch.lambda * loss(batch.labels) +
         (1 - batch.lambda) * loss(batch.mixed_labels);
}

torch::Tensor CrossEntropyLoss(const TrainBatch& batch,
                               const std::vector<torch::Tensor>& outputs) {
  const torch::Tensor logs = at::log_softmax(outputs[0], 1);
  return OverLabels(batch, [&](const torch::Tensor& labels) {
    return at::nll_loss(logs, labels);
  });
}

Trainer::Trainer(runtime::Executor* model, data::Loader* loader,
                 LossFunction loss, TrainOptions options)
    : model_(model),
      loader_(loader),
      loss_(std::move(loss)),
      options_(options),
      optimizer_(model->parameters(), options.optimizer) {
  if (options_.loss_scaling) scaler_.emplace(*options_.loss_scaling);
}

int64_t Trainer::total_steps() const {
  return options_.epochs * loader_->batches_per_epoch();
}

absl::StatusOr<double> Trainer::OneStep(const data::Batch& batch, double lr) {
  try {
    if (before_step_) before_step_();
    optimizer_.ZeroGrad();
    const TrainBatch tensors = ToTensors(batch, model_->device());
    const std::vector<torch::Tensor> outputs = model_->Forward({tensors.x});
    const torch::Tensor loss = loss_(tensors, outputs);
    const double value = loss.item<double>();
    if (!std::isfinite(value)) {
      return MakeError(
          absl::StatusCode::kInvalidArgument, "NAN_LOSS",
          absl::StrCat("the loss is not finite at step ", position_.step,
                       " (learning rate ", lr, ")"),
          {.hint = "lower the learning rate, or look for extreme values in "
                   "the data"});
    }
    (scaler_ ? scaler_->Scale(loss) : loss).backward();
    if (!scaler_ || scaler_->Unscale(model_->parameters())) {
      optimizer_.Step(lr);
    }
    return value;
  } catch (const std::exception& error) {
    return RuntimeError(error);
  }
}

absl::StatusOr<bool> Trainer::Run(
    const std::function<Next(const StepInfo&)>& after_step) {
  model_->SetTraining(options_.training_mode);
  loader_->Seek(position_.epoch, position_.batch);
  const int64_t total = total_steps();
  while (position_.epoch < options_.epochs) {
    const double waited = loader_->wait_seconds();
    CONDENSE_ASSIGN_OR_RETURN(auto batch, loader_->Next());
    if (!batch.has_value()) {
      ++position_.epoch;
      position_.batch = 0;
      if (position_.epoch < options_.epochs) loader_->Seek(position_.epoch, 0);
      continue;
    }
    StepInfo info;
    info.lr = LearningRate(options_.schedule, options_.optimizer.lr,
                           position_.step, total);
    const absl::Time start = absl::Now();
    CONDENSE_ASSIGN_OR_RETURN(info.loss, OneStep(*batch, info.lr));
    ++position_.step;
    ++position_.batch;
    info.seconds = absl::ToDoubleSeconds(absl::Now() - start);
    info.next = position_;
    info.total_steps = total;
    info.samples = batch->count;
    info.data_wait_seconds = loader_->wait_seconds() - waited;
    if (after_step(info) == Next::kStop) {
      model_->SetTraining(false);
      return false;
    }
  }
  model_->SetTraining(false);
  optimizer_.ZeroGrad();
  return true;
}

std::map<std::string, torch::Tensor> Trainer::State() const {
  std::map<std::string, torch::Tensor> state = optimizer_.State();
  for (const runtime::Parameter& parameter : model_->parameters()) {
    state[kParameter + parameter.name] = parameter.tensor;
  }
  for (const auto& [name, tensor] : model_->buffers()) {
    state[kBuffer + name] = tensor;
  }
  if (scaler_) state.merge(scaler_->State());
  return state;
}

absl::Status Trainer::Restore(
    const Position& position,
    const std::map<std::string, torch::Tensor>& state) {
  torch::NoGradGuard no_grad;
  auto copy = [&](const std::string& key,
                  torch::Tensor* tensor) -> absl::Status {
    auto it = state.find(key);
    if (it == state.end() || it->second.sizes() != tensor->sizes()) {
      return MakeError(absl::StatusCode::kDataLoss, "CHECKPOINT_CORRUPT",
                       absl::StrCat("the checkpoint lacks '", key, "'"));
    }
    tensor->copy_(it->second);
    return absl::OkStatus();
  };
  for (runtime::Parameter& parameter : model_->parameters()) {
    CONDENSE_RETURN_IF_ERROR(
        copy(kParameter + parameter.name, &parameter.tensor));
  }
  for (auto& [name, tensor] : model_->buffers()) {
    CONDENSE_RETURN_IF_ERROR(copy(kBuffer + name, &tensor));
  }
  CONDENSE_RETURN_IF_ERROR(optimizer_.Restore(state));
  if (scaler_) CONDENSE_RETURN_IF_ERROR(scaler_->Restore(state));
  position_ = position;
  return absl::OkStatus();
}

namespace {

// Adds a batch to sums of hits and losses.
absl::Status AddToSums(const std::vector<torch::Tensor>& outputs,
                       const torch::Tensor& labels, Accuracy* sum) {
  try {
    const torch::Tensor logits = outputs.at(0).flatten(1);
    const int64_t k = std::min<int64_t>(5, logits.size(1));
    const torch::Tensor best = std::get<1>(logits.topk(k, 1));
    const torch::Tensor hit = best.eq(labels.unsqueeze(1));
    sum->top1 += hit.slice(1, 0, 1).sum().item<double>();
    sum->top5 += hit.sum().item<double>();
    sum->loss +=
        at::nll_loss(at::log_softmax(logits, 1), labels).item<double>() *
        static_cast<double>(labels.size(0));
    sum->samples += labels.size(0);
    return absl::OkStatus();
  } catch (const std::exception& error) {
    return RuntimeError(error);
  }
}

}  // namespace

absl::StatusOr<Accuracy> Evaluate(
    runtime::Executor* model, data::Loader* loader,
    const std::function<absl::Status(
        const data::Batch&, const std::vector<torch::Tensor>&)>& each) {
  torch::NoGradGuard no_grad;
  model->SetTraining(false);
  loader->Seek(0, 0);
  Accuracy sum;
  for (;;) {
    CONDENSE_ASSIGN_OR_RETURN(auto batch, loader->Next());
    if (!batch.has_value()) break;
    const TrainBatch tensors = ToTensors(*batch, model->device());
    CONDENSE_ASSIGN_OR_RETURN(std::vector<torch::Tensor> outputs,
                              model->Run({tensors.x}));
    CONDENSE_RETURN_IF_ERROR(AddToSums(outputs, tensors.labels, &sum));
    if (each) CONDENSE_RETURN_IF_ERROR(each(*batch, outputs));
  }
  const double n = std::max<int64_t>(1, sum.samples);
  return Accuracy{sum.top1 / n, sum.top5 / n, sum.loss / n, sum.samples};
}

}  // namespace condense::training
