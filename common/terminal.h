#ifndef CONDENSE_COMMON_TERMINAL_H_
#define CONDENSE_COMMON_TERMINAL_H_

namespace condense {

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

}  // namespace condense

#endif  // CONDENSE_COMMON_TERMINAL_H_
