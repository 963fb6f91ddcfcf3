#ifndef CONDENSE_WORKERS_ENGINE_PIPELINE_QAT_TASK_H_
#define CONDENSE_WORKERS_ENGINE_PIPELINE_QAT_TASK_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "condense/v1/recipe.pb.h"
#include "workers/engine/graph/graph.h"
#include "workers/engine/pipeline/tasks.h"
#include "workers/engine/quantization/incremental.h"
#include "workers/engine/quantization/range_average.h"
#include "workers/engine/runtime/executor.h"

namespace condense::pipeline {

// What a quantize stage in mode qat or incremental does besides training: the
// graph that is trained, what happens between its steps, and the simulation
// that comes out. A stage has one task, or one for each block (qat) or share
// (incremental); between them the calibrated graph, with all quantizers,
// carries what is known of them.

// Batch normalisation stays in the graph while QAT trains.
bool TrainsBatchNorm(const v1::Quantize& quantize);

// Before the task trains: freezes its share of the weights. Doing so again
// changes nothing.
void BeginQat(const v1::Quantize& quantize, const Task& task,
              graph::Graph* graph);

// What the task trains, of the calibrated graph.
graph::Graph QatGraph(const graph::Graph& graph, const v1::Quantize& quantize,
                      const Task& task);

class QatSteps {
 public:
  // `graph` is the QatGraph of `calibrated` that `executor` runs; `graph` and
  // `executor` must outlive this.
  QatSteps(const graph::Graph& calibrated, const graph::Graph& graph,
           const v1::Quantize& quantize, runtime::Executor* executor);
  // Before step `step` of `total`, from 0.
  void Before(int64_t step, int64_t total);

 private:
  runtime::Executor* const executor_;
  const double freeze_after_;
  // Null where grids do not follow.
  std::unique_ptr<quantization::RangeAverage> ranges_;
  // Null but in mode incremental.
  std::unique_ptr<quantization::FrozenWeights> frozen_;
};

// Writes what `executor` has learnt into `graph`, which the QatGraph was made
// of. After the last task that is the simulation that is exported, and what is
// returned is its WeightNoiseDb against the weights that were trained; else
// that is empty.
absl::StatusOr<std::map<std::string, double>> FinishQat(
    graph::Graph qat_graph, const v1::Quantize& quantize, const Task& task,
    runtime::Executor* executor, graph::Graph* graph);

}  // namespace condense::pipeline

#endif  // CONDENSE_WORKERS_ENGINE_PIPELINE_QAT_TASK_H_
