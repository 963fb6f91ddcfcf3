#include "tests/benchmarks/hand_written.h"

#include <string>
#include <vector>

namespace condense {
namespace {

namespace nn = torch::nn;
using torch::Tensor;

nn::Conv2d Conv(int64_t in, int64_t out, int64_t kernel, int64_t stride,
                int64_t group = 1) {
  return nn::Conv2d(nn::Conv2dOptions(in, out, kernel)
                        .stride(stride)
                        .padding(kernel / 2)
                        .groups(group)
                        .bias(false));
}

Tensor Relu(Tensor x) { return torch::relu_(x); }

// A convolution and its normalisation.
struct Unit : nn::Module {
  Unit(int64_t in, int64_t out, int64_t kernel, int64_t stride,
       int64_t group = 1)
      : conv(register_module("conv", Conv(in, out, kernel, stride, group))),
        bn(register_module("bn", nn::BatchNorm2d(out))) {}
  Tensor forward(const Tensor& x) { return bn(conv(x)); }
  nn::Conv2d conv;
  nn::BatchNorm2d bn;
};

struct BasicBlock : nn::Module {
  BasicBlock(int64_t in, int64_t out, int64_t stride)
      : first(register_module("first",
                              std::make_shared<Unit>(in, out, 3, stride))),
        second(
            register_module("second", std::make_shared<Unit>(out, out, 3, 1))) {
    if (in == out && stride == 1) return;
    down = register_module("down", std::make_shared<Unit>(in, out, 1, stride));
  }
  Tensor forward(const Tensor& x) {
    Tensor y = second->forward(Relu(first->forward(x)));
    y += down == nullptr ? x : down->forward(x);
    return Relu(y);
  }
  std::shared_ptr<Unit> first, second, down;
};

Tensor Pooled(const Tensor& x) {
  return torch::adaptive_avg_pool2d(x, {1, 1}).flatten(1);
}

class ResNet : public HandWritten {
 public:
  ResNet(const std::vector<int64_t>& widths, int repeats, int64_t kernel,
         bool max_pool, int64_t classes)
      : max_pool_(max_pool),
        stem_(register_module(
            "stem",
            std::make_shared<Unit>(3, widths[0], kernel, max_pool ? 2 : 1))),
        fc_(register_module("fc", nn::Linear(widths.back(), classes))) {
    int64_t in = widths[0];
    for (int64_t width : widths) {
      for (int i = 0; i < repeats; ++i) {
        blocks_.push_back(register_module(
            "block" + std::to_string(blocks_.size()),
            std::make_shared<BasicBlock>(in, width, in == width ? 1 : 2)));
        in = width;
      }
    }
  }
  Tensor forward(Tensor x) override {
    x = Relu(stem_->forward(x));
    if (max_pool_) x = torch::max_pool2d(x, 3, 2, 1);
    for (auto& block : blocks_) x = block->forward(x);
    return fc_(Pooled(x));
  }

 private:
  const bool max_pool_;
  std::shared_ptr<Unit> stem_;
  nn::Linear fc_;
  std::vector<std::shared_ptr<BasicBlock>> blocks_;
};

Tensor Relu6(Tensor x) { return torch::hardtanh_(x, 0, 6); }

struct InvertedBlock : nn::Module {
  InvertedBlock(int64_t in, int64_t out, int64_t expansion, int64_t stride)
      : shortcut(in == out && stride == 1),
        depthwise(register_module(
            "depthwise", std::make_shared<Unit>(in * expansion, in * expansion,
                                                3, stride, in * expansion))),
        project(register_module(
            "project", std::make_shared<Unit>(in * expansion, out, 1, 1))) {
    if (expansion == 1) return;
    expand = register_module("expand",
                             std::make_shared<Unit>(in, in * expansion, 1, 1));
  }
  Tensor forward(const Tensor& x) {
    Tensor y = expand == nullptr ? x : Relu6(expand->forward(x));
    y = project->forward(Relu6(depthwise->forward(y)));
    return shortcut ? x + y : y;
  }
  bool shortcut;
  std::shared_ptr<Unit> depthwise, project, expand;
};

class MobileNetV2 : public HandWritten {
 public:
  explicit MobileNetV2(int64_t classes)
      : stem_(register_module("stem", std::make_shared<Unit>(3, 32, 3, 2))),
        head_(register_module("head", std::make_shared<Unit>(320, 1280, 1, 1))),
        fc_(register_module("fc", nn::Linear(1280, classes))) {
    constexpr int64_t kRows[][4] = {
        {1, 16, 1, 1}, {6, 24, 2, 2},  {6, 32, 3, 2}, {6, 64, 4, 2},
        {6, 96, 3, 1}, {6, 160, 3, 2}, {6, 320, 1, 1}};
    int64_t in = 32;
    for (const auto& [expansion, out, repeats, stride] : kRows) {
      for (int64_t i = 0; i < repeats; ++i) {
        blocks_.push_back(
            register_module("block" + std::to_string(blocks_.size()),
                            std::make_shared<InvertedBlock>(
                                in, out, expansion, i == 0 ? stride : 1)));
        in = out;
      }
    }
  }
  Tensor forward(Tensor x) override {
    x = Relu6(stem_->forward(x));
    for (auto& block : blocks_) x = block->forward(x);
    return fc_(Pooled(Relu6(head_->forward(x))));
  }

 private:
  std::shared_ptr<Unit> stem_, head_;
  nn::Linear fc_;
  std::vector<std::shared_ptr<InvertedBlock>> blocks_;
};

}  // namespace

std::shared_ptr<HandWritten> HandResNet20(int64_t classes) {
  return std::make_shared<ResNet>(std::vector<int64_t>{16, 32, 64}, 3, 3, false,
                                  classes);
}

std::shared_ptr<HandWritten> HandResNet18(int64_t classes) {
  return std::make_shared<ResNet>(std::vector<int64_t>{64, 128, 256, 512}, 2, 7,
                                  true, classes);
}

std::shared_ptr<HandWritten> HandMobileNetV2(int64_t classes) {
  return std::make_shared<MobileNetV2>(classes);
}

}  // namespace condense
