#ifndef CONDENSE_TESTS_BENCHMARKS_HAND_WRITTEN_H_
#define CONDENSE_TESTS_BENCHMARKS_HAND_WRITTEN_H_

#include <torch/torch.h>

#include <memory>

namespace condense {

// The networks of tests/testing/networks.h as one writes them for LibTorch by
// hand, with in-place activations and additions as torchvision has them.
class HandWritten : public torch::nn::Module {
 public:
  virtual torch::Tensor forward(torch::Tensor x) = 0;
};

std::shared_ptr<HandWritten> HandResNet20(int64_t classes = 10);
std::shared_ptr<HandWritten> HandResNet18(int64_t classes = 10);
std::shared_ptr<HandWritten> HandMobileNetV2(int64_t classes = 10);

}  // namespace condense

#endif  // CONDENSE_TESTS_BENCHMARKS_HAND_WRITTEN_H_
