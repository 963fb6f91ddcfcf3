// Convolutions, pooling, normalisation, linear layers and resizing.

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "workers/engine/import/torchscript/interpreter.h"

namespace condense::torchscript_import {
namespace {

using graph::kNoValue;
using graph::ValueId;
using Attributes = std::map<std::string, graph::Attribute>;
using Items = std::vector<Item>;
using Sizes = std::vector<int64_t>;

// One number stands for all axes.
Sizes Spread(Sizes values, size_t rank) {
  if (values.size() == 1) values.resize(rank, values[0]);
  return values;
}

// ONNX's pads: all beginnings, then all ends.
Sizes Both(const Sizes& pads) {
  Sizes both = pads;
  both.insert(both.end(), pads.begin(), pads.end());
  return both;
}

struct ConvSettings {
  Sizes stride, padding, dilation, extra;
  std::string auto_pad;
  int64_t groups = 1;
  bool transposed = false;
};

Items AddConv(Builder& b, const Arguments& a, const ConvSettings& s) {
  const ValueId x = b.TensorOf(a[0]), w = b.TensorOf(a[1]);
  const size_t rank = b.RankOf(w) - 2;
  Attributes attrs = {{"strides", Spread(s.stride, rank)},
                      {"dilations", Spread(s.dilation, rank)},
                      {"group", s.groups}};
  const graph::Shape& weight = b.ShapeOf(w);
  Sizes kernel;
  for (size_t i = 2; i < weight.size(); ++i) kernel.push_back(weight[i].value);
  attrs["kernel_shape"] = kernel;
  if (!s.auto_pad.empty()) {
    attrs["auto_pad"] = s.auto_pad;
  } else {
    attrs["pads"] = Both(Spread(s.padding, rank));
  }
  if (s.transposed) attrs["output_padding"] = Spread(s.extra, rank);
  return {b.Result(s.transposed ? "ConvTranspose" : "Conv",
                   {x, w, b.OptionalTensor(a[2])}, std::move(attrs))};
}

// _convolution(x, w, bias, stride, padding, dilation, transposed,
//              output_padding, groups, ...)
Items Convolution(Builder& b, const Arguments& a) {
  ConvSettings s;
  s.stride = a.Ints(3);
  s.padding = a.Ints(4);
  s.dilation = a.Ints(5);
  s.transposed = a.Bool(6);
  s.extra = a.Ints(7);
  s.groups = a.Int(8);
  return AddConv(b, a, s);
}

// convNd(x, w, bias, stride, padding or its name, dilation, groups)
Items Conv(Builder& b, const Arguments& a) {
  ConvSettings s;
  s.stride = a.Ints(3);
  if (a[4].kind == Item::Kind::kConcrete && a[4].value.isString()) {
    s.auto_pad = a.String(4) == "same" ? "SAME_UPPER" : "VALID";
  } else {
    s.padding = a.Ints(4);
  }
  s.dilation = a.Ints(5);
  s.groups = a.Int(6);
  return AddConv(b, a, s);
}

// conv_transposeNd(x, w, bias, stride, padding, output_padding, groups,
//                  dilation)
Items ConvTranspose(Builder& b, const Arguments& a) {
  ConvSettings s;
  s.transposed = true;
  s.stride = a.Ints(3);
  s.padding = a.Ints(4);
  s.extra = a.Ints(5);
  s.groups = a.Int(6);
  s.dilation = a.Ints(7);
  return AddConv(b, a, s);
}

// y = x W^T + b.
Items Linear(Builder& b, const Arguments& a) {
  const ValueId x = b.TensorOf(a[0]);
  const ValueId bias = a.size() > 2 ? b.OptionalTensor(a[2]) : kNoValue;
  if (b.RankOf(x) == 2) {
    return {b.Result("Gemm", {x, b.TensorOf(a[1]), bias},
                     {{"transB", int64_t{1}}})};
  }
  ValueId w;
  if (a[1].IsConstantTensor()) {
    const torch::Tensor weight = a[1].value.toTensor();
    w = b.NamedConstant(b.NameOf(weight), weight.t().contiguous());
  } else {
    w = b.Op("Transpose", {b.TensorOf(a[1])}, {{"perm", Sizes{1, 0}}});
  }
  const ValueId y = b.Op("MatMul", {x, w});
  return {bias == kNoValue ? Item::Tensor(y) : b.Result("Add", {y, bias})};
}

Items MatMul(Builder& b, const Arguments& a) {
  return {b.Result("MatMul", {b.TensorOf(a[0]), b.TensorOf(a[1])})};
}

// beta * c + alpha * x y
Items AddMm(Builder& b, const Arguments& a) {
  ValueId product = b.Op("MatMul", {b.TensorOf(a[1]), b.TensorOf(a[2])});
  ValueId c = b.TensorOf(a[0]);
  const double beta = a.Double(3), alpha = a.Double(4);
  if (alpha != 1) product = b.Op("Mul", {product, b.FloatScalar(alpha)});
  if (beta != 1) c = b.Op("Mul", {c, b.FloatScalar(beta)});
  return {b.Result("Add", {product, c})};
}

Items Einsum(Builder& b, const Arguments& a) {
  std::vector<ValueId> inputs;
  for (const Item& item : a.List(1)) inputs.push_back(b.TensorOf(item));
  return {b.Result("Einsum", inputs, {{"equation", a.String(0)}})};
}

// A scale or shift per channel, ones or zeros where there is none.
ValueId PerChannel(Builder& b, const Item& item, int64_t channels,
                   double fallback) {
  return item.IsNone() ? b.Constant(torch::full({channels}, fallback))
                       : b.TensorOf(item);
}

int64_t ChannelsOf(Builder& b, ValueId x) {
  const graph::Shape& shape = b.ShapeOf(x);
  if (shape.size() < 2 || !shape[1].known()) {
    Fail("UNKNOWN_INPUT_SHAPE", "the number of channels is not known");
  }
  return shape[1].value;
}

// batch_norm(x, w, b, mean, var, training, momentum, eps, cudnn); ONNX weighs
// the old statistics where PyTorch weighs the new ones.
Items BatchNorm(Builder& b, const Arguments& a) {
  const ValueId x = b.TensorOf(a[0]);
  if (a.IsNone(3) || a.IsNone(4)) {
    Fail("UNSUPPORTED_OPERATOR", "batch_norm without running statistics");
  }
  const ValueId mean = b.TensorOf(a[3]);
  const int64_t channels = b.ShapeOf(mean)[0].value;
  return {b.Result("BatchNormalization",
                   {x, PerChannel(b, a[1], channels, 1),
                    PerChannel(b, a[2], channels, 0), mean, b.TensorOf(a[4])},
                   {{"epsilon", static_cast<float>(a.Double(7))},
                    {"momentum", static_cast<float>(1 - a.Double(6))}})};
}

// instance_norm(x, w, b, mean, var, use_input_stats, momentum, eps, cudnn)
Items InstanceNorm(Builder& b, const Arguments& a) {
  const ValueId x = b.TensorOf(a[0]);
  const int64_t channels = ChannelsOf(b, x);
  return {b.Result(
      "InstanceNormalization",
      {x, PerChannel(b, a[1], channels, 1), PerChannel(b, a[2], channels, 0)},
      {{"epsilon", static_cast<float>(a.Double(7))}})};
}

Items GroupNorm(Builder& b, const Arguments& a) {
  const ValueId x = b.TensorOf(a[0]);
  const int64_t channels = ChannelsOf(b, x);
  return {b.Result(
      "GroupNormalization",
      {x, PerChannel(b, a[2], channels, 1), PerChannel(b, a[3], channels, 0)},
      {{"num_groups", a.Int(1)},
       {"epsilon", static_cast<float>(a.Double(4))}})};
}

// layer_norm(x, normalized_shape, w, b, eps, cudnn)
Items LayerNorm(Builder& b, const Arguments& a) {
  const ValueId x = b.TensorOf(a[0]);
  const Sizes shape = a.Ints(1);
  ValueId scale = b.OptionalTensor(a[2]);
  if (scale == kNoValue) scale = b.Constant(torch::ones(shape));
  return {b.Result("LayerNormalization", {x, scale, b.OptionalTensor(a[3])},
                   {{"axis", -static_cast<int64_t>(shape.size())},
                    {"epsilon", static_cast<float>(a.Double(4))}})};
}

// max_poolNd(x, kernel, stride, padding, dilation, ceil)
Items MaxPool(Builder& b, const Arguments& a) {
  const ValueId x = b.TensorOf(a[0]);
  const size_t rank = b.RankOf(x) - 2;
  const Sizes kernel = Spread(a.Ints(1), rank);
  Sizes stride = a.Ints(2);
  if (stride.empty()) stride = kernel;
  return {b.Result("MaxPool", {x},
                   {{"kernel_shape", kernel},
                    {"strides", Spread(stride, rank)},
                    {"pads", Both(Spread(a.Ints(3), rank))},
                    {"dilations", Spread(a.Ints(4), rank)},
                    {"ceil_mode", int64_t{a.Bool(5) ? 1 : 0}}})};
}

// avg_poolNd(x, kernel, stride, padding, ceil, count_include_pad, divisor)
Items AveragePool(Builder& b, const Arguments& a) {
  const ValueId x = b.TensorOf(a[0]);
  const size_t rank = b.RankOf(x) - 2;
  const Sizes kernel = Spread(a.Ints(1), rank);
  Sizes stride = a.Ints(2);
  if (stride.empty()) stride = kernel;
  if (a.size() > 6 && !a.IsNone(6)) {
    Fail("UNSUPPORTED_OPERATOR", "avg_pool with a divisor");
  }
  return {b.Result("AveragePool", {x},
                   {{"kernel_shape", kernel},
                    {"strides", Spread(stride, rank)},
                    {"pads", Both(Spread(a.Ints(3), rank))},
                    {"ceil_mode", int64_t{a.Bool(4) ? 1 : 0}},
                    {"count_include_pad", int64_t{a.Bool(5) ? 1 : 0}}})};
}

// To one pixel; to sizes that divide the input's; else as a sum of slices.
Handler AdaptivePool(bool maximum) {
  return [maximum](Builder& b, const Arguments& a) {
    const ValueId x = b.TensorOf(a[0]);
    const size_t rank = b.RankOf(x) - 2;
    const Sizes wanted = Spread(a.Ints(1), rank);
    const bool single = std::all_of(wanted.begin(), wanted.end(),
                                    [](int64_t size) { return size == 1; });
    if (single) {
      return Items{
          b.Result(maximum ? "GlobalMaxPool" : "GlobalAveragePool", {x})};
    }
    Sizes kernel;
    for (size_t i = 0; i < rank; ++i) {
      const graph::Dim& dim = b.ShapeOf(x)[i + 2];
      if (!dim.known() || wanted[i] <= 0 || dim.value % wanted[i] != 0) {
        Fail("UNSUPPORTED_OPERATOR",
             absl::StrCat("adaptive pooling to ", wanted[i],
                          " of a size that it does not divide"));
      }
      kernel.push_back(dim.value / wanted[i]);
    }
    return Items{b.Result(maximum ? "MaxPool" : "AveragePool", {x},
                          {{"kernel_shape", kernel}, {"strides", kernel}})};
  };
}

// upsample_*(x, output_size, [align_corners,] scales...)
Handler Upsample(const char* mode, bool corners_argument) {
  return [=](Builder& b, const Arguments& a) {
    const ValueId x = b.TensorOf(a[0]);
    const bool corners = corners_argument && a.Bool(2);
    const int64_t rank = b.RankOf(x);
    Items sizes;
    ValueId scales = kNoValue, wanted = kNoValue;
    if (!a.IsNone(1)) {
      for (int64_t i = 0; i < 2; ++i) sizes.push_back(b.SizeOf(x, i));
      for (const Item& item : a.List(1)) sizes.push_back(item);
      wanted = b.SizesInput(sizes);
    } else {
      std::vector<float> factors = {1, 1};
      const size_t from = corners_argument ? 3 : 2;
      const bool list =
          a[from].kind == Item::Kind::kList ||
          (a[from].kind == Item::Kind::kConcrete && a[from].value.isList());
      for (int64_t i = 0; i < rank - 2; ++i) {
        const double factor =
            list ? ElementsOf(a[from])[i].value.toScalar().toDouble()
                 : a.Double(from + i);
        factors.push_back(static_cast<float>(factor));
      }
      scales = b.graph.AddConstant("scales",
                                   graph::Tensor::Of<float>({rank}, factors));
    }
    const std::string transform = std::string(mode) == "nearest" ? "asymmetric"
                                  : corners ? "align_corners"
                                            : "pytorch_half_pixel";
    Attributes attrs = {{"mode", std::string(mode)},
                        {"coordinate_transformation_mode", transform},
                        {"cubic_coeff_a", -0.75f}};
    if (std::string(mode) == "nearest") {
      attrs["nearest_mode"] = std::string("floor");
    }
    return Items{
        b.Result("Resize", {x, kNoValue, scales, wanted}, std::move(attrs))};
  };
}

Items GridSample(Builder& b, const Arguments& a) {
  const char* modes[] = {"bilinear", "nearest", "bicubic"};
  const char* paddings[] = {"zeros", "border", "reflection"};
  return {b.Result(
      "GridSample", {b.TensorOf(a[0]), b.TensorOf(a[1])},
      {{"mode", std::string(modes[std::clamp<int64_t>(a.Int(2), 0, 2)])},
       {"padding_mode",
        std::string(paddings[std::clamp<int64_t>(a.Int(3), 0, 2)])},
       {"align_corners", int64_t{a.Bool(4) ? 1 : 0}}})};
}

// embedding(weight, indices, ...)
Items Embedding(Builder& b, const Arguments& a) {
  return {b.Result("Gather", {b.TensorOf(a[0]), b.TensorOf(a[1])},
                   {{"axis", int64_t{0}}})};
}

}  // namespace

void AddNetworkHandlers(HandlerTable* table) {
  HandlerTable& t = *table;
  t["aten::_convolution"] = Convolution;
  t["aten::convolution"] = Convolution;
  for (const char* dims : {"1d", "2d", "3d"}) {
    const std::string d = dims;
    t["aten::conv" + d] = Conv;
    t["aten::max_pool" + d] = MaxPool;
    t["aten::avg_pool" + d] = AveragePool;
    t["aten::adaptive_avg_pool" + d] = AdaptivePool(false);
    t["aten::adaptive_max_pool" + d] = AdaptivePool(true);
    t["aten::upsample_nearest" + d] = Upsample("nearest", false);
  }
  t["aten::conv_transpose1d"] = ConvTranspose;
  t["aten::conv_transpose2d"] = ConvTranspose;
  t["aten::conv_transpose3d"] = ConvTranspose;
  t["aten::upsample_linear1d"] = Upsample("linear", true);
  t["aten::upsample_bilinear2d"] = Upsample("linear", true);
  t["aten::upsample_trilinear3d"] = Upsample("linear", true);
  t["aten::upsample_bicubic2d"] = Upsample("cubic", true);
  t["aten::addmm"] = AddMm;
  t["aten::baddbmm"] = AddMm;
  t["aten::batch_norm"] = BatchNorm;
  t["aten::bmm"] = MatMul;
  t["aten::einsum"] = Einsum;
  t["aten::embedding"] = Embedding;
  t["aten::grid_sampler"] = GridSample;
  t["aten::group_norm"] = GroupNorm;
  t["aten::instance_norm"] = InstanceNorm;
  t["aten::layer_norm"] = LayerNorm;
  t["aten::linear"] = Linear;
  t["aten::matmul"] = MatMul;
  t["aten::mm"] = MatMul;
}

}  // namespace condense::torchscript_import
