#ifndef CONDENSE_WORKERS_ENGINE_QUANTIZATION_SYNTHESIZE_H_
#define CONDENSE_WORKERS_ENGINE_QUANTIZATION_SYNTHESIZE_H_

#include <torch/torch.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "workers/engine/data/transform.h"
#include "workers/engine/graph/graph.h"
#include "workers/engine/runtime/executor.h"

namespace condense::quantization {

// Images for quantization where no data may leave its owner, from what batch
// normalisation remembers of the training data: random images are moved by
// gradient descent until the mean and variance of each normalisation's input
// over the batch are its running ones (Cai et al., "ZeroQ", arXiv:2001.00281;
// Yin et al., "DeepInversion", arXiv:1912.08795). Statistics alone leave much
// open, and what is left open stays as it began: noise of pixels, which
// networks are not made for. So images begin with the spectrum of natural ones,
// and descent moves their low frequencies further than the high ones.

// The distance of the statistics of x [n, C, ...] over all but C from a
// normalisation's running ones [C], free of the channels' scales: the mean over
// channels of
//   (m - mean)^2 / (var + epsilon) + (sqrt((v + epsilon) / (var + epsilon)) -
//   1)^2
// with m and v (biased) of x.
torch::Tensor StatisticsLoss(const torch::Tensor& x, const torch::Tensor& mean,
                             const torch::Tensor& var, double epsilon);

// Mean squared difference of neighbouring pixels, rows and columns added up;
// u: [n, C, H, W].
torch::Tensor TotalVariation(const torch::Tensor& u);

// Amplitudes [height, width / 2 + 1] of the frequencies that rfft2 gives,
// falling as 1/f as those of natural images do (Field, JOSA A 4, 1987), alike
// up to the lowest that fits. White noise of variance 1 that is weighted by
// them has the variance 1.
torch::Tensor NaturalSpectrum(int64_t height, int64_t width);

// The mean square of how far u is below 0 or above 1.
torch::Tensor OutOfRange(const torch::Tensor& u);

struct SynthesisOptions {
  int64_t images = 1024;
  // As many at once at most: what statistics are taken over.
  int64_t batch_size = 64;
  // Of Adam, per batch, its rate falling from `lr` to 0 by a cosine. What it
  // moves is noise of variance 1.
  int64_t steps = 60;
  double lr = 0.1;
  // Weights of the priors next to the mean StatisticsLoss of all layers:
  // TotalVariation, the mean squared distance from the middle gray, and
  // OutOfRange.
  double variation = 0.01;
  double contrast = 0.01;
  double range = 1;
  uint64_t seed = 17;
  std::string device = "cpu";
};

// Of all batches.
int64_t StepsOf(const SynthesisOptions& options);

// Whether there is a BatchNormalization with constant statistics to learn from.
bool HasStatistics(const graph::Graph& graph);

// Makes the images batch by batch. What it will do depends on the options and
// on State() alone: an interrupted run ends in the images of one that was not.
// Not thread-safe.
class Synthesizer {
 public:
  // `graph` (read, not kept) has HasStatistics and one input; `shape` is that
  // of its images, which `preprocess` normalises. Errors of the executor.
  static absl::StatusOr<std::unique_ptr<Synthesizer>> Create(
      const graph::Graph& graph, const data::Preprocess& preprocess,
      const data::InputShape& shape, const SynthesisOptions& options);

  // Steps of all batches, done and in all.
  int64_t step() const { return batch_ * options_.steps + step_; }
  int64_t total_steps() const { return batches_ * options_.steps; }
  bool done() const { return batch_ == batches_; }
  // One step of the optimizer; returns the loss before it. Not when done.
  // Errors of the executor.
  absl::StatusOr<double> Step();
  // Ends here, after at least one step: the batch at hand is kept as it stands,
  // and what was not begun repeats what was.
  void End();

  // [images, H, W, C] of uint8; black where they are not made yet.
  const torch::Tensor& images() const { return images_; }

  // Images, and where the batch at hand stands.
  std::map<std::string, torch::Tensor> State() const;
  void Restore(const std::map<std::string, torch::Tensor>& state);

 private:
  // A normalisation: what enters it, and its statistics.
  struct Layer {
    graph::ValueId input;
    torch::Tensor mean;
    torch::Tensor var;
    double epsilon;
  };

  Synthesizer(const data::Preprocess& preprocess, const data::InputShape& shape,
              const SynthesisOptions& options);
  int64_t batch_images() const;
  void Begin();
  torch::Tensor Pixels(const torch::Tensor& z) const;
  absl::StatusOr<torch::Tensor> Loss(const torch::Tensor& z);
  void Update(const torch::Tensor& gradient);
  void Keep();

  const SynthesisOptions options_;
  const int64_t batches_;
  const bool channels_last_;
  const data::InputShape shape_;
  std::unique_ptr<runtime::Executor> model_;
  std::map<graph::ValueId, Layer> layers_;
  // x = u * factor + shift, [C, 1, 1].
  torch::Tensor factor_;
  torch::Tensor shift_;
  torch::Tensor spectrum_;
  int64_t batch_ = 0;
  int64_t step_ = 0;
  // What Pixels [n, C, H, W] of the batch at hand come from, and the moments of
  // its gradients.
  torch::Tensor z_;
  torch::Tensor first_;
  torch::Tensor second_;
  torch::Tensor images_;
};

}  // namespace condense::quantization

#endif  // CONDENSE_WORKERS_ENGINE_QUANTIZATION_SYNTHESIZE_H_
