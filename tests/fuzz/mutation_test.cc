// The fuzz targets on a seeded corpus: small models that are built here, and
// thousands of mutations of them. A crash or a hang fails; so does memory that
// a small file should not cost.

#include <sys/resource.h>

#include <random>

#include "gtest/gtest.h"
#include "workers/engine/export/onnx.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace condense {
namespace {

using graph::DType;
using graph::Graph;
using graph::Shape;
using graph::Tensor;
using graph::ValueId;
using Attributes = std::map<std::string, graph::Attribute>;

constexpr int kMutations = 60000;
constexpr int64_t kMemoryMax = int64_t{3} << 30;

ValueId Op(Graph* graph, const std::string& op, std::vector<ValueId> inputs,
           Attributes attrs = {}) {
  const auto id = graph->AddNode(op, "", std::move(inputs), {op}, attrs);
  return graph->node(id).outputs[0];
}

ValueId Ints(Graph* graph, const std::vector<int64_t>& values) {
  return graph->AddConstant(
      "i", Tensor::Of<int64_t>({static_cast<int64_t>(values.size())}, values));
}

std::string ConvNet() {
  Graph graph;
  const ValueId x = graph.AddInput("x", DType::kFloat32, Shape{1, 3, 8, 8});
  const ValueId w = graph.AddConstant(
      "w", Tensor::Of<float>({4, 3, 3, 3}, std::vector<float>(108, 0.1f)));
  ValueId y = Op(&graph, "Conv", {x, w},
                 {{"pads", std::vector<int64_t>{1, 1, 1, 1}},
                  {"strides", std::vector<int64_t>{2, 2}}});
  y = Op(&graph, "MaxPool", {Op(&graph, "Relu", {y})},
         {{"kernel_shape", std::vector<int64_t>{2, 2}}});
  y = Op(&graph, "Reshape", {y, Ints(&graph, {0, -1})});
  graph.AddOutput(Op(&graph, "Softmax", {y}));
  return *onnx_export::ExportOnnx(graph);
}

// Shape arithmetic, indexing and what makes tensors grow.
std::string Shapes() {
  Graph graph;
  const ValueId x = graph.AddInput("x", DType::kFloat32,
                                   Shape{graph::Dim::Symbol("N"), 4, 6});
  const ValueId sizes =
      Op(&graph, "Concat",
         {Op(&graph, "Slice",
             {Op(&graph, "Shape", {x}), Ints(&graph, {0}), Ints(&graph, {1})}),
          Ints(&graph, {2, 12})},
         {{"axis", int64_t{0}}});
  ValueId y = Op(&graph, "Reshape", {x, sizes});
  y = Op(&graph, "Expand", {y, Ints(&graph, {1, 2, 12})});
  y = Op(&graph, "Tile", {y, Ints(&graph, {1, 2, 1})});
  y = Op(&graph, "Pad", {y, Ints(&graph, {0, 1, 0, 0, 1, 0})});
  y = Op(&graph, "Gather", {y, Ints(&graph, {0, 2})}, {{"axis", int64_t{1}}});
  y = Op(&graph, "Transpose", {y}, {{"perm", std::vector<int64_t>{0, 2, 1}}});
  y = Op(&graph, "Gelu",
         {Op(&graph, "LayerNormalization",
             {y, graph.AddConstant(
                     "s", Tensor::Of<float>({2}, std::vector<float>{1, 1}))})});
  graph.AddOutput(y);
  return *onnx_export::ExportOnnx(graph, {.opset = 21});
}

std::string Mutate(std::string bytes, std::mt19937* random) {
  auto below = [&](size_t n) { return (*random)() % n; };
  if (below(8) == 0) bytes.resize(below(bytes.size()));
  const size_t edits = 1 + below(6);
  for (size_t i = 0; i < edits && !bytes.empty(); ++i) {
    const size_t at = below(bytes.size());
    switch (below(4)) {
      case 0:
        bytes[at] = static_cast<char>(below(256));
        break;
      case 1:
        bytes[at] ^= static_cast<char>(1 << below(8));
        break;
      case 2:
        bytes.insert(at, 1 + below(9), static_cast<char>(0xff));
        break;
      default:
        bytes.erase(at, 1 + below(4));
    }
  }
  return bytes;
}

TEST(MutationTest, MutatedModelsGiveAGraphOrATypedError) {
  std::mt19937 random(17);
  const std::string seeds[] = {ConvNet(), Shapes()};
  for (const std::string& seed : seeds) {
    for (int i = 0; i < kMutations; ++i) {
      const std::string bytes = Mutate(seed, &random);
      LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(bytes.data()),
                             bytes.size());
    }
  }
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  EXPECT_LT(usage.ru_maxrss * 1024, kMemoryMax);
}

}  // namespace
}  // namespace condense
