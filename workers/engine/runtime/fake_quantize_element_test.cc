#include "workers/engine/runtime/fake_quantize_element.h"

#include <cmath>
#include <limits>
#include <vector>

#include "gtest/gtest.h"
#include "workers/engine/runtime/fake_quantize_cpu.h"

namespace condense::runtime {
namespace {

using torch::Tensor;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Numbers, with those among them that rounding, clipping and comparing may
// treat differently.
Tensor Special(const std::vector<int64_t>& shape, at::MemoryFormat format) {
  Tensor x = torch::randn(shape) * 2;
  const Tensor special =
      torch::tensor({0.0f, -0.0f, 0.005f, 0.015f, 0.025f, -0.025f, kInfinity,
                     -kInfinity, NAN, 1e30f, -1e30f, 1e-40f, 6.0f});
  Tensor flat = x.view({-1});
  for (int64_t i = 0; i < flat.numel(); i += 3) {
    flat[i] = special[i / 3 % special.numel()];
  }
  return x.contiguous(format);
}

// Equal bits; NaN is NaN.
bool SameNumber(float a, float b) {
  return (a == b && std::signbit(a) == std::signbit(b)) ||
         (std::isnan(a) && std::isnan(b));
}

FakeQuantizeElements<float> ElementsOf(const FakeQuantizeInputs& inputs,
                                       const FakeQuantizeOptions& options,
                                       const LaidOut& laid) {
  FakeQuantizeElements<float> elements;
  elements.x = inputs.x.data_ptr<float>();
  if (inputs.addend.defined()) {
    elements.addend = inputs.addend.data_ptr<float>();
  }
  elements.n = inputs.x.numel();
  elements.layout = laid.layout;
  elements.scale = laid.scale.data_ptr<float>();
  elements.zero_point = laid.zero_point.data_ptr<float>();
  elements.qmin = static_cast<float>(options.qmin);
  elements.qmax = static_cast<float>(options.qmax);
  elements.before = options.before;
  elements.clip_low = options.clip_low;
  elements.clip_high = options.clip_high;
  return elements;
}

// 1 where the CPU's bits say that the gradient passes, in memory order.
std::vector<float> PassOfRows(const Tensor& bits, const LaidOut& laid,
                              int64_t n) {
  const Tensor ones = torch::ones({n}), out = torch::zeros({n});
  PassGradientCpu(ones, bits, laid.layout, out);
  return {out.data_ptr<float>(), out.data_ptr<float>() + n};
}

// The elements, last one first, against the rows.
void ExpectAsRows(FakeQuantizeInputs inputs,
                  const FakeQuantizeOptions& options) {
  const LaidOut laid = LayOut(inputs.x, inputs.scale, inputs.zero_point,
                              options.axis, options.block);
  const int64_t n = inputs.x.numel();
  inputs.seen = torch::tensor({0.5f, 0.5f});
  const Tensor by_rows = torch::empty_like(inputs.x);
  const Tensor bits = FakeQuantizeCpu(inputs, options, laid, true, by_rows);
  const std::vector<float> passes = PassOfRows(bits, laid, n);
  FakeQuantizeElements<float> elements = ElementsOf(inputs, options, laid);
  std::vector<float> y(n, -1);
  std::vector<uint8_t> pass(n, 2);
  elements.y = y.data();
  elements.pass = pass.data();
  float low = 0.5f, high = 0.5f;
  for (int64_t i = n - 1; i >= 0; --i) {
    Widen(elements.Quantize(i), &low, &high);
  }
  const float* expected = by_rows.data_ptr<float>();
  for (int64_t i = 0; i < n; ++i) {
    ASSERT_TRUE(SameNumber(y[i], expected[i]))
        << i << ": " << elements.x[i] << " to " << y[i] << ", not "
        << expected[i];
    ASSERT_EQ(pass[i], passes[i]) << i << ": " << elements.x[i];
  }
  EXPECT_EQ(low, inputs.seen[0].item<float>());
  EXPECT_EQ(high, inputs.seen[1].item<float>());
}

Tensor Scales(at::IntArrayRef shape) {
  return torch::rand(shape) * 0.02 + 0.005;
}
Tensor Zeros(at::IntArrayRef shape) {
  return torch::randint(0, 200, shape, torch::kInt32);
}

TEST(FakeQuantizeElementTest, EveryLayoutIsAsByRows) {
  torch::manual_seed(21);
  for (const auto format :
       {at::MemoryFormat::Contiguous, at::MemoryFormat::ChannelsLast}) {
    for (const std::vector<int64_t>& shape :
         {std::vector<int64_t>{3, 5, 7, 9}, {2, 33, 1, 1}, {1, 4, 70, 70}}) {
      const Tensor x = Special(shape, format);
      ExpectAsRows({x, Scales({}), Zeros({})}, {});
      for (int64_t axis = 0; axis < 4; ++axis) {
        const int64_t n = shape[axis];
        ExpectAsRows({x, Scales({n}), Zeros({n})}, {.axis = axis});
        std::vector<int64_t> blocks = shape;
        blocks[axis] = (n + 3) / 4;
        ExpectAsRows({x, Scales(blocks), Zeros(blocks)},
                     {.axis = axis, .block = 4});
      }
    }
  }
}

TEST(FakeQuantizeElementTest, WhatComesBeforeIsAsByRows) {
  torch::manual_seed(22);
  const Tensor x = Special({2, 3, 20, 20}, at::MemoryFormat::Contiguous);
  const Tensor addend = torch::randn({2, 3, 20, 20});
  for (const Before before : {Before::kNothing, Before::kRelu, Before::kClip}) {
    for (const Tensor& also : {Tensor(), addend}) {
      ExpectAsRows({x, Scales({3}), Zeros({3}), also}, {.qmin = -3,
                                                        .qmax = 200,
                                                        .axis = 1,
                                                        .before = before,
                                                        .clip_low = -0.5f,
                                                        .clip_high = 1.5f});
    }
  }
}

TEST(FakeQuantizeElementTest, HalvesRoundToEven) {
  // Levels -10, -9.5, ..., 9.5.
  const Tensor x = torch::arange(-20, 20) * 0.125f;
  const FakeQuantizeInputs inputs{x, torch::tensor(0.25f),
                                  torch::tensor(1, torch::kInt32)};
  ExpectAsRows(inputs, {.qmin = -8, .qmax = 7});
}

}  // namespace
}  // namespace condense::runtime
