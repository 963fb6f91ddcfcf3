#ifndef CONDENSE_SERVER_STORE_DATA_DIR_LOCK_H_
#define CONDENSE_SERVER_STORE_DATA_DIR_LOCK_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace condense {

// Keeps a second server out of a data directory for as long as it lives; given
// back by the kernel when the process ends, however it ends.
class DataDirLock {
 public:
  // Creates the folder. PERMISSION_DENIED, reason FOLDER_NOT_WRITABLE;
  // FAILED_PRECONDITION, reason DATA_DIR_IN_USE.
  static absl::StatusOr<std::unique_ptr<DataDirLock>> Take(
      const std::string& data_dir);
  ~DataDirLock();
  DataDirLock(const DataDirLock&) = delete;
  DataDirLock& operator=(const DataDirLock&) = delete;

 private:
  explicit DataDirLock(int fd) : fd_(fd) {}
  const int fd_;
};

}  // namespace condense

#endif  // CONDENSE_SERVER_STORE_DATA_DIR_LOCK_H_
