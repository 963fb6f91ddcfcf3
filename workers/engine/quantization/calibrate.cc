#include "workers/engine/quantization/calibrate.h"

#include <cmath>
#include <map>

#include "absl/strings/str_cat.h"
#include "common/error.h"
#include "common/status_macros.h"
#include "workers/engine/quantization/lower_qdq.h"
#include "workers/engine/quantization/placement.h"
#include "workers/engine/quantization/quantizers_in_graph.h"
#include "workers/engine/runtime/weight_grid.h"
#include "workers/engine/training/trainer.h"

namespace condense::quantization {
namespace {

using graph::Graph;
using graph::Node;
using graph::NodeId;
using graph::Tensor;
using graph::ValueId;

// Images that run at once.
constexpr int64_t kPiece = 16;

bool IsActivationQuantizer(const Node& node) {
  return node.IsFakeQuantize() && node.String("role", "") == "activation";
}

}  // namespace

absl::StatusOr<torch::Tensor> TakeSamples(data::Loader* loader, int64_t count) {
  loader->Seek(0, 0);
  std::vector<torch::Tensor> parts;
  for (int64_t taken = 0; taken < count;) {
    CONDENSE_ASSIGN_OR_RETURN(auto batch, loader->Next());
    if (!batch.has_value()) break;
    const torch::Tensor x = training::ToTensors(*batch, torch::kCPU).x;
    parts.push_back(x.slice(0, 0, count - taken));
    taken += parts.back().size(0);
  }
  return parts.empty() ? torch::empty({0}) : torch::cat(parts);
}

absl::Status RunOver(data::Loader* loader, int64_t samples,
                     runtime::Executor* executor,
                     const std::function<void(int64_t, int64_t)>& progress) {
  const torch::NoGradGuard no_grad;
  loader->Seek(0, 0);
  int64_t count = 0;
  for (int64_t done = 1; samples <= 0 || count < samples; ++done) {
    CONDENSE_ASSIGN_OR_RETURN(auto batch, loader->Next());
    if (!batch.has_value()) break;
    torch::Tensor x = training::ToTensors(*batch, executor->device()).x;
    if (samples > 0) x = x.slice(0, 0, samples - count);
    count += x.size(0);
    for (const torch::Tensor& piece : x.split(kPiece)) {
      CONDENSE_RETURN_IF_ERROR(executor->Run({piece}).status());
    }
    if (progress) progress(done, loader->batches_per_epoch());
  }
  return absl::OkStatus();
}

absl::Status Calibrate(Graph* graph, data::Loader* loader,
                       const CalibrateOptions& options,
                       const std::function<void(int64_t, int64_t)>& progress,
                       std::vector<Note>* notes) {
  // Quantizers that share a scale watch together: by scale constant.
  std::map<ValueId, Observer> observers;
  // Each watches the value that it quantizes, once.
  std::map<ValueId, ValueId> scale_of;
  std::map<ValueId, const Node*> node_of;
  std::vector<ValueId> watched;
  for (NodeId id : graph->order()) {
    const Node& node = graph->node(id);
    if (!IsActivationQuantizer(node)) continue;
    observers.emplace(node.inputs[1], Observer(options.observer));
    // Elements that were only moved were watched before.
    const NodeId producer = graph->value(node.inputs[0]).producer;
    const bool moved =
        producer != graph::kNoNode && KeepsValues(graph->node(producer));
    if (!node_of.emplace(node.inputs[1], &node).second && moved) continue;
    scale_of[node.inputs[0]] = node.inputs[1];
    watched.push_back(node.inputs[0]);
  }
  if (watched.empty()) return absl::OkStatus();
  const Graph plain = WithoutQuantizers(*graph);
  CONDENSE_ASSIGN_OR_RETURN(
      auto executor,
      runtime::Executor::Create(plain, {.device = options.device}));
  executor->Observe(watched, [&](ValueId id, const torch::Tensor& value) {
    const torch::Tensor flat = value.detach().to(torch::kCPU).contiguous();
    observers.at(scale_of[id])
        .Add({flat.data_ptr<float>(), static_cast<size_t>(flat.numel())});
  });
  CONDENSE_RETURN_IF_ERROR(RunOver(loader, 0, executor.get(), progress));
  for (const auto& [scale, observer] : observers) {
    const Node& node = *node_of[scale];
    if (observer.empty()) {
      return MakeError(absl::StatusCode::kInvalidArgument, "NO_CALIBRATION",
                       "calibration saw no finite value here",
                       {.hint = "look for extreme values in the data or the "
                                "weights, and for an empty calibration set",
                        .node = node.name});
    }
    const Grid grid = observer.Choose(
        options.symmetric, {node.Int("qmin", 0), node.Int("qmax", 255)});
    if (observer.constant() && notes != nullptr) {
      notes->push_back(
          {"CONSTANT_ACTIVATION",
           absl::StrCat("the calibration samples give '", node.name,
                        "' nothing but the value ", observer.low())});
    }
    graph->SetConstant(scale, Tensor::Scalar<float>(grid.scale));
    graph->SetConstant(node.inputs[2],
                       Tensor::Scalar<int32_t>(grid.zero_point));
  }
  return absl::OkStatus();
}

void RefreshWeightScales(const Graph& graph, runtime::Executor* executor) {
  torch::NoGradGuard no_grad;
  for (NodeId id : graph.order()) {
    const Node& node = graph.node(id);
    if (!node.IsFakeQuantize() || node.String("role", "") != "weight") continue;
    torch::Tensor weight = executor->ConstantTensor(node.inputs[0]);
    if (node.Int("rows", 0) != 0) weight = runtime::AsRows(weight);
    const runtime::FittedGrid grid =
        runtime::FitGrid(weight, {.qmin = node.Int("qmin", -127),
                                  .qmax = node.Int("qmax", 127),
                                  .axis = node.Int("axis", -1),
                                  .block = node.Int("block_size", 0)});
    executor->SetConstantTensor(node.inputs[1], grid.scale);
    if (node.Int("qmin", -127) >= 0) {
      executor->SetConstantTensor(node.inputs[2], grid.zero_point);
    }
  }
}

namespace {

// Levels that a bias may use: half of int32, so that products still fit beside
// it in the accumulator.
constexpr double kBiasLevelMax = double{1 << 30};

// A channel whose weights are next to nothing would have a grid too fine for
// its bias in 32 bits; it gets the finest one on which the bias fits.
void WidenWeightScales(Graph* graph, const QuantizedLayer& layer) {
  const std::vector<float> bias = graph->ConstantOf(layer.bias)->ToFloats();
  const ValueId id = graph->node(layer.weight_quantizer).inputs[1];
  const Tensor before = *graph->ConstantOf(id);
  std::vector<float> scales = before.ToFloats();
  const NodeId input = graph->value(graph->node(layer.node).inputs[0]).producer;
  const double s_x =
      graph->ConstantOf(graph->node(input).inputs[1])->ToFloats()[0];
  bool changed = false;
  for (size_t i = 0; i < bias.size(); ++i) {
    const size_t channel = scales.size() == 1 ? 0 : i;
    const double least = std::abs(bias[i]) / (s_x * kBiasLevelMax);
    if (scales[channel] >= least) continue;
    scales[channel] = static_cast<float>(least);
    changed = true;
  }
  if (changed) graph->SetConstant(id, Tensor::Of<float>(before.dims(), scales));
}

// Snapping for one reader must not move the bias of another.
void UnshareBias(Graph* graph, const QuantizedLayer& layer) {
  if (graph->Consumers(layer.bias).size() < 2) return;
  const Tensor copy = *graph->ConstantOf(layer.bias);
  graph->mutable_node(layer.node).inputs[2] =
      graph->AddConstant(graph->value(layer.bias).name, copy);
}

}  // namespace

void SnapBiases(Graph* graph) {
  for (const QuantizedLayer& layer : QuantizedLayers(*graph)) {
    if (layer.bias == graph::kNoValue) continue;
    WidenWeightScales(graph, layer);
    UnshareBias(graph, layer);
  }
  // Again: scales and biases may be others now.
  for (const QuantizedLayer& layer : QuantizedLayers(*graph)) {
    if (layer.bias == graph::kNoValue) continue;
    std::vector<float> values = graph->ConstantOf(layer.bias)->ToFloats();
    for (size_t i = 0; i < values.size(); ++i) {
      const float scale =
          layer.bias_scales[layer.bias_scales.size() == 1 ? 0 : i];
      values[i] = std::nearbyint(values[i] / scale) * scale;
    }
    graph->SetConstant(
        layer.bias,
        Tensor::Of<float>(graph->ConstantOf(layer.bias)->dims(), values));
  }
}

}  // namespace condense::quantization
