#ifndef CONDENSE_COMMON_RECIPE_CHECKER_H_
#define CONDENSE_COMMON_RECIPE_CHECKER_H_

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/recipe/recipe.h"

namespace condense::recipe {

// Errors about the keys below one path.
class Checker {
 public:
  Checker(const ParsedRecipe& parsed, std::string path)
      : parsed_(parsed), path_(std::move(path)) {}

  std::string At(const std::string& key) const {
    return path_.empty() ? key : absl::StrCat(path_, ".", key);
  }

  absl::Status Error(
      const std::string& key, absl::string_view reason,
      const std::string& message,
      absl::StatusCode code = absl::StatusCode::kInvalidArgument) const {
    return ErrorAt(parsed_, At(key), code, reason, message);
  }

  // [low, high], or (low, high] with `open`.
  absl::Status Range(const std::string& key, bool has, double value, double low,
                     double high, bool open = false) const {
    if (!has || (value <= high && (open ? value > low : value >= low))) {
      return absl::OkStatus();
    }
    return Error(
        key, "OUT_OF_RANGE",
        absl::StrCat("'", At(key), "' must be ", open ? "above " : "from ", low,
                     open ? ", at most " : " to ", high, ", not ", value));
  }

  absl::Status Required(const std::string& key, bool has) const {
    if (has) return absl::OkStatus();
    return Error(key, "MISSING_KEY",
                 absl::StrCat("'", At(key), "' is missing"));
  }

  const ParsedRecipe& parsed() const { return parsed_; }

 private:
  const ParsedRecipe& parsed_;
  const std::string path_;
};

// A pattern over names of nodes: MISSING_KEY, BAD_PATTERN.
absl::Status CheckPattern(const Checker& check, const std::string& key,
                          const std::string& text);

}  // namespace condense::recipe

#endif  // CONDENSE_COMMON_RECIPE_CHECKER_H_
