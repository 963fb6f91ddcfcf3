#include "common/recipe/pattern.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/error.h"
#include "re2/re2.h"

namespace condense::recipe {
namespace {

// The expression that matches what the wildcard does.
std::string FromWildcard(absl::string_view text) {
  std::string out;
  for (char c : text) {
    if (c == '*') {
      out += ".*";
    } else if (c == '?') {
      out += ".";
    } else {
      out += re2::RE2::QuoteMeta(re2::StringPiece(&c, 1));
    }
  }
  return out;
}

}  // namespace

absl::StatusOr<Pattern> Pattern::Compile(absl::string_view text) {
  const bool is_expression = absl::StartsWith(text, "re:");
  re2::RE2::Options options(re2::RE2::Quiet);
  options.set_max_mem(1 << 20);
  auto expression = std::make_shared<const re2::RE2>(
      is_expression ? std::string(text.substr(3)) : FromWildcard(text),
      options);
  if (!expression->ok()) {
    return MakeError(
        absl::StatusCode::kInvalidArgument, "BAD_PATTERN",
        absl::StrCat("'", text, "' is not a pattern: ", expression->error()));
  }
  return Pattern(std::move(expression));
}

bool Pattern::Matches(absl::string_view name) const {
  return re2::RE2::FullMatch(re2::StringPiece(name.data(), name.size()),
                             *expression_);
}

}  // namespace condense::recipe
