#include "workers/engine/pipeline/qat_task.h"

#include <utility>

#include "common/status_macros.h"
#include "workers/engine/quantization/calibrate.h"
#include "workers/engine/quantization/live_batch_norm.h"
#include "workers/engine/quantization/quantizer_groups.h"
#include "workers/engine/quantization/training_graph.h"
#include "workers/engine/quantization/weight_noise.h"
#include "workers/engine/quantization/weight_quantizer.h"

namespace condense::pipeline {

namespace {

// Ranges of activations are observed while the model trains.
bool Follows(const v1::Quantize& quantize) {
  return quantize.qat().grids() == v1::Qat::FOLLOWING ||
         quantize.qat().grids() == v1::Qat::PACT;
}

// Of weights as they were trained; folding multiplies both by channel.
std::map<std::string, double> NoiseOfLevels(const graph::Graph& trained) {
  graph::Graph projected = trained;
  quantization::ProjectWeights(&projected);
  return quantization::WeightNoiseDb(trained, projected);
}

}  // namespace

bool TrainsBatchNorm(const v1::Quantize& quantize) {
  return quantize.mode() == v1::Quantize::QAT &&
         quantize.qat().batch_norm() == v1::Qat::LIVE;
}

void BeginQat(const v1::Quantize& quantize, const Task& task,
              graph::Graph* graph) {
  if (quantize.mode() != v1::Quantize::INCREMENTAL) return;
  quantization::FreezeShare(graph,
                            quantize.incremental().shares(task.step - 1));
}

graph::Graph QatGraph(const graph::Graph& graph, const v1::Quantize& quantize,
                      const Task& task) {
  quantization::TrainingGraphOptions options;
  options.observe = Follows(quantize);
  if (quantize.qat().grids() == v1::Qat::LSQ) {
    options.rule = quantization::ScaleRule::kLsq;
  } else if (quantize.qat().grids() == v1::Qat::PACT) {
    options.rule = quantization::ScaleRule::kPact;
  }
  if (quantize.mode() == v1::Quantize::INCREMENTAL) {
    return quantization::TrainingGraph(
        quantization::WithoutWeightQuantizers(graph), options);
  }
  if (quantize.has_blocks()) {
    return quantization::TrainingGraph(
        quantization::UpToGroup(graph, task.step - 1), options);
  }
  return quantization::TrainingGraph(graph, options);
}

QatSteps::QatSteps(const graph::Graph& calibrated, const graph::Graph& graph,
                   const v1::Quantize& quantize, runtime::Executor* executor)
    : executor_(executor), freeze_after_(quantize.qat().freeze_after()) {
  if (quantize.mode() == v1::Quantize::INCREMENTAL) {
    frozen_ =
        std::make_unique<quantization::FrozenWeights>(calibrated, executor);
  }
  if (!Follows(quantize)) return;
  quantization::RangeAverage::Options options;
  options.symmetric = quantize.activations().scheme() == v1::SYMMETRIC;
  options.power_of_two = quantize.activations().scheme() == v1::POWER_OF_TWO;
  ranges_ =
      std::make_unique<quantization::RangeAverage>(graph, executor, options);
}

void QatSteps::Before(int64_t step, int64_t total) {
  const bool frozen =
      static_cast<double>(step) >= freeze_after_ * static_cast<double>(total);
  if (frozen_ != nullptr) frozen_->Hold();
  if (ranges_ != nullptr && executor_->training()) ranges_->Update();
  // Out of training mode statistics and observers stand still; weights follow.
  executor_->SetTraining(!frozen);
}

absl::StatusOr<std::map<std::string, double>> FinishQat(
    graph::Graph qat_graph, const v1::Quantize& quantize, const Task& task,
    runtime::Executor* executor, graph::Graph* graph) {
  const bool learned = quantize.qat().grids() == v1::Qat::LSQ;
  if (!learned) quantization::RefreshWeightScales(qat_graph, executor);
  CONDENSE_RETURN_IF_ERROR(executor->StoreTo(&qat_graph));
  quantization::TakeTrained(qat_graph, graph);
  if (task.step < task.steps) {
    if (quantize.has_blocks()) quantization::MarkTrained(task.step - 1, graph);
    return std::map<std::string, double>();
  }
  if (quantize.has_blocks()) quantization::RemoveGroups(graph);
  if (quantize.mode() == v1::Quantize::INCREMENTAL) {
    quantization::FreezeShare(graph, 1);
  }
  auto noise = NoiseOfLevels(*graph);
  if (TrainsBatchNorm(quantize)) {
    CONDENSE_RETURN_IF_ERROR(quantization::FoldLiveBatchNorm(graph));
  }
  quantization::ProjectWeights(graph);
  quantization::SnapBiases(graph);
  return noise;
}

}  // namespace condense::pipeline
