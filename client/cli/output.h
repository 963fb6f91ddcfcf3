#ifndef CONDENSE_CLIENT_CLI_OUTPUT_H_
#define CONDENSE_CLIENT_CLI_OUTPUT_H_

#include <cstdint>
#include <ostream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/human.h"
#include "condense/v1/job.pb.h"
#include "google/protobuf/message.h"

namespace condense::cli {

// What a shell step can rely on.
enum ExitCode : int {
  kDone = 0,
  kOtherError = 1,
  kWrongUsage = 2,
  kOtherVerdict = 3,
  kJobFailed = 4,
  kJobCancelled = 5,
  kUnreachable = 6,
};

ExitCode ExitCodeOf(const absl::Status& status);
// Of a job in its final state; kDone for any other.
ExitCode ExitCodeOf(const v1::Job& job);

// One line of proto3 JSON with the fields' proto names, no newline.
std::string ToJson(const google::protobuf::Message& message);

// The error as one JSON object: {"error": {"code", "reason", "message", ...}}.
std::string ErrorJson(const absl::Status& status);
// On one or more lines, for people or (`json`) for programs.
void PrintError(std::ostream& err, const absl::Status& status, bool json);

// "0:07", "12:31", "2:03:09".
std::string HumanDuration(absl::Duration duration);
}  // namespace condense::cli

#endif  // CONDENSE_CLIENT_CLI_OUTPUT_H_
