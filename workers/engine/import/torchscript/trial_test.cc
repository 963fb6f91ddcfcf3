#include "workers/engine/import/torchscript/trial.h"

#include <signal.h>
#include <stdlib.h>

#include <fstream>

#include "common/error.h"
#include "gtest/gtest.h"
#include "tests/testing/temp_dir.h"

namespace condense::torchscript_import {
namespace {

TEST(TrialTest, TheChildsAnswerComesBack) {
  EXPECT_EQ(InTrial([] { return absl::OkStatus(); }), absl::OkStatus());
  const absl::Status status = InTrial([] {
    return MakeError(absl::StatusCode::kInvalidArgument, "NOT_A_MODEL", "why",
                     {.hint = "how", .node = "n"});
  });
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ErrorReason(status), "NOT_A_MODEL");
  EXPECT_EQ(status.message(), "why");
  EXPECT_EQ(ErrorDetailOf(status).hint, "how");
  EXPECT_EQ(ErrorDetailOf(status).node, "n");
}

TEST(TrialTest, ACrashIsATypedError) {
  for (int number : {SIGSEGV, SIGABRT, SIGFPE}) {
    const absl::Status status = InTrial([number] {
      raise(number);
      return absl::OkStatus();
    });
    EXPECT_EQ(ErrorReason(status), "MODEL_CRASHES") << number;
  }
  EXPECT_EQ(ErrorReason(InTrial([] {
              _exit(3);
              return absl::OkStatus();
            })),
            "MODEL_CRASHES");
}

TEST(TrialTest, AnEndlessLoopIsEnded) {
  const absl::Status status = InTrial(
      [] {
        for (volatile bool more = true; more;) {
        }
        return absl::OkStatus();
      },
      {.cpu = absl::Seconds(1)});
  EXPECT_EQ(ErrorReason(status), "MODEL_TAKES_TOO_LONG");
}

TEST(TrialTest, FilesAreNotWritten) {
  const TempDir folder;
  const std::string path = folder.path() + "/file";
  EXPECT_EQ(InTrial([&] {
              std::ofstream(path) << "text";
              return absl::OkStatus();
            }),
            absl::OkStatus());
  std::ifstream file(path);
  EXPECT_EQ(file.get(), std::ifstream::traits_type::eof());
}

}  // namespace
}  // namespace condense::torchscript_import
