// Every layer that a normalisation may stand beside: outputs before and after.

#include "workers/engine/graph/passes/fold_batch_norm.h"

#include "gtest/gtest.h"
#include "workers/engine/runtime/pass_testing.h"

namespace condense::runtime {
namespace {

using graph::FoldBatchNorm;
using graph::Graph;
using graph::ValueId;
using Ints = std::vector<int64_t>;

const graph::Dim kBatch = graph::Dim::Symbol("N");

struct ConvForm {
  const char* op;
  int64_t group;
  Ints weight;
  bool bias;
};

TEST(FoldBatchNormTest, IntoConvolutionsOfEveryGroup) {
  const ConvForm forms[] = {
      {"Conv", 1, {6, 4, 3, 3}, true},
      {"Conv", 4, {4, 1, 3, 3}, false},  // depthwise
      {"Conv", 4, {8, 1, 3, 3}, true},   // depthwise, two filters each
      {"Conv", 2, {6, 2, 1, 1}, false},
      {"ConvTranspose", 1, {4, 6, 2, 2}, true},
      {"ConvTranspose", 2, {4, 3, 2, 2}, false},
      {"ConvTranspose", 4, {4, 1, 2, 2}, true}};
  for (const ConvForm& form : forms) {
    SCOPED_TRACE(testing::Message() << form.op << " group " << form.group);
    Maker m({kBatch, 4, 5, 5});
    const bool transposed = std::string(form.op) == "ConvTranspose";
    const int64_t out =
        transposed ? form.weight[1] * form.group : form.weight[0];
    std::vector<ValueId> inputs = {m.x, m.Random(form.weight)};
    if (form.bias) inputs.push_back(m.Random({out}));
    const ValueId y = m.Op(form.op, inputs, {{"group", form.group}});
    const Graph after =
        ExpectKeepsOutputs(FoldBatchNorm(), m.Done(m.Norm(y, out)));
    EXPECT_EQ(after.order().size(), 1u);
  }
}

TEST(FoldBatchNormTest, IntoGemmOfBothOrientations) {
  for (int form = 0; form < 4; ++form) {
    SCOPED_TRACE(form);
    Maker m({kBatch, 4});
    const int64_t trans = form % 2;
    std::vector<ValueId> inputs = {m.x,
                                   m.Random(trans ? Ints{3, 4} : Ints{4, 3})};
    if (form >= 2) inputs.push_back(m.Random({3}));
    const Graph after = ExpectKeepsOutputs(
        FoldBatchNorm(),
        m.Done(m.Norm(m.Op("Gemm", inputs, {{"transB", trans}}), 3)));
    EXPECT_EQ(Ops(after), "Gemm ");
  }
}

TEST(FoldBatchNormTest, IntoMatMulWithAndWithoutItsAdd) {
  Maker m({kBatch, 4});
  const ValueId sum =
      m.Op("Add", {m.Op("MatMul", {m.x, m.Random({4, 3})}), m.Random({3})});
  EXPECT_EQ(Ops(ExpectKeepsOutputs(FoldBatchNorm(), m.Done(m.Norm(sum, 3)))),
            "MatMul Add ");
  Maker bare({kBatch, 4});
  const ValueId product = bare.Op("MatMul", {bare.x, bare.Random({4, 3})});
  EXPECT_EQ(Ops(ExpectKeepsOutputs(FoldBatchNorm(),
                                   bare.Done(bare.Norm(product, 3)))),
            "Gemm ");
}

TEST(FoldBatchNormTest, ThroughFlattenUnsqueezeAndTranspose) {
  Maker conv({kBatch, 4, 3, 3});
  const ValueId flat = conv.Op(
      "Flatten", {conv.Op("Conv", {conv.x, conv.Random({5, 4, 3, 3})})});
  EXPECT_EQ(
      Ops(ExpectKeepsOutputs(FoldBatchNorm(), conv.Done(conv.Norm(flat, 5)))),
      "Conv Flatten ");
  Maker dense({kBatch, 4});
  const ValueId wide = dense.Op(
      "Unsqueeze",
      {dense.Op("Gemm", {dense.x, dense.Random({4, 3})}), dense.Ints({2})});
  EXPECT_EQ(
      Ops(ExpectKeepsOutputs(FoldBatchNorm(), dense.Done(dense.Norm(wide, 3)))),
      "Gemm Unsqueeze ");
  Maker tokens({kBatch, 7, 4});
  const ValueId turned = tokens.Op(
      "Transpose", {tokens.Op("MatMul", {tokens.x, tokens.Random({4, 3})})},
      {{"perm", Ints{0, 2, 1}}});
  EXPECT_EQ(Ops(ExpectKeepsOutputs(FoldBatchNorm(),
                                   tokens.Done(tokens.Norm(turned, 3)))),
            "MatMul Add Transpose ");
}

TEST(FoldBatchNormTest, DecomposedIntoArithmeticPerChannel) {
  Maker m({kBatch, 4, 5, 5});
  const ValueId y = m.Op("Conv", {m.x, m.Random({6, 4, 3, 3})});
  const ValueId centred = m.Op("Sub", {y, m.Random({6, 1, 1})});
  const ValueId scaled = m.Op("Div", {centred, m.Random({1, 6, 1, 1}, 1, 2)});
  const ValueId gained = m.Op("Mul", {m.Random({6, 1, 1}), scaled});
  const Graph after = ExpectKeepsOutputs(
      FoldBatchNorm(), m.Done(m.Op("Add", {gained, m.Random({6, 1, 1})})));
  EXPECT_EQ(Ops(after), "Conv ");
}

TEST(FoldBatchNormTest, IntoTheLayerBehindWhereNothingIsPadded) {
  for (int64_t group : {1, 2, 4}) {
    SCOPED_TRACE(group);
    Maker m({kBatch, 4, 5, 5});
    const ValueId y =
        m.Op("Conv", {m.Norm(m.x, 4), m.Random({4, 4 / group, 3, 3})},
             {{"group", group}});
    EXPECT_EQ(Ops(ExpectKeepsOutputs(FoldBatchNorm(), m.Done(y))), "Conv ");
  }
  Maker m({kBatch, 4, 2, 3});
  const ValueId flat = m.Op("Flatten", {m.Norm(m.x, 4)});
  const ValueId y = m.Op("Gemm", {flat, m.Random({3, 24}), m.Random({3})},
                         {{"transB", int64_t{1}}});
  EXPECT_EQ(Ops(ExpectKeepsOutputs(FoldBatchNorm(), m.Done(y))),
            "Flatten Gemm ");
}

// Refusals: the graph stays as it is.
void ExpectStays(Graph graph) {
  const std::string text = graph::ToText(graph);
  EXPECT_FALSE(*FoldBatchNorm().Run(graph));
  EXPECT_EQ(graph::ToText(graph), text);
}

TEST(FoldBatchNormTest, WhatWouldChangeTheFunctionStays) {
  // Zeros are padded between.
  Maker padded({kBatch, 4, 5, 5});
  ExpectStays(padded.Done(
      padded.Op("Conv", {padded.Norm(padded.x, 4), padded.Random({2, 4, 3, 3})},
                {{"pads", Ints{1, 1, 1, 1}}})));
  // Another node reads the convolution.
  Maker read({kBatch, 4, 5, 5});
  const ValueId y = read.Op("Conv", {read.x, read.Random({4, 4, 1, 1})});
  ExpectStays(read.Done(read.Op("Add", {y, read.Norm(y, 4)})));
  // Two layers share the weight.
  Maker shared({kBatch, 4});
  const ValueId w = shared.Random({4, 4});
  const ValueId a = shared.Norm(shared.Op("Gemm", {shared.x, w}), 4);
  ExpectStays(shared.Done(shared.Op("Gemm", {shared.Op("Relu", {a}), w})));
  // A constant per position is none per channel.
  Maker place({kBatch, 4, 5, 5});
  const ValueId z = place.Op("Conv", {place.x, place.Random({5, 4, 1, 1})});
  ExpectStays(place.Done(place.Op("Mul", {z, place.Random({5})})));
}

}  // namespace
}  // namespace condense::runtime
