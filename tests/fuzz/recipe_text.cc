#include "common/log.h"
#include "common/recipe/recipe.h"
#include "google/protobuf/util/message_differencer.h"
#include "tests/fuzz/targets.h"

namespace condense::fuzz {

void RecipeText(absl::string_view bytes) {
  auto parsed = recipe::ParseRecipe(bytes);
  if (!parsed.ok()) {
    CheckTyped(parsed.status());
    return;
  }
  recipe::ResolveRecipe(&parsed->recipe);
  const auto again = recipe::ParseRecipe(recipe::RecipeToYaml(parsed->recipe));
  CONDENSE_CHECK(again.ok());
  CONDENSE_CHECK(google::protobuf::util::MessageDifferencer::Equals(
      parsed->recipe, again->recipe));
}

std::vector<std::string> RecipeSeeds() {
  return {
      "stages: [quantize: {mode: ptq}]\n",
      R"(version: 1
task: classification
data:
  train: {source: train, augment: [random_crop: {padding: 4}, horizontal_flip]}
  calibration: {source: train, samples: 512}
  preprocess: {resize: [32, 32], scale: 3.9e-3, mean: [0.5], std: [0.2], layout: nchw, color: rgb}
teacher: {model: original}
stages:
  - prune: {granularity: channel, criterion: l2, target: {macs: 0.5}, schedule: {iterative: {steps: 4}}}
  - finetune: {epochs: 5, optimizer: {sgd: {lr: 0.01, momentum: 0.9}}, lr_schedule: cosine, kd: [{soft_response: {temperature: 4, lambda: 0.9}}]}
  - quantize: {mode: qat, weights: {bits: 8, granularity: channel}, epochs: 2, overrides: [{match: "re:.*head.*", bits: 8}]}
gates: {max_accuracy_drop: 0.01, max_size_bytes: 1000000}
seed: 17
)",
      R"({"stages": [{"finetune": {"epochs": 1, "optimizer": {"adam": {"lr": 1e-3}}}}], "seed": -1})"};
}

}  // namespace condense::fuzz
