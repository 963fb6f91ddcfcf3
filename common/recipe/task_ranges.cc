#include "common/recipe/task_ranges.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace condense::recipe {
namespace {

absl::Status Refused(const ParsedRecipe& parsed, const std::string& path,
                     const std::string& message, const std::string& hint) {
  return ErrorAt(parsed, path, absl::StatusCode::kInvalidArgument,
                 "UNSUPPORTED_COMBINATION", message, {.hint = hint});
}

// early_stop watches a figure that the task has.
absl::Status CheckMetric(const ParsedRecipe& parsed, const std::string& path,
                         const v1::EarlyStop& stop, bool verification) {
  const v1::EarlyStop::Metric metric = stop.metric();
  if (metric == v1::EarlyStop::METRIC_UNSPECIFIED ||
      (metric == v1::EarlyStop::ACCURACY) == verification) {
    return absl::OkStatus();
  }
  return Refused(parsed, path + ".early_stop.metric",
                 verification ? "task verification has no top1 and no loss of "
                                "classes to watch"
                              : "'accuracy' is of task verification",
                 verification ? "accuracy" : "top1 or loss");
}

// Embeddings are trained against the teacher's, without labels.
template <typename Training>
absl::Status CheckTeaching(const ParsedRecipe& parsed, const std::string& path,
                           const Training& training) {
  if (training.kd_size() > 0) {
    return Refused(parsed, path + ".kd",
                   "losses of 'kd' compare classes; with task verification the "
                   "outputs are embeddings",
                   "leave out 'kd': the loss is 1 - cosine with the teacher's "
                   "embedding");
  }
  if (training.label_smoothing() > 0) {
    return ErrorAt(parsed, path + ".label_smoothing",
                   absl::StatusCode::kInvalidArgument, "UNUSED_KEY",
                   "task verification trains without labels: there are none to "
                   "smooth");
  }
  return absl::OkStatus();
}

template <typename Training>
absl::Status CheckStageTraining(const ParsedRecipe& parsed,
                                const std::string& path,
                                const Training& training, bool verification) {
  CONDENSE_RETURN_IF_ERROR(
      CheckMetric(parsed, path, training.early_stop(), verification));
  return verification ? CheckTeaching(parsed, path, training)
                      : absl::OkStatus();
}

}  // namespace

absl::Status CheckGatesOfTask(const ParsedRecipe& parsed,
                              v1::Recipe::Task task) {
  if (!parsed.recipe.gates().has_max_eer_increase() ||
      task == v1::Recipe::VERIFICATION) {
    return absl::OkStatus();
  }
  return Refused(parsed, "gates.max_eer_increase",
                 "the equal error rate is measured with task verification only",
                 "task: verification, or the gate max_accuracy_drop");
}

absl::Status CheckTask(const ParsedRecipe& parsed) {
  const v1::Recipe& recipe = parsed.recipe;
  const bool verification = recipe.task() == v1::Recipe::VERIFICATION;
  CONDENSE_RETURN_IF_ERROR(CheckGatesOfTask(parsed, recipe.task()));
  for (int i = 0; i < recipe.stages_size(); ++i) {
    const v1::Stage& stage = recipe.stages(i);
    const std::string path = absl::StrCat("stages[", i, "].");
    if (verification && stage.quantize().qat_data() == v1::Quantize::LABELED) {
      return Refused(parsed, path + "quantize.qat_data",
                     "an embedding has no classes to be trained on labels by",
                     "unlabeled (the default here) or synthetic");
    }
    CONDENSE_RETURN_IF_ERROR(CheckStageTraining(
        parsed, path + "finetune", stage.finetune(), verification));
    CONDENSE_RETURN_IF_ERROR(CheckStageTraining(
        parsed, path + "quantize", stage.quantize(), verification));
  }
  return absl::OkStatus();
}

}  // namespace condense::recipe
