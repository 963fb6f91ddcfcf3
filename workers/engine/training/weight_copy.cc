#include "workers/engine/training/weight_copy.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/error.h"
#include "common/status_macros.h"
#include "workers/engine/training/optimizer.h"
#include "workers/engine/training/update_kernels.h"

namespace condense::training {
namespace {

bool CanLoop(const torch::Tensor& a, const torch::Tensor& b) {
  return a.device().is_cpu() && a.scalar_type() == torch::kFloat32 &&
         a.strides() == b.strides() && a.is_non_overlapping_and_dense();
}

}  // namespace

TensorMap ModelTensors(runtime::Executor* model) {
  TensorMap tensors;
  for (const runtime::Parameter& parameter : model->parameters()) {
    tensors["parameter/" + parameter.name] = parameter.tensor.detach();
  }
  for (const auto& [name, tensor] : model->buffers()) {
    tensors["buffer/" + name] = tensor.detach();
  }
  return tensors;
}

absl::Status CopyInto(const TensorMap& state, const std::string& prefix,
                      const TensorMap& tensors) {
  for (const auto& [key, tensor] : tensors) {
    const auto it = state.find(prefix + key);
    if (it == state.end() || it->second.sizes() != tensor.sizes()) {
      return MakeError(absl::StatusCode::kDataLoss, "CHECKPOINT_CORRUPT",
                       absl::StrCat("the checkpoint lacks '", prefix, key,
                                    "' or has it in another shape"));
    }
    tensor.copy_(it->second);
  }
  return absl::OkStatus();
}

void WeightCopy::Take() {
  for (const auto& [key, tensor] : ModelTensors(&model_)) {
    torch::Tensor& copy = copies_[key];
    if (copy.defined()) {
      copy.copy_(tensor);
    } else {
      copy = tensor.clone();
    }
  }
}

void WeightCopy::Average(double decay) {
  std::vector<torch::Tensor> from, to;
  std::vector<int64_t> lengths;
  for (const auto& [key, tensor] : ModelTensors(&model_)) {
    torch::Tensor& copy = copies_[key];
    if (CanLoop(tensor, copy)) {
      from.push_back(tensor);
      to.push_back(copy);
      lengths.push_back(tensor.numel());
    } else if (tensor.is_floating_point()) {
      copy.lerp_(tensor, 1 - decay);
    } else {
      copy.copy_(tensor);
    }
  }
  ForPieces(lengths, [&](size_t i, int64_t begin, int64_t end) {
    AverageUpdate(static_cast<float>(1 - decay), end - begin,
                  from[i].data_ptr<float>() + begin,
                  to[i].data_ptr<float>() + begin);
  });
}

void WeightCopy::Give() {
  for (const auto& [key, tensor] : ModelTensors(&model_)) {
    tensor.copy_(copies_.at(key));
  }
}

void WeightCopy::Exchange() {
  for (const auto& [key, tensor] : ModelTensors(&model_)) {
    const torch::Tensor before = tensor.clone();
    tensor.copy_(copies_.at(key));
    copies_.at(key).copy_(before);
  }
}

void WeightCopy::AddTo(const std::string& prefix, TensorMap* state) const {
  for (const auto& [key, copy] : copies_) (*state)[prefix + key] = copy;
}

absl::Status WeightCopy::Restore(const std::string& prefix,
                                 const TensorMap& state) {
  copies_.clear();
  const auto first = state.lower_bound(prefix);
  if (first == state.end() || !absl::StartsWith(first->first, prefix)) {
    return absl::OkStatus();
  }
  Take();
  return CopyInto(state, prefix, copies_);
}

}  // namespace condense::training
