// Models of ../shared/models in float16, bfloat16 and float64, as converters
// write them: they import to float32 graphs that compute what the float32 file
// computes, and are written with their own types again.

#include <algorithm>
#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/files.h"
#include "gtest/gtest.h"
#include "onnx/onnx_pb.h"
#include "tests/testing/shared_dir.h"
#include "workers/engine/export/onnx.h"
#include "workers/engine/export/tensor_file.h"
#include "workers/engine/graph/convert_floats.h"
#include "workers/engine/graph/declared_types.h"
#include "workers/engine/graph/text.h"
#include "workers/engine/import/onnx.h"
#include "workers/engine/import/tensor_file.h"
#include "workers/engine/runtime/executor.h"

namespace condense {
namespace {

namespace fs = std::filesystem;
using graph::DType;
using graph::Graph;

struct Precision {
  DType dtype;
  int number;  // of ONNX
  // From the float32 model, of the greatest output: what rounding every weight
  // to 11, 8 or 24 bits does.
  double rounding;
};
constexpr Precision kHalf = {DType::kFloat16, onnx::TensorProto::FLOAT16, 0.05};
constexpr Precision kOthers[] = {
    {DType::kBFloat16, onnx::TensorProto::BFLOAT16, 0.2},
    {DType::kFloat64, onnx::TensorProto::DOUBLE, 1e-4}};
// From the float32 model with the same rounded weights.
constexpr double kTolerance = 1e-4;

void Convert(onnx::TensorProto* proto, const Precision& precision) {
  if (proto->data_type() != onnx::TensorProto::FLOAT) return;
  const std::string name = proto->name();
  const auto tensor = onnx_import::ParseTensorProto(proto->SerializeAsString());
  ASSERT_TRUE(tensor.ok()) << tensor.status();
  const std::string bytes = onnx_export::TensorProtoBytes(
      graph::ConvertFloats(*tensor, precision.dtype), name);
  ASSERT_TRUE(proto->ParseFromString(bytes));
}

void Convert(onnx::ValueInfoProto* info, const Precision& precision) {
  auto* type = info->mutable_type()->mutable_tensor_type();
  if (type->elem_type() == onnx::TensorProto::FLOAT) {
    type->set_elem_type(precision.number);
  }
}

void Convert(onnx::GraphProto* graph, const Precision& precision) {
  for (auto& tensor : *graph->mutable_initializer())
    Convert(&tensor, precision);
  for (auto& info : *graph->mutable_input()) Convert(&info, precision);
  for (auto& info : *graph->mutable_output()) Convert(&info, precision);
  graph->clear_value_info();
  for (auto& node : *graph->mutable_node()) {
    for (auto& attribute : *node.mutable_attribute()) {
      if (attribute.has_t()) Convert(attribute.mutable_t(), precision);
      if (attribute.has_g()) Convert(attribute.mutable_g(), precision);
      if (node.op_type() == "Cast" &&
          attribute.i() == onnx::TensorProto::FLOAT) {
        attribute.set_i(precision.number);
      }
    }
  }
}

std::vector<torch::Tensor> RandomInputs(const Graph& graph) {
  torch::manual_seed(1);
  std::vector<torch::Tensor> inputs;
  for (graph::ValueId id : graph.inputs()) {
    std::vector<int64_t> dims;
    for (const graph::Dim& dim : *graph.value(id).shape) {
      dims.push_back(dim.known() ? dim.value : 2);
    }
    inputs.push_back(graph::IsFloating(graph.value(id).dtype)
                         ? torch::rand(dims)
                         : torch::randint(0, 10, dims, torch::kInt64));
  }
  return inputs;
}

std::vector<torch::Tensor> Forward(const Graph& graph,
                                   const std::vector<torch::Tensor>& inputs) {
  auto executor = runtime::Executor::Create(graph);
  EXPECT_TRUE(executor.ok()) << executor.status();
  const torch::NoGradGuard no_grad;
  auto outputs = (*executor)->Run(inputs);
  EXPECT_TRUE(outputs.ok()) << outputs.status();
  return outputs.ok() ? *outputs : std::vector<torch::Tensor>();
}

// The worst difference, of the greatest number of each output.
double Difference(const std::vector<torch::Tensor>& a,
                  const std::vector<torch::Tensor>& b) {
  double worst = a.size() == b.size() ? 0 : 1e9;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    if (!b[i].is_floating_point()) continue;
    const double top = std::max(1e-6, b[i].abs().max().item<double>());
    worst = std::max(worst, (a[i] - b[i]).abs().max().item<double>() / top);
  }
  return worst;
}

// The float32 model with its weights rounded to that precision.
Graph Rounded(const Graph& single, DType dtype) {
  Graph graph = single;
  for (graph::ValueId id : graph.values()) {
    const graph::Tensor* tensor = graph.ConstantOf(id);
    if (tensor == nullptr || !graph::IsFloating(tensor->dtype())) continue;
    graph.SetConstant(id,
                      graph::ConvertFloats(graph::ConvertFloats(*tensor, dtype),
                                           DType::kFloat32));
  }
  return graph;
}

void ExpectSameIn(const std::string& path, const Precision& precision) {
  SCOPED_TRACE(path);
  const auto single = onnx_import::ImportOnnxFile(path);
  ASSERT_TRUE(single.ok()) << single.status();
  onnx::ModelProto model;
  ASSERT_TRUE(model.ParseFromString(*ReadFile(path)));
  Convert(model.mutable_graph(), precision);
  const auto graph = onnx_import::ImportOnnx(model.SerializeAsString());
  ASSERT_TRUE(graph.ok()) << graph.status();
  for (graph::ValueId id : graph->values()) {
    const DType dtype = graph->value(id).dtype;
    EXPECT_TRUE(!graph::IsFloating(dtype) || dtype == DType::kFloat32)
        << graph->value(id).name;
  }
  EXPECT_EQ(graph->order().size(), single->order().size())
      << "a Cast is left, or a pattern not fused";
  const auto inputs = RandomInputs(*single);
  const auto outputs = Forward(*graph, inputs);
  EXPECT_LT(Difference(outputs, Forward(*single, inputs)), precision.rounding);
  const Graph rounded = Rounded(*single, precision.dtype);
  EXPECT_LT(Difference(outputs, Forward(rounded, inputs)), kTolerance);
  const auto bytes = onnx_export::ExportOnnx(*graph, {.opset = 17});
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  onnx::ModelProto written;
  ASSERT_TRUE(written.ParseFromString(*bytes));
  EXPECT_EQ(written.graph().output(0).type().tensor_type().elem_type(),
            precision.number);
  const auto again = onnx_import::ImportOnnx(*bytes);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(graph::ToText(*again), graph::ToText(*graph));
}

TEST(HalfPrecisionTest, RealModelsComputeTheSameInOtherPrecisions) {
  const std::string shared = testing::SharedDir();
  if (shared.empty()) GTEST_SKIP() << "../shared is not there";
  runtime::SetThreads(2);
  std::vector<std::string> paths;
  for (const char* folder : {"/models", "/models/exported"}) {
    if (!fs::exists(shared + folder)) continue;
    for (const auto& entry : fs::directory_iterator(shared + folder)) {
      const std::string path = entry.path().string();
      if (absl::EndsWith(path, ".onnx") &&
          !absl::EndsWith(path, "dynamo.onnx")) {
        paths.push_back(path);
      }
    }
  }
  std::sort(paths.begin(), paths.end());
  for (const std::string& path : paths) ExpectSameIn(path, kHalf);
  for (const Precision& precision : kOthers) {
    ExpectSameIn(shared + "/models/mobilefacenet_op18.onnx", precision);
    ExpectSameIn(shared + "/models/cifar10_resnet2b_op9.onnx", precision);
  }
}

}  // namespace
}  // namespace condense
