#include "workers/engine/quantization/tune_layers.h"

#include <algorithm>
#include <map>
#include <set>
#include <vector>

#include "common/status_macros.h"
#include "workers/engine/graph/cost.h"
#include "workers/engine/quantization/binary_codes.h"
#include "workers/engine/quantization/calibrate.h"
#include "workers/engine/quantization/gptq.h"
#include "workers/engine/quantization/patches.h"
#include "workers/engine/quantization/weight_quantizer.h"
#include "workers/engine/quantization/weight_view.h"
#include "workers/engine/runtime/executor.h"
#include "workers/engine/runtime/weight_grid.h"

namespace condense::quantization {
namespace {

using graph::Graph;
using graph::kNoValue;
using graph::Node;
using graph::NodeId;
using graph::ValueId;

// What one activation of all samples takes at most, where kFewSamples do.
constexpr int64_t kBatchBytes = int64_t{32} << 20;
constexpr int64_t kFewSamples = 8;

// The mean of every output channel in each image: [N, C].
torch::Tensor ChannelMeans(const Node& node, const torch::Tensor& output) {
  const int64_t axis = node.Is("Conv") ? 1 : output.dim() - 1;
  std::vector<int64_t> others;
  for (int64_t i = 1; i < output.dim(); ++i) {
    if (i != axis) others.push_back(i);
  }
  return others.empty() ? output.clone() : output.mean(others);
}

// The mean of `differences` [N, C] over images, shrunk by how far it may come
// from these images alone: d max(0, 1 - var / (n d^2)), after James and Stein,
// "Estimation with quadratic loss", 1961.
torch::Tensor ShrunkMean(const torch::Tensor& differences) {
  const torch::Tensor mean = differences.mean(0);
  if (differences.size(0) < 2) return mean;
  const torch::Tensor noise =
      differences.var(0) / static_cast<double>(differences.size(0));
  return mean * (1 - noise / mean.square().clamp_min(1e-30)).clamp_min(0);
}

class Tuner {
 public:
  Tuner(Graph* graph, const Graph& floats, const TuneOptions& options)
      : graph_(*graph), floats_(floats), options_(options) {
    for (const auto& [layer, quantizer] : WeightQuantizers(graph_)) {
      const Node& node = graph_.node(layer);
      const auto view = WeightViewOf(graph_, node);
      if (!view) continue;
      views_[layer] = *view;
      quantizers_[layer] = quantizer;
      readers_[node.inputs[0]].push_back(layer);
      makers_[node.outputs[0]] = layer;
    }
  }

  absl::Status Run(const torch::Tensor& x) {
    CONDENSE_RETURN_IF_ERROR(MeasureMeans(x));
    CONDENSE_ASSIGN_OR_RETURN(
        executor_,
        runtime::Executor::Create(graph_, {.device = options_.device}));
    std::vector<ValueId> watched;
    for (const auto& [id, nodes] : readers_) watched.push_back(id);
    for (const auto& [id, node] : makers_) watched.push_back(id);
    executor_->Observe(watched, [&](ValueId id, const torch::Tensor& value) {
      const auto maker = makers_.find(id);
      if (maker != makers_.end() && options_.bias_correction) {
        Correct(maker->second, value);
      }
      const auto readers = readers_.find(id);
      if (readers == readers_.end()) return;
      for (NodeId node : readers->second) {
        if (options_.gptq || IsBinaryCoded(quantizers_[node])) {
          Round(node, value);
        }
      }
    });
    return executor_->Run({x}).status();
  }

 private:
  bool IsBinaryCoded(NodeId quantizer) const {
    const Node& node = graph_.node(quantizer);
    return node.IsFakeQuantize() && node.String("scheme", "") == "mrbiq";
  }

  absl::Status MeasureMeans(const torch::Tensor& x) {
    if (!options_.bias_correction) return absl::OkStatus();
    CONDENSE_ASSIGN_OR_RETURN(
        auto executor,
        runtime::Executor::Create(floats_, {.device = options_.device}));
    std::vector<ValueId> watched;
    for (const auto& [id, node] : makers_) watched.push_back(id);
    executor->Observe(watched, [&](ValueId id, const torch::Tensor& value) {
      means_[id] = ChannelMeans(graph_.node(makers_[id]), value);
    });
    return executor->Run({x}).status();
  }

  // [groups, outputs per group, what each of them reads]
  static torch::Tensor MatrixOf(const torch::Tensor& weight,
                                const WeightView& view) {
    return (view.outputs_first ? weight : weight.t())
        .reshape({view.groups, view.outputs_per_group(), -1});
  }

  // The quantizer's scale (1) or zero point (2) of each weight.
  torch::Tensor Spread(const Node& quantizer, size_t input,
                       at::IntArrayRef sizes) const {
    const WeightGrid grid = WeightGridOf(quantizer);
    torch::Tensor weight = torch::empty(sizes);
    if (grid.rows) weight = runtime::AsRows(weight);
    const torch::Tensor values =
        runtime::ToTorch(*graph_.ConstantOf(quantizer.inputs[input]))
            .value()
            .to(torch::kFloat32);
    return runtime::SpreadGrid(values, weight,
                               {.axis = grid.axis, .block = grid.block_size})
        .expand_as(weight)
        .reshape(sizes);
  }

  void Round(NodeId id, const torch::Tensor& input) {
    const WeightView& view = views_[id];
    if (!rounded_.insert(view.weight).second) return;
    const NodeId quantizer = quantizers_[id];
    const torch::Tensor patches = SamplePatches(
        input, graph_.node(id), view, options_.rows_max, options_.seed);
    const int64_t rows = patches.size(1);
    const torch::Tensor hessian =
        at::bmm(patches.transpose(1, 2), patches).to(torch::kFloat64) /
        static_cast<double>(rows);
    const torch::Tensor weight =
        executor_->ConstantTensor(view.weight).detach().to(torch::kCPU);
    const bool coded = IsBinaryCoded(quantizer);
    torch::Tensor whole = coded ? Coded(view, quantizer, weight, hessian, rows)
                                : Gptq(view, quantizer, weight, hessian, rows);
    whole = view.outputs_first ? whole.reshape(weight.sizes())
                               : whole.t().contiguous();
    executor_->SetConstantTensor(view.weight, whole);
    if (!coded) {
      graph_.SetConstant(view.weight, runtime::FromTorch(whole));
      return;
    }
    executor_->SetConstantTensor(graph_.node(quantizer).inputs[1],
                                 torch::tensor(scales_));
    SetProjected(&graph_, quantizer, runtime::FromTorch(whole), scales_);
  }

  // The weights on their grid: the outputs of all groups, one row each.
  torch::Tensor Gptq(const WeightView& view, NodeId quantizer,
                     const torch::Tensor& weight, const torch::Tensor& hessian,
                     int64_t rows) const {
    const Node& node = graph_.node(quantizer);
    const torch::Tensor matrix = MatrixOf(weight, view);
    const torch::Tensor scale = MatrixOf(Spread(node, 1, weight.sizes()), view);
    const torch::Tensor zero = MatrixOf(Spread(node, 2, weight.sizes()), view);
    const Levels levels = WeightGridOf(node).levels;
    std::vector<torch::Tensor> rounded;
    for (int64_t g = 0; g < view.groups; ++g) {
      rounded.push_back(
          RoundGptq(matrix[g], hessian[g], rows, {scale[g], zero[g], levels}));
    }
    return torch::cat(rounded);
  }

  // The same on levels that are found with them; their scales in scales_.
  torch::Tensor Coded(const WeightView& view, NodeId quantizer,
                      const torch::Tensor& weight, const torch::Tensor& hessian,
                      int64_t rows) {
    const Node& node = graph_.node(quantizer);
    const torch::Tensor matrix = MatrixOf(weight, view);
    scales_.clear();
    std::vector<torch::Tensor> rounded;
    for (int64_t g = 0; g < view.groups; ++g) {
      const BinaryCodes codes = FitBinaryCodes(
          matrix[g], hessian[g], rows,
          static_cast<int>(node.Int("code_bits", 0)), node.Int("qmax", 127));
      scales_.insert(scales_.end(), codes.scales.begin(), codes.scales.end());
      rounded.push_back(codes.weights);
    }
    return torch::cat(rounded);
  }

  void Correct(NodeId id, const torch::Tensor& output) {
    Node& node = graph_.mutable_node(id);
    if (node.Is("MatMul")) return;
    const torch::Tensor shift =
        ShrunkMean(means_[node.outputs[0]] - ChannelMeans(node, output));
    std::vector<int64_t> shape(output.dim(), 1);
    shape[1] = shift.numel();
    torch::Tensor moved = output;
    moved.add_(shift.view(shape));
    if (node.input(2) == kNoValue) {
      node.inputs.resize(3, kNoValue);
      node.inputs[2] =
          graph_.AddConstant(node.name + ".bias", runtime::FromTorch(shift));
      return;
    }
    const graph::Tensor* bias = graph_.ConstantOf(node.inputs[2]);
    if (bias == nullptr || bias->num_elements() != shift.numel()) return;
    torch::Tensor sum = runtime::ToTorch(*bias).value();
    sum = sum + shift.to(torch::kCPU).view(sum.sizes());
    // A copy: another layer may read the same bias.
    node.inputs[2] = graph_.AddConstant(graph_.value(node.inputs[2]).name,
                                        runtime::FromTorch(sum));
  }

  Graph& graph_;
  const Graph& floats_;
  const TuneOptions options_;
  std::map<NodeId, WeightView> views_;
  std::map<NodeId, NodeId> quantizers_;
  std::map<ValueId, std::vector<NodeId>> readers_;
  std::map<ValueId, NodeId> makers_;
  std::map<ValueId, torch::Tensor> means_;
  std::set<ValueId> rounded_;
  std::vector<float> scales_;
  std::unique_ptr<runtime::Executor> executor_;
};

}  // namespace

int64_t TuningSamples(const Graph& graph, int64_t most) {
  int64_t largest = 1;
  for (const graph::Cost& cost : graph::CostPerNode(graph)) {
    largest = std::max(largest, cost.activation_bytes);
  }
  return std::clamp(kBatchBytes / largest, std::min(kFewSamples, most), most);
}

absl::Status TuneLayers(Graph* graph, const Graph& floats, data::Loader* loader,
                        const TuneOptions& options) {
  const torch::NoGradGuard no_grad;
  CONDENSE_ASSIGN_OR_RETURN(
      const torch::Tensor x,
      TakeSamples(loader, TuningSamples(floats, options.samples)));
  if (x.numel() == 0) return absl::OkStatus();
  return Tuner(graph, floats, options).Run(x);
}

}  // namespace condense::quantization
