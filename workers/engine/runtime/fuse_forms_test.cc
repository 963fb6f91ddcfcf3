// The forms in which exporters write activations, normalisations and
// regrouping: outputs before and after.

#include "gtest/gtest.h"
#include "workers/engine/graph/passes/fuse_clip.h"
#include "workers/engine/graph/passes/fuse_gelu.h"
#include "workers/engine/graph/passes/fuse_hard_sigmoid.h"
#include "workers/engine/graph/passes/fuse_layer_norm.h"
#include "workers/engine/graph/passes/fuse_prelu.h"
#include "workers/engine/graph/passes/merge_pads.h"
#include "workers/engine/graph/passes/merge_reshapes.h"
#include "workers/engine/graph/passes/simplify_arithmetic.h"
#include "workers/engine/runtime/pass_testing.h"

namespace condense::runtime {
namespace {

using graph::Graph;
using graph::ValueId;
using Axes = std::vector<int64_t>;

const graph::Dim kBatch = graph::Dim::Symbol("N");

TEST(FuseGeluTest, ByTanhWithPowAndWithProducts) {
  for (bool pow : {true, false}) {
    Maker m({2, 8});
    const ValueId cube = pow ? m.Op("Pow", {m.x, m.Number(3)})
                             : m.Op("Mul", {m.Op("Mul", {m.x, m.x}), m.x});
    const ValueId sum =
        m.Op("Add", {m.x, m.Op("Mul", {cube, m.Number(0.044715f)})});
    const ValueId tanh =
        m.Op("Tanh", {m.Op("Mul", {m.Number(0.797884561f), sum})});
    const ValueId half = m.Op("Mul", {m.Number(0.5f), m.x});
    const ValueId y = m.Op("Mul", {half, m.Op("Add", {m.Number(1), tanh})});
    const Graph after = ExpectKeepsOutputs(graph::FuseGelu(), m.Done(y));
    EXPECT_EQ(Ops(after), "Gelu ");
  }
}

TEST(FuseClipTest, MaxMinReluAndClipInEveryOrder) {
  Maker a({2, 8});
  const ValueId max = a.Op("Max", {a.x, a.Number(0)});
  EXPECT_EQ(Ops(ExpectKeepsOutputs(graph::FuseClip(),
                                   a.Done(a.Op("Min", {a.Number(6), max})))),
            "Clip ");
  Maker b({2, 8});
  const ValueId clip =
      b.Op("Clip", {b.Op("Relu", {b.x}), b.Number(-1), b.Number(6)});
  EXPECT_EQ(Ops(ExpectKeepsOutputs(graph::FuseClip(), b.Done(clip))), "Clip ");
  Maker c({2, 8});
  EXPECT_EQ(Ops(ExpectKeepsOutputs(graph::FuseClip(),
                                   c.Done(c.Op("Clip", {c.x, c.Number(0)})))),
            "Relu ");
}

TEST(FuseClipTest, BoundsThatCrossStay) {
  Maker m({2, 8});
  Graph graph =
      m.Done(m.Op("Clip", {m.Op("Clip", {m.x, m.Number(2), m.Number(3)}),
                           m.Number(0), m.Number(1)}));
  EXPECT_FALSE(*graph::FuseClip().Run(graph));
}

TEST(FuseHardSigmoidTest, ClipOfALineInEveryForm) {
  for (int form = 0; form < 3; ++form) {
    Maker m({2, 8});
    ValueId y;
    if (form < 2) {
      const ValueId clip = m.Op(
          "Clip", {m.Op("Add", {m.x, m.Number(3)}), m.Number(0), m.Number(6)});
      y = form == 0 ? m.Op("Div", {clip, m.Number(6)})
                    : m.Op("Mul", {clip, m.Number(1.0f / 6)});
    } else {
      const ValueId line =
          m.Op("Add", {m.Op("Mul", {m.x, m.Number(0.2f)}), m.Number(0.5f)});
      y = m.Op("Clip", {line, m.Number(0), m.Number(1)});
    }
    EXPECT_EQ(Ops(ExpectKeepsOutputs(graph::FuseHardSigmoid(), m.Done(y))),
              "HardSigmoid ");
  }
}

TEST(FuseHardSigmoidTest, APlainClipStays) {
  Maker m({2, 8});
  Graph graph = m.Done(m.Op("Clip", {m.x, m.Number(0), m.Number(1)}));
  EXPECT_FALSE(*graph::FuseHardSigmoid().Run(graph));
}

TEST(FusePReluTest, EveryFormOfTheNegativePart) {
  for (int form = 0; form < 4; ++form) {
    SCOPED_TRACE(form);
    Maker m({2, 3, 4, 4});
    const ValueId slope = m.Random({3, 1, 1});
    const ValueId relu = m.Op("Relu", {m.x});
    ValueId y;
    if (form == 0) {  // Keras: relu(x) - slope * relu(-x)
      const ValueId negative = m.Op("Relu", {m.Op("Neg", {m.x})});
      y = m.Op("Sub", {relu, m.Op("Mul", {slope, negative})});
    } else if (form == 1) {  // tf2onnx: relu(x) + (-slope) * relu(-x)
      const ValueId negative = m.Op("Relu", {m.Op("Neg", {m.x})});
      y = m.Op("Add", {relu, m.Op("Mul", {slope, m.Op("Neg", {negative})})});
    } else if (form == 2) {
      y = m.Op("Add",
               {m.Op("Mul", {m.Op("Min", {m.x, m.Number(0)}), slope}), relu});
    } else {  // MXNet and TensorFlow: slope * (x - |x|) / 2
      const ValueId twice = m.Op("Sub", {m.x, m.Op("Abs", {m.x})});
      y = m.Op(
          "Add",
          {relu, m.Op("Mul", {m.Op("Mul", {slope, twice}), m.Number(0.5f)})});
    }
    EXPECT_EQ(Ops(ExpectKeepsOutputs(graph::FusePRelu(), m.Done(y))), "PRelu ");
  }
}

TEST(FusePReluTest, OneNumberIsALeakyRelu) {
  Maker sum({2, 8});
  const ValueId cut = sum.Op("Min", {sum.x, sum.Number(0)});
  EXPECT_EQ(
      Ops(ExpectKeepsOutputs(
          graph::FusePRelu(),
          sum.Done(sum.Op("Add", {sum.Op("Relu", {sum.x}),
                                  sum.Op("Mul", {cut, sum.Number(0.1f)})})))),
      "LeakyRelu ");
  Maker max({2, 8});
  EXPECT_EQ(
      Ops(ExpectKeepsOutputs(
          graph::FusePRelu(),
          max.Done(max.Op("Max",
                          {max.x, max.Op("Mul", {max.Number(0.2f), max.x})})))),
      "LeakyRelu ");
}

// The parts of a layer normalisation over the last axis of [2, 3, 4].
struct NormMaker : Maker {
  NormMaker() : Maker({2, 3, 4}) {
    mean = Mean(x);
    centred = Op("Sub", {x, mean});
    const ValueId variance = Mean(Op("Mul", {centred, centred}));
    shifted = Op("Add", {variance, Number(1e-3f)});
  }
  ValueId Mean(ValueId of) {
    return Op("ReduceMean", {of},
              {{"axes", Axes{-1}}, {"keepdims", int64_t{1}}});
  }
  ValueId mean, centred, shifted;
};

TEST(FuseLayerNormTest, RootsAndInversesInEveryForm) {
  for (int form = 0; form < 4; ++form) {
    SCOPED_TRACE(form);
    NormMaker m;
    const ValueId root = m.Op("Sqrt", {m.shifted});
    ValueId y;
    if (form == 0) {
      y = m.Op("Mul", {m.centred, m.Op("Reciprocal", {root})});
    } else if (form == 1) {
      y = m.Op("Mul", {m.Op("Div", {m.Number(1), root}), m.centred});
    } else if (form == 2) {
      y = m.Op("Mul", {m.centred, m.Op("Pow", {m.shifted, m.Number(-0.5f)})});
    } else {
      y = m.Op("Div", {m.centred, m.Op("Pow", {m.shifted, m.Number(0.5f)})});
    }
    y = m.Op("Add", {m.Op("Mul", {y, m.Random({4})}), m.Random({4})});
    EXPECT_EQ(Ops(ExpectKeepsOutputs(graph::FuseLayerNorm(), m.Done(y))),
              "LayerNormalization ");
  }
}

TEST(FuseLayerNormTest, AsKerasComputesIt) {
  NormMaker m;
  const ValueId inverse = m.Op("Reciprocal", {m.Op("Sqrt", {m.shifted})});
  const ValueId k = m.Op("Mul", {inverse, m.Random({4})});
  const ValueId rest = m.Op("Sub", {m.Random({4}), m.Op("Mul", {m.mean, k})});
  const ValueId y = m.Op("Add", {m.Op("Mul", {m.x, k}), rest});
  EXPECT_EQ(Ops(ExpectKeepsOutputs(graph::FuseLayerNorm(), m.Done(y))),
            "LayerNormalization ");
}

TEST(SimplifyArithmeticTest, PowersAndNeutralNumbers) {
  Maker m({2, 8});
  ValueId y = m.Op("Mul", {m.Op("Add", {m.x, m.Number(0)}), m.Number(1)});
  y = m.Op("Pow", {y, m.Number(2)});
  y = m.Op("Pow", {y, m.Number(0.5f)});
  const Graph after =
      ExpectKeepsOutputs(graph::SimplifyArithmetic(), m.Done(y));
  EXPECT_EQ(Ops(after), "Mul Sqrt ");
}

TEST(SimplifyArithmeticTest, TheScaleOfAttentionStandsOnOneOperand) {
  Maker m({2, 3, 4});
  const ValueId keys = m.Op("Transpose", {m.x}, {{"perm", Axes{0, 2, 1}}});
  const ValueId y = m.Op("MatMul", {m.Op("Mul", {m.x, m.Number(0.7f)}),
                                    m.Op("Mul", {keys, m.Number(0.7f)})});
  const Graph after =
      ExpectKeepsOutputs(graph::SimplifyArithmetic(), m.Done(y));
  EXPECT_EQ(CountOf(after, "Mul"), 1);
}

TEST(MergeReshapesTest, OfTwoTheFirstGoes) {
  Maker m({kBatch, 4, 2, 3});
  const ValueId wide = m.Op("Reshape", {m.x, m.Ints({0, 2, 12})});
  EXPECT_EQ(Ops(ExpectKeepsOutputs(
                graph::MergeReshapes(),
                m.Done(m.Op("Reshape", {wide, m.Ints({0, 0, 3, 4})})))),
            "Reshape ");
  Maker pooled({kBatch, 4, 1, 1});
  EXPECT_EQ(Ops(ExpectKeepsOutputs(
                graph::MergeReshapes(),
                pooled.Done(pooled.Op(
                    "Flatten",
                    {pooled.Op("Squeeze", {pooled.x, pooled.Ints({3})})})))),
            "Flatten ");
}

TEST(MergeReshapesTest, SqueezeAndUnsqueezeCancel) {
  Maker m({kBatch, 4, 3});
  const ValueId wide = m.Op("Unsqueeze", {m.x, m.Ints({-1})});
  const ValueId back = m.Op("Squeeze", {wide, m.Ints({3})});
  EXPECT_EQ(Ops(ExpectKeepsOutputs(graph::MergeReshapes(),
                                   m.Done(m.Op("Relu", {back})))),
            "Relu ");
}

TEST(MergeReshapesTest, ATransposeOfAnAxisThatComesAndGoes) {
  // As PyTorch splits the projection of attention.
  Maker m({5, 2, 3, 4});
  const ValueId wide = m.Op("Unsqueeze", {m.x, m.Ints({0})});
  const ValueId turned =
      m.Op("Transpose", {wide}, {{"perm", Axes{3, 1, 2, 0, 4}}});
  EXPECT_EQ(
      Ops(ExpectKeepsOutputs(graph::MergeReshapes(),
                             m.Done(m.Op("Squeeze", {turned, m.Ints({3})})))),
      "Transpose ");
}

TEST(MergePadsTest, IntoConvolutionsAndPools) {
  const Axes around = {0, 0, 1, 0, 0, 0, 1, 1};
  Maker conv({kBatch, 3, 6, 6});
  EXPECT_EQ(Ops(ExpectKeepsOutputs(
                graph::MergePads(),
                conv.Done(conv.Op("Conv",
                                  {conv.Op("Pad", {conv.x, conv.Ints(around)}),
                                   conv.Random({4, 3, 3, 3})},
                                  {{"pads", Axes{1, 1, 1, 1}}})))),
            "Conv ");
  for (const char* op : {"AveragePool", "MaxPool"}) {
    Maker pool({kBatch, 3, 6, 6});
    const ValueId relu = pool.Op("Relu", {pool.x});
    EXPECT_EQ(
        Ops(ExpectKeepsOutputs(
            graph::MergePads(),
            pool.Done(pool.Op(
                op, {pool.Op("Pad", {relu, pool.Ints(around)})},
                {{"kernel_shape", Axes{3, 3}}, {"strides", Axes{2, 2}}})))),
        std::string("Relu ") + op + " ");
  }
}

TEST(MergePadsTest, WhatPadsOtherwiseStays) {
  const Axes around = {0, 0, 1, 1, 0, 0, 1, 1};
  // Zeros may be the greatest without a Relu before.
  Maker pool({kBatch, 3, 6, 6});
  Graph max = pool.Done(pool.Op("MaxPool",
                                {pool.Op("Pad", {pool.x, pool.Ints(around)})},
                                {{"kernel_shape", Axes{3, 3}}}));
  EXPECT_FALSE(*graph::MergePads().Run(max));
  Maker conv({kBatch, 3, 6, 6});
  const ValueId mirrored = conv.Op("Pad", {conv.x, conv.Ints(around)},
                                   {{"mode", std::string("reflect")}});
  Graph reflect =
      conv.Done(conv.Op("Conv", {mirrored, conv.Random({4, 3, 3, 3})}));
  EXPECT_FALSE(*graph::MergePads().Run(reflect));
}

}  // namespace
}  // namespace condense::runtime
