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
// Spread of the pixels that images begin with, around middle gray.
constexpr double kSpread = 0.25;

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

Tensor NaturalSpectrum(int64_t height, int64_t width) {
  const double lowest = 1.0 / static_cast<double>(std::max(height, width));
  const Tensor rows = torch::fft::fftfreq(height).square().view({-1, 1});
  const auto amplitudes = [&](const Tensor& columns) {
    return (rows + columns.square()).sqrt().clamp_min(lowest).reciprocal();
  };
  // The plane that rfft2 gives half of.
  const Tensor power = amplitudes(torch::fft::fftfreq(width)).square().mean();
  return amplitudes(torch::fft::rfftfreq(width, torch::kFloat32)) /
         power.sqrt();
}

Tensor OutOfRange(const Tensor& u) {
  return (u - u.clamp(0, 1)).square().mean();
}

int64_t StepsOf(const SynthesisOptions& options) {
  return BatchesOf(options) * options.steps;
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
  spectrum_ = NaturalSpectrum(shape.height, shape.width).to(device);
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
  z_ = at::randn({batch_images(), shape_.channels, shape_.height, shape_.width},
                 generator)
           .to(factor_.device());
  first_ = torch::zeros_like(z_);
  second_ = torch::zeros_like(z_);
}

// From 0 to 1, but for what is OutOfRange.
Tensor Synthesizer::Pixels(const Tensor& z) const {
  const Tensor waves = torch::fft::rfft2(z) * spectrum_;
  return 0.5 + kSpread * torch::fft::irfft2(
                             waves, torch::IntArrayRef({z.size(2), z.size(3)}));
}

absl::StatusOr<Tensor> Synthesizer::Loss(const Tensor& z) {
  std::vector<graph::ValueId> inputs;
  for (const auto& [id, layer] : layers_) inputs.push_back(id);
  Tensor sum = torch::zeros({}, z.options());
  model_->Observe(inputs, [&](graph::ValueId id, const Tensor& x) {
    const Layer& layer = layers_.at(id);
    sum = sum + StatisticsLoss(x, layer.mean, layer.var, layer.epsilon);
  });
  const Tensor u = Pixels(z), seen = u.clamp(0, 1);
  Tensor x = seen * factor_ + shift_;
  if (channels_last_) x = x.permute({0, 2, 3, 1});
  const absl::Status status = model_->Run({x}).status();
  model_->Observe({}, nullptr);
  CONDENSE_RETURN_IF_ERROR(status);
  return sum / static_cast<double>(layers_.size()) +
         options_.variation * TotalVariation(seen) +
         options_.contrast * (u - 0.5).square().mean() +
         options_.range * OutOfRange(u);
}

// Adam (Kingma and Ba, arXiv:1412.6980).
void Synthesizer::Update(const Tensor& gradient) {
  const double t = static_cast<double>(step_ + 1);
  const double progress =
      static_cast<double>(step_) / static_cast<double>(options_.steps);
  const double lr = options_.lr * 0.5 * (1 + std::cos(M_PI * progress));
  first_ = kBeta1 * first_ + (1 - kBeta1) * gradient;
  second_ = kBeta2 * second_ + (1 - kBeta2) * gradient.square();
  const Tensor size =
      (second_ / (1 - std::pow(kBeta2, t))).sqrt() + kAdamEpsilon;
  z_ = z_ - lr / (1 - std::pow(kBeta1, t)) * first_ / size;
}

// The batch is done: to pixels.
void Synthesizer::Keep() {
  const int64_t begin = batch_ * batch_images();
  const int64_t count = std::min(batch_images(), options_.images - begin);
  const Tensor pixels = (255 * Pixels(z_).clamp(0, 1)).round();
  images_.slice(0, begin, begin + count)
      .copy_(pixels.permute({0, 2, 3, 1}).slice(0, 0, count));
}

absl::StatusOr<double> Synthesizer::Step() {
  try {
    if (step_ == 0) Begin();
    Tensor z = z_.detach().requires_grad_(true);
    CONDENSE_ASSIGN_OR_RETURN(const Tensor loss, Loss(z));
    loss.backward();
    const torch::NoGradGuard no_grad;
    Update(z.grad());
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

void Synthesizer::End() {
  if (step_ > 0) {
    Keep();
    ++batch_;
    step_ = 0;
  }
  const int64_t made = std::min(batch_ * batch_images(), options_.images);
  for (int64_t begin = made; begin < options_.images; begin += made) {
    const int64_t count = std::min(made, options_.images - begin);
    images_.slice(0, begin, begin + count).copy_(images_.slice(0, 0, count));
  }
  batch_ = batches_;
}

std::map<std::string, Tensor> Synthesizer::State() const {
  std::map<std::string, Tensor> state = {
      {"images", images_},
      {"position", torch::tensor({batch_, step_}, torch::kInt64)}};
  if (step_ > 0) {
    state["z"] = z_;
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
  z_ = state.at("z").to(factor_.device());
  first_ = state.at("first").to(factor_.device());
  second_ = state.at("second").to(factor_.device());
}

}  // namespace condense::quantization
