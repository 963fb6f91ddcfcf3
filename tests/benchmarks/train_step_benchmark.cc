// Times a training step (forward, cross-entropy, backward, SGD with momentum)
// of ResNet-20 in our interpreter against the same network written by hand as a
// LibTorch module, step by step in turn, and prints the ratio of the medians.
//
// Usage: train_step_benchmark [STEPS] [BATCH] [THREADS]

#include <torch/torch.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "workers/engine/graph/graph.h"
#include "workers/engine/graph/infer_shapes.h"
#include "workers/engine/runtime/executor.h"
#include "workers/engine/training/optimizer.h"

namespace condense {
namespace {

using graph::Tensor;
using graph::ValueId;

constexpr int kBlocks = 3;
constexpr int kWidths[] = {16, 32, 64};

// He et al., arXiv:1512.03385, with 1x1 convolutions where the width changes.
class GraphResNet {
 public:
  graph::Graph Build() {
    ValueId x =
        graph_.AddInput("x", graph::DType::kFloat32,
                        graph::Shape{graph::Dim::Symbol("N"), 3, 32, 32});
    x = Relu(Norm(Conv(x, 3, 16, 3, 1), 16));
    int in = 16;
    for (int width : kWidths) {
      for (int i = 0; i < kBlocks; ++i) {
        const int stride = i == 0 && width != 16 ? 2 : 1;
        ValueId y = Relu(Norm(Conv(x, in, width, 3, stride), width));
        y = Norm(Conv(y, width, width, 3, 1), width);
        if (in != width) x = Norm(Conv(x, in, width, 1, stride), width);
        x = Relu(Op("Add", {y, x}));
        in = width;
      }
    }
    x = Op("Flatten", {Op("GlobalAveragePool", {x})});
    const ValueId weight = Weight({10, 64});
    const ValueId bias = graph_.AddConstant(
        "fc.b", Tensor::Of<float>({10}, std::vector<float>(10, 0.0f)));
    graph_.AddOutput(Op("Gemm", {x, weight, bias}, {{"transB", int64_t{1}}}));
    if (!graph::InferShapes(graph_).ok()) std::abort();
    return std::move(graph_);
  }

 private:
  ValueId Op(const std::string& op, std::vector<ValueId> inputs,
             std::map<std::string, graph::Attribute> attrs = {}) {
    return graph_
        .node(graph_.AddNode(op, "", std::move(inputs), {op + ".y"},
                             std::move(attrs)))
        .outputs[0];
  }
  ValueId Weight(std::vector<int64_t> dims) {
    int64_t count = 1;
    for (int64_t dim : dims) count *= dim;
    std::normal_distribution<float> normal(0, 0.05f);
    std::vector<float> values(count);
    for (float& value : values) value = normal(random_);
    return graph_.AddConstant("w", Tensor::Of<float>(std::move(dims), values));
  }
  ValueId Conv(ValueId x, int in, int out, int kernel, int stride) {
    return Op("Conv", {x, Weight({out, in, kernel, kernel})},
              {{"strides", std::vector<int64_t>{stride, stride}},
               {"pads", std::vector<int64_t>(4, kernel / 2)}});
  }
  ValueId Norm(ValueId x, int channels) {
    const auto constant = [&](float value) {
      return graph_.AddConstant(
          "bn",
          Tensor::Of<float>({channels}, std::vector<float>(channels, value)));
    };
    return Op("BatchNormalization",
              {x, constant(1), constant(0), constant(0), constant(1)});
  }
  ValueId Relu(ValueId x) { return Op("Relu", {x}); }

  graph::Graph graph_;
  std::mt19937 random_{17};
};

torch::nn::Conv2d HandConv(int in, int out, int kernel, int stride) {
  return torch::nn::Conv2d(torch::nn::Conv2dOptions(in, out, kernel)
                               .stride(stride)
                               .padding(kernel / 2)
                               .bias(false));
}

// As one would write it.
struct HandBlock : torch::nn::Module {
  HandBlock(int in, int out, int stride)
      : conv1(register_module("conv1", HandConv(in, out, 3, stride))),
        bn1(register_module("bn1", torch::nn::BatchNorm2d(out))),
        conv2(register_module("conv2", HandConv(out, out, 3, 1))),
        bn2(register_module("bn2", torch::nn::BatchNorm2d(out))) {
    if (in == out) return;
    conv3 = register_module("conv3", HandConv(in, out, 1, stride));
    bn3 = register_module("bn3", torch::nn::BatchNorm2d(out));
  }
  torch::Tensor forward(const torch::Tensor& x) {
    torch::Tensor y = torch::relu(bn1(conv1(x)));
    y = bn2(conv2(y));
    return torch::relu(y + (conv3.is_empty() ? x : bn3(conv3(x))));
  }
  torch::nn::Conv2d conv1;
  torch::nn::BatchNorm2d bn1;
  torch::nn::Conv2d conv2;
  torch::nn::BatchNorm2d bn2;
  torch::nn::Conv2d conv3{nullptr};
  torch::nn::BatchNorm2d bn3{nullptr};
};

struct HandResNet : torch::nn::Module {
  HandResNet()
      : conv(register_module("conv", HandConv(3, 16, 3, 1))),
        bn(register_module("bn", torch::nn::BatchNorm2d(16))),
        fc(register_module("fc", torch::nn::Linear(64, 10))) {
    int in = 16;
    for (int width : kWidths) {
      for (int i = 0; i < kBlocks; ++i) {
        const int stride = i == 0 && width != 16 ? 2 : 1;
        blocks.push_back(
            register_module("block" + std::to_string(blocks.size()),
                            std::make_shared<HandBlock>(in, width, stride)));
        in = width;
      }
    }
  }
  torch::Tensor forward(torch::Tensor x) {
    x = torch::relu(bn(conv(x)));
    for (auto& block : blocks) x = block->forward(x);
    return fc(torch::adaptive_avg_pool2d(x, {1, 1}).flatten(1));
  }
  torch::nn::Conv2d conv;
  torch::nn::BatchNorm2d bn;
  torch::nn::Linear fc;
  std::vector<std::shared_ptr<HandBlock>> blocks;
};

template <typename Step>
double Milliseconds(const Step& step) {
  const auto start = std::chrono::steady_clock::now();
  step();
  return std::chrono::duration<double, std::milli>(
             std::chrono::steady_clock::now() - start)
      .count();
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

int Main(int argc, char** argv) {
  const int steps = argc > 1 ? std::atoi(argv[1]) : 40;
  const int batch = argc > 2 ? std::atoi(argv[2]) : 64;
  runtime::SetThreads(argc > 3 ? std::atoi(argv[3]) : 0);
  torch::manual_seed(17);
  const torch::Tensor x = torch::randn({batch, 3, 32, 32});
  const torch::Tensor labels = torch::randint(0, 10, {batch}, torch::kInt64);
  const auto loss_of = [&](const torch::Tensor& y) {
    return at::nll_loss(at::log_softmax(y, 1), labels);
  };

  auto executor = runtime::Executor::Create(GraphResNet().Build());
  if (!executor.ok()) {
    std::fprintf(stderr, "%s\n", executor.status().ToString().c_str());
    return 1;
  }
  (*executor)->SetTraining(true);
  training::OptimizerOptions sgd;
  sgd.weight_decay = 5e-4;
  training::Optimizer optimizer((*executor)->parameters(), sgd);
  const auto ours = [&] {
    optimizer.ZeroGrad();
    loss_of((*executor)->Forward({x})[0]).backward();
    optimizer.Step(0.01);
  };

  HandResNet hand;
  torch::optim::SGD hand_sgd(
      hand.parameters(),
      torch::optim::SGDOptions(0.01).momentum(0.9).weight_decay(5e-4));
  const auto by_hand = [&] {
    hand_sgd.zero_grad();
    loss_of(hand.forward(x)).backward();
    hand_sgd.step();
  };

  for (int i = 0; i < 3; ++i) {
    ours();
    by_hand();
  }
  std::vector<double> our_times, hand_times, ratios;
  for (int i = 0; i < steps; ++i) {
    our_times.push_back(Milliseconds(ours));
    hand_times.push_back(Milliseconds(by_hand));
    ratios.push_back(our_times.back() / hand_times.back());
  }
  std::printf(
      "{\"benchmark\":\"train_step_resnet20\",\"batch\":%d,\"steps\":%d,"
      "\"ours_ms\":%.2f,\"hand_written_ms\":%.2f,\"ratio\":%.3f,"
      "\"median_of_ratios\":%.3f}\n",
      batch, steps, Median(our_times), Median(hand_times),
      Median(our_times) / Median(hand_times), Median(ratios));
  return 0;
}

}  // namespace
}  // namespace condense

int main(int argc, char** argv) { return condense::Main(argc, argv); }
