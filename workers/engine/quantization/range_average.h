#ifndef CONDENSE_WORKERS_ENGINE_QUANTIZATION_RANGE_AVERAGE_H_
#define CONDENSE_WORKERS_ENGINE_QUANTIZATION_RANGE_AVERAGE_H_

#include <vector>

#include "workers/engine/graph/graph.h"
#include "workers/engine/quantization/quantizer.h"
#include "workers/engine/runtime/executor.h"

namespace condense::quantization {

// Moves the grids of activations while QAT trains: each follows an exponential
// average of the smallest and largest value that its quantizers saw (Jacob et
// al., arXiv:1712.05877, 3.1). A step quantizes on the grid that the steps
// before it gave, so that one pass over a tensor both quantizes and observes.
// Quantizers that share a scale are observed together. Not thread-safe.
class RangeAverage {
 public:
  struct Options {
    // average += rate * (seen - average).
    double rate = 0.01;
    bool symmetric = false;
    bool power_of_two = false;
  };
  // `training_graph` is of TrainingGraph with `observe`, `executor` runs it and
  // must outlive this.
  RangeAverage(const graph::Graph& training_graph, runtime::Executor* executor,
               Options options);

  // Takes in what was seen since the last call; between two steps. What is not
  // finite is passed over.
  void Update();

 private:
  struct Quantizer {
    graph::ValueId scale = graph::kNoValue;
    graph::ValueId zero_point = graph::kNoValue;
    graph::ValueId range = graph::kNoValue;
    Levels levels;
  };

  runtime::Executor* const executor_;
  const Options options_;
  // One per scale.
  std::vector<Quantizer> quantizers_;
};

}  // namespace condense::quantization

#endif  // CONDENSE_WORKERS_ENGINE_QUANTIZATION_RANGE_AVERAGE_H_
