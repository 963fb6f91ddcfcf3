#include "client/cli/screen.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
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

std::string Environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

}  // namespace

bool IsLiveTerminal(int fd) {
  const std::string term = Environment("TERM");
  return isatty(fd) == 1 && !term.empty() && term != "dumb";
}

TerminalSize SizeOfTerminal(int fd) {
  winsize size = {};
  if (ioctl(fd, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return {};
  return {.width = size.ws_col, .height = std::max<int>(size.ws_row, 4)};
}

bool LocaleIsUtf8() {
  std::string locale = Environment("LC_ALL");
  if (locale.empty()) locale = Environment("LC_CTYPE");
  if (locale.empty()) locale = Environment("LANG");
  locale = absl::AsciiStrToLower(locale);
  return absl::StrContains(locale, "utf-8") ||
         absl::StrContains(locale, "utf8");
}

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
