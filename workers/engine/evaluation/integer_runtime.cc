#include "workers/engine/evaluation/integer_runtime.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "common/error.h"
#include "common/status_macros.h"
#include "workers/engine/evaluation/kernels.h"

namespace condense::evaluation {
namespace {

using graph::Graph;
using graph::kNoNode;
using graph::kNoValue;
using graph::Node;
using graph::NodeId;
using graph::ValueId;

bool IsLinear(const Node& node) {
  return node.Is("Conv") || node.Is("Gemm") || node.Is("MatMul");
}

// No scaling, no transposed input: what exporters write.
bool IsPlainGemm(const Node& node) {
  return !node.Is("Gemm") ||
         (node.Float("alpha", 1) == 1 && node.Float("beta", 1) == 1 &&
          node.Int("transA", 0) == 0);
}

// The DequantizeLinear of a constant that makes this value, or kNoNode.
NodeId ConstantDequantizer(const Graph& graph, ValueId id) {
  const NodeId producer = graph.value(id).producer;
  if (producer == kNoNode) return kNoNode;
  const Node& node = graph.node(producer);
  return node.Is("DequantizeLinear") && graph.IsConstant(node.inputs[0])
             ? producer
             : kNoNode;
}

Constant ReadConstant(const Graph& graph, ValueId id) {
  Constant out;
  if (const graph::Tensor* tensor = graph.ConstantOf(id)) {
    out.dims = tensor->dims();
    out.values = tensor->ToFloats();
    return out;
  }
  const Node& node = graph.node(ConstantDequantizer(graph, id));
  const graph::Tensor& tensor = *graph.ConstantOf(node.inputs[0]);
  out.dims = tensor.dims();
  for (int64_t level : tensor.ToInts()) {
    out.levels.push_back(static_cast<int32_t>(level));
  }
  out.scales = graph.ConstantOf(node.inputs[1])->ToFloats();
  // Values too, for a layer whose input is in float.
  int64_t inner = 1;
  int64_t axis = node.Int("axis", 1);
  if (axis < 0) axis += tensor.rank();
  for (int64_t i = axis + 1; i < tensor.rank(); ++i) inner *= out.dims[i];
  for (size_t i = 0; i < out.levels.size(); ++i) {
    const size_t channel = out.scales.size() == 1
                               ? 0
                               : static_cast<int64_t>(i) / inner %
                                     static_cast<int64_t>(out.scales.size());
    out.values.push_back(out.levels[i] * out.scales[channel]);
  }
  return out;
}

// To rows of [out, in], which Gemm without transB and MatMul are not.
Constant Transposed(const Constant& in) {
  Constant out = in;
  std::swap(out.dims[0], out.dims[1]);
  auto transpose = [&](const auto& from, auto* to) {
    for (size_t i = 0; i < from.size(); ++i) {
      const size_t r = i / in.dims[1], c = i % in.dims[1];
      (*to)[c * in.dims[0] + r] = from[i];
    }
  };
  transpose(in.values, &out.values);
  transpose(in.levels, &out.levels);
  return out;
}

bool IsWeight(const Graph& graph, ValueId id) {
  return id != kNoValue &&
         (graph.IsConstant(id) || ConstantDequantizer(graph, id) != kNoNode);
}

Activation Quantize(const Graph& graph, const Node& node, const Activation& x) {
  Activation y;
  y.dims = x.dims;
  y.scale = graph.ConstantOf(node.inputs[1])->ToFloats()[0];
  bool is_signed = false;
  if (const graph::Tensor* zero = graph.ConstantOf(node.input(2))) {
    y.zero_point = static_cast<int32_t>(zero->ToInts()[0]);
    is_signed = zero->dtype() == graph::DType::kInt8;
  }
  const double low = is_signed ? -128 : 0, high = is_signed ? 127 : 255;
  y.levels.reserve(x.values.size());
  for (float v : x.values) {
    const double level = std::nearbyint(double{v} / y.scale) + y.zero_point;
    y.levels.push_back(static_cast<int32_t>(std::clamp(level, low, high)));
  }
  return y;
}

void FillValues(Activation* x) {
  if (!x->quantized() || !x->values.empty()) return;
  x->values.reserve(x->levels.size());
  for (int32_t level : x->levels) {
    x->values.push_back((level - x->zero_point) * x->scale);
  }
}

std::vector<float> FloatsOf(const graph::Tensor& tensor) {
  return tensor.dtype() == graph::DType::kString ? std::vector<float>()
                                                 : tensor.ToFloats();
}

// One call of Run.
class Session {
 public:
  Session(const Graph& graph, const IntegerRuntime::Others& others,
          const IntegerRuntime::Tap& tap)
      : graph_(graph),
        others_(others),
        tap_(tap),
        values_(graph.value_limit()) {}

  absl::StatusOr<std::vector<Activation>> Run(
      const std::vector<Activation>& inputs) {
    for (size_t i = 0; i < inputs.size(); ++i) {
      Put(graph_.inputs()[i], inputs[i]);
    }
    for (NodeId id : graph_.order()) {
      CONDENSE_RETURN_IF_ERROR(Step(graph_.node(id)));
    }
    std::vector<Activation> outputs;
    for (ValueId id : graph_.outputs()) {
      FillValues(&values_[id]);
      outputs.push_back(values_[id]);
    }
    return outputs;
  }

 private:
  void Put(ValueId id, Activation value) {
    if (tap_) tap_(graph_.value(id).name, &value);
    values_[id] = std::move(value);
  }

  absl::Status Step(const Node& node) {
    const ValueId out = node.outputs[0];
    if (node.Is("QuantizeLinear")) {
      FillValues(&values_[node.inputs[0]]);
      Put(out, Quantize(graph_, node, values_[node.inputs[0]]));
      return absl::OkStatus();
    }
    if (node.Is("DequantizeLinear")) {
      // Of a constant: read where it is used. Else the levels go on.
      if (!graph_.IsConstant(node.inputs[0])) {
        Put(out, values_[node.inputs[0]]);
      }
      return absl::OkStatus();
    }
    if (IsLinear(node) && IsPlainGemm(node) &&
        IsWeight(graph_, node.input(1))) {
      Put(out, Linear(node));
      return absl::OkStatus();
    }
    std::vector<const Activation*> inputs;
    std::vector<Activation> constants(node.inputs.size());
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      if (node.inputs[i] == kNoValue) {
        if (!HasFloatKernel(graph_, node)) inputs.push_back(nullptr);
        continue;
      }
      if (graph_.IsConstant(node.inputs[i])) {
        const graph::Tensor& tensor = *graph_.ConstantOf(node.inputs[i]);
        constants[i].dims = tensor.dims();
        constants[i].values = FloatsOf(tensor);
        inputs.push_back(&constants[i]);
      } else {
        FillValues(&values_[node.inputs[i]]);
        inputs.push_back(&values_[node.inputs[i]]);
      }
    }
    if (!HasFloatKernel(graph_, node)) return RunOther(node, inputs);
    CONDENSE_ASSIGN_OR_RETURN(Activation y, RunFloat(graph_, node, inputs));
    y.levels.clear();
    y.scale = 0;
    Put(out, std::move(y));
    return absl::OkStatus();
  }

  absl::Status RunOther(const Node& node,
                        const std::vector<const Activation*>& inputs) {
    CONDENSE_ASSIGN_OR_RETURN(auto results, others_(node, inputs));
    for (size_t i = 0; i < node.outputs.size() && i < results.size(); ++i) {
      if (node.outputs[i] == kNoValue) continue;
      Put(node.outputs[i], std::move(results[i]));
    }
    return absl::OkStatus();
  }

  Activation Linear(const Node& node) {
    Activation& x = values_[node.inputs[0]];
    Constant weight = ReadConstant(graph_, node.inputs[1]);
    if (!x.quantized() || weight.levels.empty()) FillValues(&x);
    Constant bias;
    const bool has_bias = !node.Is("MatMul") && node.input(2) != kNoValue;
    if (has_bias) bias = ReadConstant(graph_, node.inputs[2]);
    if (node.Is("Conv")) {
      return RunConv(node, x, weight, has_bias ? &bias : nullptr);
    }
    const bool rows = node.Is("Gemm") && node.Int("transB", 0) != 0;
    return RunLinear(x, rows ? weight : Transposed(weight),
                     has_bias ? &bias : nullptr);
  }

  const Graph& graph_;
  const IntegerRuntime::Others& others_;
  const IntegerRuntime::Tap& tap_;
  std::vector<Activation> values_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<IntegerRuntime>> IntegerRuntime::Create(
    const Graph* graph, Others others) {
  for (NodeId id : graph->order()) {
    const Node& node = graph->node(id);
    const bool known = node.Is("QuantizeLinear") ||
                       node.Is("DequantizeLinear") ||
                       HasFloatKernel(*graph, node) ||
                       (IsLinear(node) && IsPlainGemm(node) &&
                        IsWeight(*graph, node.input(1)));
    const bool stored_weight =
        IsLinear(node) && node.input(1) != kNoValue &&
        ConstantDequantizer(*graph, node.input(1)) != kNoNode;
    if (known || (others != nullptr && !stored_weight)) continue;
    return MakeError(absl::StatusCode::kUnimplemented, "NO_VERIFIER",
                     absl::StrCat("the verifier cannot run ", node.op),
                     {.node = node.name});
  }
  return std::unique_ptr<IntegerRuntime>(
      new IntegerRuntime(graph, std::move(others)));
}

absl::StatusOr<std::vector<Activation>> IntegerRuntime::Run(
    const std::vector<Activation>& inputs, const Tap& tap) const {
  return Session(*graph_, others_, tap).Run(inputs);
}

}  // namespace condense::evaluation
