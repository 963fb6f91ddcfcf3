#include "workers/engine/pipeline/evaluator.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/error.h"
#include "common/status_macros.h"
#include "workers/engine/training/evaluate.h"

namespace condense::pipeline {
namespace {

// Folds of evaluation::FoldAccuracy.
constexpr int64_t kFolds = 10;

uint64_t SeedOf(const Job& job) {
  return static_cast<uint64_t>(job.recipe().seed());
}

absl::Status AddEmbeddings(const data::Batch& batch,
                           const std::vector<torch::Tensor>& outputs,
                           evaluation::EmbeddedSamples* samples) {
  try {
    const torch::Tensor rows =
        outputs.at(0).flatten(1).to(torch::kCPU, torch::kFloat32).contiguous();
    const int64_t size = rows.size(1);
    for (int64_t i = 0; i < rows.size(0); ++i) {
      samples->Add(batch.indices[i], rows.data_ptr<float>() + i * size, size);
    }
    return absl::OkStatus();
  } catch (const std::exception& error) {
    return training::RuntimeError(error);
  }
}

// [N, size], or [N, size, 1, ...].
bool IsEmbedding(const std::optional<graph::Shape>& shape) {
  if (!shape.has_value() || shape->size() < 2) return false;
  if ((*shape)[1].known() && (*shape)[1].value < 2) return false;
  return std::all_of(shape->begin() + 2, shape->end(), [](const auto& dim) {
    return dim.known() && dim.value == 1;
  });
}

absl::Status CheckOutput(const Job& job) {
  const graph::Value& out = job.model().value(job.model().outputs()[0]);
  if (IsEmbedding(out.shape)) return absl::OkStatus();
  return MakeError(
      absl::StatusCode::kInvalidArgument, "OUTPUT_SHAPE_MISMATCH",
      absl::StrCat("verification needs an output [N, size]; '", out.name,
                   "' is ", graph::ShapeText(out.shape)),
      {.hint = "give the model without the layers behind the embedding"});
}

absl::Status CheckPairs(const Job& job, const std::string& source) {
  const auto loader = job.EvalLoader();
  const evaluation::PairCounts pairs = evaluation::Count(evaluation::PairsAmong(
      loader->dataset(), loader->indices(), SeedOf(job)));
  if (pairs.same == 0 || pairs.different == 0) {
    return MakeError(
        absl::StatusCode::kInvalidArgument, "ONE_KIND_OF_PAIR",
        absl::StrCat("verification needs pairs that show the same and pairs "
                     "that do not; data '",
                     source, "' gives ", pairs.same, " of the one and ",
                     pairs.different, " of the other kind"),
        {.field = absl::StrCat("data.", source),
         .hint = "two images of a subject at least, and two subjects"});
  }
  if (pairs.same + pairs.different >= kFolds || !NeedsAccuracy(job.recipe())) {
    return absl::OkStatus();
  }
  return MakeError(
      absl::StatusCode::kInvalidArgument, "TOO_FEW_PAIRS",
      absl::StrCat("accuracy over ", kFolds,
                   " folds, which the recipe's gate "
                   "or early_stop is about, needs as many pairs; data '",
                   source, "' gives ", pairs.same + pairs.different),
      {.field = absl::StrCat("data.", source)});
}

}  // namespace

bool NeedsAccuracy(const v1::Recipe& recipe) {
  return recipe.gates().has_max_accuracy_drop() ||
         std::any_of(recipe.stages().begin(), recipe.stages().end(),
                     [](const v1::Stage& stage) {
                       return stage.finetune().has_early_stop() ||
                              stage.quantize().has_early_stop();
                     });
}

training::Measurement VerificationFiguresOf(
    const Job& job, const evaluation::EmbeddedSamples& samples) {
  const data::Dataset& dataset = *job.Data(job.recipe().data().eval().source());
  const evaluation::VerificationFigures figures =
      evaluation::MeasureVerification(samples, dataset, SeedOf(job));
  training::Measurement out;
  out.main = "accuracy";
  out.samples = samples.embeddings.count;
  for (const auto& [name, value] : {std::pair{"accuracy", figures.accuracy},
                                    {"eer", figures.eer},
                                    {"tar_at_far_1e-3", figures.tar_at_far_1e3},
                                    {"rank1", figures.rank1}}) {
    if (value.has_value()) out.metrics[name] = *value;
  }
  return out;
}

absl::StatusOr<Evaluated> EvaluateModel(const Job& job,
                                        runtime::Executor* model,
                                        data::Loader* loader,
                                        const Interrupt& interrupted) {
  Evaluated out;
  if (!job.verifies()) {
    CONDENSE_ASSIGN_OR_RETURN(
        out.figures,
        training::Evaluate(model, loader, [&](const auto&, const auto&) {
          return interrupted();
        }));
    return out;
  }
  CONDENSE_RETURN_IF_ERROR(training::RunEpoch(
      model, loader, [&](const auto& batch, const auto& outputs) {
        const absl::Status added =
            AddEmbeddings(batch, outputs, &out.embeddings);
        return added.ok() ? interrupted() : added;
      }));
  out.figures = VerificationFiguresOf(job, out.embeddings);
  return out;
}

absl::StatusOr<Evaluated> EvaluateGraph(const Job& job,
                                        const graph::Graph& graph,
                                        data::Loader* loader,
                                        const Interrupt& interrupted) {
  CONDENSE_ASSIGN_OR_RETURN(
      auto executor,
      runtime::Executor::Create(graph, {.device = job.device()}));
  return EvaluateModel(job, executor.get(), loader, interrupted);
}

absl::Status CheckVerification(const Job& job) {
  CONDENSE_RETURN_IF_ERROR(CheckOutput(job));
  const std::string& source = job.recipe().data().eval().source();
  const data::Dataset* dataset = job.Data(source);
  if (dataset == nullptr) return absl::OkStatus();
  if (dataset->pairs().empty() && dataset->num_classes() == 0) {
    return MakeError(
        absl::StatusCode::kInvalidArgument, "LABELS_MISSING",
        absl::StrCat("data '", source,
                     "' does not say which images show the "
                     "same: it has neither pairs nor labels"),
        {.field = absl::StrCat("data.", source),
         .hint =
             "give a pair list with the header a,b,same, class folders (one "
             "for each subject), or a manifest with the header path,label"});
  }
  return CheckPairs(job, source);
}

}  // namespace condense::pipeline
