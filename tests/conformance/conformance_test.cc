// The node and model tests of the ONNX project (onnx/backend/test/data,
// Apache-2.0) through our importer and runtime. Every test must pass or stand
// in exceptions.tsv with its reason; an exception that passes must go.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/error.h"
#include "gtest/gtest.h"
#include "tests/testing/shared_dir.h"
#include "workers/engine/data/file_tree.h"
#include "workers/engine/graph/convert_floats.h"
#include "workers/engine/graph/declared_types.h"
#include "workers/engine/import/onnx.h"
#include "workers/engine/import/tensor_file.h"
#include "workers/engine/runtime/executor.h"

namespace condense {
namespace {

using graph::Tensor;

constexpr double kRelative = 1e-3;
constexpr double kAbsolute = 1e-5;

// The archive of ../shared, or the one that CONDENSE_CONFORMANCE names.
std::string Suite() {
  if (const char* given = std::getenv("CONDENSE_CONFORMANCE")) return given;
  const std::string shared = testing::SharedDir();
  return shared.empty() ? ""
                        : shared +
                              "/data/onnx-conformance/"
                              "onnx_backend_test_data_v1.12.0.tar.xz";
}

// One test: its model, and the files of its data sets.
struct Case {
  std::string model;
  std::map<std::string, std::vector<std::string>> inputs, outputs;
};

// ".../data/node/test_abs/test_data_set_0/input_0.pb" -> "node/test_abs".
std::map<std::string, Case> CasesOf(const data::FileTree& tree) {
  std::map<std::string, Case> cases;
  for (const auto& [path, size] : tree.files()) {
    const std::vector<std::string> parts = absl::StrSplit(path, '/');
    const size_t n = parts.size();
    if (n >= 3 && parts[n - 1] == "model.onnx") {
      cases[absl::StrCat(parts[n - 3], "/", parts[n - 2])].model = path;
    }
    if (n < 4 || !absl::StartsWith(parts[n - 2], "test_data_set_")) continue;
    Case& c = cases[absl::StrCat(parts[n - 4], "/", parts[n - 3])];
    if (absl::StartsWith(parts[n - 1], "input_")) {
      c.inputs[parts[n - 2]].push_back(path);
    } else if (absl::StartsWith(parts[n - 1], "output_")) {
      c.outputs[parts[n - 2]].push_back(path);
    }
  }
  return cases;
}

// input_2.pb before input_10.pb.
int NumberOf(const std::string& path) {
  const size_t from = path.rfind('_') + 1, to = path.rfind('.');
  int number = 0;
  (void)absl::SimpleAtoi(path.substr(from, to - from), &number);
  return number;
}

absl::StatusOr<std::vector<Tensor>> ReadAll(const data::FileTree& tree,
                                            std::vector<std::string> paths) {
  std::sort(paths.begin(), paths.end(), [](const auto& a, const auto& b) {
    return NumberOf(a) < NumberOf(b);
  });
  std::vector<Tensor> tensors;
  for (const std::string& path : paths) {
    auto bytes = tree.Read(path);
    if (!bytes.ok()) return bytes.status();
    auto tensor = onnx_import::ParseTensorProto(*bytes);
    if (!tensor.ok()) return tensor.status();
    tensors.push_back(*std::move(tensor));
  }
  return tensors;
}

std::string Compare(const Tensor& got, const Tensor& want) {
  if (got.dims() != want.dims()) {
    return absl::StrCat("shape [", absl::StrJoin(got.dims(), ","), "] not [",
                        absl::StrJoin(want.dims(), ","), "]");
  }
  if (got.dtype() != want.dtype()) {
    return absl::StrCat("type ", graph::DTypeName(got.dtype()), " not ",
                        graph::DTypeName(want.dtype()));
  }
  if (!graph::IsFloating(got.dtype())) {
    return got.bytes() == want.bytes() ? "" : "values differ";
  }
  const std::vector<float> a = got.ToFloats(), b = want.ToFloats();
  double worst = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i] == b[i] || (std::isnan(a[i]) && std::isnan(b[i]))) continue;
    const double off = std::abs(double{a[i]} - b[i]);
    if (!(off <= kAbsolute + kRelative * std::abs(b[i]))) {
      worst = std::max(worst, std::isnan(off) ? 1e30 : off);
    }
  }
  return worst > 0 ? absl::StrCat("values differ by ", worst) : "";
}

// The suite stores bfloat16 as uint16, whatever the model declares.
Tensor AsDeclared(const Tensor& tensor, graph::DType declared) {
  const bool mislabelled = tensor.dtype() == graph::DType::kUint16 &&
                           declared == graph::DType::kBFloat16;
  return mislabelled ? Tensor(declared, tensor.dims(), tensor.bytes()) : tensor;
}

absl::StatusOr<std::string> RunSet(
    const data::FileTree& tree, const graph::Graph& graph,
    const std::vector<std::string>& input_files,
    const std::vector<std::string>& output_files) {
  auto executor = runtime::Executor::Create(graph);
  if (!executor.ok()) return executor.status();
  auto inputs = ReadAll(tree, input_files);
  if (!inputs.ok()) return inputs.status();
  auto wanted = ReadAll(tree, output_files);
  if (!wanted.ok()) return wanted.status();
  std::vector<torch::Tensor> tensors;
  // Inputs that the graph gives a value may be left out of the files.
  inputs->resize(std::min(inputs->size(), graph.inputs().size()));
  for (size_t i = 0; i < inputs->size(); ++i) {
    const graph::ValueId id = graph.inputs()[i];
    Tensor input = AsDeclared((*inputs)[i], graph::DeclaredType(graph, id));
    // The graph computes in float32.
    if (graph::IsFloating(input.dtype())) {
      input = graph::ConvertFloats(input, graph::DType::kFloat32);
    }
    auto tensor = runtime::ToTorch(input);
    if (!tensor.ok()) return tensor.status();
    tensors.push_back(*std::move(tensor));
  }
  const torch::NoGradGuard no_grad;
  auto outputs = (*executor)->Run(tensors);
  if (!outputs.ok()) return outputs.status();
  if (outputs->size() != wanted->size()) return std::string("output count");
  for (size_t i = 0; i < outputs->size(); ++i) {
    const graph::ValueId id = graph.outputs()[i];
    Tensor got = runtime::FromTorch((*outputs)[i], graph.value(id).dtype);
    if (graph::IsFloating(got.dtype())) {
      got = graph::ConvertFloats(got, graph::DeclaredType(graph, id));
    }
    const std::string off = Compare(got, AsDeclared((*wanted)[i], got.dtype()));
    if (!off.empty()) return absl::StrCat("output ", i, ": ", off);
  }
  return std::string();
}

// Empty if the test passes, else why not.
std::string RunCase(const data::FileTree& tree, const Case& c) {
  auto bytes = tree.Read(c.model);
  if (!bytes.ok()) return std::string(bytes.status().message());
  auto graph = onnx_import::ImportOnnx(*bytes);
  if (!graph.ok()) {
    return absl::StrCat(ErrorReason(graph.status()), ": ",
                        graph.status().message());
  }
  if (c.outputs.empty()) return "no data";
  for (const auto& [set, outputs] : c.outputs) {
    auto inputs = c.inputs.find(set);
    auto result = RunSet(
        tree, *graph,
        inputs == c.inputs.end() ? std::vector<std::string>() : inputs->second,
        outputs);
    if (!result.ok()) {
      return absl::StrCat(ErrorReason(result.status()), ": ",
                          result.status().message());
    }
    if (!result->empty()) return *result;
  }
  return "";
}

struct Exception {
  bool supported_dtype = true;
  std::string reason;
};

// test, "dtype" or "operator" or "semantics", reason.
std::map<std::string, Exception> ReadExceptions() {
  std::map<std::string, Exception> exceptions;
  const char* source = std::getenv("CONDENSE_SOURCE_DIR");
  std::ifstream in(std::string(source ? source : ".") +
                   "/tests/conformance/exceptions.tsv");
  for (std::string line; std::getline(in, line);) {
    const std::vector<std::string> cells = absl::StrSplit(line, '\t');
    if (cells.size() != 3 || cells[0] == "test") continue;
    exceptions[cells[0]] = {cells[1] != "dtype", cells[2]};
  }
  return exceptions;
}

TEST(ConformanceTest, EveryTestPassesOrIsListedWithItsReason) {
  const std::string suite = Suite();
  if (suite.empty()) GTEST_SKIP() << "../shared is not there";
  auto tree = data::FileTree::Open(suite);
  ASSERT_TRUE(tree.ok()) << tree.status();
  runtime::SetThreads(1);
  const auto exceptions = ReadExceptions();
  int passed = 0, counted = 0, total = 0;
  for (const auto& [name, c] : CasesOf(**tree)) {
    if (c.model.empty()) continue;
    ++total;
    const std::string why = RunCase(**tree, c);
    auto listed = exceptions.find(name);
    const bool excepted = listed != exceptions.end();
    if (!excepted || listed->second.supported_dtype) ++counted;
    if (why.empty()) ++passed;
    if (std::getenv("CONDENSE_CONFORMANCE") != nullptr) {
      if (!why.empty()) std::printf("%s\t%s\n", name.c_str(), why.c_str());
    } else if (why.empty()) {
      EXPECT_FALSE(excepted) << name << " passes: take it off the list";
    } else {
      EXPECT_TRUE(excepted) << name << ": " << why;
    }
  }
  std::printf("%d of %d tests pass, %.1f %% of the %d of supported types\n",
              passed, total, 100.0 * passed / std::max(1, counted), counted);
  EXPECT_GT(total, 1000);
  EXPECT_GE(passed, counted * 9 / 10);
}

}  // namespace
}  // namespace condense
