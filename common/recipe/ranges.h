#ifndef CONDENSE_COMMON_RECIPE_RANGES_H_
#define CONDENSE_COMMON_RECIPE_RANGES_H_

#include "absl/status/status.h"
#include "common/recipe/recipe.h"

namespace condense::recipe {

// Checks what recipe.proto's comments demand of values: ranges, required keys,
// keys that exclude each other, patterns that are well formed. Errors:
// OUT_OF_RANGE, MISSING_KEY, TOO_MANY_KEYS, UNIMPLEMENTED_VALUE, BAD_PATTERN.
absl::Status CheckRecipe(const ParsedRecipe& parsed);

// The gates alone.
absl::Status CheckGates(const ParsedRecipe& parsed);

}  // namespace condense::recipe

#endif  // CONDENSE_COMMON_RECIPE_RANGES_H_
