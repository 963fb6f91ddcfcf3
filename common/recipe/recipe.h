#ifndef CONDENSE_COMMON_RECIPE_RECIPE_H_
#define CONDENSE_COMMON_RECIPE_RECIPE_H_

#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/error.h"
#include "common/recipe/yaml_proto.h"
#include "condense/v1/recipe.pb.h"

namespace condense::recipe {

// A recipe and where in the text each of its keys stands.
struct ParsedRecipe {
  v1::Recipe recipe;
  Positions positions;
};

// Reads and checks a recipe's text, YAML or JSON: keys, types, ranges, and what
// needs nothing but the text. Errors as YamlToProto, and MISSING_KEY,
// OUT_OF_RANGE, UNIMPLEMENTED_VALUE.
absl::StatusOr<ParsedRecipe> ParseRecipe(absl::string_view text);

// Replaces or adds gates by key name ("max_accuracy_drop": "0.01").
// INVALID_ARGUMENT: UNKNOWN_KEY, WRONG_TYPE or OUT_OF_RANGE;
// UNSUPPORTED_COMBINATION where the recipe's task does not have the figure.
absl::Status ApplyGateOverrides(const std::map<std::string, std::string>& gates,
                                v1::Recipe* recipe);

// Writes out every default that recipe.proto names. Idempotent. Bits of weights
// stay open: they are the device profile's.
void ResolveRecipe(v1::Recipe* recipe);

// YAML that parses back to an equal recipe.
std::string RecipeToYaml(const v1::Recipe& recipe);

// An error about the key at `path`, with its line and column in the text.
absl::Status ErrorAt(const ParsedRecipe& parsed, const std::string& path,
                     absl::StatusCode code, absl::string_view reason,
                     absl::string_view message, ErrorDetail detail = {});

}  // namespace condense::recipe

#endif  // CONDENSE_COMMON_RECIPE_RECIPE_H_
