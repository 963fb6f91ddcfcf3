#include "common/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"

namespace condense {
namespace {

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

}  // namespace condense
