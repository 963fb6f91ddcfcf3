#include "workers/engine/data/file_tree.h"

#include <archive.h>
#include <archive_entry.h>
#include <zlib.h>

#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/error.h"
#include "common/files.h"

namespace condense::data {
namespace {

namespace fs = std::filesystem;
constexpr int64_t kBytesMax = int64_t{1} << 32;

absl::Status Corrupt(const std::string& path, absl::string_view why) {
  return MakeError(absl::StatusCode::kInvalidArgument, "CORRUPT_DATA",
                   absl::StrCat(path, ": ", why));
}

bool Hidden(const std::string& path) {
  return absl::StartsWith(path, ".") || absl::StrContains(path, "/.");
}

struct CloseArchive {
  void operator()(archive* a) const { archive_read_free(a); }
};

absl::Status ReadEntry(archive* reader, const std::string& path, int64_t* total,
                       std::string* content) {
  char buffer[65536];
  for (;;) {
    const la_ssize_t n = archive_read_data(reader, buffer, sizeof(buffer));
    if (n < 0) return Corrupt(path, archive_error_string(reader));
    if (n == 0) return absl::OkStatus();
    *total += n;
    if (*total > kBytesMax) return Corrupt(path, "unpacks to more than 4 GiB");
    content->append(buffer, n);
  }
}

}  // namespace

absl::StatusOr<std::shared_ptr<const FileTree>> FileTree::Open(
    const std::string& path) {
  auto tree = std::make_shared<FileTree>();
  tree->name_ = path;
  std::error_code error;
  if (!fs::exists(path, error)) {
    return MakeError(absl::StatusCode::kNotFound, "DATA_NOT_FOUND",
                     absl::StrCat("no data at ", path));
  }
  if (fs::is_directory(path, error)) {
    for (const auto& entry : fs::recursive_directory_iterator(
             path, fs::directory_options::follow_directory_symlink, error)) {
      if (!entry.is_regular_file()) continue;
      const std::string name = entry.path().lexically_relative(path).string();
      if (!Hidden(name)) tree->files_[name] = entry.file_size();
    }
    return tree;
  }
  tree->in_memory_ = true;
  std::unique_ptr<archive, CloseArchive> reader(archive_read_new());
  archive_read_support_filter_all(reader.get());
  archive_read_support_format_tar(reader.get());
  archive_read_support_format_zip(reader.get());
  if (archive_read_open_filename(reader.get(), path.c_str(), 1 << 16) !=
      ARCHIVE_OK) {
    return Corrupt(path, "neither a folder nor a .tar or .zip file");
  }
  int64_t total = 0;
  archive_entry* entry = nullptr;
  int result;
  while ((result = archive_read_next_header(reader.get(), &entry)) ==
         ARCHIVE_OK) {
    if (archive_entry_filetype(entry) != AE_IFREG) continue;
    std::string name = archive_entry_pathname(entry);
    if (absl::StartsWith(name, "./")) name = name.substr(2);
    if (Hidden(name)) continue;
    std::string& content = tree->contents_[name];
    if (auto status = ReadEntry(reader.get(), path, &total, &content);
        !status.ok()) {
      return status;
    }
    tree->files_[name] = static_cast<int64_t>(content.size());
  }
  if (result != ARCHIVE_EOF) {
    return Corrupt(path, archive_error_string(reader.get()));
  }
  return tree;
}

absl::StatusOr<std::string> FileTree::Read(const std::string& file) const {
  if (!in_memory_) return ReadFile(name_ + "/" + file);
  auto it = contents_.find(file);
  if (it == contents_.end()) return Corrupt(name_, "a file is gone");
  return it->second;
}

absl::StatusOr<std::string> Gunzip(const std::string& bytes) {
  z_stream stream = {};
  if (inflateInit2(&stream, 15 + 16) != Z_OK) {
    return absl::InternalError("zlib does not start");
  }
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  std::string out;
  char buffer[65536];
  int result = Z_OK;
  while (result == Z_OK && static_cast<int64_t>(out.size()) < kBytesMax) {
    stream.next_out = reinterpret_cast<Bytef*>(buffer);
    stream.avail_out = sizeof(buffer);
    result = inflate(&stream, Z_NO_FLUSH);
    out.append(buffer, sizeof(buffer) - stream.avail_out);
  }
  inflateEnd(&stream);
  if (result != Z_STREAM_END) return Corrupt("gzip data", "it is damaged");
  return out;
}

}  // namespace condense::data
