#include "client/cli/output.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/error.h"
#include "google/protobuf/util/json_util.h"
#include "nlohmann/json.hpp"

namespace condense::cli {

ExitCode ExitCodeOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return kDone;
    case absl::StatusCode::kInvalidArgument:
      return kWrongUsage;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
      return kUnreachable;
    default:
      return kOtherError;
  }
}

ExitCode ExitCodeOf(const v1::Job& job) {
  if (job.state() == v1::Job::FAILED) return kJobFailed;
  if (job.state() == v1::Job::CANCELLED) return kJobCancelled;
  if (job.state() != v1::Job::SUCCEEDED) return kDone;
  const bool passed =
      std::all_of(job.artifacts().begin(), job.artifacts().end(),
                  [](const v1::Artifact& artifact) {
                    return artifact.verdict() == v1::Artifact::PASSED;
                  });
  return passed ? kDone : kOtherVerdict;
}

std::string ToJson(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  std::string json;
  // Only Any, Duration and Timestamp out of range can fail; the line stays
  // valid JSON then.
  if (!google::protobuf::util::MessageToJsonString(message, &json, options)
           .ok()) {
    return "{}";
  }
  return json;
}

std::string ErrorJson(const absl::Status& status) {
  const v1::Error error = ErrorToProto(status, v1::Job::PHASE_UNSPECIFIED);
  return absl::StrCat("{\"error\":", ToJson(error), "}");
}

void PrintError(std::ostream& err, const absl::Status& status, bool json) {
  err << (json ? ErrorJson(status) : ErrorText(status)) << "\n";
  err.flush();
}

std::string HumanBytes(int64_t bytes) {
  if (bytes < 1000) return absl::StrCat(bytes, " B");
  static constexpr const char* kUnits[] = {"kB", "MB", "GB", "TB", "PB"};
  double value = static_cast<double>(bytes) / 1000;
  size_t unit = 0;
  // 999.5 would be printed as 1000.
  while (value >= 999.5 && unit + 1 < std::size(kUnits)) {
    value /= 1000;
    ++unit;
  }
  const int digits = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
  return absl::StrFormat("%.*f %s", digits, value, kUnits[unit]);
}

std::string HumanDuration(absl::Duration duration) {
  const int64_t seconds = std::max<int64_t>(0, absl::ToInt64Seconds(duration));
  if (seconds < 3600) {
    return absl::StrFormat("%d:%02d", seconds / 60, seconds % 60);
  }
  return absl::StrFormat("%d:%02d:%02d", seconds / 3600, seconds / 60 % 60,
                         seconds % 60);
}

std::string Percent(double fraction, int digits) {
  return absl::StrFormat("%.*f %%", digits, fraction * 100);
}

int DisplayWidth(const std::string& text) {
  return static_cast<int>(
      std::count_if(text.begin(), text.end(), [](unsigned char c) {
        return (c & 0xC0) != 0x80;  // Not the second or later byte of one.
      }));
}

std::string Table(const std::vector<std::vector<std::string>>& rows,
                  int indent) {
  std::vector<int> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) {
      widths[i] = std::max(widths[i], DisplayWidth(row[i]));
    }
  }
  std::string text;
  for (const auto& row : rows) {
    std::string line(static_cast<size_t>(indent), ' ');
    for (size_t i = 0; i < row.size(); ++i) {
      line += row[i];
      if (i + 1 == row.size()) break;
      line.append(static_cast<size_t>(widths[i] - DisplayWidth(row[i]) + 2),
                  ' ');
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

}  // namespace condense::cli
