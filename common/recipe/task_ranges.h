#ifndef CONDENSE_COMMON_RECIPE_TASK_RANGES_H_
#define CONDENSE_COMMON_RECIPE_TASK_RANGES_H_

#include "absl/status/status.h"
#include "common/recipe/recipe.h"

namespace condense::recipe {

// The part of CheckRecipe that is about keys which do not go with the recipe's
// task: UNSUPPORTED_COMBINATION, UNUSED_KEY.
absl::Status CheckTask(const ParsedRecipe& parsed);

// A gate whose figure the task does not have: UNSUPPORTED_COMBINATION.
absl::Status CheckGatesOfTask(const ParsedRecipe& parsed,
                              v1::Recipe::Task task);

}  // namespace condense::recipe

#endif  // CONDENSE_COMMON_RECIPE_TASK_RANGES_H_
