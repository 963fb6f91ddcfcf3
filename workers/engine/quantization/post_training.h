#ifndef CONDENSE_WORKERS_ENGINE_QUANTIZATION_POST_TRAINING_H_
#define CONDENSE_WORKERS_ENGINE_QUANTIZATION_POST_TRAINING_H_

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "workers/engine/data/loader.h"
#include "workers/engine/graph/graph.h"
#include "workers/engine/quantization/calibrate.h"
#include "workers/engine/quantization/observer.h"
#include "workers/engine/quantization/pixel_grid.h"
#include "workers/engine/quantization/placement.h"

namespace condense::quantization {

// How weights are rounded.
enum class Rounding { kNearest, kGptq, kAdaRound, kBrecq, kQDrop };

struct PostTrainingOptions {
  Numerics numerics;
  ObserverOptions observer;
  // Else it stays, for training with statistics of each batch.
  bool fold_batch_norm = true;
  // ProjectWeights: for good, or while training on its own (false).
  bool project_weights = true;
  // EqualizeLayers before quantizers are placed.
  bool equalize = true;
  // How the input comes from 8-bit pixels, where it does: AlignInputToPixels.
  std::optional<PixelScaling> pixels;
  // SmoothActivations of linear layers, with this strength; 0: not done.
  double smooth = 0.5;
  // Weight bits by node name, for layers that get others than `numerics` says.
  // Called with the float graph that quantizers are about to be placed in. May
  // be empty.
  std::function<absl::StatusOr<std::map<std::string, int>>(const graph::Graph&,
                                                           data::Loader*)>
      choose_bits;
  // Layers below this (LayerSnrDb) stay in float.
  std::optional<double> min_snr_db;
  // Biases keep the channels' means.
  bool bias_correction = true;
  Rounding rounding = Rounding::kGptq;
  // Steps per layer or block of the last three.
  int64_t iterations = 1000;
  uint64_t seed = 17;
  std::string device = "cpu";
  // After each batch of the calibration: done, in all. May be empty.
  std::function<void(int64_t, int64_t)> progress;
};

struct PostTrainingReport {
  // By node name, for nodes with weights that stay in float: why.
  std::map<std::string, std::string> frozen;
  // WeightNoiseDb against the float weights that were rounded.
  std::map<std::string, double> weight_snr_db;
  std::vector<Note> notes;
};

// AlignInputToPixels where the input is made of pixels and its grid has their
// 256 levels: what QuantizePostTraining does to a graph with folded batch
// normalisation, if its samples are pixels. Else nothing is changed, and the
// grid has no value.
absl::StatusOr<PixelGrid> AlignInput(const PostTrainingOptions& options,
                                     graph::Graph* graph);

// Makes the simulation of an integer model from a float one, in this order:
// fold batch normalisation, align the input, smooth, equalise, choose bits,
// place quantizers, project weights, calibrate, round and correct layer by
// layer, snap biases. Weights of scheme mrbiq are projected only in round and
// correct. Rounding by GPTQ is for weights of schemes max_abs and affine, the
// others and `min_snr_db` for max_abs; without quantized activations all that
// needs them does nothing. Notes: those of Calibrate, and PIXEL_GRID_MISFIT
// where the samples are not the pixels of `pixels`, whose grid is then not
// used. Errors of these.
absl::StatusOr<PostTrainingReport> QuantizePostTraining(
    graph::Graph* graph, data::Loader* loader,
    const PostTrainingOptions& options);

}  // namespace condense::quantization

#endif  // CONDENSE_WORKERS_ENGINE_QUANTIZATION_POST_TRAINING_H_
