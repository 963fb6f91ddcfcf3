#include "workers/engine/evaluation/integer_runtime.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "common/error.h"
#include "common/status_macros.h"
#include "workers/engine/evaluation/constants.h"
#include "workers/engine/evaluation/kernels.h"

namespace condense::evaluation {
namespace {

using graph::Graph;
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

// The integers of QuantizeLinear: those of its zero point's type.
struct Range {
  double low = 0;
  double high = 255;
};

Range RangeOf(graph::DType dtype) {
  const double count = std::exp2(graph::DTypeBits(dtype));
  const bool is_signed = dtype == graph::DType::kInt4 ||
                         dtype == graph::DType::kInt8 ||
                         dtype == graph::DType::kInt16;
  return is_signed ? Range{-count / 2, count / 2 - 1} : Range{0, count - 1};
}

Activation Quantize(const Graph& graph, const Node& node, const Activation& x) {
  Activation y;
  y.dims = x.dims;
  y.scale = graph.ConstantOf(node.inputs[1])->ToFloats()[0];
  Range range;
  if (const graph::Tensor* zero = graph.ConstantOf(node.input(2))) {
    y.zero_point = static_cast<int32_t>(zero->ToInts()[0]);
    range = RangeOf(zero->dtype());
  }
  y.levels.reserve(x.values.size());
  for (float v : x.values) {
    const double level = std::nearbyint(double{v} / y.scale) + y.zero_point;
    y.levels.push_back(
        static_cast<int32_t>(std::clamp(level, range.low, range.high)));
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
      if (IsStoredConstant(graph_, id)) {
        CONDENSE_ASSIGN_OR_RETURN(values_[id], Stored(id));
      }
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
    // Read where it is used.
    if (IsStoredConstant(graph_, out)) return absl::OkStatus();
    if (node.Is("QuantizeLinear")) {
      FillValues(&values_[node.inputs[0]]);
      Put(out, Quantize(graph_, node, values_[node.inputs[0]]));
      return absl::OkStatus();
    }
    if (node.Is("DequantizeLinear")) {
      // The levels go on.
      Put(out, values_[node.inputs[0]]);
      return absl::OkStatus();
    }
    if (IsLinear(node) && IsPlainGemm(node) &&
        IsStoredConstant(graph_, node.input(1))) {
      CONDENSE_ASSIGN_OR_RETURN(Activation y, Linear(node));
      Put(out, std::move(y));
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
      } else if (IsStoredConstant(graph_, node.inputs[i])) {
        CONDENSE_ASSIGN_OR_RETURN(constants[i], Stored(node.inputs[i]));
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

  absl::StatusOr<Activation> Stored(ValueId id) {
    CONDENSE_ASSIGN_OR_RETURN(Constant constant, ReadConstant(graph_, id));
    Activation out;
    out.dims = std::move(constant.dims);
    out.values = std::move(constant.values);
    return out;
  }

  absl::StatusOr<Activation> Linear(const Node& node) {
    Activation& x = values_[node.inputs[0]];
    CONDENSE_ASSIGN_OR_RETURN(Constant weight,
                              ReadConstant(graph_, node.inputs[1]));
    if (!x.quantized() || weight.levels.empty()) FillValues(&x);
    Constant bias;
    const bool has_bias = !node.Is("MatMul") && node.input(2) != kNoValue;
    if (has_bias) {
      CONDENSE_ASSIGN_OR_RETURN(bias, ReadConstant(graph_, node.inputs[2]));
    }
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
    const bool stored = IsStoredConstant(*graph, node.input(1));
    const bool known = node.Is("QuantizeLinear") ||
                       node.Is("DequantizeLinear") ||
                       HasFloatKernel(*graph, node) ||
                       IsStoredConstant(*graph, node.outputs[0]) ||
                       (IsLinear(node) && IsPlainGemm(node) && stored);
    const bool stored_weight =
        IsLinear(node) && stored && !graph->IsConstant(node.inputs[1]);
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
