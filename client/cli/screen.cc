#include "client/cli/screen.h"

#include <algorithm>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "client/cli/output.h"

namespace condense::cli {
namespace {

// Without escape sequences, which end in a letter.
int VisibleWidth(const std::string& line) {
  std::string visible;
  for (size_t i = 0; i < line.size(); ++i) {
    if (line[i] != '\x1b') {
      visible += line[i];
      continue;
    }
    while (i < line.size() &&
           !absl::ascii_isalpha(static_cast<unsigned char>(line[i]))) {
      ++i;
    }
  }
  return DisplayWidth(visible);
}

}  // namespace

void Screen::Draw(const std::vector<std::string>& lines, int width) {
  int rows = 0;
  for (const int line : widths_) {
    rows += std::max(1, (line + width - 1) / width);
  }
  std::string text;
  if (rows > 0) absl::StrAppend(&text, "\x1b[", rows, "A\r");
  // To the end of the screen: a line that wrapped leaves nothing behind.
  if (rows > 0) text += "\x1b[J";
  widths_.clear();
  for (const std::string& line : lines) {
    text += line + "\n";
    widths_.push_back(VisibleWidth(line));
  }
  *out_ << text;
  out_->flush();
}

}  // namespace condense::cli
