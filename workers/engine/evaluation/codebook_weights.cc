#include "workers/engine/evaluation/codebook_weights.h"

#include <optional>
#include <utility>
#include <vector>

#include "workers/engine/graph/passes/dead_code.h"

namespace condense::evaluation {
namespace {

using graph::DType;
using graph::Graph;
using graph::kNoNode;
using graph::Node;
using graph::NodeId;
using graph::Tensor;
using graph::ValueId;

using Ints = std::vector<int64_t>;

struct Array {
  Ints dims;
  Ints values;
};

class Decoder {
 public:
  explicit Decoder(const Graph& graph) : graph_(graph) {}

  // The integers of a value that is made of constants; nullopt for others.
  std::optional<Array> Read(ValueId id) const {
    if (id == graph::kNoValue) return std::nullopt;
    if (const Tensor* tensor = graph_.ConstantOf(id)) return Integers(*tensor);
    const NodeId producer = graph_.value(id).producer;
    if (producer == kNoNode) return std::nullopt;
    const Node& node = graph_.node(producer);
    if (node.Is("DequantizeLinear")) return Codes(node);
    if (node.Is("Cast")) return Read(node.inputs[0]);
    if (node.Is("Reshape")) return Reshaped(node);
    if (node.Is("Gather") || node.Is("GatherElements")) return Gathered(node);
    return std::nullopt;
  }

 private:
  static std::optional<Array> Integers(const Tensor& tensor) {
    if (graph::IsFloating(tensor.dtype()) || tensor.dtype() == DType::kString) {
      return std::nullopt;
    }
    return Array{tensor.dims(), tensor.ToInts()};
  }

  // Integers in between: their scale is 1 and their zero point 0.
  std::optional<Array> Codes(const Node& node) const {
    const Tensor* scale = graph_.ConstantOf(node.input(1));
    if (scale == nullptr || scale->ToFloats() != std::vector<float>{1} ||
        node.input(2) != graph::kNoValue) {
      return std::nullopt;
    }
    return Read(node.inputs[0]);
  }

  std::optional<Array> Reshaped(const Node& node) const {
    auto data = Read(node.inputs[0]);
    const auto shape = Read(node.input(1));
    if (!data || !shape) return std::nullopt;
    int64_t count = 1;
    for (int64_t dim : shape->values) count *= dim;
    if (count != static_cast<int64_t>(data->values.size())) return std::nullopt;
    data->dims = shape->values;
    return data;
  }

  std::optional<Array> Gathered(const Node& node) const {
    const auto table = Read(node.inputs[0]);
    auto codes = Read(node.input(1));
    const int64_t axis = node.Int("axis", 0);
    const bool whole =
        node.Is("Gather") && axis == 0 && table && table->dims.size() == 1;
    const bool rows = node.Is("GatherElements") && (axis == 0 || axis == 1) &&
                      table && codes && table->dims.size() == 2 &&
                      codes->dims.size() == 2;
    if (!codes || !(whole || rows)) return std::nullopt;
    for (size_t i = 0; i < codes->values.size(); ++i) {
      int64_t& code = codes->values[i];
      if (code < 0 || code >= table->dims[whole ? 0 : axis]) {
        return std::nullopt;
      }
      if (rows) {
        const int64_t width = codes->dims[1];
        const auto row = static_cast<int64_t>(i) / width;
        const auto column = static_cast<int64_t>(i) % width;
        code = axis == 1 ? row * table->dims[1] + code
                         : code * table->dims[1] + column;
      }
      if (code >= static_cast<int64_t>(table->values.size())) {
        return std::nullopt;
      }
      code = table->values[code];
    }
    return codes;
  }

  const Graph& graph_;
};

}  // namespace

absl::Status DecodeCodebookWeights(Graph* graph) {
  for (NodeId id : graph->order()) {
    const Node& node = graph->node(id);
    if (!node.Is("DequantizeLinear") || graph->IsConstant(node.inputs[0])) {
      continue;
    }
    const auto levels = Decoder(*graph).Read(node.inputs[0]);
    if (!levels) continue;
    const std::vector<int8_t> bytes(levels->values.begin(),
                                    levels->values.end());
    const ValueId constant =
        graph->AddConstant(graph->value(node.inputs[0]).name + "_decoded",
                           Tensor::Of<int8_t>(levels->dims, bytes));
    graph->mutable_node(id).inputs[0] = constant;
  }
  return graph::DeadCode().Run(*graph).status();
}

}  // namespace condense::evaluation
