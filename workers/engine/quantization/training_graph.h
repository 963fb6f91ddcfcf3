#ifndef CONDENSE_WORKERS_ENGINE_QUANTIZATION_TRAINING_GRAPH_H_
#define CONDENSE_WORKERS_ENGINE_QUANTIZATION_TRAINING_GRAPH_H_

#include "absl/status/status.h"
#include "workers/engine/graph/graph.h"

namespace condense::quantization {

// Who finds the scales.
enum class ScaleRule {
  // Weights by their scheme at every step, activations as they are.
  kGiven,
  // runtime::LearnedStep::kLsq for both; weights begin at
  // 2 mean |w| / sqrt(qmax), or with what they have where they are "trained".
  kLsq,
  // runtime::LearnedStep::kPact for activations that are never negative.
  kPact
};

struct TrainingGraphOptions {
  ScaleRule rule = ScaleRule::kGiven;
  // Activation quantizers whose scale is not learnt watch what enters them (see
  // RangeAverage).
  bool observe = false;
};

// The graph that QAT runs instead of `graph`, which has its quantizers placed
// and calibrated: the same function of the same constants by fewer passes over
// memory.
//  * Weights take levels and scale from themselves at every step, if those are
//    not learnt.
//  * Relu, Clip and Add in front of a quantizer become part of it (attribute
//    `before`, input `addend`).
//  * A quantizer behind an operator that only moves elements, with the scale of
//    the one before that operator, changes nothing and is left out.
//  * A quantizer works in place where nobody else reads its input, not even the
//    backward pass of what made it.
// Value ids and names of constants are those of `graph`; with `observe` a
// constant "<scale>.range" {low, high, seen low, seen high} comes per scale.
graph::Graph TrainingGraph(const graph::Graph& graph,
                           const TrainingGraphOptions& options);

// Copies every constant that both graphs have by name from `trained` to
// `graph`.
void TakeTrained(const graph::Graph& trained, graph::Graph* graph);

}  // namespace condense::quantization

#endif  // CONDENSE_WORKERS_ENGINE_QUANTIZATION_TRAINING_GRAPH_H_
