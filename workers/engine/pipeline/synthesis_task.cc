#include "workers/engine/pipeline/synthesis_task.h"

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/status_macros.h"
#include "workers/engine/pipeline/settings.h"
#include "workers/engine/quantization/synthesize.h"
#include "workers/engine/training/evaluate.h"
#include "workers/engine/training/trainer.h"

namespace condense::pipeline {
namespace {

// A quantize stage is the last.
int StageOf(const Job& job) { return job.recipe().stages_size() - 1; }

quantization::SynthesisOptions OptionsOf(const Job& job) {
  quantization::SynthesisOptions options;
  options.images = job.synthetic()->size();
  // Where training has room for a batch, so have its images alone.
  options.batch_size =
      job.recipe().stages(StageOf(job)).quantize().batch_size();
  options.seed = static_cast<uint64_t>(job.recipe().seed());
  options.device = job.device();
  return options;
}

absl::StatusOr<std::unique_ptr<quantization::Synthesizer>> SynthesizerOf(
    const Job& job) {
  CONDENSE_ASSIGN_OR_RETURN(const data::Sample image, job.synthetic()->Get(0));
  return quantization::Synthesizer::Create(
      job.model(), PreprocessOf(job.recipe().data().preprocess()),
      {image.channels, image.height, image.width}, OptionsOf(job));
}

// What all ranks do after a step: what the leading one would.
training::Next Agreed(const RunContext& context, training::Next next) {
  if (context.collective() == nullptr) return next;
  return static_cast<training::Next>(
      context.collective()->FromLeader(static_cast<double>(next)));
}

// Ranks of other hardware round otherwise.
torch::Tensor OfLeader(const RunContext& context, const torch::Tensor& images) {
  if (context.collective() == nullptr) return images;
  const torch::Tensor shared = images.to(torch::Device(context.job().device()));
  context.collective()->TakeFromLeader(shared);
  return shared.cpu();
}

void CountStep(RunContext* context, const quantization::Synthesizer& images,
               absl::Duration took, report::Stage* row) {
  training::StepInfo info;
  info.next.step = images.step();
  info.total_steps = images.total_steps();
  info.seconds = absl::ToDoubleSeconds(took);
  ++row->steps;
  row->seconds += info.seconds;
  context->Advance(info);
}

// Makes images until they are all made or the time is up. CANCELLED as
// RunSynthesis.
absl::Status Make(RunContext* context, quantization::Synthesizer* images,
                  report::Stage* row) {
  const absl::Time deadline = context->TrainingDeadline(images->step());
  while (!images->done()) {
    const absl::Time start = absl::Now();
    CONDENSE_RETURN_IF_ERROR(images->Step().status());
    CountStep(context, *images, absl::Now() - start, row);
    const absl::Status interrupted = context->Interrupted();
    const bool late = absl::Now() >= deadline && !images->done();
    const training::Next next =
        Agreed(*context, !interrupted.ok() ? training::Next::kStop
                         : late            ? training::Next::kFinish
                                           : training::Next::kGoOn);
    if (next == training::Next::kFinish) {
      context->NoteCut("the synthesis of images", images->step(),
                       images->total_steps(), row);
      images->End();
      return absl::OkStatus();
    }
    const bool stop = next == training::Next::kStop;
    if (!stop && !context->CheckpointIsDue()) continue;
    context->state().synthetic = images->State();
    if (stop) {
      return interrupted.ok() ? absl::CancelledError("the leading rank stopped")
                              : interrupted;
    }
    CONDENSE_RETURN_IF_ERROR(context->SaveCheckpoint());
  }
  return absl::OkStatus();
}

}  // namespace

int64_t SynthesisSteps(const Job& job) {
  return quantization::StepsOf(OptionsOf(job));
}

absl::Status CheckSynthesis(const Job& job) {
  if (job.synthetic() == nullptr) return absl::OkStatus();
  if (quantization::HasStatistics(job.model())) {
    CONDENSE_ASSIGN_OR_RETURN(const auto images, SynthesizerOf(job));
    return images->Step().status();
  }
  return recipe::ErrorAt(
      job.parsed(),
      absl::StrCat("stages[", StageOf(job), "].quantize.qat_data"),
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
  try {
    CONDENSE_RETURN_IF_ERROR(Make(context, images.get(), &context->Row(task)));
    state.synthetic = {{"images", OfLeader(*context, images->images())}};
  } catch (const std::exception& error) {
    return training::RuntimeError(error);
  }
  TakeSynthetic(job, state.synthetic.at("images"));
  context->narrator().Log(
      absl::StrCat("made ", job.synthetic()->size(),
                   " images from the statistics of batch normalisation"));
  return absl::OkStatus();
}

}  // namespace condense::pipeline
