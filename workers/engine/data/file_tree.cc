#include "workers/engine/data/file_tree.h"

#include <archive.h>
#include <archive_entry.h>
#include <locale.h>
#include <zlib.h>

#include <algorithm>
#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/error.h"
#include "common/files.h"
#include "common/status_macros.h"

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

// A folder that a link inside of itself leads back to.
bool LeadsUp(const fs::directory_entry& entry) {
  std::error_code error;
  if (!entry.is_symlink(error)) return false;
  const fs::path target = fs::canonical(entry.path(), error);
  const fs::path here = fs::canonical(entry.path().parent_path(), error);
  if (error) return true;
  return std::mismatch(target.begin(), target.end(), here.begin(), here.end())
             .first == target.end();
}

// Links that lead nowhere or in circles are left out.
absl::Status ListFolder(const std::string& path,
                        std::map<std::string, int64_t>* files) {
  std::error_code error;
  fs::recursive_directory_iterator it(
      path, fs::directory_options::follow_directory_symlink, error);
  for (; !error && it != fs::recursive_directory_iterator();
       it.increment(error)) {
    std::error_code unknown;
    if (it->is_directory(unknown)) {
      if (LeadsUp(*it)) it.disable_recursion_pending();
      continue;
    }
    if (!it->is_regular_file(unknown)) continue;
    const int64_t size = static_cast<int64_t>(it->file_size(unknown));
    const std::string name = it->path().lexically_relative(path).string();
    if (!unknown && !Hidden(name)) (*files)[name] = size;
  }
  if (error) return Corrupt(path, error.message());
  return absl::OkStatus();
}

// libarchive has no message for some of its errors.
std::string MessageOf(archive* reader) {
  const char* message = archive_error_string(reader);
  return message == nullptr ? "damaged" : message;
}

// The bytes of the name as the archive has them.
std::string NameOf(archive_entry* entry) {
  const char* name = archive_entry_pathname(entry);
  const std::string out = name == nullptr ? "" : name;
  return absl::StartsWith(out, "./") ? out.substr(2) : out;
}

// Lets libarchive read names outside of ASCII on this thread, which it cannot
// in the plain C locale that programs start in.
class Utf8Names {
 public:
  Utf8Names() : utf8_(newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr)) {
    if (utf8_ != nullptr) before_ = uselocale(utf8_);
  }
  ~Utf8Names() {
    if (utf8_ == nullptr) return;
    uselocale(before_);
    freelocale(utf8_);
  }
  Utf8Names(const Utf8Names&) = delete;
  Utf8Names& operator=(const Utf8Names&) = delete;

 private:
  locale_t utf8_ = nullptr;
  locale_t before_ = nullptr;
};

struct CloseArchive {
  void operator()(archive* a) const { archive_read_free(a); }
};

absl::Status ReadEntry(archive* reader, const std::string& path, int64_t* total,
                       std::string* content) {
  char buffer[65536];
  for (;;) {
    const la_ssize_t n = archive_read_data(reader, buffer, sizeof(buffer));
    if (n < 0) return Corrupt(path, MessageOf(reader));
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
    CONDENSE_RETURN_IF_ERROR(ListFolder(path, &tree->files_));
    return tree;
  }
  tree->in_memory_ = true;
  const Utf8Names utf8_names;
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
  // A warning is about a name that is no UTF-8.
  while ((result = archive_read_next_header(reader.get(), &entry)) ==
             ARCHIVE_OK ||
         result == ARCHIVE_WARN) {
    if (archive_entry_filetype(entry) != AE_IFREG) continue;
    const std::string name = NameOf(entry);
    if (name.empty() || Hidden(name)) continue;
    // As tar unpacks: the last file of a name counts.
    std::string& content = tree->contents_[name];
    content.clear();
    if (auto status = ReadEntry(reader.get(), path, &total, &content);
        !status.ok()) {
      return status;
    }
    tree->files_[name] = static_cast<int64_t>(content.size());
  }
  if (result != ARCHIVE_EOF) {
    return Corrupt(path, MessageOf(reader.get()));
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
    // A file may have several members, one after the other.
    if (result == Z_STREAM_END && stream.avail_in > 0) {
      result = inflateReset(&stream);
    }
  }
  inflateEnd(&stream);
  if (result != Z_STREAM_END) return Corrupt("gzip data", "it is damaged");
  return out;
}

}  // namespace condense::data
