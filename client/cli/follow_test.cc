#include "client/cli/follow.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>

#include "client/cli/cli_fixture.h"
#include "gmock/gmock.h"

namespace condense::cli {
namespace {

using testing::HasSubstr;
using testing::Not;

class FollowTest : public CliFixture {
 protected:
  void SetUp() override {
    FinishJob(v1::Artifact::PASSED);
    terminal_ = posix_openpt(O_RDWR | O_NOCTTY);
    if (terminal_ < 0) GTEST_SKIP() << "this machine gives no pseudo terminal";
    setenv("TERM", "xterm", 1);
  }
  void TearDown() override {
    if (terminal_ >= 0) close(terminal_);
  }
  int WatchOnTerminal(std::vector<std::string> more = {}) {
    std::vector<std::string> line = {"watch", "j-1", "--server",
                                     server_.address()};
    line.insert(line.end(), more.begin(), more.end());
    std::ostringstream out;
    std::ostringstream err;
    const int code = RunCondense(line, out, err, terminal_);
    out_ = out.str();
    err_ = err.str();
    return code;
  }

  int terminal_ = -1;
};

TEST_F(FollowTest, ATerminalSeesOnePictureThatIsRedrawnAndThenTheTable) {
  EXPECT_EQ(WatchOnTerminal(), 0) << err_;
  const size_t last = out_.rfind("\x1b[J");
  // What came before the last picture is drawn over; after it stands the end.
  const std::string end = last == std::string::npos ? out_ : out_.substr(last);
  EXPECT_THAT(end, HasSubstr("SUCCEEDED"));
  EXPECT_THAT(end, HasSubstr("Finetuning"));
  EXPECT_THAT(end, HasSubstr("98.00 %"));
  EXPECT_THAT(out_, Not(HasSubstr("phase    FINETUNING")));
}

TEST_F(FollowTest, EventsThatComeAtOnceAreDrawnAtMostTenTimesASecond) {
  const absl::Time start = absl::Now();
  EXPECT_EQ(WatchOnTerminal(), 0);
  const double seconds = absl::ToDoubleSeconds(absl::Now() - start);
  int pictures = 0;
  for (size_t at = 0; (at = out_.find("\x1b[J", at)) != std::string::npos;
       ++at) {
    ++pictures;
  }
  // The first picture erases nothing; the last is drawn at once.
  EXPECT_LE(pictures, 10 * seconds + 1);
}

TEST_F(FollowTest, JsonOnATerminalHasNoEscapes) {
  EXPECT_EQ(WatchOnTerminal({"--json"}), 0);
  EXPECT_EQ(JsonLines().size(), 9u);
}

TEST_F(FollowTest, ADumbTerminalGetsPlainLines) {
  setenv("TERM", "dumb", 1);
  EXPECT_EQ(WatchOnTerminal(), 0);
  EXPECT_THAT(out_, HasSubstr("phase    FINETUNING"));
  EXPECT_THAT(out_, Not(HasSubstr("\x1b")));
}

}  // namespace
}  // namespace condense::cli
