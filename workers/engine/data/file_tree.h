#ifndef CONDENSE_WORKERS_ENGINE_DATA_FILE_TREE_H_
#define CONDENSE_WORKERS_ENGINE_DATA_FILE_TREE_H_

#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace condense::data {

// The files of a folder or of an archive, by path relative to it ("cat/1.jpg").
// Links are followed, but for those that lead nowhere or in circles. Holds
// names and places, never contents: a plain .tar is read where it lies, any
// other archive is unpacked once into a file without a name in the folder for
// temporary files. Thread-safe.
class FileTree {
 public:
  // A folder, or a .tar (also compressed) or .zip file (at most 64 GiB
  // unpacked). DATA_NOT_FOUND, CORRUPT_DATA, DISK_FULL.
  static absl::StatusOr<std::shared_ptr<const FileTree>> Open(
      const std::string& path);
  // An archive that is in memory, such as one inside of another.
  static absl::StatusOr<std::shared_ptr<const FileTree>> OpenBytes(
      const std::string& name, const std::string& bytes);
  ~FileTree();
  FileTree(const FileTree&) = delete;
  FileTree& operator=(const FileTree&) = delete;

  const std::string& name() const { return name_; }
  // Path to size in bytes, in order of path; hidden files left out.
  const std::map<std::string, int64_t>& files() const { return files_; }
  absl::StatusOr<std::string> Read(const std::string& file) const;

 private:
  FileTree() = default;
  friend class ArchiveReader;

  std::string name_;
  std::map<std::string, int64_t> files_;
  // Of an archive: where the contents are, and at which byte each begins.
  int contents_ = -1;
  std::map<std::string, int64_t> offsets_;
};

}  // namespace condense::data

#endif  // CONDENSE_WORKERS_ENGINE_DATA_FILE_TREE_H_
