#ifndef CONDENSE_WORKERS_ENGINE_QUANTIZATION_CALIBRATE_H_
#define CONDENSE_WORKERS_ENGINE_QUANTIZATION_CALIBRATE_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "workers/engine/data/loader.h"
#include "workers/engine/graph/graph.h"
#include "workers/engine/quantization/observer.h"
#include "workers/engine/runtime/executor.h"

namespace condense::quantization {

struct CalibrateOptions {
  ObserverOptions observer;
  bool symmetric = false;
  std::string device = "cpu";
};

// Something about a result that a person should know.
struct Note {
  // Upper case, as in warnings of a job.
  std::string reason;
  std::string text;
};

// Runs the float graph (the quantizers of `graph` left out) over one epoch of
// the loader, watches every quantized activation and writes scales and zero
// points into `graph`. Stores no activation. `progress` is called after each
// batch with batches done and in all. `notes`, if given, gets
// CONSTANT_ACTIVATION for a quantizer that saw one value only. INVALID_ARGUMENT
// with reason NO_CALIBRATION and the node where no finite value was seen;
// errors of the loader and the executor.
absl::Status Calibrate(graph::Graph* graph, data::Loader* loader,
                       const CalibrateOptions& options,
                       const std::function<void(int64_t, int64_t)>& progress,
                       std::vector<Note>* notes = nullptr);

// The first `count` inputs of the loader (fewer where it has no more) as one
// batch on the CPU. Errors of the loader.
absl::StatusOr<torch::Tensor> TakeSamples(data::Loader* loader, int64_t count);

// Runs `executor` over one epoch of the loader, or its first `samples` where
// that is above 0, a few images at a time, so that memory does not depend on
// the batches. `progress`, if given, is called after each batch. Errors of the
// loader and the executor.
absl::Status RunOver(data::Loader* loader, int64_t samples,
                     runtime::Executor* executor,
                     const std::function<void(int64_t, int64_t)>& progress);

// Sets every weight's scale, and zero point where it has one, from the weight
// as it is (runtime::FitGrid; before each step of QAT).
void RefreshWeightScales(const graph::Graph& graph,
                         runtime::Executor* executor);

// Rounds biases to the grid of int32 at scale s_x * s_w that the file will
// hold, so that simulation and file are the same function. Where weights are so
// small that a bias would not fit, their scale is widened first; a bias that
// two layers read becomes one for each. Call last.
void SnapBiases(graph::Graph* graph);

}  // namespace condense::quantization

#endif  // CONDENSE_WORKERS_ENGINE_QUANTIZATION_CALIBRATE_H_
