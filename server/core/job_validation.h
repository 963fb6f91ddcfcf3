#ifndef CONDENSE_SERVER_CORE_JOB_VALIDATION_H_
#define CONDENSE_SERVER_CORE_JOB_VALIDATION_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "condense/v1/device_profile.pb.h"
#include "condense/v1/job.pb.h"
#include "server/core/blob_store.h"

namespace condense {

// The recipe of the spec, with its gates, checked and written out with every
// default; errors carry line and column.
using RecipeResolver =
    std::function<absl::StatusOr<std::string>(const v1::JobSpec&)>;

// What a job is checked against when it is submitted.
struct JobRules {
  RecipeResolver resolve_recipe;
  // By id.
  std::vector<v1::DeviceProfile> profiles;
};

// Checks all that needs neither the model nor the data, and fills in the sizes
// of blobs. Returns the resolved recipe. INVALID_ARGUMENT, naming the field;
// FAILED_PRECONDITION, reason BLOB_NOT_STORED.
absl::StatusOr<std::string> ValidateJob(const JobRules& rules, BlobStore& blobs,
                                        v1::JobSpec& spec);

// The same for equal requests: tells a repeated CreateJob from a reused
// request_id.
std::string RequestFingerprint(const v1::JobSpec& spec);

}  // namespace condense

#endif  // CONDENSE_SERVER_CORE_JOB_VALIDATION_H_
