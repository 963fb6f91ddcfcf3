// Control flow by its text before and after. That the numbers stay is tested
// beside the runtime.

#include "workers/engine/graph/passes/inline_control_flow.h"

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "workers/engine/graph/parse.h"
#include "workers/engine/graph/scalar_value.h"
#include "workers/engine/graph/text.h"
#include "workers/engine/graph/verify.h"

namespace condense::graph {
namespace {

// The graph's text after the pass; runs twice, the second run changes nothing.
std::string Inlined(const std::string& statements) {
  auto graph = Parse(absl::StrCat("graph g opset 17 {\n", statements, "}"));
  EXPECT_TRUE(graph.ok()) << graph.status();
  if (!graph.ok()) return "";
  EXPECT_TRUE(Verify(*graph, {.types = false}).ok()) << Verify(*graph);
  const auto first = InlineControlFlow().Run(*graph);
  EXPECT_TRUE(first.ok()) << first.status();
  EXPECT_TRUE(Verify(*graph, {.types = false}).ok()) << Verify(*graph);
  const std::string text = ToText(*graph);
  const auto second = InlineControlFlow().Run(*graph);
  EXPECT_TRUE(second.ok() && !*second);
  EXPECT_EQ(ToText(*graph), text);
  if (!*first) return "unchanged";
  return text.substr(text.find('\n') + 1);
}

TEST(InlineControlFlowTest, TheBranchOfAConstantConditionStays) {
  const std::string branches = R"({captures=1,
    then_branch=graph t opset 17 { input a
      const w: float32 [1] = {2.0}  m = Mul(a, w)  output m },
    else_branch=graph e opset 17 { input a  n = Neg(a)  output n }}
  output y
)";
  EXPECT_EQ(Inlined("input x: float32 [2]\n"
                    "const yes: bool [] = {1}\n"
                    "y = If(yes, x) " +
                    branches),
            "  input x: float32 [2]\n"
            "  const w: float32 [1] = {2.0}\n"
            "  y = Mul(x, w) @ m\n"
            "  output y\n}\n");
  EXPECT_EQ(Inlined("input x: float32 [2, 3]\n"
                    "const two: int64 [] = {2}\n"
                    "const one: int64 [] = {1}\n"
                    "s: int64 [2] = Shape(x)\n"
                    "h: int64 [] = Gather(s, one)\n"
                    "c: bool [] = Less(h, two)\n"
                    "y = If(c, x) " +
                    branches),
            "  input x: float32 [2, 3]\n"
            "  s: int64 [2] = Shape(x)\n"
            "  const one: int64 [] = {1}\n"
            "  h: int64 [] = Gather(s, one)\n"
            "  const two: int64 [] = {2}\n"
            "  c: bool [] = Less(h, two)\n"
            "  y = Neg(x) @ n\n"
            "  output y\n}\n");
  EXPECT_EQ(Inlined("input x: float32 [2]\ninput c: bool []\ny = If(c, x) " +
                    branches),
            "unchanged");
}

TEST(InlineControlFlowTest, ABranchThatOnlyPassesKeepsTheOutputsName) {
  EXPECT_EQ(Inlined(R"(input x: float32 [2]
    const yes: bool [] = {1}
    y = If(yes, x) {captures=1,
      then_branch=graph t opset 17 { input a output a },
      else_branch=graph e opset 17 { input a output a }}
    output y
)"),
            "  input x: float32 [2]\n"
            "  y = Identity(x) @ y/result\n"
            "  output y\n}\n");
}

// x * 2 as often as `trips` and `condition` say; `next` is the condition that a
// turn gives.
std::string Loop(const std::string& trips, const std::string& condition,
                 const std::string& next) {
  return absl::StrCat(R"(input x: float32 [1]
    input many: int64 []
    input go: bool []
    const three: int64 [] = {3}
    const huge: int64 [] = {1000000}
    const none: int64 [] = {0}
    const yes: bool [] = {1}
    const no: bool [] = {0}
    y, _ = Loop()",
                      trips, ", ", condition, R"(, x) {captures=0,
      body=graph b opset 17 { input i: int64 [] input c: bool [] input s
        const k: float32 [1] = {2.0}
        const limit: int64 [] = {1}
        t = Mul(s, k)  more: bool [] = Less(i, limit)
        output )",
                      next, R"( output t output s }} @ loop
    output y
)");
}

TEST(InlineControlFlowTest, AConstantTripCountIsUnrolledWithOneConstant) {
  const std::string text = Inlined(Loop("three", "_", "c"));
  EXPECT_THAT(text, ::testing::HasSubstr("  loop/0/t = Mul(x, k)\n"));
  EXPECT_THAT(text, ::testing::HasSubstr("  loop/1/t = Mul(loop/0/t, k)\n"));
  EXPECT_THAT(text,
              ::testing::HasSubstr("  y = Mul(loop/1/t, k) @ loop/2/t\n"));
  EXPECT_THAT(text, ::testing::Not(::testing::HasSubstr("Loop")));
}

TEST(InlineControlFlowTest, AConditionThatCanBeToldEndsTheLoop) {
  // Turn 0 says go on, turn 1 says stop.
  const std::string text = Inlined(Loop("_", "yes", "more"));
  EXPECT_THAT(text,
              ::testing::HasSubstr("  y = Mul(loop/0/t, k) @ loop/1/t\n"));
  EXPECT_EQ(Inlined(Loop("three", "no", "c")),
            "  input x: float32 [1]\n"
            "  input many: int64 []\n"
            "  input go: bool []\n"
            "  y = Identity(x) @ y/result\n"
            "  output y\n}\n");
}

TEST(InlineControlFlowTest, WhatDependsOnDataOrIsTooLongStays) {
  EXPECT_EQ(Inlined(Loop("many", "_", "c")), "unchanged");
  EXPECT_EQ(Inlined(Loop("three", "go", "c")), "unchanged");
  EXPECT_EQ(Inlined(Loop("huge", "_", "c")), "unchanged");
  EXPECT_EQ(Inlined(Loop("_", "yes", "c")), "unchanged") << "never ends";
}

TEST(InlineControlFlowTest, ScansOfAKnownLengthAreUnrolledInTheirDirections) {
  const std::string scan = R"(
    input s0: float32 [2]
    s, out = Scan(s0, x) {captures=0, num_scan_inputs=1, scan_input_axes=[1],
      scan_input_directions=[1], scan_output_axes=[-1],
      body=graph b opset 17 { input s input e  t = Add(s, e)  output t output t
    }} @ scan
    output out
)";
  EXPECT_EQ(Inlined("input x: float32 [2, 2]" + scan),
            "  input x: float32 [2, 2]\n"
            "  input s0: float32 [2]\n"
            "  const scan/0/index: int64 [] = {1}\n"
            "  scan/0/slice_0 = Gather(x, scan/0/index) {axis=1}\n"
            "  scan/0/t = Add(s0, scan/0/slice_0)\n"
            "  const scan/1/index: int64 [] = {0}\n"
            "  scan/1/slice_0 = Gather(x, scan/1/index) {axis=1}\n"
            "  scan/1/t = Add(scan/0/t, scan/1/slice_0)\n"
            "  const out/axis: int64 [1] = {-1}\n"
            "  out/0/unsqueezed = Unsqueeze(scan/0/t, out/axis)\n"
            "  out/1/unsqueezed = Unsqueeze(scan/1/t, out/axis)\n"
            "  out = Concat(out/0/unsqueezed, out/1/unsqueezed) {axis=-1} @ "
            "out/stacked\n"
            "  output out\n}\n");
  EXPECT_EQ(Inlined("input x: float32 [2, T]" + scan), "unchanged");
}

TEST(ScalarValuesTest, FollowsArithmeticOnWhatIsKnown) {
  const std::string text = R"(graph g opset 17 {
    input x: float32 [N, 3, 5]
    input v: float32 [7]
    const a: int64 [1] = {5}
    const b: int64 [] = {-3}
    const yes: bool [] = {1}
    const big: int64 [] = {9223372036854775807}
    const two: int64 [2] = {1, 2}
    const one: int64 [] = {1}
    const none: int64 [] = {0}
    sum = Add(a, b)  difference = Sub(a, b)  product = Mul(a, b)
    least = Min(a, b)  most = Max(a, b)
    equal = Equal(a, a)  less = Less(b, a)  at_most = LessOrEqual(a, a)
    more = Greater(b, a)  at_least = GreaterOrEqual(a, a)
    and = And(yes, more)  or = Or(yes, more)  xor = Xor(yes, yes)
    not = Not(more)  truth = Cast(b) {to="bool"}  same = Cast(b) {to="int32"}
    real = Cast(b) {to="float32"}  over = Add(big, a)
    shape = Shape(x)  width = Gather(shape, b)  h = Gather(shape, one)
    batch = Gather(shape, none)  length = Shape(v)  size = Size(v)
    unknown_size = Size(x)  moved = Reshape(a, two)  unsure = Add(batch, a)
    output sum })";
  auto graph = Parse(text);
  ASSERT_TRUE(graph.ok()) << graph.status();
  ScalarValues values(&*graph);
  const std::pair<const char*, std::optional<int64_t>> cases[] = {
      {"a", 5},
      {"sum", 2},
      {"difference", 8},
      {"product", -15},
      {"least", -3},
      {"most", 5},
      {"equal", 1},
      {"less", 1},
      {"at_most", 1},
      {"more", 0},
      {"at_least", 1},
      {"and", 0},
      {"or", 1},
      {"xor", 0},
      {"not", 1},
      {"truth", 1},
      {"same", -3},
      {"real", std::nullopt},
      {"over", std::nullopt},
      {"two", std::nullopt},
      {"x", std::nullopt},
      {"width", std::nullopt},
      {"h", 3},
      {"batch", std::nullopt},
      {"length", 7},
      {"size", 7},
      {"unknown_size", std::nullopt},
      {"moved", 5},
      {"unsure", std::nullopt}};
  for (const auto& [name, value] : cases) {
    EXPECT_EQ(values.At(graph->FindValue(name)), value) << name;
  }
}

}  // namespace
}  // namespace condense::graph
