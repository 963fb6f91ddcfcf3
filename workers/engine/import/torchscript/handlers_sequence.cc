// Attention and recurrent layers, which PyTorch has as single operators.

#include <cmath>

#include "workers/engine/import/torchscript/interpreter.h"

namespace condense::torchscript_import {
namespace {

using graph::kNoValue;
using graph::ValueId;
using Items = std::vector<Item>;
using Sizes = std::vector<int64_t>;

int64_t LastSize(Builder& b, ValueId x) {
  const graph::Dim& dim = b.ShapeOf(x).back();
  if (!dim.known()) Fail("UNKNOWN_INPUT_SHAPE", "the width is not known");
  return dim.value;
}

// x W^T + bias for constant weights [out, in].
ValueId Project(Builder& b, ValueId x, const Item& weight, const Item& bias) {
  ValueId w;
  if (weight.IsConstantTensor()) {
    const torch::Tensor tensor = weight.value.toTensor();
    w = b.NamedConstant(b.NameOf(tensor), tensor.t().contiguous());
  } else {
    w = b.Op("Transpose", {b.TensorOf(weight)}, {{"perm", Sizes{1, 0}}});
  }
  const ValueId y = b.Op("MatMul", {x, w});
  return bias.IsNone() ? y : b.Op("Add", {y, b.TensorOf(bias)});
}

// softmax(q k^T / sqrt(d) + mask) v over the last two axes.
ValueId Attend(Builder& b, ValueId q, ValueId k, ValueId v, ValueId mask,
               double scale) {
  const int64_t rank = b.RankOf(k);
  Sizes perm(rank);
  for (int64_t i = 0; i < rank; ++i) perm[i] = i;
  std::swap(perm[rank - 1], perm[rank - 2]);
  const ValueId scaled = b.Op("Mul", {q, b.FloatScalar(scale)});
  const ValueId keys = b.Op("Transpose", {k}, {{"perm", perm}});
  ValueId scores = b.Op("MatMul", {scaled, keys});
  if (mask != kNoValue) scores = b.Op("Add", {scores, mask});
  const ValueId weights = b.Op("Softmax", {scores}, {{"axis", int64_t{-1}}});
  return b.Op("MatMul", {weights, v});
}

// [N, T, heads * d] to [N, heads, T, d].
ValueId ToHeads(Builder& b, ValueId x, int64_t heads) {
  const int64_t width = LastSize(b, x) / heads;
  const ValueId parts = b.Op("Reshape", {x, b.Ints({0, 0, heads, width})});
  return b.Op("Transpose", {parts}, {{"perm", Sizes{0, 2, 1, 3}}});
}

ValueId FromHeads(Builder& b, ValueId x, int64_t width) {
  const ValueId back = b.Op("Transpose", {x}, {{"perm", Sizes{0, 2, 1, 3}}});
  return b.Op("Reshape", {back, b.Ints({0, 0, width})});
}

// Self attention with packed weights [3 * width, width].
ValueId SelfAttention(Builder& b, ValueId x, int64_t width, int64_t heads,
                      const Item& qkv_weight, const Item& qkv_bias,
                      const Item& out_weight, const Item& out_bias) {
  const ValueId packed = Project(b, x, qkv_weight, qkv_bias);
  const auto parts = b.Node("Split", {packed, b.Ints({width, width, width})}, 3,
                            {{"axis", int64_t{2}}});
  const double scale = 1 / std::sqrt(static_cast<double>(width / heads));
  const ValueId y =
      Attend(b, ToHeads(b, parts[0], heads), ToHeads(b, parts[1], heads),
             ToHeads(b, parts[2], heads), kNoValue, scale);
  return Project(b, FromHeads(b, y, width), out_weight, out_bias);
}

// _native_multi_head_attention(q, k, v, width, heads, qkv_w, qkv_b, out_w,
//                              out_b, mask, ...)
Items MultiHeadAttention(Builder& b, const Arguments& a) {
  const ValueId q = b.TensorOf(a[0]);
  const bool self = q == b.TensorOf(a[1]) && q == b.TensorOf(a[2]);
  if (!self || !a.IsNone(9)) {
    Fail("UNSUPPORTED_OPERATOR",
         "_native_multi_head_attention other than unmasked self attention");
  }
  return {Item::Tensor(
              SelfAttention(b, q, a.Int(3), a.Int(4), a[5], a[6], a[7], a[8])),
          Item::Concrete(c10::IValue())};
}

ValueId LayerNorm(Builder& b, ValueId x, const Item& scale, const Item& bias,
                  double epsilon) {
  return b.Op(
      "LayerNormalization", {x, b.TensorOf(scale), b.OptionalTensor(bias)},
      {{"axis", int64_t{-1}}, {"epsilon", static_cast<float>(epsilon)}});
}

// _transformer_encoder_layer_fwd(x, width, heads, qkv_w, qkv_b, out_w, out_b,
//   use_gelu, norm_first, eps, n1_w, n1_b, n2_w, n2_b, f1_w, f1_b, f2_w, f2_b,
//   mask, ...)
Items EncoderLayer(Builder& b, const Arguments& a) {
  if (!a.IsNone(18)) {
    Fail("UNSUPPORTED_OPERATOR", "_transformer_encoder_layer_fwd with a mask");
  }
  ValueId x = b.TensorOf(a[0]);
  const bool gelu = a.Bool(7), norm_first = a.Bool(8);
  const double epsilon = a.Double(9);
  auto attention = [&](ValueId in) {
    return SelfAttention(b, in, a.Int(1), a.Int(2), a[3], a[4], a[5], a[6]);
  };
  auto feed_forward = [&](ValueId in) {
    const ValueId wide = Project(b, in, a[14], a[15]);
    return Project(b, b.Op(gelu ? "Gelu" : "Relu", {wide}), a[16], a[17]);
  };
  auto norm1 = [&](ValueId in) {
    return LayerNorm(b, in, a[10], a[11], epsilon);
  };
  auto norm2 = [&](ValueId in) {
    return LayerNorm(b, in, a[12], a[13], epsilon);
  };
  if (norm_first) {
    x = b.Op("Add", {x, attention(norm1(x))});
    x = b.Op("Add", {x, feed_forward(norm2(x))});
  } else {
    x = norm1(b.Op("Add", {x, attention(x)}));
    x = norm2(b.Op("Add", {x, feed_forward(x)}));
  }
  return {Item::Tensor(x)};
}

// scaled_dot_product_attention(q, k, v, mask, dropout, causal, scale)
Items ScaledDotProduct(Builder& b, const Arguments& a) {
  const ValueId q = b.TensorOf(a[0]);
  if (a.Bool(5)) Fail("UNSUPPORTED_OPERATOR", "causal attention");
  const double scale = a.size() > 6 && !a.IsNone(6)
                           ? a.Double(6)
                           : 1 / std::sqrt(static_cast<double>(LastSize(b, q)));
  ValueId mask = b.OptionalTensor(a[3]);
  if (mask != kNoValue && b.DTypeOf(mask) == graph::DType::kBool) {
    mask =
        b.Op("Where", {mask, b.FloatScalar(0),
                       b.FloatScalar(-std::numeric_limits<float>::infinity())});
  }
  return {Item::Tensor(
      Attend(b, q, b.TensorOf(a[1]), b.TensorOf(a[2]), mask, scale))};
}

// Gate blocks of PyTorch in the order that ONNX wants.
torch::Tensor Reorder(const torch::Tensor& x, const Sizes& order) {
  const auto parts = x.chunk(static_cast<int64_t>(order.size()), 0);
  std::vector<torch::Tensor> sorted;
  for (int64_t i : order) sorted.push_back(parts[i]);
  return torch::cat(sorted, 0);
}

struct Recurrent {
  const char* op;
  // PyTorch's gates in ONNX's order.
  Sizes order;
  bool cell = false;
};

torch::Tensor ConstantOf(const Item& item) {
  if (!item.IsConstantTensor()) {
    Fail("UNSUPPORTED_OPERATOR", "a recurrent layer with computed weights");
  }
  return item.value.toTensor();
}

// Weights of one layer: W, R and B with one row block per direction.
std::vector<ValueId> LayerWeights(Builder& b, const Items& weights,
                                  size_t first, int64_t directions, bool biases,
                                  const Sizes& order) {
  const size_t each = biases ? 4 : 2;
  std::vector<torch::Tensor> w, r, bias;
  for (int64_t d = 0; d < directions; ++d) {
    const size_t at = first + d * each;
    w.push_back(Reorder(ConstantOf(weights.at(at)), order));
    r.push_back(Reorder(ConstantOf(weights.at(at + 1)), order));
    if (biases) {
      bias.push_back(
          torch::cat({Reorder(ConstantOf(weights.at(at + 2)), order),
                      Reorder(ConstantOf(weights.at(at + 3)), order)}));
    }
  }
  const std::string name = b.NameOf(ConstantOf(weights.at(first)));
  return {
      b.NamedConstant(name, torch::stack(w)),
      b.NamedConstant(b.NameOf(ConstantOf(weights.at(first + 1))),
                      torch::stack(r)),
      biases ? b.NamedConstant(name + ".bias", torch::stack(bias)) : kNoValue};
}

ValueId StateOf(Builder& b, ValueId state, int64_t layer, int64_t directions) {
  return b.Op("Slice", {state, b.Ints({layer * directions}),
                        b.Ints({(layer + 1) * directions}), b.Ints({0})});
}

ValueId Join(Builder& b, const std::vector<ValueId>& parts) {
  return parts.size() == 1 ? parts[0]
                           : b.Op("Concat", parts, {{"axis", int64_t{0}}});
}

// lstm(x, (h, c), weights, has_biases, layers, dropout, train, bidirectional,
//      batch_first); gru and rnn have h alone.
Handler RecurrentLayers(Recurrent kind) {
  return [kind](Builder& b, const Arguments& a) {
    if (a[3].kind != Item::Kind::kConcrete || !a[3].value.isBool()) {
      Fail("UNSUPPORTED_OPERATOR", "packed sequences");
    }
    const Items weights = a.List(2);
    const bool biases = a.Bool(3), batch_first = a.Bool(8);
    const int64_t layers = a.Int(4), directions = a.Bool(7) ? 2 : 1;
    ValueId x = b.TensorOf(a[0]);
    if (batch_first) x = b.Op("Transpose", {x}, {{"perm", Sizes{1, 0, 2}}});
    const Items states = kind.cell ? a.List(1) : Items{a[1]};
    std::vector<ValueId> hs, cs;
    for (int64_t layer = 0; layer < layers; ++layer) {
      const size_t first = layer * directions * (biases ? 4 : 2);
      auto inputs =
          LayerWeights(b, weights, first, directions, biases, kind.order);
      const int64_t hidden = b.ShapeOf(inputs[1]).back().value;
      inputs.insert(inputs.begin(), x);
      inputs.push_back(kNoValue);
      for (const Item& state : states) {
        inputs.push_back(StateOf(b, b.TensorOf(state), layer, directions));
      }
      std::map<std::string, graph::Attribute> attrs = {
          {"hidden_size", hidden},
          {"direction",
           std::string(directions == 2 ? "bidirectional" : "forward")}};
      if (std::string(kind.op) == "GRU") {
        attrs["linear_before_reset"] = int64_t{1};
      }
      const auto ids =
          b.Node(kind.op, inputs, kind.cell ? 3 : 2, std::move(attrs));
      // [time, directions, batch, hidden] to [time, batch, both].
      const ValueId turned =
          b.Op("Transpose", {ids[0]}, {{"perm", Sizes{0, 2, 1, 3}}});
      x = b.Op("Reshape", {turned, b.Ints({0, 0, directions * hidden})});
      hs.push_back(ids[1]);
      if (kind.cell) cs.push_back(ids[2]);
    }
    if (batch_first) x = b.Op("Transpose", {x}, {{"perm", Sizes{1, 0, 2}}});
    Items results = {Item::Tensor(x), Item::Tensor(Join(b, hs))};
    if (kind.cell) results.push_back(Item::Tensor(Join(b, cs)));
    return results;
  };
}

}  // namespace

void AddSequenceHandlers(HandlerTable* table) {
  HandlerTable& t = *table;
  t["aten::_native_multi_head_attention"] = MultiHeadAttention;
  t["aten::_transformer_encoder_layer_fwd"] = EncoderLayer;
  t["aten::scaled_dot_product_attention"] = ScaledDotProduct;
  t["aten::lstm"] = RecurrentLayers({"LSTM", {0, 3, 1, 2}, true});
  t["aten::gru"] = RecurrentLayers({"GRU", {1, 0, 2}, false});
  t["aten::rnn_tanh"] = RecurrentLayers({"RNN", {0}, false});
}

}  // namespace condense::torchscript_import
