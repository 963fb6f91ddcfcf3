#ifndef CONDENSE_WORKERS_ENGINE_TRAINING_EARLY_STOP_H_
#define CONDENSE_WORKERS_ENGINE_TRAINING_EARLY_STOP_H_

#include <torch/torch.h>

#include <cstdint>

#include "workers/engine/training/measurement.h"

namespace condense::training {

struct EarlyStopOptions {
  // The main one of the task, of which more is better; or "loss".
  enum class Metric { kMain, kLoss };
  Metric metric = Metric::kMain;
  // Epochs between two measurements.
  int64_t every_epochs = 1;
  // Measurements without progress before it ends.
  int64_t patience = 5;
  // A score must be better than the best by more than this.
  double min_delta = 0;
};

// Ends training when measurements show no progress any more.
class EarlyStop {
 public:
  explicit EarlyStop(EarlyStopOptions options) : options_(options) {}

  const EarlyStopOptions& options() const { return options_; }
  // Notes a measurement; true: it is the best so far. A score that is absent or
  // not a number never is.
  bool IsBest(const Measurement& measured);
  bool exhausted() const { return without_progress_ >= options_.patience; }

  // One tensor, for checkpoints.
  torch::Tensor State() const;
  void Restore(const torch::Tensor& state);

 private:
  const EarlyStopOptions options_;
  int64_t measured_ = 0;
  int64_t without_progress_ = 0;
  double best_ = 0;
};

}  // namespace condense::training

#endif  // CONDENSE_WORKERS_ENGINE_TRAINING_EARLY_STOP_H_
