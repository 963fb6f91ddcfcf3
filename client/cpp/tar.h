#ifndef CONDENSE_CLIENT_CPP_TAR_H_
#define CONDENSE_CLIENT_CPP_TAR_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace condense::client {

// What a finished archive is.
struct TarSummary {
  // "sha256:<hex>" of the archive's bytes.
  std::string digest;
  int64_t size_bytes = 0;
  // Regular files in it.
  int64_t files = 0;
};

// Writes all files and folders below `folder` as one pax archive to the open
// file descriptor `fd`, in memory that does not grow with the files. The same
// names and contents give the same bytes on every machine: entries are sorted
// by path, times and owners are zero, modes are 0644 and 0755. Symbolic links
// are followed.
// NOT_FOUND with reason FILE_NOT_FOUND; INVALID_ARGUMENT with reason
// NOT_A_FOLDER, or UNSUPPORTED_FILE for a device, socket or pipe; INTERNAL with
// reason ARCHIVE_FAILED when a file cannot be read or changes its size.
absl::StatusOr<TarSummary> WriteFolderTar(const std::string& folder, int fd);

}  // namespace condense::client

#endif  // CONDENSE_CLIENT_CPP_TAR_H_
