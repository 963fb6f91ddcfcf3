// docs/operators.md lists what the code has; CONDENSE_WRITE_DOCS writes it.

#include <cstdlib>
#include <fstream>
#include <set>
#include <sstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gtest/gtest.h"
#include "workers/engine/graph/infer_shapes.h"
#include "workers/engine/import/opset.h"
#include "workers/engine/import/torchscript/interpreter.h"
#include "workers/engine/runtime/step.h"

namespace condense {
namespace {

std::vector<std::string> AtenOperators() {
  torchscript_import::HandlerTable table;
  torchscript_import::AddFillHandlers(&table);
  torchscript_import::AddMathHandlers(&table);
  torchscript_import::AddNetworkHandlers(&table);
  torchscript_import::AddSequenceHandlers(&table);
  torchscript_import::AddShapeHandlers(&table);
  std::vector<std::string> names;
  for (const auto& [name, handler] : table) names.push_back(name);
  return names;
}

std::string Page() {
  const auto onnx = onnx_import::KnownOperators();
  const auto aten = AtenOperators();
  return absl::StrCat(
      "# Operators\n\nWritten by `tests/conformance/operators_test.cc` from "
      "the code.\n\n## ONNX (default domain), ",
      onnx.size(),
      "\n\nRead from opset 1 to 23, run forward and backward, written to "
      "opset 13 to 21.\n\n",
      absl::StrJoin(onnx, ", "), "\n\n## TorchScript, ", aten.size(),
      "\n\nOn tensors that depend on the input; everything else is evaluated "
      "by LibTorch. A name with `_` behind it (in place) is read too.\n\n",
      absl::StrJoin(aten, ", "), "\n");
}

TEST(OperatorsTest, WhatIsReadHasAKernelAndTheOtherWayRound) {
  const std::set<std::string> rewritten = {"Constant", "Scatter", "Upsample"};
  std::set<std::string> known;
  for (const std::string& op : onnx_import::KnownOperators()) known.insert(op);
  for (const std::string& op : known) {
    EXPECT_TRUE(runtime::AllKernels().count(op) > 0 || rewritten.count(op) > 0)
        << op;
  }
  for (const auto& [op, kernel] : runtime::AllKernels()) {
    EXPECT_TRUE(known.count(op) > 0 || absl::StartsWith(op, "condense::"))
        << op;
  }
}

TEST(OperatorsTest, WhatRunsHasAShapeRuleAndTheOtherWayRound) {
  std::set<std::string> rules;
  for (const std::string& op : graph::OperatorsWithShapes()) rules.insert(op);
  for (const auto& [op, kernel] : runtime::AllKernels()) {
    EXPECT_TRUE(rules.count(op) > 0) << op << " runs without a shape rule";
  }
  for (const std::string& op : rules) {
    EXPECT_TRUE(runtime::AllKernels().count(op) > 0)
        << op << " has a shape rule but no kernel";
  }
}

TEST(OperatorsTest, ThePageIsWhatTheCodeHas) {
  const char* source = std::getenv("CONDENSE_SOURCE_DIR");
  const std::string path =
      std::string(source ? source : ".") + "/docs/operators.md";
  if (std::getenv("CONDENSE_WRITE_DOCS") != nullptr) {
    std::ofstream(path) << Page();
  }
  std::ifstream in(path);
  std::stringstream text;
  text << in.rdbuf();
  EXPECT_EQ(text.str(), Page()) << "run with CONDENSE_WRITE_DOCS=1";
}

}  // namespace
}  // namespace condense
