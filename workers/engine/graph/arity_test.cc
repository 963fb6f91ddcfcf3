#include "workers/engine/graph/arity.h"

#include "common/error.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "workers/engine/graph/infer_shapes.h"

namespace condense::graph {
namespace {

using ::testing::HasSubstr;

// A node with so many inputs and outputs, all of them there.
Node Of(const std::string& op, size_t inputs, size_t outputs) {
  Node node;
  node.name = "n";
  node.op = op;
  node.inputs.assign(inputs, 0);
  node.outputs.assign(outputs, 1);
  return node;
}

struct ArityCase {
  const char* op;
  size_t inputs;
  size_t outputs;
  // Empty: fits.
  const char* says;
};

TEST(ArityTest, CountsInputsAndOutputs) {
  const ArityCase cases[] = {
      {"Relu", 1, 1, ""},
      {"Relu", 0, 1, "Relu needs 1 inputs; input 0 is missing"},
      {"Relu", 2, 1, "Relu takes 1 inputs, not 2"},
      {"Relu", 1, 2, "Relu cannot make 2 outputs"},
      {"Relu", 1, 0, "Relu cannot make 0 outputs"},
      {"Conv", 3, 1, ""},
      {"Conv", 1, 1, "Conv needs 2 inputs; input 1 is missing"},
      {"Conv", 4, 1, "takes 3 inputs"},
      {"Concat", 40, 1, ""},
      {"Split", 1, 40, ""},
      {"Split", 3, 2, "takes 2 inputs"},
      {"LSTM", 8, 3, ""},
      {"LSTM", 8, 4, "cannot make 4"},
      {"GRU", 7, 2, "takes 6"},
      {"Loop", 0, 1, ""},
      {"Constant", 1, 1, "takes 0"},
      {"TopK", 2, 2, ""},
      {"TopK", 2, 3, "cannot make 3"},
      {"QLinearConv", 9, 1, ""},
      {"QLinearConv", 7, 1, "input 7 is missing"},
      {"BatchNormalization", 4, 1, "input 4 is missing"},
      {"AnythingElse", 30, 30, ""},
  };
  for (const ArityCase& c : cases) {
    const absl::Status status = CheckArity(Of(c.op, c.inputs, c.outputs));
    EXPECT_EQ(status.ok(), std::string(c.says).empty()) << c.op << status;
    if (status.ok()) continue;
    EXPECT_THAT(std::string(status.message()), HasSubstr(c.says));
    EXPECT_EQ(ErrorReason(status), "BAD_GRAPH");
    EXPECT_EQ(ErrorDetailOf(status).node, "n");
  }
}

TEST(ArityTest, AnOmittedInputIsMissingOnlyWhereItIsNeeded) {
  Node node = Of("Conv", 3, 1);
  node.inputs[2] = kNoValue;
  EXPECT_TRUE(CheckArity(node).ok());
  node.inputs[1] = kNoValue;
  EXPECT_FALSE(CheckArity(node).ok());
}

TEST(ArityTest, NoOperatorThatIsKnownTakesNothingAndMakesNothing) {
  for (const std::string& op : OperatorsWithShapes()) {
    const std::string name = op.substr(op.rfind(':') + 1);
    EXPECT_FALSE(CheckArity(Of(name, 0, 0)).ok()) << op;
  }
}

}  // namespace
}  // namespace condense::graph
