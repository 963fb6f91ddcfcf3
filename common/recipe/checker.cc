#include "common/recipe/checker.h"

#include "common/recipe/pattern.h"
#include "common/status_macros.h"

namespace condense::recipe {

absl::Status CheckPattern(const Checker& check, const std::string& key,
                          const std::string& pattern) {
  CONDENSE_RETURN_IF_ERROR(check.Required(key, !pattern.empty()));
  const absl::StatusOr<Pattern> compiled = Pattern::Compile(pattern);
  if (compiled.ok()) return absl::OkStatus();
  return check.Error(key, "BAD_PATTERN",
                     std::string(compiled.status().message()));
}

}  // namespace condense::recipe
