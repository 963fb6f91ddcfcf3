#include "workers/engine/quantization/bit_sensitivity.h"

#include <algorithm>
#include <map>
#include <memory>
#include <utility>

#include "common/status_macros.h"
#include "workers/engine/runtime/executor.h"

namespace condense::quantization {
namespace {

using graph::Graph;
using graph::Node;
using graph::NodeId;

// Images that run at once.
constexpr int64_t kPiece = 16;
// Of a central difference: steps of this share of the weights' root mean
// square.
constexpr double kStep = 1e-2;

// The loss between outputs, and its second derivative.
class OutputLoss {
 public:
  OutputLoss(torch::Tensor exact, bool classes) : exact_(std::move(exact)) {
    if (classes && exact_.dim() == 2) log_p_ = torch::log_softmax(exact_, 1);
  }

  double Of(const torch::Tensor& outputs) const {
    if (!log_p_.defined()) {
      return ((outputs - exact_).square().sum() / Size()).item<double>();
    }
    const torch::Tensor log_q = torch::log_softmax(outputs, 1);
    return (log_p_.exp() * (log_p_ - log_q)).sum(1).mean().item<double>();
  }

  // d^T F d for a direction d of the outputs.
  double Curvature(const torch::Tensor& d) const {
    if (!log_p_.defined()) {
      return (2 * d.square().sum() / Size()).item<double>();
    }
    const torch::Tensor p = log_p_.exp();
    const torch::Tensor variance =
        (p * d.square()).sum(1) - (p * d).sum(1).square();
    return variance.mean().item<double>();
  }

 private:
  torch::Tensor Size() const { return exact_.square().sum().clamp_min(1e-30); }

  const torch::Tensor exact_;
  torch::Tensor log_p_;
};

class Meter {
 public:
  Meter(runtime::Executor* model, const torch::Tensor& images,
        const BitSensitivityOptions& options)
      : model_(model),
        images_(images),
        options_(options),
        random_(at::detail::createCPUGenerator(options.seed)) {}

  absl::Status Start() {
    CONDENSE_ASSIGN_OR_RETURN(torch::Tensor exact, Outputs());
    loss_ = std::make_unique<OutputLoss>(std::move(exact), options_.classes);
    return absl::OkStatus();
  }

  absl::StatusOr<std::vector<double>> Measure(
      const Graph& graph, const WeightLayer& layer,
      const std::vector<WeightGrid>& grids) {
    const graph::Tensor& weight = *graph.ConstantOf(layer.weight);
    CONDENSE_ASSIGN_OR_RETURN(const torch::Tensor exact,
                              runtime::ToTorch(weight));
    double curvature = 0;
    if (options_.kind == BitSensitivityOptions::Kind::kHessian) {
      CONDENSE_ASSIGN_OR_RETURN(curvature, MeanTrace(layer, exact));
    }
    std::vector<double> losses;
    for (const WeightGrid& grid : grids) {
      CONDENSE_ASSIGN_OR_RETURN(
          const torch::Tensor rounded,
          runtime::ToTorch(ProjectedWeight(weight, grid)));
      if (options_.kind == BitSensitivityOptions::Kind::kHessian) {
        const torch::Tensor error =
            (rounded - exact).to(torch::kFloat64).square().sum();
        losses.push_back(0.5 * curvature * error.item<double>());
        continue;
      }
      CONDENSE_ASSIGN_OR_RETURN(const torch::Tensor outputs,
                                OutputsWith(layer, rounded));
      losses.push_back(loss_->Of(outputs));
    }
    model_->SetConstantTensor(layer.weight, exact);
    return losses;
  }

 private:
  absl::StatusOr<torch::Tensor> Outputs() {
    std::vector<torch::Tensor> parts;
    for (const torch::Tensor& piece : images_.split(kPiece)) {
      CONDENSE_ASSIGN_OR_RETURN(auto outputs,
                                model_->Run({piece.to(model_->device())}));
      parts.push_back(outputs[0].to(torch::kCPU).to(torch::kFloat64));
    }
    return torch::cat(parts);
  }

  absl::StatusOr<torch::Tensor> OutputsWith(const WeightLayer& layer,
                                            const torch::Tensor& weight) {
    model_->SetConstantTensor(layer.weight, weight);
    return Outputs();
  }

  // tr(H) / n.
  absl::StatusOr<double> MeanTrace(const WeightLayer& layer,
                                   const torch::Tensor& weight) {
    const double size =
        weight.to(torch::kFloat64).square().mean().sqrt().item<double>();
    const double step = kStep * std::max(size, 1e-6);
    double sum = 0;
    for (int i = 0; i < options_.probes; ++i) {
      const torch::Tensor v =
          torch::randint(0, 2, weight.sizes(), random_, torch::kFloat32) * 2 -
          1;
      CONDENSE_ASSIGN_OR_RETURN(const torch::Tensor above,
                                OutputsWith(layer, weight + step * v));
      CONDENSE_ASSIGN_OR_RETURN(const torch::Tensor below,
                                OutputsWith(layer, weight - step * v));
      sum += loss_->Curvature((above - below) / (2 * step));
    }
    return sum / options_.probes / static_cast<double>(layer.elements);
  }

  runtime::Executor* const model_;
  const torch::Tensor images_;
  const BitSensitivityOptions options_;
  torch::Generator random_;
  std::unique_ptr<OutputLoss> loss_;
};

}  // namespace

std::vector<WeightLayer> WeightLayers(const Graph& placed) {
  std::vector<WeightLayer> layers;
  const std::map<NodeId, NodeId> quantizers = WeightQuantizers(placed);
  for (NodeId id : placed.order()) {
    const auto it = quantizers.find(id);
    if (it == quantizers.end()) continue;
    const NodeId from = it->second;
    const Node& node = placed.node(id);
    const Node& quantizer = placed.node(from);
    const graph::Tensor* weight = placed.ConstantOf(quantizer.inputs[0]);
    if (weight == nullptr) continue;
    layers.push_back({node.name, id, quantizer.inputs[0], from,
                      weight->num_elements(), WeightGridOf(quantizer)});
  }
  return layers;
}

absl::StatusOr<std::vector<std::vector<double>>> MeasureBitSensitivity(
    const Graph& floats, const std::vector<WeightLayer>& layers,
    const std::vector<std::vector<WeightGrid>>& grids,
    const torch::Tensor& images, const BitSensitivityOptions& options) {
  const torch::NoGradGuard no_grad;
  CONDENSE_ASSIGN_OR_RETURN(
      auto model,
      runtime::Executor::Create(floats, {.device = options.device}));
  Meter meter(model.get(), images, options);
  CONDENSE_RETURN_IF_ERROR(meter.Start());
  std::vector<std::vector<double>> found;
  for (size_t i = 0; i < layers.size(); ++i) {
    CONDENSE_ASSIGN_OR_RETURN(found.emplace_back(),
                              meter.Measure(floats, layers[i], grids[i]));
  }
  return found;
}

}  // namespace condense::quantization
