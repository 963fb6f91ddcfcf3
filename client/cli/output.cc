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

std::string HumanDuration(absl::Duration duration) {
  const int64_t seconds = std::max<int64_t>(0, absl::ToInt64Seconds(duration));
  if (seconds < 3600) {
    return absl::StrFormat("%d:%02d", seconds / 60, seconds % 60);
  }
  return absl::StrFormat("%d:%02d:%02d", seconds / 3600, seconds / 60 % 60,
                         seconds % 60);
}

}  // namespace condense::cli
