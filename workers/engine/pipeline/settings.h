#ifndef CONDENSE_WORKERS_ENGINE_PIPELINE_SETTINGS_H_
#define CONDENSE_WORKERS_ENGINE_PIPELINE_SETTINGS_H_

#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/recipe/recipe.h"
#include "condense/v1/recipe.pb.h"
#include "workers/engine/data/transform.h"
#include "workers/engine/evaluation/gates.h"
#include "workers/engine/graph/graph.h"
#include "workers/engine/pruning/importance.h"
#include "workers/engine/training/optimizer.h"
#include "workers/engine/training/trainer.h"

namespace condense::pipeline {

// The recipe's messages (resolved) in the terms of the rooms below.

data::Preprocess PreprocessOf(const v1::Preprocess& preprocess);
// Of single samples, and of batches (0: none).
std::vector<data::Augmentation> AugmentationsOf(const v1::DataSource& source);
double MixupAlphaOf(const v1::DataSource& source);
training::OptimizerOptions OptimizerOf(const v1::Optimizer& optimizer);
training::ScheduleOptions ScheduleOf(v1::LrSchedule schedule,
                                     const v1::LrShape& shape);
pruning::Criterion CriterionOf(v1::Prune::Criterion criterion);
evaluation::Bounds BoundsOf(const v1::Gates& gates);

// What finetune and qat have in common.
struct TrainingSettings {
  int64_t batch_size = 64;
  double label_smoothing = 0;
  std::vector<v1::KdLoss> kd;
  // Of a quantize stage; finetuning has labels, but for task verification.
  v1::Quantize::QatData data = v1::Quantize::LABELED;
  training::TrainOptions train;

  bool has_labels() const { return data == v1::Quantize::LABELED; }
  bool has_teacher() const { return !has_labels() || !kd.empty(); }
};
TrainingSettings TrainingOf(const v1::Finetune& finetune);
TrainingSettings TrainingOf(const v1::Quantize& quantize);

// Names of the graph's nodes that stage `stage`'s prune overrides freeze.
// Errors as MatchingNodes.
absl::StatusOr<std::set<std::string>> FrozenNodes(
    const recipe::ParsedRecipe& parsed, const v1::Prune& prune, int stage,
    const graph::Graph& graph);

}  // namespace condense::pipeline

#endif  // CONDENSE_WORKERS_ENGINE_PIPELINE_SETTINGS_H_
