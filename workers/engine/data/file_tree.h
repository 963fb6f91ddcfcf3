#ifndef CONDENSE_WORKERS_ENGINE_DATA_FILE_TREE_H_
#define CONDENSE_WORKERS_ENGINE_DATA_FILE_TREE_H_

#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace condense::data {

// The files of a folder or of an archive, by path relative to it ("cat/1.jpg").
// Links are followed, but for those that lead nowhere or in circles.
// Thread-safe.
class FileTree {
 public:
  // A folder, or a .tar (also compressed) or .zip file, which is held in memory
  // (at most 4 GiB unpacked). DATA_NOT_FOUND, CORRUPT_DATA.
  static absl::StatusOr<std::shared_ptr<const FileTree>> Open(
      const std::string& path);

  const std::string& name() const { return name_; }
  // Path to size in bytes, in order of path; hidden files left out.
  const std::map<std::string, int64_t>& files() const { return files_; }
  absl::StatusOr<std::string> Read(const std::string& file) const;

 private:
  std::string name_;
  bool in_memory_ = false;
  std::map<std::string, int64_t> files_;
  std::map<std::string, std::string> contents_;
};

// Unpacks gzip (RFC 1952, also of several members); at most 4 GiB.
// CORRUPT_DATA.
absl::StatusOr<std::string> Gunzip(const std::string& bytes);

}  // namespace condense::data

#endif  // CONDENSE_WORKERS_ENGINE_DATA_FILE_TREE_H_
