#ifndef CONDENSE_WORKERS_ENGINE_RUNTIME_FAKE_QUANTIZE_LAYOUT_H_
#define CONDENSE_WORKERS_ENGINE_RUNTIME_FAKE_QUANTIZE_LAYOUT_H_

#include <torch/torch.h>

#include <vector>

#include "workers/engine/runtime/fake_quantize.h"

namespace condense::runtime {

// A dense tensor in the order of its memory as rows of elements that share a
// scale, or that have one each. Row r, in units of elements:
//   begins at  r / per_group * group_size + r % per_group * step,
//   has        min(step, what is left of its group),
//   scale at   (r / per_group * scale_group + r % per_group / scale_every)
//              * scale_step.
struct FakeQuantizeLayout {
  struct Row {
    int64_t begin;
    int64_t n;
    int64_t scale;
  };
  int64_t count = 0;
  int64_t per_group = 1;
  int64_t group_size = 0;
  int64_t step = 0;
  int64_t scale_group = 0;
  int64_t scale_every = 1;
  int64_t scale_step = 0;
  // Each element of a row has its own scale.
  bool each = false;

  Row At(int64_t r) const {
    const int64_t group = r / per_group, in_group = r % per_group;
    return {group * group_size + in_group * step,
            std::min(step, group_size - in_group * step),
            (group * scale_group + in_group / scale_every) * scale_step};
  }
  std::vector<int64_t> ToInts() const;
  static FakeQuantizeLayout FromInts(const std::vector<int64_t>& ints);
};

// The layout of `x`, which is dense (channels_last is), and scale and zero
// point as float in the order that it reads them.
struct LaidOut {
  FakeQuantizeLayout layout;
  torch::Tensor scale;
  torch::Tensor zero_point;
};
LaidOut LayOut(const torch::Tensor& x, const torch::Tensor& scale,
               const torch::Tensor& zero_point, int64_t axis, int64_t block);

}  // namespace condense::runtime

#endif  // CONDENSE_WORKERS_ENGINE_RUNTIME_FAKE_QUANTIZE_LAYOUT_H_
