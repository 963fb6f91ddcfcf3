#include "workers/engine/pipeline/synthesis_task.h"

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/status_macros.h"
#include "workers/engine/pipeline/settings.h"
#include "workers/engine/quantization/synthesize.h"

namespace condense::pipeline {
namespace {

absl::StatusOr<std::unique_ptr<quantization::Synthesizer>> SynthesizerOf(
    const Job& job) {
  CONDENSE_ASSIGN_OR_RETURN(const data::Sample image, job.synthetic()->Get(0));
  quantization::SynthesisOptions options;
  options.images = job.synthetic()->size();
  options.seed = static_cast<uint64_t>(job.recipe().seed());
  options.device = job.device();
  return quantization::Synthesizer::Create(
      job.model(), PreprocessOf(job.recipe().data().preprocess()),
      {image.channels, image.height, image.width}, options);
}

void TellStep(RunContext* context, const quantization::Synthesizer& images) {
  v1::Progress progress;
  progress.set_step(images.step());
  progress.set_total_steps(images.total_steps());
  context->narrator().Progress(progress);
}

}  // namespace

absl::Status CheckSynthesis(const Job& job) {
  if (job.synthetic() == nullptr) return absl::OkStatus();
  if (quantization::HasStatistics(job.model())) {
    CONDENSE_ASSIGN_OR_RETURN(const auto images, SynthesizerOf(job));
    return images->Step().status();
  }
  // A quantize stage is the last.
  return recipe::ErrorAt(
      job.parsed(),
      absl::StrCat("stages[", job.recipe().stages_size() - 1,
                   "].quantize.qat_data"),
      absl::StatusCode::kInvalidArgument, "NO_BATCH_NORM",
      "images are made from the statistics of batch normalisation; the model "
      "has none, or they were folded into its convolutions",
      {.hint =
           "give the model as it was trained (TorchScript, or ONNX exported "
           "in training mode), or images without labels and qat_data: "
           "unlabeled"});
}

void TakeSynthetic(const Job& job, const torch::Tensor& images) {
  const torch::Tensor flat = images.contiguous();
  job.synthetic()->ReplacePixels(
      std::string(reinterpret_cast<const char*>(flat.data_ptr<uint8_t>()),
                  static_cast<size_t>(flat.numel())));
}

absl::Status RunSynthesis(RunContext* context, const Task& task) {
  context->narrator().Phase(v1::Job::CALIBRATING);
  const Job& job = context->job();
  RunState& state = context->state();
  CONDENSE_ASSIGN_OR_RETURN(const auto images, SynthesizerOf(job));
  if (!state.synthetic.empty()) images->Restore(state.synthetic);
  absl::Time start = absl::Now();
  double loss = 0;
  while (!images->done()) {
    CONDENSE_ASSIGN_OR_RETURN(loss, images->Step());
    TellStep(context, *images);
    const absl::Status interrupted = context->Interrupted();
    if (interrupted.ok() && !context->CheckpointIsDue()) continue;
    state.synthetic = images->State();
    report::Stage& row = context->Row(task);
    row.seconds += absl::ToDoubleSeconds(absl::Now() - start);
    start = absl::Now();
    CONDENSE_RETURN_IF_ERROR(interrupted);
    CONDENSE_RETURN_IF_ERROR(context->SaveCheckpoint());
  }
  state.synthetic = images->State();
  TakeSynthetic(job, images->images());
  context->Row(task).seconds += absl::ToDoubleSeconds(absl::Now() - start);
  context->narrator().Log(absl::StrCat(
      "made ", job.synthetic()->size(),
      " images from the statistics of batch normalisation; loss of the last "
      "step ",
      loss));
  return absl::OkStatus();
}

}  // namespace condense::pipeline
