// One malformed graph per kind of fault; each is found with its node and value.

#include "workers/engine/graph/verify.h"

#include <functional>

#include "absl/strings/str_cat.h"
#include "common/error.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "workers/engine/graph/parse.h"

namespace condense::graph {
namespace {

using ::testing::HasSubstr;

std::string Says(const absl::Status& status) {
  return std::string(status.message());
}

// Sound as it stands: a chain, a branch with a captured value, a quantizer.
constexpr char kSound[] = R"(graph g opset 17 {
  input x: float32 [N, 2]
  input yes: bool []
  const w: float32 [2] = {1.0, 2.0}
  const scale: float32 [2] = {0.5, 0.25}
  const zero: int32 [2] = {0, 0}
  a: float32 [N, 2] = Add(x, w)
  b: float32 [N, 2] = Relu(a)
  q: float32 [N, 2] = condense::FakeQuantize(b, scale, zero)
      {qmin=-127, qmax=127, axis=1, dtype="int8", role="activation"} @ quantizer
  c: float32 [N, 2] = If(yes, q) {captures=1,
    then_branch=graph t opset 17 { input q  r: float32 [N, 2] = Neg(q) output r },
    else_branch=graph e opset 17 { input q output q }}
  output c
})";

Graph Sound() {
  auto graph = Parse(kSound);
  EXPECT_TRUE(graph.ok()) << graph.status();
  return *std::move(graph);
}

TEST(VerifyTest, ASoundGraphIsSound) {
  EXPECT_TRUE(Verify(Sound()).ok()) << Verify(Sound());
}

struct Edit {
  const char* from;
  const char* to;
  const char* node;
  const char* says;
};

// Faults that the text form can show: `from` in kSound becomes `to`.
TEST(VerifyTest, FindsFaultsThatATextShows) {
  const Edit edits[] = {
      {"output c", "", "", "the graph has no output"},
      {"= Add(x, w)", "= Add(b, w)", "a", "a cycle: 'a' -> 'b' -> 'a'"},
      {"= Add(x, w)", "= Add(x, late) late = Relu(x)", "a",
       "'late' is read before node 'late' makes it"},
      {"Relu(a)", "Wiggle(a)", "b", "unknown operator 'Wiggle'"},
      {"Relu(a)", "ours::Relu(a)", "b", "unknown operator 'ours::Relu'"},
      {"Relu(a)", "Relu()", "b", "Relu needs 1 inputs; input 0 is missing"},
      {"Add(x, w)", "Add(x, _)", "a", "Add needs 2 inputs; input 1"},
      {"Relu(a)", "Relu(a, a)", "b", "Relu takes 1 inputs, not 2"},
      {"b: float32 [N, 2] =", "b, b2 =", "b", "Relu cannot make 2 outputs"},
      {"Relu(a)", "Cast(a)", "b", "Cast needs attribute 'to'"},
      {"Relu(a)", "Tile(a, w)", "b",
       "input 1 of Tile must be integers, not float32"},
      {"Relu(a)", "Cast(a) {to=1}", "b",
       "'to' of Cast must be a string, not an integer"},
      {"Relu(a)", "Concat(a)", "b", "Concat needs attribute 'axis'"},
      {"Relu(a)", "MaxPool(a)", "b", "MaxPool needs attribute 'kernel_shape'"},
      {"a: float32", "a: float16", "a",
       "'a' has type float16, Add makes float32"},
      {"a: float32 [N, 2]", "a: float32 [N, 3]", "a",
       "'a' has shape [N, 3], Add makes [N, 2]"},
      {"a: float32 [N, 2]", "a: float32 [N]", "a", "'a' has shape [N]"},
      {"r: float32", "r: int8", "r", "'r' has type int8, Neg makes float32"},
      {"Neg(q)", "Wiggle(q)", "r", "unknown operator 'Wiggle'"},
      {"If(yes, q)", "If(yes, q, x)", "c",
       "3 inputs do not hold 1 of If and 1 captured"},
      {"captures=1", "captures=2", "c", "2 inputs do not hold 1 of If and 2"},
      {"captures=1", "captures=-1", "c", "-1 captured"},
      {"else_branch", "other", "c", "If needs attribute 'else_branch'"},
      {"output r", "output r output r", "c", "gives 2 values; If needs 1"},
      {"input q output q", "input q input q2 output q", "c",
       "'else_branch' takes 2 values"},
      {"qmin=-127, ", "", "quantizer", "needs attribute 'qmin'"},
      {"qmin=-127", "qmin=128", "quantizer",
       "qmin 128 is greater than qmax 127"},
      {"qmax=127", "qmax=128", "quantizer", "-127 to 128 does not fit int8"},
      {"\"int8\"", "\"uint8\"", "quantizer", "does not fit uint8"},
      {"\"int8\"", "\"float32\"", "quantizer", "'float32' stores no quantized"},
      {"{0.5, 0.25}", "{0.5, 0.0}", "quantizer", "the scale has an element 0"},
      {"{0.5, 0.25}", "{0.5, -1.0}", "quantizer", "must be positive"},
      {"{0.5, 0.25}", "{0.5, inf}", "quantizer", "must be positive"},
      {"scale: float32 [2] = {0.5, 0.25}", "scale: float64 [2] = {0.5, 0.25}",
       "quantizer", "the scale is float64, not float32"},
      {"scale: float32 [2] = {0.5, 0.25}",
       "scale: float32 [3] = {0.5, 0.25, 1.0}", "quantizer",
       "the scale has shape [3], axis 1 of [N, 2] needs one per channel"},
      {"zero: int32 [2]", "zero: int8 [2]", "quantizer", "not int32"},
      {"{0, 0}", "{0, 128}", "quantizer", "the zero point 128 lies outside"},
      {"axis=1, ", "", "quantizer", "without an axis"},
      {"axis=1", "axis=2", "quantizer", "axis 2 lies outside of [N, 2]"},
  };
  for (const Edit& edit : edits) {
    SCOPED_TRACE(absl::StrCat(edit.from, " -> ", edit.to));
    std::string text = kSound;
    const size_t at = text.rfind(edit.from);
    ASSERT_NE(at, std::string::npos);
    text.replace(at, std::string(edit.from).size(), edit.to);
    const auto graph = Parse(text);
    ASSERT_TRUE(graph.ok()) << graph.status();
    const absl::Status status = Verify(*graph);
    EXPECT_EQ(ErrorReason(status), "BAD_GRAPH");
    EXPECT_EQ(ErrorDetailOf(status).node, edit.node);
    EXPECT_THAT(Says(status), HasSubstr(edit.says));
  }
}

struct Fault {
  const char* says;
  const char* node;
  std::function<void(Graph&)> make;
};

// Faults that only a rewrite can make.
TEST(VerifyTest, FindsFaultsOfRewrites) {
  const auto value = [](Graph& g, const char* name) -> Value& {
    return g.mutable_value(g.FindValue(name));
  };
  const auto node = [](Graph& g, const char* name) -> Node& {
    return g.mutable_node(g.FindNode(name));
  };
  const Fault faults[] = {
      {"an input (value 999) is missing", "a",
       [&](Graph& g) { node(g, "a").inputs[1] = 999; }},
      {"an input (value -7) is missing", "a",
       [&](Graph& g) { node(g, "a").inputs[1] = -7; }},
      {"an output (value 999) is missing", "b",
       [&](Graph& g) { node(g, "b").outputs.push_back(999); }},
      {"a graph output is missing", "",
       [&](Graph& g) { g.ReplaceOutput(0, 999); }},
      {"a graph input is missing", "",
       [&](Graph& g) { g.ReplaceInput(0, 999); }},
      {"nothing makes 'lost'", "b",
       [&](Graph& g) { node(g, "b").inputs[0] = g.AddValue("lost"); }},
      {"nothing makes the graph's output 'lost'", "",
       [&](Graph& g) { g.ReplaceOutput(0, g.AddValue("lost")); }},
      {"nothing makes 'b'", "quantizer",
       [&](Graph& g) { g.RemoveNode(g.FindNode("b")); }},
      {"the node that should make 'a' is missing", "",
       [&](Graph& g) { value(g, "a").producer = 999; }},
      {"'a' is no output of its producer", "b",
       [&](Graph& g) { value(g, "a").producer = g.FindNode("b"); }},
      {"output 'a' names another producer", "a",
       [&](Graph& g) { value(g, "a").producer = kNoNode; }},
      {"'a' is made twice", "b",
       [&](Graph& g) { node(g, "b").outputs.push_back(g.FindValue("a")); }},
      {"'w' is made twice", "a",
       [&](Graph& g) {
         node(g, "a").outputs = {g.FindValue("w")};
         value(g, "a").producer = kNoNode;
       }},
      {"'a' is a constant and a node's output", "a",
       [&](Graph& g) {
         g.SetConstant(g.FindValue("a"), Tensor::Scalar<float>(1));
       }},
      {"input 'x' is also a constant", "",
       [&](Graph& g) {
         g.SetConstant(g.FindValue("x"), Tensor::Scalar<float>(1));
       }},
      {"input 'a' is also a node's output", "",
       [&](Graph& g) { g.ReplaceInput(0, g.FindValue("a")); }},
      {"input 'x' stands twice", "",
       [&](Graph& g) { g.ReplaceInput(1, g.FindValue("x")); }},
      {"two values are called 'x'", "",
       [&](Graph& g) { value(g, "a").name = "x"; }},
      {"two nodes have this name", "b",
       [&](Graph& g) { node(g, "a").name = "b"; }},
      {"constant 'w' has type int8, its tensor float32", "",
       [&](Graph& g) { value(g, "w").dtype = DType::kInt8; }},
      {"constant 'w' has shape [3], its tensor [2]", "",
       [&](Graph& g) { value(g, "w").shape = Shape{3}; }},
      {"constant 's' holds 1 elements for 2", "",
       [&](Graph& g) {
         g.AddConstant("s", Tensor({2}, std::vector<std::string>{"one"}));
       }},
      {"If needs attribute 'then_branch'", "c",
       [&](Graph& g) {
         node(g, "c").attrs["then_branch"] = std::shared_ptr<const Graph>();
       }},
      {"'x' has a bad dimension", "",
       [&](Graph& g) { (*value(g, "x").shape)[0].value = 3; }},
  };
  for (const Fault& fault : faults) {
    SCOPED_TRACE(fault.says);
    Graph graph = Sound();
    fault.make(graph);
    const absl::Status status = Verify(graph);
    EXPECT_EQ(ErrorReason(status), "BAD_GRAPH");
    EXPECT_EQ(ErrorDetailOf(status).node, fault.node);
    EXPECT_THAT(Says(status), HasSubstr(fault.says));
  }
}

TEST(VerifyTest, TypesAreLeftAloneWhereTheyAreNotInferredYet) {
  Graph graph = Sound();
  graph.mutable_value(graph.FindValue("a")).dtype = DType::kFloat16;
  EXPECT_FALSE(Verify(graph).ok());
  EXPECT_TRUE(Verify(graph, {.types = false}).ok());
}

}  // namespace
}  // namespace condense::graph
