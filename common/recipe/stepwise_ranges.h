#ifndef CONDENSE_COMMON_RECIPE_STEPWISE_RANGES_H_
#define CONDENSE_COMMON_RECIPE_STEPWISE_RANGES_H_

#include "absl/status/status.h"
#include "common/recipe/checker.h"

namespace condense::recipe {

// Parts of CheckRecipe: the keys that say which weights are quantized when, and
// with how many bits. OUT_OF_RANGE, MISSING_KEY, TOO_MANY_KEYS, UNUSED_KEY,
// UNSUPPORTED_COMBINATION.
absl::Status CheckIncremental(const Checker& check,
                              const v1::Quantize& quantize);
absl::Status CheckMixedPrecision(const Checker& check,
                                 const v1::Quantize& quantize);
absl::Status CheckBlocks(const Checker& check, const v1::Quantize& quantize);

}  // namespace condense::recipe

#endif  // CONDENSE_COMMON_RECIPE_STEPWISE_RANGES_H_
