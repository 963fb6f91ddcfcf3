#include "workers/engine/training/evaluate.h"

#include <algorithm>

#include "common/error.h"
#include "common/status_macros.h"
#include "workers/engine/training/collective.h"

namespace condense::training {

absl::Status RuntimeError(const std::exception& error) {
  const std::string what = error.what();
  if (IsRankLost(error)) {
    return MakeError(absl::StatusCode::kUnavailable, "RANK_LOST",
                     what.substr(0, what.find('\n')));
  }
  const bool memory = what.find("out of memory") != std::string::npos ||
                      what.find("can't allocate") != std::string::npos;
  return MakeError(memory ? absl::StatusCode::kResourceExhausted
                          : absl::StatusCode::kInternal,
                   memory ? "OUT_OF_MEMORY" : "RUNTIME_ERROR",
                   what.substr(0, what.find('\n')));
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

torch::Tensor CrossEntropy(const TrainBatch& batch, const torch::Tensor& logits,
                           double smoothing) {
  return OverLabels(batch, [&](const torch::Tensor& labels) {
    return CrossEntropy(logits, labels, smoothing);
  });
}

torch::Tensor CrossEntropy(const torch::Tensor& logits,
                           const torch::Tensor& labels, double smoothing) {
  const torch::Tensor log_p = at::log_softmax(logits, 1);
  const torch::Tensor hard = at::nll_loss(log_p, labels);
  if (smoothing == 0) return hard;
  return (1 - smoothing) * hard - smoothing * log_p.mean();
}

namespace {

struct Sums {
  double hits = 0;
  double hits5 = 0;
  double loss = 0;
  int64_t samples = 0;
};

absl::Status AddToSums(const std::vector<torch::Tensor>& outputs,
                       const torch::Tensor& labels, Sums* sum) {
  try {
    const torch::Tensor logits = outputs.at(0).flatten(1);
    const int64_t k = std::min<int64_t>(5, logits.size(1));
    const torch::Tensor best = std::get<1>(logits.topk(k, 1));
    const torch::Tensor hit = best.eq(labels.unsqueeze(1));
    sum->hits += hit.slice(1, 0, 1).sum().item<double>();
    sum->hits5 += hit.sum().item<double>();
    sum->loss += CrossEntropy(logits, labels).item<double>() *
                 static_cast<double>(labels.size(0));
    sum->samples += labels.size(0);
    return absl::OkStatus();
  } catch (const std::exception& error) {
    return RuntimeError(error);
  }
}

}  // namespace

absl::Status RunEpoch(
    runtime::Executor* model, data::Loader* loader,
    const std::function<absl::Status(
        const data::Batch&, const std::vector<torch::Tensor>&)>& each) {
  torch::NoGradGuard no_grad;
  model->SetTraining(false);
  loader->Seek(0, 0);
  for (;;) {
    CONDENSE_ASSIGN_OR_RETURN(auto batch, loader->Next());
    if (!batch.has_value()) return absl::OkStatus();
    const TrainBatch tensors = ToTensors(*batch, model->device());
    CONDENSE_ASSIGN_OR_RETURN(std::vector<torch::Tensor> outputs,
                              model->Run({tensors.x}));
    CONDENSE_RETURN_IF_ERROR(each(*batch, outputs));
  }
}

Measurement ClassificationOf(double hits, double hits5, double loss,
                             int64_t samples) {
  const double n = static_cast<double>(std::max<int64_t>(1, samples));
  return {{{"top1", hits / n}, {"top5", hits5 / n}, {"loss", loss / n}},
          "top1",
          samples};
}

absl::StatusOr<Measurement> Evaluate(
    runtime::Executor* model, data::Loader* loader,
    const std::function<absl::Status(
        const data::Batch&, const std::vector<torch::Tensor>&)>& each) {
  Sums sum;
  CONDENSE_RETURN_IF_ERROR(RunEpoch(
      model, loader,
      [&](const data::Batch& batch,
          const std::vector<torch::Tensor>& outputs) -> absl::Status {
        const torch::Tensor labels =
            torch::tensor(batch.labels, torch::kInt64).to(model->device());
        CONDENSE_RETURN_IF_ERROR(AddToSums(outputs, labels, &sum));
        return each ? each(batch, outputs) : absl::OkStatus();
      }));
  return ClassificationOf(sum.hits, sum.hits5, sum.loss, sum.samples);
}

}  // namespace condense::training
