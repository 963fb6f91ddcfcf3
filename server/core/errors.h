#ifndef CONDENSE_SERVER_CORE_ERRORS_H_
#define CONDENSE_SERVER_CORE_ERRORS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

// Everything that a client of the server can read as an error, worded once.
// What a recipe can have wrong is worded by common/recipe.

namespace condense {

// Names and arguments. `field` is the path in the request.
absl::Status FieldMissing(absl::string_view field);
absl::Status FieldOutOfRange(absl::string_view field, int64_t value,
                             int64_t least, int64_t most);
absl::Status BadName(absl::string_view field, absl::string_view name,
                     absl::string_view form);
absl::Status BadPageToken();
absl::Status BadGate(absl::string_view key, absl::string_view value);
absl::Status UnknownProfile(absl::string_view id,
                            const std::vector<std::string>& known,
                            absl::string_view field);
absl::Status ProfileNotFound(absl::string_view id,
                             const std::vector<std::string>& known);

// Jobs.
absl::Status JobNotFound(absl::string_view name);
absl::Status RequestIdReused(absl::string_view request_id);
absl::Status BlobNotStored(absl::string_view field, absl::string_view digest);

// Leases.
absl::Status StaleEpoch(absl::string_view job, int epoch);
absl::Status EventsMissing(int64_t first_index, int64_t next_index);
absl::Status ArtifactIncomplete(absl::string_view profile,
                                absl::string_view why);
// A job's own error, when the infrastructure failed it too often.
absl::Status AttemptsExhausted(int attempts, absl::string_view last_reason);

// Blobs.
absl::Status BlobNotFound(absl::string_view digest);
absl::Status DigestMismatch(absl::string_view wanted, absl::string_view found);
absl::Status WrongOffset(int64_t offset, int64_t committed);
absl::Status WrongSize(int64_t stated, int64_t known);
absl::Status OffsetPastEnd(int64_t offset, int64_t size);
absl::Status ChunkTooLarge(int64_t size, int64_t most);

// The server itself.
absl::Status ServerStopping();
absl::Status DataDirInUse(absl::string_view data_dir);
absl::Status NewerSchema(absl::string_view path, int found, int known);
absl::Status StoreFailed(absl::string_view doing, absl::string_view why);

}  // namespace condense

#endif  // CONDENSE_SERVER_CORE_ERRORS_H_
