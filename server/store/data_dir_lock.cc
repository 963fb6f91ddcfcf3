#include "server/store/data_dir_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "common/files.h"
#include "common/status_macros.h"
#include "server/core/errors.h"

namespace condense {

absl::StatusOr<std::unique_ptr<DataDirLock>> DataDirLock::Take(
    const std::string& data_dir) {
  CONDENSE_RETURN_IF_ERROR(MakeWritableFolder(data_dir));
  const std::string path = absl::StrCat(data_dir, "/lock");
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) {
    return StoreFailed(absl::StrCat("create ", path), std::strerror(errno));
  }
  std::unique_ptr<DataDirLock> lock(new DataDirLock(fd));
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) return DataDirInUse(data_dir);
  return lock;
}

DataDirLock::~DataDirLock() { ::close(fd_); }

}  // namespace condense
