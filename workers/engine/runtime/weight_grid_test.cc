#include "workers/engine/runtime/weight_grid.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace condense::runtime {
namespace {

using ::testing::ElementsAre;
using torch::Tensor;

std::vector<float> Floats(const Tensor& t) {
  const Tensor flat = t.to(torch::kFloat32).contiguous();
  return {flat.data_ptr<float>(), flat.data_ptr<float>() + flat.numel()};
}

// Two output channels of five inputs.
Tensor Weight() {
  return torch::tensor({-1.f, 3.f, 0.f, 7.f, 0.f,  //
                        1.f, 2.f, 4.f, -14.f, -6.f})
      .view({2, 5});
}

TEST(WeightGridTest, ABlockHasTheScaleOfItsOwnLargestWeight) {
  // Blocks of 2, the last of one.
  const FittedGrid grid =
      FitGrid(Weight(), {.qmin = -7, .qmax = 7, .axis = 1, .block = 2});
  EXPECT_EQ(grid.scale.sizes(), (std::vector<int64_t>{2, 3}));
  EXPECT_THAT(Floats(grid.scale),
              ElementsAre(3.f / 7, 1, 1.f / 7, 2.f / 7, 2, 6.f / 7));
  EXPECT_THAT(Floats(grid.zero_point), ElementsAre(0, 0, 0, 0, 0, 0));
}

TEST(WeightGridTest, BlocksRunAlongAnyAxis) {
  const FittedGrid rows =
      FitGrid(Weight(), {.qmin = -7, .qmax = 7, .axis = 1, .block = 2});
  const FittedGrid columns =
      FitGrid(Weight().t(), {.qmin = -7, .qmax = 7, .axis = 0, .block = 2});
  EXPECT_TRUE(columns.scale.equal(rows.scale.t()));
}

TEST(WeightGridTest, AnAffineRangeIsWidenedToContainZero) {
  const FittedGrid grid = FitGrid(Weight(), {.qmin = 0, .qmax = 15, .axis = 0});
  // [-1, 7] and [-14, 4].
  EXPECT_THAT(Floats(grid.scale), ElementsAre(8.f / 15, 18.f / 15));
  // 15/8 = 1.875 and 14 * 15/18 = 11.67.
  EXPECT_THAT(Floats(grid.zero_point), ElementsAre(2, 12));
  const FittedGrid positive =
      FitGrid(torch::tensor({2.f, 3.f}), {.qmin = 0, .qmax = 15});
  EXPECT_THAT(Floats(positive.scale), ElementsAre(3.f / 15));
  EXPECT_THAT(Floats(positive.zero_point), ElementsAre(0));
  const FittedGrid negative =
      FitGrid(torch::tensor({-2.f, -3.f}), {.qmin = 0, .qmax = 15});
  EXPECT_THAT(Floats(negative.zero_point), ElementsAre(15));
}

TEST(WeightGridTest, NothingButZerosHasAPositiveScale) {
  for (int64_t qmin : {-7, 0}) {
    const FittedGrid grid = FitGrid(
        torch::zeros({2, 4}), {.qmin = qmin, .qmax = 7, .axis = 1, .block = 2});
    EXPECT_GT(grid.scale.min().item<float>(), 0);
    EXPECT_THAT(Floats(grid.zero_point), ElementsAre(0, 0, 0, 0));
  }
}

TEST(WeightGridTest, NoWeightIsFurtherThanHalfAStepFromItsLevel) {
  torch::manual_seed(3);
  const Tensor w = torch::randn({6, 37});
  for (int64_t qmin : {-7, 0}) {
    const FakeQuantizeOptions options = {
        .qmin = qmin, .qmax = qmin < 0 ? 7 : 15, .axis = 1, .block = 8};
    const FittedGrid grid = FitGrid(w, options);
    const Tensor y = FakeQuantize({w, grid.scale, grid.zero_point}, options);
    const Tensor steps =
        at::repeat_interleave(grid.scale, 8, 1).slice(1, 0, 37);
    EXPECT_LE(((y - w).abs() / steps).max().item<float>(), 0.5001f);
  }
}

}  // namespace
}  // namespace condense::runtime
