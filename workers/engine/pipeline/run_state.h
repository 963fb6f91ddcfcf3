#ifndef CONDENSE_WORKERS_ENGINE_PIPELINE_RUN_STATE_H_
#define CONDENSE_WORKERS_ENGINE_PIPELINE_RUN_STATE_H_

#include <torch/torch.h>

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/cord.h"
#include "workers/engine/graph/graph.h"
#include "workers/engine/pipeline/compute.h"
#include "workers/engine/report/report.h"
#include "workers/engine/training/checkpoint.h"
#include "workers/engine/training/trainer.h"

namespace condense::pipeline {

// A task in the middle: where its training stands.
struct TrainingState {
  training::Position position;
  // Of training::Trainer::State.
  std::map<std::string, torch::Tensor> tensors;
};

// One row of the report's stages, and whose it is.
struct StageRow {
  report::Stage stage;
  // "": shared by all profiles.
  std::string profile;
};

// Everything that changes while a job runs: what a checkpoint holds.
struct RunState {
  // Tasks that are done.
  size_t task = 0;
  // Optimizer steps since the job's start, those on synthetic images too.
  int64_t steps = 0;
  // Of work on the job, in all attempts up to this state.
  double elapsed_seconds = 0;
  // That measuring the original model took.
  double baseline_seconds = 0;
  // What the next task works on.
  graph::Graph graph;
  // After the stages that all profiles share; what each tail starts from.
  graph::Graph shared;
  std::optional<training::Measurement> shared_figures;
  // Simulations that are ready to export, by profile id.
  std::map<std::string, graph::Graph> finished;
  // Node names that were left alone, and why.
  std::map<std::string, std::string> frozen;
  // What quantized weights lose, by "PROFILE/NODE" (WeightNoiseDb): the weights
  // in `finished` may be the rounded ones.
  std::map<std::string, double> weight_snr_db;
  // Of the original model; absent without evaluation data.
  std::optional<training::Measurement> baseline;
  // Of `graph`, if it is known.
  std::optional<training::Measurement> current;
  std::vector<StageRow> rows;
  std::map<std::string, std::vector<std::pair<int64_t, double>>> curves;
  std::vector<std::string> warnings;
  // How training computes.
  ComputeChoice compute;
  // Of quantization::Synthesizer::State, from the first step on.
  std::map<std::string, torch::Tensor> synthetic;
  // Set only inside of a task that trains.
  std::optional<TrainingState> training;
};

// Into state.weight_snr_db, by node name for this profile.
void KeepWeightNoise(const std::map<std::string, double>& snr_db,
                     const std::string& profile, RunState* state);

// The graphs of a state as bytes, by their name in a checkpoint. They do not
// change while a task trains.
using GraphBlobs = std::map<std::string, absl::Cord>;
absl::StatusOr<GraphBlobs> GraphsOf(const RunState& state);

// To a checkpoint without fingerprint, and back (DATA_LOSS with reason
// CHECKPOINT_CORRUPT). `graphs` is GraphsOf(state); tensors are shared.
training::Checkpoint ToCheckpoint(const RunState& state,
                                  const GraphBlobs& graphs);
absl::StatusOr<RunState> FromCheckpoint(const training::Checkpoint& checkpoint);

// The graph as a checkpoint gives it back: what a run that goes on works on and
// one that was interrupted are then the same to the last name.
absl::StatusOr<graph::Graph> Normalized(const graph::Graph& graph);

}  // namespace condense::pipeline

#endif  // CONDENSE_WORKERS_ENGINE_PIPELINE_RUN_STATE_H_
