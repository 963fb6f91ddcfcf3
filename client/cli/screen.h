#ifndef CONDENSE_CLIENT_CLI_SCREEN_H_
#define CONDENSE_CLIENT_CLI_SCREEN_H_

#include <ostream>
#include <string>
#include <vector>

namespace condense::cli {

// A terminal's size in characters.
struct TerminalSize {
  int width = 80;
  int height = 24;
};

// True: `fd` is a terminal that understands cursor movement.
bool IsLiveTerminal(int fd);
// Of the terminal behind `fd`; the default where it has none.
TerminalSize SizeOfTerminal(int fd);
// True if the locale of the environment says UTF-8.
bool LocaleIsUtf8();

// Draws lines over those drawn before. Not thread-safe.
class Screen {
 public:
  // `out` must outlive the screen.
  explicit Screen(std::ostream* out) : out_(out) {}
  // `width` is the terminal's now: lines drawn when it was wider have wrapped.
  void Draw(const std::vector<std::string>& lines, int width);

 private:
  std::ostream* out_;
  std::vector<int> widths_;  // Of the lines on the screen, in columns.
};

}  // namespace condense::cli

#endif  // CONDENSE_CLIENT_CLI_SCREEN_H_
