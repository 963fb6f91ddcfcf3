#ifndef CONDENSE_COMMON_RECIPE_PATTERN_H_
#define CONDENSE_COMMON_RECIPE_PATTERN_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace re2 {
class RE2;
}

namespace condense::recipe {

// A pattern over node names: a wildcard with `*` and `?`, or `re:` and an RE2
// expression that must match the whole name. Linear time. Thread-safe.
class Pattern {
 public:
  // INVALID_ARGUMENT with reason BAD_PATTERN.
  static absl::StatusOr<Pattern> Compile(absl::string_view text);
  bool Matches(absl::string_view name) const;

 private:
  explicit Pattern(std::shared_ptr<const re2::RE2> expression)
      : expression_(std::move(expression)) {}
  // Shared because RE2 objects cannot be copied and patterns can.
  std::shared_ptr<const re2::RE2> expression_;
};

}  // namespace condense::recipe

#endif  // CONDENSE_COMMON_RECIPE_PATTERN_H_
