#ifndef CONDENSE_COMMON_FILES_H_
#define CONDENSE_COMMON_FILES_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace condense {

// The content of a file. NOT_FOUND with reason FILE_NOT_FOUND, or INTERNAL.
absl::StatusOr<std::string> ReadFile(const std::string& path);

// Writes a file so that after a crash either the old content or the new one is
// there: a temporary file beside it, fsync, rename, fsync of the folder.
// RESOURCE_EXHAUSTED with reason DISK_FULL, PERMISSION_DENIED with reason
// FILE_NOT_WRITABLE, or INTERNAL.
absl::Status WriteFileAtomically(const std::string& path,
                                 absl::string_view content);
// The same with content that lies in several places, in order.
absl::Status WriteFileAtomically(const std::string& path,
                                 absl::Span<const absl::string_view> parts);

// The same for content that comes in pieces: until Commit the old file stays;
// a file that is not committed leaves nothing behind. Not thread-safe.
class AtomicFile {
 public:
  static absl::StatusOr<AtomicFile> Create(const std::string& path);
  AtomicFile(AtomicFile&& other) noexcept;
  AtomicFile& operator=(AtomicFile&&) = delete;
  ~AtomicFile();

  absl::Status Append(absl::string_view piece);
  // Syncs, renames; nothing may follow.
  absl::Status Commit();

 private:
  AtomicFile(std::string path, std::string temp, int fd);

  std::string path_;
  std::string temp_;
  int fd_ = -1;
};

// Creates a folder and those above it. PERMISSION_DENIED with reason
// FOLDER_NOT_WRITABLE if it cannot be created or written to.
absl::Status MakeWritableFolder(const std::string& path);

// Where the installed data files are (profiles, protos): the CONDENSE_DATA_DIR
// of the environment, else ../share/condense beside the running binary, else
// the source tree the binary was built from.
std::string DataDir();

// The absolute path of the running binary.
std::string SelfPath();

}  // namespace condense

#endif  // CONDENSE_COMMON_FILES_H_
