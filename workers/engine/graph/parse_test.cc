// The text form: what Parse makes of it, and that ToText writes all of a graph.

#include "workers/engine/graph/parse.h"

#include <cmath>
#include <limits>

#include "common/error.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "workers/engine/graph/same_graph.h"
#include "workers/engine/graph/text.h"
#include "workers/engine/graph/verify.h"

namespace condense::graph {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// As ToText writes it: a node of another domain, omitted values, attributes of
// every kind, a subgraph, constants in both forms, names that need quotes.
constexpr char kEverything[] =
    R"(graph "all of it" opset 17 {
  doc "two\nlines and \"quotes\""
  metadata author = "somebody"
  metadata "two words" = ""
  input x: float32 [N, 3, ?, "2*W"]
  input "_": float32 []
  input any
  input rank: int64 ?
  const /layer.1/w:0: float32 [2] = {0.1, -inf}
  const none: float16 [0, 3] = base64 ""
  y: float32 [N], _ = Split(x, /layer.1/w:0, _, none) {a=1, b=1.0, c="1", d=[1, -2], e=[1.0, 0.25], f=["", "a\"b"], g=[], h=floats[], i=strings[], j=nan, k=-1e30, l=int4 [3] = {-8, 7, 0}, m=string [2] = {"a", ""}} @ "split it"
  const bits: bool [2] = {1, 0}
  const wide: uint64 [1] = base64 "//////////8="
  z = com.microsoft::Gelu("_", bits, wide)
  out = If(any, rank) {captures=1, else_branch=graph b opset 17 {
    input rank: int64 ?
    const k: float64 [] = {0.1}
    z: float64 [] = Cast(k) {to="float64"}
    output z
  }, then_branch=graph "" opset 13 {
    input rank
    output rank
  }} @ if.1
  output z
  output out
  output z
}
)";

TEST(TextFormTest, ParsesAndWritesEverythingAsItStands) {
  const auto graph = Parse(kEverything);
  ASSERT_TRUE(graph.ok()) << graph.status();
  EXPECT_EQ(ToText(*graph), kEverything);
  const auto again = Parse(ToText(*graph));
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(Difference(*graph, *again), "");
}

TEST(TextFormTest, ReadsWhatIsWrittenByHand) {
  const auto graph = Parse(R"(
      # Comments, no types, any layout.
      graph m opset 17 { input x  y = Relu(x)
        output y }  # the end
  )");
  ASSERT_TRUE(graph.ok()) << graph.status();
  Graph built;
  built.name = "m";
  const ValueId x = built.AddInput("x", DType::kUndefined, std::nullopt);
  built.AddNode("Relu", "", {x}, {"y"});
  built.AddOutput(built.FindValue("y"));
  EXPECT_EQ(Difference(*graph, built), "");
}

TEST(TextFormTest, EveryTypeOfConstantComesBack) {
  Graph graph;
  std::vector<ValueId> inputs;
  for (int i = 1; i < static_cast<int>(DType::kString); ++i) {
    const auto dtype = static_cast<DType>(i);
    // Few elements are written as numbers, many as bytes.
    for (int64_t size : {0, 3, 33}) {
      std::string bytes(Tensor::ByteSize(dtype, {{size}}), '\0');
      for (size_t b = 0; b < bytes.size(); ++b) {
        bytes[b] = static_cast<char>(dtype == DType::kBool ? b % 2 : 37 * b);
      }
      if (size % 2 == 1 && DTypeBits(dtype) == 4) bytes.back() &= 0xf;
      inputs.push_back(graph.AddConstant("c", Tensor(dtype, {size}, bytes)));
    }
  }
  const float special[] = {std::nextafter(1.0f, 2.0f),
                           std::numeric_limits<float>::denorm_min(),
                           std::numeric_limits<float>::max(),
                           -0.0f,
                           1.0f / 3,
                           std::numeric_limits<float>::quiet_NaN()};
  inputs.push_back(graph.AddConstant("f", Tensor::Of<float>({6}, special)));
  inputs.push_back(graph.AddConstant(
      "f", Tensor::Of<float>({5}, absl::MakeConstSpan(special).first(5))));
  inputs.push_back(graph.AddConstant("d", Tensor::Scalar<double>(1.0 / 3)));
  inputs.push_back(graph.AddConstant(
      "i", Tensor::Scalar(std::numeric_limits<int64_t>::min())));
  graph.AddNode("Concat", "", inputs, {"y"}, {{"axis", int64_t{0}}});
  graph.AddOutput(graph.FindValue("y"));
  const auto again = Parse(ToText(graph));
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(Difference(graph, *again), "");
}

TEST(TextFormTest, LargeConstantsAreElidedForPeopleOnly) {
  Graph graph;
  const ValueId w = graph.AddConstant(
      "w", Tensor::Of<float>({17}, std::vector<float>(17, 1.5f)));
  graph.AddNode("Relu", "", {w}, {"y"});
  graph.AddOutput(graph.FindValue("y"));
  const std::string text = ToText(graph, TextForm::kElided);
  EXPECT_THAT(text, HasSubstr("const w: float32 [17] = sha256 \""));
  EXPECT_EQ(ErrorReason(Parse(text).status()), "BAD_TEXT");
  EXPECT_THAT(std::string(Parse(text).status().message()),
              HasSubstr("left out"));
  EXPECT_THAT(ToText(graph), Not(HasSubstr("sha256")));
}

struct BadText {
  const char* body;
  // Counted from the body's first character as line 1, column 1.
  int line;
  int column;
  const char* says;
};

TEST(TextFormTest, ErrorsSayWhereAndWhat) {
  const BadText cases[] = {
      {"input x: float31 [2]", 1, 10,
       "a type should stand here, not 'float31'"},
      {"input x: float32 [2", 2, 1, "',' should stand here, not '}'"},
      {"input x: float32 [-2]", 1, 19, "a dimension"},
      {"input x\ninput x", 2, 7, "'x' is made twice"},
      {"input x\ny = Relu(z)\noutput y", 2, 10, "nothing makes 'z'"},
      {"output q", 1, 8, "nothing makes 'q'"},
      {"y = Relu(x", 2, 1, "',' should stand here"},
      {"y Relu(x)", 1, 3, "',' should stand here, not 'Relu'"},
      {"const c: int8 [2] = {1, 2, 3}", 1, 21, "3 elements for 2"},
      {"const c: int8 [1] = {128}", 1, 22, "an element of type int8"},
      {"const c: uint8 [1] = {-1}", 1, 23, "an element of type uint8"},
      {"const c: bool [1] = {2}", 1, 22, "an element of type bool"},
      {"const c: float32 [1] = {one}", 1, 25, "an element of type float32"},
      {"const c: float32 [1] = base64 \"AA==\"", 1, 31, "1 bytes for 4"},
      {"const c: float32 [1] = base64 \"?\"", 1, 31, "not base64"},
      {"const c: float32 [N] = {}", 1, 18, "a known shape"},
      {"const c: int8 [99999999999, 99999999999] = {}", 1, 15, "too large"},
      {"y = A() {k=[1, 2.0]}", 1, 16, "mixes"},
      {"y = A() {k=1, k=2}", 1, 15, "'k' is given twice"},
      {"y = A() {k=1x}", 1, 12, "a value should stand here"},
      {"y = A() @ n z = B() @ n", 1, 13, "two nodes are called 'n'"},
      {"doc \"open", 1, 5, "a string without its end"},
      {"doc \"\\q\"", 1, 5, "Unknown escape"},
      {"doc plain", 1, 5, "a string should stand here, not 'plain'"},
  };
  for (const BadText& bad : cases) {
    SCOPED_TRACE(bad.body);
    const auto graph =
        Parse(std::string("graph g opset 17 {\n") + bad.body + "\n}\n");
    ASSERT_FALSE(graph.ok());
    EXPECT_EQ(ErrorReason(graph.status()), "BAD_TEXT");
    EXPECT_EQ(ErrorDetailOf(graph.status()).line, bad.line + 1);
    EXPECT_EQ(ErrorDetailOf(graph.status()).column, bad.column);
    EXPECT_THAT(std::string(graph.status().message()), HasSubstr(bad.says));
  }
}

TEST(TextFormTest, EveryTruncationIsAnError) {
  const std::string text = kEverything;
  for (size_t length = 0; length + 2 < text.size(); ++length) {
    EXPECT_EQ(ErrorReason(Parse(text.substr(0, length)).status()), "BAD_TEXT")
        << length;
  }
  EXPECT_EQ(ErrorReason(Parse(text + "more").status()), "BAD_TEXT");
}

TEST(TextFormTest, NestingHasALimit) {
  std::string text;
  for (int i = 0; i < 10000; ++i) text += "graph g opset 17 { y = If() {b=";
  EXPECT_THAT(std::string(Parse(text).status().message()),
              HasSubstr("nest too deep"));
}

TEST(SameGraphTest, NamesTheFirstDifference) {
  const std::string text =
      "graph g opset 17 { metadata k = \"v\" input x: float32 [N] "
      "const c: int8 [1] = {1} y = A(x, c, _) {k=1, f=[1.0]} @ n "
      "z = If(y) {body=graph b opset 17 { input y output y }} output z }";
  const std::pair<const char*, std::string> cases[][2] = {
      {{"graph g", "graph h"}, {"", "name: g and h"}},
      {{"opset 17 { m", "opset 13 { m"}, {"", "opset: 17 and 13"}},
      {{"\"v\"", "\"w\""}, {"", "metadata differ"}},
      {{"x: float32", "x: float16"},
       {"", "input 0: type of 'x': float32 and float16"}},
      {{"[N]", "[M]"}, {"", "input 0: shape of 'x': [N] and [M]"}},
      {{"{1} ", "{2} "}, {"", "node 'n': input 1: elements of 'c' differ"}},
      {{" A(", " B("}, {"", "node 'n': operator: ::A and ::B"}},
      {{"c, _", "c, x"}, {"", "node 'n': input 2: only one is omitted"}},
      {{"c, _", "c"}, {"", "node 'n': number of inputs: 3 and 2"}},
      {{"k=1", "k=2"}, {"", "node 'n': 'k': differs"}},
      {{"k=1", "k=1.0"}, {"", "node 'n': 'k': is of different kinds"}},
      {{"f=[1.0]", "f=[2.0]"}, {"", "node 'n': 'f': differs"}},
      {{"f=[1.0]", "e=[1.0]"}, {"", "node 'n': only one has 'e'"}},
      {{"@ n", "@ m"}, {"", "name of a node: n and m"}},
      {{"output y }}", "output y output y }}"},
       {"", "node 'z': 'body': number of outputs: 1 and 2"}},
      {{"output z }", "output y }"}, {"", "output 0: name: z and y"}}};
  const auto graph = Parse(text);
  ASSERT_TRUE(graph.ok()) << graph.status();
  EXPECT_TRUE(SameGraph(*graph, *Parse(text)));
  for (const auto& [change, expected] : cases) {
    std::string changed = text;
    const size_t at = changed.find(change.first);
    ASSERT_NE(at, std::string::npos) << change.first;
    changed.replace(at, std::string(change.first).size(), change.second);
    const auto other = Parse(changed);
    ASSERT_TRUE(other.ok()) << other.status();
    EXPECT_EQ(Difference(*graph, *other), expected.second);
  }
}

}  // namespace
}  // namespace condense::graph
