#include "client/cli/screen.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <sstream>

#include "gtest/gtest.h"

namespace condense::cli {
namespace {

TEST(ScreenTest, TheSecondPictureReplacesTheFirst) {
  std::ostringstream out;
  Screen screen(&out);
  screen.Draw({"one", "two"}, 80);
  EXPECT_EQ(out.str(), "one\ntwo\n");
  out.str("");
  screen.Draw({"three"}, 80);
  EXPECT_EQ(out.str(), "\x1b[2A\r\x1b[Jthree\n");
}

TEST(ScreenTest, LinesThatWrappedAfterAResizeAreGoneOverToo) {
  std::ostringstream out;
  Screen screen(&out);
  screen.Draw({"0123456789", "\x1b[31mabc\x1b[0m"}, 80);
  out.str("");
  // At 4 columns the first takes three rows, the second one.
  screen.Draw({"x"}, 4);
  EXPECT_EQ(out.str(), "\x1b[4A\r\x1b[Jx\n");
}

TEST(ScreenTest, APipeIsNoLiveTerminal) {
  int fds[2];
  ASSERT_EQ(pipe(fds), 0);
  EXPECT_FALSE(IsLiveTerminal(fds[1]));
  EXPECT_FALSE(IsLiveTerminal(-1));
  EXPECT_EQ(SizeOfTerminal(fds[1]).width, 80);
  close(fds[0]);
  close(fds[1]);
}

TEST(ScreenTest, ADumbTerminalIsNotRedrawn) {
  const int terminal = posix_openpt(O_RDWR | O_NOCTTY);
  if (terminal < 0) GTEST_SKIP() << "this machine gives no pseudo terminal";
  setenv("TERM", "xterm", 1);
  EXPECT_TRUE(IsLiveTerminal(terminal));
  setenv("TERM", "dumb", 1);
  EXPECT_FALSE(IsLiveTerminal(terminal));
  close(terminal);
}

TEST(LocaleTest, TheMostSpecificVariableDecides) {
  setenv("LC_ALL", "", 1);
  setenv("LC_CTYPE", "", 1);
  setenv("LANG", "de_DE.UTF-8", 1);
  EXPECT_TRUE(LocaleIsUtf8());
  setenv("LC_ALL", "C", 1);
  EXPECT_FALSE(LocaleIsUtf8());
}

}  // namespace
}  // namespace condense::cli
