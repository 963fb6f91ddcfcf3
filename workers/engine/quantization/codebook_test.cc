#include "workers/engine/quantization/codebook.h"

#include "common/error.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "workers/engine/graph/verify.h"
#include "workers/engine/runtime/executor.h"

namespace condense::quantization {
namespace {

using graph::DType;
using graph::Graph;
using graph::Tensor;
using graph::ValueId;
using Layout = Codebook::Layout;

Tensor Floats(std::vector<int64_t> dims, const std::vector<float>& values) {
  return Tensor::Of<float>(std::move(dims), values);
}

struct Case {
  Codebook codebook;
  std::vector<float> weight;
  // Of the codes in files of opset 21.
  size_t bytes = 0;
};

// Weights of [2, 4].
std::vector<Case> Cases() {
  return {
      {{Layout::kScalar, Floats({3}, {-1, 0.5f, 2}), {0, 1, 2, 1, 0, 0, 2, 1}},
       {-1, 0.5f, 2, 0.5f, -1, -1, 2, 0.5f},
       4},
      {{Layout::kVector, Floats({2, 2}, {1, 2, 3, 4}), {1, 0, 0, 1}},
       {3, 4, 1, 2, 1, 2, 3, 4},
       2},
      {{Layout::kPerChannel,
        Floats({2, 2}, {1, 2, 30, 40}),
        {0, 1, 1, 0, 1, 1, 0, 0}},
       {1, 2, 2, 1, 40, 40, 30, 30},
       4},
  };
}

Graph WithWeight() {
  Graph g;
  const ValueId x = g.AddInput("x", DType::kFloat32, graph::Shape{2, 4});
  const ValueId w = g.AddConstant("w", Floats({2, 4}, std::vector<float>(8)));
  g.AddOutput(g.node(g.AddNode("Add", "add", {x, w}, {"y"})).outputs[0]);
  return g;
}

TEST(CodebookTest, TheFileComputesTheDecodedWeight) {
  for (const Case& c : Cases()) {
    const auto decoded = DecodeCodebook(c.codebook, {2, 4});
    ASSERT_TRUE(decoded.ok()) << decoded.status();
    EXPECT_EQ(decoded->ToFloats(), c.weight);
    for (int opset : {17, 21}) {
      Graph g = WithWeight();
      const absl::Status stored =
          StoreAsCodebook(&g, g.FindValue("w"), c.codebook, opset);
      ASSERT_TRUE(stored.ok()) << stored;
      ASSERT_TRUE(graph::Verify(g).ok()) << graph::Verify(g);
      EXPECT_EQ(g.FindValue("w"), graph::kNoValue) << "no float copy is left";
      const Tensor& codes = *g.ConstantOf(g.FindValue("w_codes"));
      EXPECT_EQ(codes.bytes().size(), opset == 21 ? c.bytes : 2 * c.bytes);
      auto executor = runtime::Executor::Create(g);
      ASSERT_TRUE(executor.ok()) << executor.status();
      const torch::NoGradGuard no_grad;
      const torch::Tensor y = (*executor)->Forward({torch::zeros({2, 4})})[0];
      EXPECT_TRUE(torch::equal(y, torch::tensor(c.weight).reshape({2, 4})));
    }
  }
}

Tensor Levels(std::vector<int64_t> dims, const std::vector<int8_t>& values) {
  return Tensor::Of<int8_t>(std::move(dims), values);
}

TEST(CodebookTest, LevelsOfEachChannelBecomeARow) {
  const Tensor levels = Levels({2, 3}, {63, -5, 63, 7, 7, 7});
  const auto rows = CodebookOfLevels(levels, 0);
  ASSERT_TRUE(rows.has_value());
  EXPECT_EQ(rows->layout, Layout::kPerChannel);
  EXPECT_EQ(rows->table.dims(), (std::vector<int64_t>{2, 2}));
  EXPECT_EQ(rows->table.ToInts(), (std::vector<int64_t>{-5, 63, 7, 7}));
  EXPECT_EQ(rows->codes, (std::vector<int64_t>{1, 0, 1, 0, 0, 0}));
  const auto columns = CodebookOfLevels(levels, 1);
  ASSERT_TRUE(columns.has_value());
  EXPECT_EQ(columns->layout, Layout::kPerLastChannel);
  // Channels {63, 7}, {-5, 7}, {63, 7}.
  EXPECT_EQ(columns->table.ToInts(),
            (std::vector<int64_t>{7, -5, 7, 63, 7, 63}));
  EXPECT_EQ(columns->codes, (std::vector<int64_t>{1, 0, 1, 0, 1, 0}));
  const auto whole = CodebookOfLevels(levels, -1);
  EXPECT_EQ(whole->table.ToInts(), (std::vector<int64_t>{-5, 7, 63}));
  for (int64_t axis : {-1, 0, 1}) {
    const auto back = DecodeCodebook(*CodebookOfLevels(levels, axis), {2, 3});
    ASSERT_TRUE(back.ok()) << back.status();
    EXPECT_EQ(back->dtype(), DType::kInt8);
    EXPECT_EQ(back->ToInts(), levels.ToInts()) << axis;
  }
}

TEST(CodebookTest, WhatCodesOf4BitsCannotSayHasNoCodebook) {
  std::vector<int8_t> many(17);
  for (int8_t i = 0; i < 17; ++i) many[i] = i;
  EXPECT_FALSE(CodebookOfLevels(Levels({17}, many), -1).has_value());
  EXPECT_TRUE(CodebookOfLevels(Levels({17}, many), 0).has_value());
  // Channels between other dimensions.
  EXPECT_FALSE(CodebookOfLevels(Levels({1, 2, 1}, {1, 2}), 1).has_value());
}

TEST(CodebookTest, WideTablesHaveWideCodes) {
  Graph g = WithWeight();
  Codebook codebook;
  codebook.table = Floats({300}, std::vector<float>(300, 1));
  codebook.codes = {299, 0, 1, 2, 3, 4, 5, 6};
  ASSERT_TRUE(StoreAsCodebook(&g, g.FindValue("w"), codebook, 21).ok());
  EXPECT_EQ(g.ConstantOf(g.FindValue("w_codes"))->dtype(), DType::kUint16);
}

TEST(CodebookTest, RefusesWhatDoesNotFit) {
  for (const Case& c : Cases()) {
    Codebook bad = c.codebook;
    bad.codes.pop_back();
    EXPECT_EQ(ErrorReason(DecodeCodebook(bad, {2, 4}).status()),
              "BAD_CODEBOOK");
    bad = c.codebook;
    bad.codes[0] = 3;
    EXPECT_EQ(ErrorReason(DecodeCodebook(bad, {2, 4}).status()),
              "BAD_CODEBOOK");
  }
  Graph g = WithWeight();
  EXPECT_EQ(
      ErrorReason(StoreAsCodebook(&g, g.inputs()[0], Cases()[0].codebook, 21)),
      "BAD_CODEBOOK");
}

}  // namespace
}  // namespace condense::quantization
