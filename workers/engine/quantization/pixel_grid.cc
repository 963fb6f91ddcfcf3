#include "workers/engine/quantization/pixel_grid.h"

#include <algorithm>
#include <cmath>

#include "common/status_macros.h"
#include "workers/engine/graph/infer_shapes.h"
#include "workers/engine/graph/window.h"
#include "workers/engine/quantization/weight_view.h"
#include "workers/engine/training/trainer.h"

namespace condense::quantization {
namespace {

using graph::Graph;
using graph::kNoNode;
using graph::kNoValue;
using graph::Node;
using graph::NodeId;
using graph::Tensor;
using graph::ValueId;

// The convolution that alone reads the input, if it is one that this can do.
NodeId FirstConv(const Graph& graph) {
  if (graph.inputs().size() != 1) return kNoNode;
  const ValueId x = graph.inputs()[0];
  const std::vector<NodeId> readers = graph.Consumers(x);
  const auto& shape = graph.value(x).shape;
  if (readers.size() != 1 || graph.IsOutput(x) || !shape ||
      shape->size() != 4 || !(*shape)[1].known()) {
    return kNoNode;
  }
  const Node& conv = graph.node(readers[0]);
  const auto view = WeightViewOf(graph, conv);
  if (!conv.Is("Conv") || !view || view->groups != 1 ||
      view->inputs != (*shape)[1].value || view->kernel_sizes.size() != 2 ||
      graph.Consumers(view->weight).size() != 1) {
    return kNoNode;
  }
  const ValueId bias = conv.input(2);
  if (bias != kNoValue &&
      (!graph.IsConstant(bias) || graph.Consumers(bias).size() != 1)) {
    return kNoNode;
  }
  return conv.id;
}

double At(const std::vector<double>& values, int64_t channel) {
  return values.size() == 1 ? values[0] : values[channel];
}

// Pads in front of the convolution, where a pixel of the padding is 0 as the
// model means it.
ValueId PadInFront(NodeId conv, const std::vector<int64_t>& kernel,
                   Graph* graph) {
  const Node node = graph->node(conv);
  const ValueId x = node.inputs[0];
  const graph::Shape& shape = *graph->value(x).shape;
  const graph::Window window =
      graph::WindowOf(node, kernel, {shape[2].value, shape[3].value});
  const std::vector<int64_t> pads = {
      0, 0, window.pads_begin[0], window.pads_begin[1],
      0, 0, window.pads_end[0],   window.pads_end[1]};
  if (std::all_of(pads.begin(), pads.end(), [](int64_t p) { return p == 0; })) {
    return x;
  }
  const ValueId sizes =
      graph->AddConstant("input.pads", Tensor::Of<int64_t>({8}, pads));
  const NodeId pad =
      graph->InsertBefore(conv, "Pad", "input.pad", {x, sizes}, "input.padded");
  Node& mutable_conv = graph->mutable_node(conv);
  mutable_conv.attrs.erase("auto_pad");
  mutable_conv.attrs["pads"] = std::vector<int64_t>{0, 0, 0, 0};
  return graph->node(pad).outputs[0];
}

// w' = w / k and b' = b - sum w' d.
void Absorb(NodeId conv, const std::vector<float>& factor,
            const std::vector<float>& shift, Graph* graph) {
  const WeightView view = *WeightViewOf(*graph, graph->node(conv));
  const Tensor weight = *graph->ConstantOf(view.weight);
  std::vector<float> values = weight.ToFloats();
  const ValueId bias = graph->node(conv).input(2);
  std::vector<float> biases(view.outputs, 0);
  if (bias != kNoValue) biases = graph->ConstantOf(bias)->ToFloats();
  for (int64_t o = 0; o < view.outputs; ++o) {
    double moved = 0;
    for (int64_t i = 0; i < view.inputs; ++i) {
      for (int64_t k = 0; k < view.kernel; ++k) {
        float& w = values[view.At(o, i, k)];
        w /= factor[i];
        moved += double{w} * shift[i];
      }
    }
    biases[o] = static_cast<float>(biases[o] - moved);
  }
  graph->SetConstant(view.weight, Tensor::Of<float>(weight.dims(), values));
  const Tensor whole = Tensor::Of<float>({view.outputs}, biases);
  if (bias != kNoValue) {
    graph->SetConstant(bias, whole);
    return;
  }
  const ValueId added =
      graph->AddConstant(graph->node(conv).name + ".bias", whole);
  graph->mutable_node(conv).inputs.resize(3, kNoValue);
  graph->mutable_node(conv).inputs[2] = added;
}

}  // namespace

absl::StatusOr<PixelGrid> AlignInputToPixels(const PixelScaling& scaling,
                                             Graph* graph) {
  PixelGrid out;
  const NodeId conv = FirstConv(*graph);
  if (conv == kNoNode) return out;
  const WeightView view = *WeightViewOf(*graph, graph->node(conv));
  const int64_t channels = view.inputs;
  for (const auto* values : {&scaling.mean, &scaling.std}) {
    const auto size = static_cast<int64_t>(values->size());
    if (size != 1 && size != channels) return out;
  }
  double middle = 0;
  for (int64_t c = 0; c < channels; ++c) {
    middle +=
        At(scaling.mean, c) / scaling.scale / static_cast<double>(channels);
  }
  const double zero = std::clamp(std::nearbyint(middle), 0.0, 255.0);
  if (scaling.mean.size() == 1 && scaling.std.size() == 1 && zero == middle) {
    out.value = graph->inputs()[0];
    out.grid = {static_cast<float>(scaling.scale / scaling.std[0]),
                static_cast<int32_t>(zero)};
    return out;
  }
  std::vector<float> factor, shift;
  for (int64_t c = 0; c < channels; ++c) {
    factor.push_back(static_cast<float>(At(scaling.std, c) / scaling.scale));
    shift.push_back(
        static_cast<float>(At(scaling.mean, c) / scaling.scale - zero));
  }
  const ValueId padded = PadInFront(conv, view.kernel_sizes, graph);
  Absorb(conv, factor, shift, graph);
  const std::vector<int64_t> dims = {channels, 1, 1};
  const NodeId mul = graph->InsertBefore(
      conv, "Mul", "input.to_pixels",
      {padded,
       graph->AddConstant("input.factor", Tensor::Of<float>(dims, factor))},
      "input.scaled");
  const NodeId add = graph->InsertBefore(
      conv, "Add", "input.center",
      {graph->node(mul).outputs[0],
       graph->AddConstant("input.shift", Tensor::Of<float>(dims, shift))},
      "input.pixels");
  out.value = graph->node(add).outputs[0];
  out.grid = {1, static_cast<int32_t>(zero)};
  graph->mutable_node(conv).inputs[0] = out.value;
  CONDENSE_RETURN_IF_ERROR(graph::InferShapes(*graph));
  return out;
}

bool PixelRange::OnGrid() const {
  constexpr double kMargin = 0.01 * 255;
  return low >= -kMargin && high <= 255 + kMargin;
}

absl::StatusOr<PixelRange> RangeInPixels(const PixelScaling& scaling,
                                         data::Loader* loader) {
  const torch::NoGradGuard no_grad;
  const auto factors = [](const std::vector<double>& values) {
    return torch::tensor(values, torch::kFloat64)
        .view({1, static_cast<int64_t>(values.size()), 1, 1});
  };
  const torch::Tensor mean = factors(scaling.mean), std = factors(scaling.std);
  torch::Tensor low, high;
  loader->Seek(0, 0);
  while (true) {
    CONDENSE_ASSIGN_OR_RETURN(auto batch, loader->Next());
    if (!batch.has_value()) break;
    const torch::Tensor x = training::ToTensors(*batch, torch::kCPU).x;
    const torch::Tensor pixels =
        (x.to(torch::kFloat64) * std + mean) / scaling.scale;
    low = low.defined() ? at::minimum(low, pixels.min()) : pixels.min();
    high = high.defined() ? at::maximum(high, pixels.max()) : pixels.max();
  }
  if (!low.defined()) return PixelRange();
  return PixelRange{low.item<double>(), high.item<double>()};
}

}  // namespace condense::quantization
