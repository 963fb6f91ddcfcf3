#ifndef CONDENSE_WORKERS_ENGINE_TRAINING_TRAINING_TEST_MODEL_H_
#define CONDENSE_WORKERS_ENGINE_TRAINING_TRAINING_TEST_MODEL_H_

#include <cmath>
#include <string>
#include <vector>

#include "workers/engine/data/loader.h"
#include "workers/engine/data/random.h"
#include "workers/engine/graph/graph.h"

namespace condense::training {

// Noisy 6 x 6 images of three classes: bright on the left, on the right, or all
// over. Easy to learn, and the same on every call.
class Bars : public data::Dataset {
 public:
  explicit Bars(int64_t size) : size_(size) {}
  int64_t size() const override { return size_; }
  int64_t num_classes() const override { return 3; }
  absl::StatusOr<data::Sample> Get(int64_t index) const override {
    data::Random random(99, index);
    data::Sample sample{6, 6, 1, {}, index % 3};
    for (int i = 0; i < 36; ++i) {
      const bool left = i % 6 < 3;
      const bool bright = sample.label == 2 || left == (sample.label == 0);
      sample.pixels.push_back(
          static_cast<uint8_t>((bright ? 150 : 20) + random.Below(80)));
    }
    return sample;
  }

 private:
  const int64_t size_;
};

inline data::LoaderOptions BarsOptions(bool training) {
  data::LoaderOptions options;
  options.batch_size = 8;
  options.training = training;
  options.preprocess.scale = 1.0 / 255;
  options.preprocess.mean = {0.5};
  options.preprocess.std = {0.25};
  options.shape = {1, 6, 6};
  options.num_classes = 3;
  options.threads = 2;
  return options;
}

inline graph::Tensor Filled(std::vector<int64_t> dims, uint64_t seed,
                            double center = 0, double spread = 0.5) {
  int64_t count = 1;
  for (int64_t dim : dims) count *= dim;
  data::Random random(seed);
  std::vector<float> values;
  for (int64_t i = 0; i < count; ++i) {
    const double unit = static_cast<double>(random.Below(1 << 20)) / (1 << 20);
    values.push_back(static_cast<float>(center + spread * (2 * unit - 1)));
  }
  return graph::Tensor::Of<float>(std::move(dims), values);
}

// Conv "conv" 1 -> 4, BatchNormalization "bn" (if asked for), Relu "relu",
// MaxPool "pool" 2 x 2, Flatten "flatten", Gemm "head" 36 -> 3.
inline graph::Graph BarsNet(bool batch_norm = true) {
  graph::Graph g;
  auto out = [&g](graph::NodeId id) { return g.node(id).outputs[0]; };
  graph::ValueId x = g.AddInput("x", graph::DType::kFloat32,
                                graph::Shape{graph::Dim::Symbol("N"), 1, 6, 6});
  x = out(g.AddNode("Conv", "conv",
                    {x, g.AddConstant("conv.w", Filled({4, 1, 3, 3}, 1)),
                     g.AddConstant("conv.b", Filled({4}, 2))},
                    {"conv.y"}, {{"pads", std::vector<int64_t>{1, 1, 1, 1}}}));
  if (batch_norm) {
    x = out(g.AddNode("BatchNormalization", "bn",
                      {x, g.AddConstant("bn.scale", Filled({4}, 3, 1, 0.1)),
                       g.AddConstant("bn.shift", Filled({4}, 4)),
                       g.AddConstant("bn.mean", Filled({4}, 5)),
                       g.AddConstant("bn.var", Filled({4}, 6, 1, 0.1))},
                      {"bn.y"}));
  }
  x = out(g.AddNode("Relu", "relu", {x}, {"relu.y"}));
  x = out(g.AddNode("MaxPool", "pool", {x}, {"pool.y"},
                    {{"kernel_shape", std::vector<int64_t>{2, 2}},
                     {"strides", std::vector<int64_t>{2, 2}}}));
  x = out(g.AddNode("Flatten", "flatten", {x}, {"flatten.y"}));
  x = out(g.AddNode("Gemm", "head",
                    {x, g.AddConstant("head.w", Filled({3, 36}, 7, 0, 0.2)),
                     g.AddConstant("head.b", Filled({3}, 8))},
                    {"y"}, {{"transB", int64_t{1}}}));
  g.AddOutput(x);
  return g;
}

}  // namespace condense::training

#endif  // CONDENSE_WORKERS_ENGINE_TRAINING_TRAINING_TEST_MODEL_H_
