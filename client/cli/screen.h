#ifndef CONDENSE_CLIENT_CLI_SCREEN_H_
#define CONDENSE_CLIENT_CLI_SCREEN_H_

#include <ostream>
#include <string>
#include <vector>

#include "common/terminal.h"

namespace condense::cli {

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
