#ifndef CONDENSE_COMMON_RECIPE_TEXT_CHECK_H_
#define CONDENSE_COMMON_RECIPE_TEXT_CHECK_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace condense::recipe {

// YAML is made of printable characters in UTF-8 (YAML 1.2, 5.1): BAD_SYNTAX
// with line and column for any other.
absl::Status CheckCharacters(absl::string_view text);

}  // namespace condense::recipe

#endif  // CONDENSE_COMMON_RECIPE_TEXT_CHECK_H_
