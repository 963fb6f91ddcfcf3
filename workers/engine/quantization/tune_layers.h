#ifndef CONDENSE_WORKERS_ENGINE_QUANTIZATION_TUNE_LAYERS_H_
#define CONDENSE_WORKERS_ENGINE_QUANTIZATION_TUNE_LAYERS_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "workers/engine/data/loader.h"
#include "workers/engine/graph/graph.h"

namespace condense::quantization {

struct TuneOptions {
  // Round weights of integer grids by RoundGptq; false: to the nearest level.
  // Those of scheme mrbiq, which are not projected yet, are found by
  // FitBinaryCodes anyway.
  bool gptq = true;
  // Move biases so that channels keep their mean (empirical bias correction,
  // Nagel et al., arXiv:1906.04721, section 4.2).
  bool bias_correction = true;
  // Run as one batch; fewer where TuningSamples says so.
  int64_t samples = 32;
  // Inputs per layer from which second moments are taken.
  int64_t rows_max = 4096;
  uint64_t seed = 17;
  std::string device = "cpu";
};

// Samples that run at once: so many that no activation takes more than 32 MiB,
// but 8 at least and `most` at most.
int64_t TuningSamples(const graph::Graph& graph, int64_t most);

// Goes once through the calibrated simulation in order of execution. Right
// before a layer with quantized weights runs (its activations may be in float),
// they are rounded for the inputs that
// the quantized layers before it give; right after, its bias takes up the
// difference of the channels' means to `floats` on the same samples, and
// the layers behind it see the corrected output. Biases that a layer lacks are
// added. `floats` is what `graph` simulates: the graph its quantizers were
// placed in, whose ids it has. Errors of the loader and the executor.
absl::Status TuneLayers(graph::Graph* graph, const graph::Graph& floats,
                        data::Loader* loader, const TuneOptions& options);

}  // namespace condense::quantization

#endif  // CONDENSE_WORKERS_ENGINE_QUANTIZATION_TUNE_LAYERS_H_
