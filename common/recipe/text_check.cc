#include "common/recipe/text_check.h"

#include <algorithm>
#include <cstdint>

#include "absl/strings/str_split.h"
#include "common/error.h"
#include "common/utf8.h"

namespace condense::recipe {
namespace {

bool IsControl(char c) {
  const auto byte = static_cast<uint8_t>(c);
  return (byte < 0x20 && c != '\t' && c != '\r') || byte == 0x7f;
}

}  // namespace

absl::Status CheckCharacters(absl::string_view text) {
  int line = 0;
  for (absl::string_view part : absl::StrSplit(text, '\n')) {
    ++line;
    const auto control = std::find_if(part.begin(), part.end(), IsControl);
    if (control != part.end()) {
      return MakeError(
          absl::StatusCode::kInvalidArgument, "BAD_SYNTAX",
          "the text holds a control character",
          {.line = line,
           .column = static_cast<int>(control - part.begin()) + 1});
    }
    if (IsUtf8(part)) continue;
    return MakeError(absl::StatusCode::kInvalidArgument, "BAD_SYNTAX",
                     "the text is not UTF-8",
                     {.line = line,
                      .column = 1,
                      .hint = "save the file in the encoding UTF-8"});
  }
  return absl::OkStatus();
}

}  // namespace condense::recipe
