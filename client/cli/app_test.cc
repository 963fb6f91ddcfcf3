#include "client/cli/app.h"

#include <cstdlib>

#include "client/cli/cli_fixture.h"
#include "gmock/gmock.h"

namespace condense::cli {
namespace {

using testing::HasSubstr;

class AppTest : public CliFixture {};

TEST_F(AppTest, HelpNamesEveryCommandAndTheExitCodes) {
  EXPECT_EQ(RunAlone({"--help"}), 0);
  for (const char* word :
       {"submit", "watch", "get", "list", "cancel", "artifacts", "download",
        "report", "profiles", "workers", "health", "analyze", "Exit codes"}) {
    EXPECT_THAT(out_, HasSubstr(word));
  }
  EXPECT_EQ(RunAlone({"submit", "--help"}), 0);
  EXPECT_THAT(out_, HasSubstr("--request-id"));
  EXPECT_EQ(err_, "");
}

struct BadLine {
  std::vector<std::string> arguments;
  std::string error;
};

TEST_F(AppTest, WrongUsageExitsTwoAndNamesTheWordAndTheNearest) {
  const std::vector<BadLine> lines = {
      {{}, "WRONG_USAGE: condense: A subcommand is required"},
      {{"pause", "j-1"}, "UNKNOWN_COMMAND: 'condense' has no command 'pause'"},
      {{"wacth", "j-1"}, "nearest: watch"},
      {{"profiles", "lst"}, "nearest: list"},
      {{"list", "--filter", "x"},
       "UNKNOWN_FLAG: 'condense list' has no flag '--filter'"},
      {{"list", "--page-sise=3"}, "nearest: --page-size"},
      {{"cancel", "--keep-best", "j-1"}, "has no flag '--keep-best'"},
      {{"get", "--sever", "x", "j-1"}, "nearest: --server"},
      {{"get", "j-1", "j-2"}, "'condense get' has no place for"},
      {{"watch"}, "condense watch: job is required"},
      {{"list", "--page-size", "0"}, "--page-size"},
      {{"submit", "--device", "tpu"}, "--device"},
  };
  for (const BadLine& line : lines) {
    EXPECT_EQ(RunAlone(line.arguments), 2);
    EXPECT_THAT(err_, HasSubstr(line.error));
    EXPECT_EQ(out_, "");
  }
}

TEST_F(AppTest, WrongUsageIsAnObjectWithJson) {
  EXPECT_EQ(RunAlone({"list", "--filter", "x", "--json"}), 2);
  EXPECT_EQ(nlohmann::json::parse(err_)["error"]["reason"], "UNKNOWN_FLAG");
}

TEST_F(AppTest, ServerAndProjectMayStandInTheEnvironment) {
  setenv("CONDENSE_SERVER", server_.address().c_str(), 1);
  setenv("CONDENSE_PROJECT", "p", 1);
  server_.state().job.set_name("projects/p/jobs/j-1");
  EXPECT_EQ(RunAlone({"get", "j-1"}), 0) << err_;
  // The command line wins.
  EXPECT_EQ(RunAlone({"get", "j-1", "--project", "q"}), 1);
  unsetenv("CONDENSE_SERVER");
  unsetenv("CONDENSE_PROJECT");
}

}  // namespace
}  // namespace condense::cli
