#include "workers/engine/runtime/table_quantize.h"

#include <cmath>
#include <vector>

#include "gtest/gtest.h"

namespace condense::runtime {
namespace {

using torch::Tensor;

TEST(TableQuantizeTest, EachChannelTakesTheLevelsOfItsRow) {
  // Channels are columns; the grids are exact: 4 / 4 and 8 / 4.
  const Tensor w = torch::tensor({{0.4f, 7.f}, {-3.f, 1.f}, {3.f, -2.f}});
  const Tensor table =
      torch::tensor({{-4.f, 0.f, 1.f, 3.f}, {8.f, -2.f, 0.f, 2.f}});
  Tensor scale = torch::ones({2});
  const Tensor y = TableQuantize(
      {w, table, scale}, {.kind = TableKind::kLevels, .axis = 1, .qmax = 4});
  EXPECT_TRUE(
      torch::equal(y, torch::tensor({{0.f, 8.f}, {-4.f, 0.f}, {3.f, -2.f}})));
  EXPECT_TRUE(torch::equal(scale, torch::tensor({1.f, 2.f})));
}

TEST(TableQuantizeTest, ABasisFollowsOnlyWhenItIsTold) {
  const Tensor w = torch::tensor({5.f, 4.f, 1.f, -1.f, -3.f});
  const Tensor table = torch::tensor({{2.f, 1.f}});
  Tensor scale = torch::ones({});
  TableQuantizeOptions options{.kind = TableKind::kBasis};
  TableQuantize({w, table, scale}, options);
  EXPECT_TRUE(torch::equal(table, torch::tensor({{2.f, 1.f}})));
  options.follow = true;
  TableQuantize({w, table, scale}, options);
  EXPECT_TRUE(torch::allclose(table, torch::tensor({{2.05f, 1.05f}})));
}

// On a grid so fine that its rounding is not seen.
constexpr int64_t kFine = 1 << 22;

double Loss(const Tensor& w, const Tensor& table, const Tensor& factor,
            int64_t axis) {
  Tensor scale = torch::ones({axis < 0 ? 1 : w.size(axis)});
  return (TableQuantize({w, table, scale}, {.axis = axis, .qmax = kFine}) *
          factor)
      .square()
      .sum()
      .item<double>();
}

TEST(TableQuantizeTest, TheTablesGradientIsNumericalByTheRootOfTheCount) {
  torch::manual_seed(3);
  for (int64_t axis : {-1, 0, 1}) {
    const int64_t channels = axis < 0 ? 1 : (axis == 0 ? 3 : 20);
    const Tensor w = torch::randn({3, 20}).requires_grad_(true);
    const Tensor factor = torch::rand({3, 20}) + 0.5;
    // Far enough apart that a small step changes no code.
    const Tensor row = torch::tensor({-1.5f, -0.4f, 0.5f, 1.6f});
    const Tensor table =
        row.repeat({channels, 1}).contiguous().requires_grad_(true);
    Tensor scale = torch::ones({channels});
    const Tensor y =
        TableQuantize({w, table, scale}, {.axis = axis, .qmax = kFine});
    (y * factor).square().sum().backward();
    // Straight through.
    EXPECT_TRUE(torch::allclose(w.grad(), 2 * (y * factor * factor).detach()));
    const torch::NoGradGuard no_grad;
    const Tensor rows = axis == 1 ? y.t() : y.reshape({channels, -1});
    const float step = 1e-3f;
    for (int64_t c = 0; c < channels; ++c) {
      for (int64_t k = 0; k < 4; ++k) {
        Tensor up = table.detach().clone(), down = table.detach().clone();
        up[c][k] += step;
        down[c][k] -= step;
        const double numerical =
            (Loss(w, up, factor, axis) - Loss(w, down, factor, axis)) /
            (2 * step);
        const double count =
            (rows[c] - row[k]).abs().lt(1e-3).sum().item<double>();
        EXPECT_NEAR(
            table.grad()[c][k].item<double>() * std::sqrt(std::max(1.0, count)),
            numerical, 0.02 + 0.01 * std::abs(numerical))
            << axis << " " << c << " " << k;
      }
    }
  }
}

}  // namespace
}  // namespace condense::runtime
