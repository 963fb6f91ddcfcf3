// Losses that a model may carry: NegativeLogLikelihoodLoss and
// SoftmaxCrossEntropyLoss.

#include "workers/engine/runtime/step.h"

namespace condense::runtime {
namespace {

using torch::Tensor;

struct Settings {
  std::string reduction;
  bool ignores = false;
  int64_t ignore_index = 0;
};

Settings SettingsOf(const graph::Node& node) {
  return {node.String("reduction", "mean"), node.Has("ignore_index"),
          node.Int("ignore_index", 0)};
}

// log_p: [N, C, ...]; target: [N, ...]; weight: [C] or undefined.
Tensor Nll(const Tensor& log_p, const Tensor& given, const Tensor& weight,
           const Settings& s) {
  Tensor target = given.to(torch::kInt64);
  Tensor kept = at::ones_like(target, log_p.options());
  if (s.ignores) {
    const Tensor ignored = target == s.ignore_index;
    kept = at::where(ignored, at::zeros_like(kept), kept);
    target = at::where(ignored, at::zeros_like(target), target);
  }
  if (weight.defined()) {
    kept =
        kept * weight.index_select(0, target.flatten()).reshape(target.sizes());
  }
  const Tensor loss =
      -at::gather(log_p, 1, target.unsqueeze(1)).squeeze(1) * kept;
  if (s.reduction == "none") return loss;
  return s.reduction == "sum" ? loss.sum() : loss.sum() / kept.sum();
}

absl::StatusOr<Kernel> NegativeLogLikelihood(const KernelContext& c) {
  const Settings settings = SettingsOf(c.node);
  return Kernel([settings](const Call& call) {
    return std::vector<Tensor>{
        Nll(call.in[0], call.in[1], call.Optional(2), settings)};
  });
}

absl::StatusOr<Kernel> SoftmaxCrossEntropy(const KernelContext& c) {
  const Settings settings = SettingsOf(c.node);
  return Kernel([settings](const Call& call) {
    const Tensor log_p = at::log_softmax(call.in[0], 1);
    return std::vector<Tensor>{
        Nll(log_p, call.in[1], call.Optional(2), settings), log_p};
  });
}

}  // namespace

void AddLossKernels(KernelTable* table) {
  (*table)["NegativeLogLikelihoodLoss"] = NegativeLogLikelihood;
  (*table)["SoftmaxCrossEntropyLoss"] = SoftmaxCrossEntropy;
}

}  // namespace condense::runtime
