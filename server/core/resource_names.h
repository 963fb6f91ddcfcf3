#ifndef CONDENSE_SERVER_CORE_RESOURCE_NAMES_H_
#define CONDENSE_SERVER_CORE_RESOURCE_NAMES_H_

#include <cstdint>
#include <string>

#include "absl/random/bit_gen_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace condense {

// "p" of "projects/p". INVALID_ARGUMENT, reason BAD_NAME. A project is 1 to 63
// lower-case letters, digits and dashes.
absl::StatusOr<std::string> ProjectOfParent(absl::string_view parent);

// OK if `name` has the form projects/{project}/jobs/{job}; `field` is named in
// the error.
absl::Status CheckJobName(absl::string_view name, absl::string_view field);

// "p" of "projects/p/jobs/j-8f3k2", which must be valid.
std::string ProjectOfJob(absl::string_view name);

// "projects/p/jobs/j-8f3k2" with five random digits: unique only among some
// thousands, so the caller looks it up.
std::string NewJobName(absl::string_view project, absl::BitGenRef random);

// A random UUID (RFC 4122, version 4).
std::string NewUuid(absl::BitGenRef random);

// The opaque page token that goes on below `position` in `project`, and back.
std::string PageToken(absl::string_view project, int64_t position);
absl::StatusOr<int64_t> PositionOfPageToken(absl::string_view project,
                                            absl::string_view token);

}  // namespace condense

#endif  // CONDENSE_SERVER_CORE_RESOURCE_NAMES_H_
