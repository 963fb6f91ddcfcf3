#ifndef CONDENSE_COMMON_RECIPE_TRAINING_RANGES_H_
#define CONDENSE_COMMON_RECIPE_TRAINING_RANGES_H_

#include "absl/status/status.h"
#include "common/recipe/checker.h"

namespace condense::recipe {

// Parts of CheckRecipe: the keys of a stage that trains. OUT_OF_RANGE,
// MISSING_KEY, UNUSED_KEY.
absl::Status CheckTraining(const Checker& check, const v1::Finetune& finetune);
absl::Status CheckTraining(const Checker& check, const v1::Quantize& quantize);

}  // namespace condense::recipe

#endif  // CONDENSE_COMMON_RECIPE_TRAINING_RANGES_H_
