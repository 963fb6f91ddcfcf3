#include "workers/engine/training/generators.h"

#include <mutex>

#include "absl/strings/str_cat.h"
#include "common/error.h"

namespace condense::training {
namespace {

std::map<std::string, at::Generator> Generators(const torch::Device& device) {
  std::map<std::string, at::Generator> all = {
      {"random/cpu", at::globalContext().defaultGenerator(torch::kCPU)}};
  if (!device.is_cpu()) {
    all["random/device"] = at::globalContext().defaultGenerator(device);
  }
  return all;
}

}  // namespace

void SeedGenerators(uint64_t seed) { torch::manual_seed(seed); }

TensorMap GeneratorStates(const torch::Device& device) {
  TensorMap states;
  for (auto& [name, generator] : Generators(device)) {
    std::lock_guard<std::mutex> lock(generator.mutex());
    states[name] = generator.get_state();
  }
  return states;
}

absl::Status RestoreGenerators(const torch::Device& device,
                               const TensorMap& states) {
  for (auto& [name, generator] : Generators(device)) {
    const auto it = states.find(name);
    try {
      if (it == states.end()) throw std::runtime_error("it is missing");
      std::lock_guard<std::mutex> lock(generator.mutex());
      generator.set_state(it->second);
    } catch (const std::exception& error) {
      return MakeError(absl::StatusCode::kDataLoss, "CHECKPOINT_CORRUPT",
                       absl::StrCat("the state of the generator '", name, "': ",
                                    std::string(error.what()).substr(0, 200)));
    }
  }
  return absl::OkStatus();
}

}  // namespace condense::training
