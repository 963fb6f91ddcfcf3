#include "workers/engine/data/file_tree.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <locale.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "workers/engine/data/data_error.h"

namespace condense::data {
namespace {

namespace fs = std::filesystem;
constexpr int64_t kUnpackedMax = int64_t{1} << 36;

absl::Status Corrupt(const std::string& path, absl::string_view why) {
  return DataError("CORRUPT_DATA", path, why);
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

// The bytes of a name as the archive has them.
std::string WithoutDot(const char* name) {
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

// A file without a name; it is gone when it is closed, also after a crash.
absl::StatusOr<int> TemporaryFile() {
  std::error_code error;
  std::string path =
      (fs::temp_directory_path(error) / "condense-data-XXXXXX").string();
  const int fd = ::mkostemp(path.data(), O_CLOEXEC);
  if (fd < 0) {
    return MakeError(
        absl::StatusCode::kPermissionDenied, "FILE_NOT_WRITABLE",
        absl::StrCat("cannot make ", path, ": ", std::strerror(errno)),
        {.hint = "set TMPDIR to a folder with room"});
  }
  ::unlink(path.c_str());
  return fd;
}

absl::Status WriteAll(int fd, const char* data, size_t size) {
  while (size > 0) {
    const ssize_t n = ::write(fd, data, size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      return MakeError(absl::StatusCode::kResourceExhausted, "DISK_FULL",
                       absl::StrCat("cannot unpack an archive into the folder "
                                    "for temporary files: ",
                                    std::strerror(errno)),
                       {.hint = "set TMPDIR to a folder with room"});
    }
    data += n;
    size -= static_cast<size_t>(n);
  }
  return absl::OkStatus();
}

// Reads `size` bytes from `offset` on; fewer at the end of the file.
absl::StatusOr<std::string> ReadAt(int fd, const std::string& name,
                                   int64_t offset, int64_t size) {
  std::string bytes(static_cast<size_t>(size), '\0');
  int64_t done = 0;
  while (done < size) {
    const ssize_t n = ::pread(fd, bytes.data() + done,
                              static_cast<size_t>(size - done), offset + done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      return Corrupt(name, n < 0 ? std::strerror(errno) : "it was cut short");
    }
    done += n;
  }
  return bytes;
}

}  // namespace

// Fills a tree from an archive.
class ArchiveReader {
 public:
  explicit ArchiveReader(FileTree* tree)
      : tree_(*tree), reader_(archive_read_new()) {
    archive_read_support_filter_all(reader_.get());
    archive_read_support_format_tar(reader_.get());
    archive_read_support_format_zip(reader_.get());
  }

  absl::Status ReadFrom(const std::string& path) {
    if (archive_read_open_filename(reader_.get(), path.c_str(), 1 << 16) !=
        ARCHIVE_OK) {
      return DataError("CORRUPT_DATA", path,
                       "neither a folder nor a .tar or .zip file",
                       "a .csv is given with the folder of its images");
    }
    path_ = path;
    return ReadAll();
  }
  absl::Status ReadFromMemory(const std::string& bytes) {
    if (archive_read_open_memory(reader_.get(), bytes.data(), bytes.size()) !=
        ARCHIVE_OK) {
      return Corrupt(tree_.name_, "not a .tar or .zip file");
    }
    return ReadAll();
  }

 private:
  absl::Status ReadAll() {
    const Utf8Names utf8_names;
    archive_entry* entry = nullptr;
    int result;
    // A warning is about a name that is no UTF-8.
    while ((result = archive_read_next_header(reader_.get(), &entry)) ==
               ARCHIVE_OK ||
           result == ARCHIVE_WARN) {
      CONDENSE_RETURN_IF_ERROR(OpenContents());
      if (archive_entry_filetype(entry) != AE_IFREG &&
          archive_entry_hardlink(entry) == nullptr) {
        continue;
      }
      const std::string name = WithoutDot(archive_entry_pathname(entry));
      if (name.empty() || Hidden(name)) continue;
      CONDENSE_RETURN_IF_ERROR(Take(entry, name));
    }
    if (result != ARCHIVE_EOF) {
      return Corrupt(tree_.name_, MessageOf(reader_.get()));
    }
    return absl::OkStatus();
  }

  // What kind of archive it is shows with the first entry.
  absl::Status OpenContents() {
    if (tree_.contents_ >= 0) return absl::OkStatus();
    const int format = archive_format(reader_.get()) & ARCHIVE_FORMAT_BASE_MASK;
    in_place_ = !path_.empty() && format == ARCHIVE_FORMAT_TAR &&
                archive_filter_code(reader_.get(), 0) == ARCHIVE_FILTER_NONE;
    if (!in_place_) {
      CONDENSE_ASSIGN_OR_RETURN(tree_.contents_, TemporaryFile());
      return absl::OkStatus();
    }
    tree_.contents_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC);
    struct stat info = {};
    if (tree_.contents_ < 0 || ::fstat(tree_.contents_, &info) != 0) {
      return Corrupt(path_, std::strerror(errno));
    }
    archive_bytes_ = info.st_size;
    return absl::OkStatus();
  }

  // As tar unpacks: the last file of a name counts.
  absl::Status Take(archive_entry* entry, const std::string& name) {
    int64_t& offset = tree_.offsets_[name];
    int64_t& size = tree_.files_[name];
    if (const char* link = archive_entry_hardlink(entry); link != nullptr) {
      const std::string target = WithoutDot(link);
      if (tree_.files_.count(target) == 0) {
        return Corrupt(tree_.name_,
                       absl::StrCat("'", name, "' is '", target,
                                    "' once more, which is not there"));
      }
      offset = tree_.offsets_[target];
      size = tree_.files_[target];
      return absl::OkStatus();
    }
    if (in_place_) {
      if (archive_entry_sparse_count(entry) > 0) {
        return Corrupt(tree_.name_, absl::StrCat("'", name, "' is sparse"));
      }
      // The header is read, the content not yet.
      offset = archive_filter_bytes(reader_.get(), 0);
      size = archive_entry_size(entry);
      return offset + size <= archive_bytes_
                 ? absl::OkStatus()
                 : Corrupt(tree_.name_, "the archive is cut short");
    }
    offset = total_;
    char buffer[65536];
    for (;;) {
      const la_ssize_t n =
          archive_read_data(reader_.get(), buffer, sizeof(buffer));
      if (n < 0) return Corrupt(tree_.name_, MessageOf(reader_.get()));
      if (n == 0) break;
      total_ += n;
      if (total_ > kUnpackedMax) {
        return Corrupt(tree_.name_, "unpacks to more than 64 GiB");
      }
      CONDENSE_RETURN_IF_ERROR(
          WriteAll(tree_.contents_, buffer, static_cast<size_t>(n)));
    }
    size = total_ - offset;
    return absl::OkStatus();
  }

  FileTree& tree_;
  const std::unique_ptr<archive, CloseArchive> reader_;
  // Of the archive; empty: it is in memory.
  std::string path_;
  bool in_place_ = false;
  int64_t archive_bytes_ = 0;
  int64_t total_ = 0;
};

absl::StatusOr<std::shared_ptr<const FileTree>> FileTree::Open(
    const std::string& path) {
  // Shared by the data sets that read from it.
  std::shared_ptr<FileTree> tree(new FileTree());
  tree->name_ = path;
  std::error_code error;
  if (!fs::exists(path, error)) {
    return MakeError(absl::StatusCode::kNotFound, "DATA_NOT_FOUND",
                     absl::StrCat("no data at ", path));
  }
  if (fs::is_directory(path, error)) {
    CONDENSE_RETURN_IF_ERROR(ListFolder(path, &tree->files_));
  } else {
    CONDENSE_RETURN_IF_ERROR(ArchiveReader(tree.get()).ReadFrom(path));
  }
  return tree;
}

absl::StatusOr<std::shared_ptr<const FileTree>> FileTree::OpenBytes(
    const std::string& name, const std::string& bytes) {
  std::shared_ptr<FileTree> tree(new FileTree());
  tree->name_ = name;
  CONDENSE_RETURN_IF_ERROR(ArchiveReader(tree.get()).ReadFromMemory(bytes));
  return tree;
}

FileTree::~FileTree() {
  if (contents_ >= 0) ::close(contents_);
}

absl::StatusOr<std::string> FileTree::Read(const std::string& file) const {
  const auto size = files_.find(file);
  if (size == files_.end()) {
    return Corrupt(name_, absl::StrCat("no file '", file, "'"));
  }
  const std::string path = absl::StrCat(name_, "/", file);
  if (contents_ >= 0) {
    return ReadAt(contents_, path, offsets_.at(file), size->second);
  }
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return Corrupt(path, std::strerror(errno));
  absl::StatusOr<std::string> bytes = ReadAt(fd, path, 0, size->second);
  ::close(fd);
  return bytes;
}

}  // namespace condense::data
