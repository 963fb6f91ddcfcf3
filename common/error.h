#ifndef CONDENSE_COMMON_ERROR_H_
#define CONDENSE_COMMON_ERROR_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "condense/v1/job.pb.h"

namespace condense {

// What a person needs besides the sentence. Empty and 0 mean: not about that.
struct ErrorDetail {
  // The path of the field, e.g. "stages[1].finetune.epochs".
  std::string field;
  // In the recipe's text, from 1.
  int line = 0;
  int column = 0;
  // The nearest valid name to what was written.
  std::string nearest;
  // What to do about it.
  std::string hint;
  // The model's node.
  std::string node;
};

// A status that carries, as its one payload, a google.rpc.ErrorInfo with
// `reason` (UPPER_SNAKE_CASE), domain "condense" and `detail` as metadata.
absl::Status MakeError(absl::StatusCode code, absl::string_view reason,
                       absl::string_view message, ErrorDetail detail = {});

// The reason of a status made by MakeError, or "" (also for OK).
std::string ErrorReason(const absl::Status& status);
ErrorDetail ErrorDetailOf(const absl::Status& status);

// To and from the message that jobs carry; `status` must not be OK.
v1::Error ErrorToProto(const absl::Status& status, v1::Job::Phase phase);
absl::Status ErrorFromProto(const v1::Error& error);

// "INVALID_ARGUMENT" and so on.
std::string CodeName(absl::StatusCode code);

// As the CLI prints it: "error: CODE REASON: sentence" and, indented below,
// field, line:column, nearest name, node and hint. No newline at the end.
std::string ErrorText(const absl::Status& status);

// The candidate with the smallest edit distance to `name`, or "" if all are
// further away than half of its length.
std::string NearestName(absl::string_view name,
                        const std::vector<std::string>& candidates);

}  // namespace condense

#endif  // CONDENSE_COMMON_ERROR_H_
