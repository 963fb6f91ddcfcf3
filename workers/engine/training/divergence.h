#ifndef CONDENSE_WORKERS_ENGINE_TRAINING_DIVERGENCE_H_
#define CONDENSE_WORKERS_ENGINE_TRAINING_DIVERGENCE_H_

#include <torch/torch.h>

#include <cstdint>
#include <string>

#include "workers/engine/graph/graph.h"
#include "workers/engine/runtime/executor.h"
#include "workers/engine/training/evaluate.h"

namespace condense::training {

struct DivergenceOptions {
  double factor = 10;
  // In a row.
  int64_t steps = 100;
};

// Notices that the loss stays above `factor` times the larger of the first
// step's loss and that of guessing, ln(classes).
class DivergenceWatch {
 public:
  explicit DivergenceWatch(DivergenceOptions options) : options_(options) {}

  // Notes one step's loss; true: training has diverged.
  bool Diverged(double loss, int64_t classes);
  double bound() const { return options_.factor * reference_; }

  // One tensor, for checkpoints.
  torch::Tensor State() const;
  void Restore(const torch::Tensor& state);

 private:
  const DivergenceOptions options_;
  // 0: no step yet.
  double reference_ = 0;
  int64_t above_ = 0;
};

// A place in the model and what is wrong there.
struct Fault {
  // The node's name; empty: not in a layer.
  std::string node;
  std::string what;
};

// Runs the batch once more and finds where values stop being finite: in the
// data, in a parameter, or in the first node whose output is not (infinite
// constants of the model, as attention masks have them, excuse the nodes that
// read them). `graph` is what the executor was made from. Statistics of
// normalisation move: for a run that ends here. LibTorch's exceptions pass.
Fault FindNotFinite(const graph::Graph& graph, const TrainBatch& batch,
                    runtime::Executor* model);

// The node whose output is the largest, and that value.
Fault FindLargest(const graph::Graph& graph, const TrainBatch& batch,
                  runtime::Executor* model);

// A node that reads the value of this name; "" without one.
std::string ReaderOf(const graph::Graph& graph, const std::string& value);

}  // namespace condense::training

#endif  // CONDENSE_WORKERS_ENGINE_TRAINING_DIVERGENCE_H_
