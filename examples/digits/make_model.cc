// Writes the untrained network of examples/digits: conv-BN-ReLU, a depthwise
// separable stage, one residual block, global average pooling and a linear
// layer; about 100,000 parameters. scripts/make_example trains it.
//
// Usage: make_digits_model OUT.onnx [SEED]

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <random>

#include "common/error.h"
#include "common/files.h"
#include "common/status_macros.h"
#include "workers/engine/export/onnx.h"
#include "workers/engine/graph/graph.h"
#include "workers/engine/graph/infer_shapes.h"

namespace condense {
namespace {

using graph::Tensor;
using graph::ValueId;

constexpr int kStem = 32;
constexpr int kWidth = 72;
constexpr int kClasses = 10;

class Builder {
 public:
  explicit Builder(uint64_t seed) : random_(seed) {}

  ValueId Input() {
    return graph_.AddInput("image", graph::DType::kFloat32,
                           graph::Shape{graph::Dim::Symbol("N"), 1, 8, 8});
  }

  // He et al., arXiv:1502.01852: normal with variance 2 / fan-in.
  ValueId Conv(const std::string& name, ValueId x, int in, int out, int kernel,
               int stride, int group) {
    const int fan_in = in / group * kernel * kernel;
    const ValueId weight =
        Weight(name + ".weight", {out, in / group, kernel, kernel}, fan_in);
    return Output(
        graph_.AddNode("Conv", name, {x, weight}, {name + ".out"},
                       {{"kernel_shape", std::vector<int64_t>{kernel, kernel}},
                        {"strides", std::vector<int64_t>{stride, stride}},
                        {"pads", std::vector<int64_t>(4, kernel / 2)},
                        {"group", int64_t{group}}}));
  }

  ValueId Norm(const std::string& name, ValueId x, int channels) {
    auto constant = [&](const char* what, float value) {
      return graph_.AddConstant(
          name + what,
          Tensor::Of<float>({channels}, std::vector<float>(channels, value)));
    };
    return Output(graph_.AddNode(
        "BatchNormalization", name,
        {x, constant(".scale", 1), constant(".bias", 0), constant(".mean", 0),
         constant(".var", 1)},
        {name + ".out"}, {{"epsilon", 1e-5f}, {"momentum", 0.9f}}));
  }

  ValueId Relu(const std::string& name, ValueId x) {
    return Output(graph_.AddNode("Relu", name, {x}, {name + ".out"}));
  }

  ValueId ConvNormRelu(const std::string& name, ValueId x, int in, int out,
                       int kernel, int stride, int group) {
    const ValueId y = Conv(name, x, in, out, kernel, stride, group);
    return Relu(name + ".relu", Norm(name + ".bn", y, out));
  }

  ValueId Residual(const std::string& name, ValueId x, int width) {
    const ValueId y = ConvNormRelu(name + ".1", x, width, width, 3, 1, 1);
    const ValueId z = Norm(name + ".2.bn",
                           Conv(name + ".2", y, width, width, 3, 1, 1), width);
    const ValueId sum = Output(
        graph_.AddNode("Add", name + ".add", {z, x}, {name + ".add.out"}));
    return Relu(name + ".relu", sum);
  }

  void Head(ValueId x, int width, int classes) {
    const ValueId pooled =
        Output(graph_.AddNode("GlobalAveragePool", "pool", {x}, {"pool.out"}));
    const ValueId flat =
        Output(graph_.AddNode("Flatten", "flatten", {pooled}, {"flatten.out"},
                              {{"axis", int64_t{1}}}));
    const ValueId weight = Weight("classifier.weight", {classes, width}, width);
    const ValueId bias = graph_.AddConstant(
        "classifier.bias",
        Tensor::Of<float>({classes}, std::vector<float>(classes, 0)));
    graph_.AddOutput(
        Output(graph_.AddNode("Gemm", "classifier", {flat, weight, bias},
                              {"logits"}, {{"transB", int64_t{1}}})));
  }

  graph::Graph Take() { return std::move(graph_); }

 private:
  ValueId Output(graph::NodeId node) { return graph_.node(node).outputs[0]; }

  ValueId Weight(const std::string& name, std::vector<int64_t> dims,
                 int fan_in) {
    int64_t count = 1;
    for (int64_t dim : dims) count *= dim;
    std::vector<float> values(count);
    const double scale = std::sqrt(2.0 / fan_in);
    for (float& value : values) value = static_cast<float>(scale * Normal());
    return graph_.AddConstant(name, Tensor::Of<float>(std::move(dims), values));
  }

  // Box-Muller; std::normal_distribution differs between libraries.
  double Normal() {
    auto uniform = [&] { return (random_() >> 11) * 0x1.0p-53; };
    const double radius = std::sqrt(-2 * std::log(1 - uniform()));
    return radius * std::cos(2 * 3.14159265358979323846 * uniform());
  }

  graph::Graph graph_;
  std::mt19937_64 random_;
};

absl::Status Write(const std::string& path, uint64_t seed) {
  Builder build(seed);
  ValueId x = build.ConvNormRelu("stem", build.Input(), 1, kStem, 3, 1, 1);
  x = build.ConvNormRelu("depthwise", x, kStem, kStem, 3, 2, kStem);
  x = build.ConvNormRelu("pointwise", x, kStem, kWidth, 1, 1, 1);
  x = build.Residual("block", x, kWidth);
  build.Head(x, kWidth, kClasses);
  graph::Graph graph = build.Take();
  graph.name = "digits";
  CONDENSE_RETURN_IF_ERROR(graph::InferShapes(graph));
  CONDENSE_ASSIGN_OR_RETURN(std::string bytes,
                            onnx_export::ExportOnnx(graph, {}));
  return WriteFileAtomically(path, bytes);
}

}  // namespace
}  // namespace condense

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: %s OUT.onnx [SEED]\n", argv[0]);
    return 2;
  }
  const absl::Status status = condense::Write(
      argv[1], argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 17);
  if (!status.ok()) {
    std::fprintf(stderr, "%s\n", condense::ErrorText(status).c_str());
    return 1;
  }
  return 0;
}
