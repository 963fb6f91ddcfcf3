#include "workers/engine/evaluation/codebook_weights.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace condense::evaluation {
namespace {

using graph::DType;
using graph::Graph;
using graph::Tensor;
using graph::ValueId;

// y = x * dequantize(table[codes]), codes two to a byte.
struct Coded {
  explicit Coded(const char* gather, int64_t axis, Tensor table) {
    const ValueId x = g.AddInput("x", DType::kFloat32, graph::Shape{1, 2});
    // 1 0 / 2 1.
    const ValueId codes = g.AddConstant(
        "codes", Tensor(DType::kUint4, {2, 2}, std::string("\x01\x12", 2)));
    const ValueId one = g.AddConstant("one", Tensor::Scalar<float>(1));
    ValueId value = Add("DequantizeLinear", {codes, one});
    value = Add("Cast", {value}, {{"to", std::string("int32")}});
    value = Add(gather, {g.AddConstant("table", std::move(table)), value},
                {{"axis", axis}});
    const ValueId scale = g.AddConstant("scale", Tensor::Scalar<float>(0.5f));
    value = Add("DequantizeLinear", {value, scale}, {}, "last");
    g.AddOutput(Add("MatMul", {x, value}));
  }

  ValueId Add(const std::string& op, std::vector<ValueId> inputs,
              std::map<std::string, graph::Attribute> attrs = {},
              const std::string& name = "") {
    const std::string own = name.empty() ? op : name;
    return g
        .node(g.AddNode(op, own, std::move(inputs), {own + "_y"},
                        std::move(attrs)))
        .outputs[0];
  }

  // What the last DequantizeLinear reads.
  const Tensor* Levels() const {
    return g.ConstantOf(g.node(g.FindNode("last")).inputs[0]);
  }

  Graph g;
};

Tensor Table(std::vector<int64_t> dims, const std::vector<int8_t>& levels) {
  return Tensor::Of<int8_t>(std::move(dims), levels);
}

TEST(CodebookWeightsTest, BecomeTheIntegersThatTheCodesStandFor) {
  struct Case {
    const char* gather;
    int64_t axis;
    Tensor table;
    std::vector<int64_t> levels;
  };
  const Case cases[] = {
      {"Gather", 0, Table({3}, {-63, 5, 9}), {5, -63, 9, 5}},
      {"GatherElements", 1, Table({2, 3}, {1, 2, 3, 4, 5, 6}), {2, 1, 6, 5}},
      {"GatherElements", 0, Table({3, 2}, {1, 2, 3, 4, 5, 6}), {3, 2, 5, 4}}};
  for (const Case& c : cases) {
    Coded coded(c.gather, c.axis, c.table);
    ASSERT_TRUE(DecodeCodebookWeights(&coded.g).ok());
    ASSERT_NE(coded.Levels(), nullptr) << c.gather << c.axis;
    EXPECT_EQ(coded.Levels()->ToInts(), c.levels) << c.gather << c.axis;
    EXPECT_EQ(coded.Levels()->dims(), (std::vector<int64_t>{2, 2}));
    EXPECT_EQ(coded.g.order().size(), 2u) << "nothing else is left to run";
  }
}

TEST(CodebookWeightsTest, ACodeWithoutALevelIsLeftToTheRuntime) {
  Coded coded("Gather", 0, Table({2}, {1, 2}));
  ASSERT_TRUE(DecodeCodebookWeights(&coded.g).ok());
  EXPECT_EQ(coded.Levels(), nullptr);
  EXPECT_EQ(coded.g.order().size(), 5u);
}

}  // namespace
}  // namespace condense::evaluation
