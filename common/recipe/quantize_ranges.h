#ifndef CONDENSE_COMMON_RECIPE_QUANTIZE_RANGES_H_
#define CONDENSE_COMMON_RECIPE_QUANTIZE_RANGES_H_

#include "absl/status/status.h"
#include "common/recipe/checker.h"

namespace condense::recipe {

// The part of CheckRecipe that is about a quantize stage; errors as it has
// them.
absl::Status CheckQuantize(const Checker& check, const v1::Quantize& quantize);

// That of the recipe, or the default: affine, or float where the recipe says
// nothing about activations and its weights have 16 bits or blocks, which are
// computed in float.
v1::Scheme ActivationScheme(const v1::Quantize& quantize);

}  // namespace condense::recipe

#endif  // CONDENSE_COMMON_RECIPE_QUANTIZE_RANGES_H_
