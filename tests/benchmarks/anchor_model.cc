// Writes the untrained network of an anchor that tests/benchmarks/anchors.py
// trains.
//
// Usage: anchor_model tfc OUT.onnx [SEED]
//   tfc  784-64-64-64-10: three times linear, batch normalisation, ReLU, and a
//        linear layer (Umuroglu et al., "FINN", arXiv:1612.07119; TFC of
//        Xilinx/brevitas)

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "common/error.h"
#include "common/files.h"
#include "common/status_macros.h"
#include "workers/engine/data/random.h"
#include "workers/engine/export/onnx.h"
#include "workers/engine/graph/graph.h"
#include "workers/engine/graph/infer_shapes.h"

namespace condense {
namespace {

using graph::Tensor;
using graph::ValueId;

class Builder {
 public:
  explicit Builder(uint64_t seed) : random_(seed) {}

  ValueId Input(int channels, int size) {
    return graph_.AddInput(
        "image", graph::DType::kFloat32,
        graph::Shape{graph::Dim::Symbol("N"), channels, size, size});
  }

  ValueId Op(const char* op, const std::string& name,
             std::vector<ValueId> inputs,
             std::map<std::string, graph::Attribute> attrs = {}) {
    return graph_
        .node(graph_.AddNode(op, name, std::move(inputs), {name + ".out"},
                             std::move(attrs)))
        .outputs[0];
  }

  // Uniform with variance 2 / in (He et al., arXiv:1502.01852).
  ValueId Linear(const std::string& name, ValueId x, int in, int out) {
    std::vector<float> values;
    const double reach = std::sqrt(6.0 / in);
    for (int i = 0; i < in * out; ++i) {
      values.push_back(static_cast<float>(random_.Uniform(-reach, reach)));
    }
    const ValueId weight = graph_.AddConstant(
        name + ".weight", Tensor::Of<float>({out, in}, values));
    return Op("Gemm", name, {x, weight, Filled(name + ".bias", out, 0)},
              {{"transB", int64_t{1}}});
  }

  ValueId Norm(const std::string& name, ValueId x, int channels) {
    return Op("BatchNormalization", name,
              {x, Filled(name + ".scale", channels, 1),
               Filled(name + ".shift", channels, 0),
               Filled(name + ".mean", channels, 0),
               Filled(name + ".var", channels, 1)},
              {{"epsilon", 1e-5f}, {"momentum", 0.9f}});
  }

  absl::StatusOr<std::string> Take(ValueId output) {
    graph_.AddOutput(output);
    CONDENSE_RETURN_IF_ERROR(graph::InferShapes(graph_));
    return onnx_export::ExportOnnx(graph_);
  }

 private:
  ValueId Filled(const std::string& name, int size, float value) {
    return graph_.AddConstant(
        name, Tensor::Of<float>({size}, std::vector<float>(size, value)));
  }

  graph::Graph graph_;
  data::Random random_;
};

absl::StatusOr<std::string> Tfc(uint64_t seed) {
  Builder build(seed);
  ValueId x = build.Op("Flatten", "flatten", {build.Input(1, 28)},
                       {{"axis", int64_t{1}}});
  int in = 28 * 28;
  for (const char* name : {"fc1", "fc2", "fc3"}) {
    x = build.Linear(name, x, in, 64);
    x = build.Norm(std::string(name) + ".bn", x, 64);
    x = build.Op("Relu", std::string(name) + ".relu", {x});
    in = 64;
  }
  return build.Take(build.Linear("head", x, in, 10));
}

absl::Status Write(const std::string& path, uint64_t seed) {
  CONDENSE_ASSIGN_OR_RETURN(const std::string bytes, Tfc(seed));
  return WriteFileAtomically(path, bytes);
}

}  // namespace
}  // namespace condense

int main(int argc, char** argv) {
  if (argc < 3 || std::string(argv[1]) != "tfc") {
    std::fprintf(stderr, "usage: %s tfc OUT.onnx [SEED]\n", argv[0]);
    return 2;
  }
  const absl::Status status = condense::Write(
      argv[2], argc > 3 ? std::strtoull(argv[3], nullptr, 10) : 17);
  if (status.ok()) return 0;
  std::fprintf(stderr, "%s\n", condense::ErrorText(status).c_str());
  return 1;
}
