#ifndef CONDENSE_CLIENT_CLI_OUTPUT_H_
#define CONDENSE_CLIENT_CLI_OUTPUT_H_

#include <cstdint>
#include <ostream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
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

// "412 kB", "1.20 MB": decimal units, three digits.
std::string HumanBytes(int64_t bytes);
// "0:07", "12:31", "2:03:09".
std::string HumanDuration(absl::Duration duration);
// "98.1 %" of .9812; `digits` after the point.
std::string Percent(double fraction, int digits);

// Columns in width of their longest cell, two spaces apart; cells count as wide
// as they have characters. The first row is the heading. Every row ends with a
// newline; `indent` spaces stand before each.
std::string Table(const std::vector<std::vector<std::string>>& rows,
                  int indent = 0);

// How many columns UTF-8 text takes on a terminal, for text without wide or
// combining characters and without escapes.
int DisplayWidth(const std::string& text);

}  // namespace condense::cli

#endif  // CONDENSE_CLIENT_CLI_OUTPUT_H_
