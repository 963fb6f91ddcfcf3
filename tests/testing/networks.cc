#include "tests/testing/networks.h"

#include <cmath>
#include <cstdlib>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "workers/engine/graph/infer_shapes.h"

namespace condense::testing {
namespace {

using graph::Tensor;
using graph::ValueId;
using Ints = std::vector<int64_t>;

// A graph that grows layer by layer.
class Builder {
 public:
  explicit Builder(int64_t size)
      : x_(graph_.AddInput(
            "x", graph::DType::kFloat32,
            graph::Shape{graph::Dim::Symbol("N"), 3, size, size})) {}

  ValueId x() const { return x_; }

  ValueId Op(const std::string& op, std::vector<ValueId> inputs,
             std::map<std::string, graph::Attribute> attrs = {}) {
    return graph_
        .node(graph_.AddNode(op, "", std::move(inputs), {op + ".y"},
                             std::move(attrs)))
        .outputs[0];
  }

  ValueId Conv(ValueId x, int64_t in, int64_t out, int64_t kernel,
               int64_t stride, int64_t group = 1) {
    return Op("Conv", {x, Weight({out, in / group, kernel, kernel})},
              {{"strides", Ints{stride, stride}},
               {"pads", Ints(4, kernel / 2)},
               {"group", group}});
  }

  ValueId Norm(ValueId x, int64_t channels) {
    const auto constant = [&](float value) {
      return graph_.AddConstant(
          "bn",
          Tensor::Of<float>({channels}, std::vector<float>(channels, value)));
    };
    return Op("BatchNormalization",
              {x, constant(1), constant(0), constant(0), constant(1)});
  }

  ValueId Clip6(ValueId x) {
    return Op("Clip", {x, graph_.AddConstant("low", Tensor::Scalar<float>(0)),
                       graph_.AddConstant("high", Tensor::Scalar<float>(6))});
  }

  // Global pooling and a linear layer; the graph is whole then.
  graph::Graph Finish(ValueId x, int64_t features, int64_t classes) {
    x = Op("Flatten", {Op("GlobalAveragePool", {x})});
    const ValueId bias = graph_.AddConstant(
        "fc.b",
        Tensor::Of<float>({classes}, std::vector<float>(classes, 0.0f)));
    graph_.AddOutput(Op("Gemm", {x, Weight({classes, features}), bias},
                        {{"transB", int64_t{1}}}));
    if (!graph::InferShapes(graph_).ok()) std::abort();
    return std::move(graph_);
  }

 private:
  ValueId Weight(Ints dims) {
    int64_t count = 1;
    for (int64_t dim : dims) count *= dim;
    const double fan_in = static_cast<double>(count / dims[0]);
    std::normal_distribution<float> normal(
        0, static_cast<float>(std::sqrt(2 / fan_in)));
    std::vector<float> values(count);
    for (float& value : values) value = normal(random_);
    return graph_.AddConstant("w", Tensor::Of<float>(std::move(dims), values));
  }

  graph::Graph graph_;
  std::mt19937 random_{17};
  ValueId x_;
};

// Two 3x3 convolutions and a shortcut, by 1x1 where the shape changes.
ValueId BasicBlock(Builder* b, ValueId x, int64_t in, int64_t out,
                   int64_t stride) {
  ValueId y = b->Op("Relu", {b->Norm(b->Conv(x, in, out, 3, stride), out)});
  y = b->Norm(b->Conv(y, out, out, 3, 1), out);
  if (in != out || stride != 1) {
    x = b->Norm(b->Conv(x, in, out, 1, stride), out);
  }
  return b->Op("Relu", {b->Op("Add", {y, x})});
}

}  // namespace

graph::Graph ResNet20(int64_t classes) {
  Builder b(32);
  ValueId x = b.Op("Relu", {b.Norm(b.Conv(b.x(), 3, 16, 3, 1), 16)});
  int64_t in = 16;
  for (int64_t width : {16, 32, 64}) {
    for (int i = 0; i < 3; ++i) {
      x = BasicBlock(&b, x, in, width, in == width ? 1 : 2);
      in = width;
    }
  }
  return b.Finish(x, in, classes);
}

graph::Graph ResNet18(int64_t classes, int64_t size) {
  Builder b(size);
  ValueId x = b.Op("Relu", {b.Norm(b.Conv(b.x(), 3, 64, 7, 2), 64)});
  x = b.Op("MaxPool", {x},
           {{"kernel_shape", Ints{3, 3}},
            {"strides", Ints{2, 2}},
            {"pads", Ints(4, 1)}});
  int64_t in = 64;
  for (int64_t width : {64, 128, 256, 512}) {
    for (int i = 0; i < 2; ++i) {
      x = BasicBlock(&b, x, in, width, in == width ? 1 : 2);
      in = width;
    }
  }
  return b.Finish(x, in, classes);
}

graph::Graph MobileNetV2(int64_t classes, int64_t size, bool hard_swish,
                         int blocks) {
  // Expansion, channels, repeats, stride of the first: the paper's table 2.
  constexpr int64_t kRows[][4] = {{1, 16, 1, 1}, {6, 24, 2, 2}, {6, 32, 3, 2},
                                  {6, 64, 4, 2}, {6, 96, 3, 1}, {6, 160, 3, 2},
                                  {6, 320, 1, 1}};
  Builder b(size);
  const auto unit = [&](ValueId x, int64_t in, int64_t out, int64_t kernel,
                        int64_t stride, int64_t group) {
    const ValueId y = b.Norm(b.Conv(x, in, out, kernel, stride, group), out);
    return hard_swish ? b.Op("HardSwish", {y}) : b.Clip6(y);
  };
  ValueId x = unit(b.x(), 3, 32, 3, 2, 1);
  int64_t in = 32;
  for (const auto& [expansion, out, repeats, first_stride] : kRows) {
    for (int64_t i = 0; i < repeats && blocks-- > 0; ++i) {
      const int64_t stride = i == 0 ? first_stride : 1;
      const int64_t wide = in * expansion;
      ValueId y = expansion == 1 ? x : unit(x, in, wide, 1, 1, 1);
      y = unit(y, wide, wide, 3, stride, wide);
      y = b.Norm(b.Conv(y, wide, out, 1, 1), out);
      x = stride == 1 && in == out ? b.Op("Add", {x, y}) : y;
      in = out;
    }
  }
  x = unit(x, in, 4 * in, 1, 1, 1);
  return b.Finish(x, 4 * in, classes);
}

}  // namespace condense::testing
