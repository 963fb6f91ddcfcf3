#include "workers/engine/quantization/synthesize.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/memory/memory.h"
#include "common/status_macros.h"
#include "workers/engine/training/evaluate.h"

namespace condense::quantization {
namespace {

using graph::Graph;
using graph::Node;
using graph::NodeId;
using torch::Tensor;

constexpr double kBeta1 = 0.9;
constexpr double kBeta2 = 0.999;
constexpr double kAdamEpsilon = 1e-8;
// Spread of the noise that images begin as, around middle gray.
constexpr double kNoise = 0.25;

bool KeepsStatistics(const Graph& graph, const Node& node) {
  return node.Is("BatchNormalization") && graph.IsConstant(node.input(3)) &&
         graph.IsConstant(node.input(4));
}

int64_t BatchesOf(const SynthesisOptions& options) {
  return (options.images + options.batch_size - 1) / options.batch_size;
}

// One value per channel, [C, 1, 1].
Tensor PerChannel(const std::vector<double>& values, int channels) {
  std::vector<float> all;
  for (int c = 0; c < channels; ++c) {
    all.push_back(
        static_cast<float>(values[std::min<size_t>(c, values.size() - 1)]));
  }
  return torch::tensor(all).view({channels, 1, 1});
}

}  // namespace

Tensor StatisticsLoss(const Tensor& x, const Tensor& mean, const Tensor& var,
                      double epsilon) {
  const Tensor flat = x.transpose(0, 1).flatten(1);
  const Tensor m = flat.mean(1);
  const Tensor v = flat.var(1, /*unbiased=*/false);
  const Tensor scale = var + epsilon;
  return ((m - mean).square() / scale +
          (((v + epsilon) / scale).sqrt() - 1).square())
      .mean();
}

Tensor TotalVariation(const Tensor& u) {
  const int64_t height = u.size(2), width = u.size(3);
  Tensor sum = torch::zeros({}, u.options());
  if (height > 1) {
    sum = sum + (u.slice(2, 1) - u.slice(2, 0, height - 1)).square().mean();
  }
  if (width > 1) {
    sum = sum + (u.slice(3, 1) - u.slice(3, 0, width - 1)).square().mean();
  }
  return sum;
}

bool HasStatistics(const Graph& graph) {
  return std::any_of(
      graph.order().begin(), graph.order().end(),
      [&graph](NodeId id) { return KeepsStatistics(graph, graph.node(id)); });
}

Synthesizer::Synthesizer(const data::Preprocess& preprocess,
                         const data::InputShape& shape,
                         const SynthesisOptions& options)
    : options_(options),
      batches_(BatchesOf(options)),
      channels_last_(preprocess.channels_last),
      shape_(shape) {
  const torch::Device device(options_.device);
  const Tensor std = PerChannel(preprocess.std, shape.channels);
  factor_ = (255 * preprocess.scale / std).to(device);
  shift_ = (-PerChannel(preprocess.mean, shape.channels) / std).to(device);
  images_ =
      torch::zeros({options_.images, shape.height, shape.width, shape.channels},
                   torch::kUInt8);
}

absl::StatusOr<std::unique_ptr<Synthesizer>> Synthesizer::Create(
    const Graph& graph, const data::Preprocess& preprocess,
    const data::InputShape& shape, const SynthesisOptions& options) {
  auto out = absl::WrapUnique(new Synthesizer(preprocess, shape, options));
  CONDENSE_ASSIGN_OR_RETURN(
      out->model_,
      runtime::Executor::Create(graph, {.device = options.device}));
  for (runtime::Parameter& parameter : out->model_->parameters()) {
    parameter.tensor.set_requires_grad(false);
  }
  for (NodeId id : graph.order()) {
    const Node& node = graph.node(id);
    if (!KeepsStatistics(graph, node)) continue;
    const auto constant = [&](size_t input) {
      return out->model_->ConstantTensor(node.input(input)).detach();
    };
    out->layers_[node.input(0)] = {node.input(0), constant(3), constant(4),
                                   node.Float("epsilon", 1e-5f)};
  }
  return out;
}

// All batches have as many, so that all statistics are as good.
int64_t Synthesizer::batch_images() const {
  return (options_.images + batches_ - 1) / batches_;
}

void Synthesizer::Begin() {
  auto generator = at::detail::createCPUGenerator(
      options_.seed + 1000003 * static_cast<uint64_t>(batch_));
  u_ = (0.5 + kNoise * at::randn({batch_images(), shape_.channels,
                                  shape_.height, shape_.width},
                                 generator))
           .clamp_(0, 1)
           .to(factor_.device());
  first_ = torch::zeros_like(u_);
  second_ = torch::zeros_like(u_);
}

absl::StatusOr<Tensor> Synthesizer::Loss(const Tensor& u) {
  std::vector<graph::ValueId> inputs;
  for (const auto& [id, layer] : layers_) inputs.push_back(id);
  Tensor sum = torch::zeros({}, u.options());
  model_->Observe(inputs, [&](graph::ValueId id, const Tensor& x) {
    const Layer& layer = layers_.at(id);
    sum = sum + StatisticsLoss(x, layer.mean, layer.var, layer.epsilon);
  });
  Tensor x = u * factor_ + shift_;
  if (channels_last_) x = x.permute({0, 2, 3, 1});
  const absl::Status status = model_->Run({x}).status();
  model_->Observe({}, nullptr);
  CONDENSE_RETURN_IF_ERROR(status);
  return sum / static_cast<double>(layers_.size()) +
         options_.variation * TotalVariation(u) +
         options_.contrast * (u - 0.5).square().mean();
}

// Adam (Kingma and Ba, arXiv:1412.6980), within the range of pixels.
void Synthesizer::Update(const Tensor& gradient) {
  const double t = static_cast<double>(step_ + 1);
  const double progress =
      static_cast<double>(step_) / static_cast<double>(options_.steps);
  const double lr = options_.lr * 0.5 * (1 + std::cos(M_PI * progress));
  first_ = kBeta1 * first_ + (1 - kBeta1) * gradient;
  second_ = kBeta2 * second_ + (1 - kBeta2) * gradient.square();
  const Tensor size =
      (second_ / (1 - std::pow(kBeta2, t))).sqrt() + kAdamEpsilon;
  u_ = (u_ - lr / (1 - std::pow(kBeta1, t)) * first_ / size).clamp(0, 1);
}

// The batch is done: to pixels.
void Synthesizer::Keep() {
  const int64_t begin = batch_ * batch_images();
  const int64_t count = std::min(batch_images(), options_.images - begin);
  images_.slice(0, begin, begin + count)
      .copy_((255 * u_).round().permute({0, 2, 3, 1}).slice(0, 0, count));
}

absl::StatusOr<double> Synthesizer::Step() {
  try {
    if (step_ == 0) Begin();
    Tensor u = u_.detach().requires_grad_(true);
    CONDENSE_ASSIGN_OR_RETURN(const Tensor loss, Loss(u));
    loss.backward();
    const torch::NoGradGuard no_grad;
    Update(u.grad());
    if (++step_ == options_.steps) {
      Keep();
      ++batch_;
      step_ = 0;
    }
    return loss.item<double>();
  } catch (const std::exception& error) {
    return training::RuntimeError(error);
  }
}

std::map<std::string, Tensor> Synthesizer::State() const {
  std::map<std::string, Tensor> state = {
      {"images", images_},
      {"position", torch::tensor({batch_, step_}, torch::kInt64)}};
  if (step_ > 0) {
    state["u"] = u_;
    state["first"] = first_;
    state["second"] = second_;
  }
  return state;
}

void Synthesizer::Restore(const std::map<std::string, Tensor>& state) {
  images_ = state.at("images").clone();
  batch_ = state.at("position")[0].item<int64_t>();
  step_ = state.at("position")[1].item<int64_t>();
  if (step_ == 0) return;
  u_ = state.at("u").to(factor_.device());
  first_ = state.at("first").to(factor_.device());
  second_ = state.at("second").to(factor_.device());
}

}  // namespace condense::quantization
