#include "client/cpp/tar.h"

#include <archive.h>
#include <archive_entry.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/digest.h"
#include "common/error.h"
#include "common/status_macros.h"

namespace condense::client {
namespace {

namespace fs = std::filesystem;

struct Entry {
  std::string path;  // Within the archive, "/" between folders.
  fs::path source;
  bool is_folder = false;
  int64_t size_bytes = 0;
};

// Where libarchive's bytes go.
struct Sink {
  int fd;
  Sha256 sha;
  int64_t size_bytes = 0;
};

absl::Status Failed(const fs::path& path, absl::string_view why) {
  return MakeError(
      absl::StatusCode::kInternal, "ARCHIVE_FAILED",
      absl::StrCat("cannot pack '", path.string(), "': ", std::string(why)));
}

absl::StatusOr<std::vector<Entry>> ListEntries(const fs::path& folder) {
  std::vector<Entry> entries;
  std::error_code error;
  fs::recursive_directory_iterator it(
      folder, fs::directory_options::follow_directory_symlink, error);
  for (; !error && it != fs::recursive_directory_iterator();
       it.increment(error)) {
    Entry entry{.path = it->path().lexically_relative(folder).generic_string(),
                .source = it->path()};
    const fs::file_status status = fs::status(it->path(), error);
    if (error) break;
    entry.is_folder = fs::is_directory(status);
    if (!entry.is_folder && !fs::is_regular_file(status)) {
      return MakeError(absl::StatusCode::kInvalidArgument, "UNSUPPORTED_FILE",
                       absl::StrCat("'", it->path().string(),
                                    "' is neither a file nor a folder"),
                       {.hint = "remove it from the folder, or fix the link"});
    }
    if (!entry.is_folder) {
      entry.size_bytes = static_cast<int64_t>(it->file_size(error));
    }
    entries.push_back(std::move(entry));
  }
  if (error) return Failed(folder, error.message());
  std::sort(entries.begin(), entries.end(),
            [](const Entry& a, const Entry& b) { return a.path < b.path; });
  return entries;
}

la_ssize_t WriteToSink(archive*, void* data, const void* buffer, size_t size) {
  auto* sink = static_cast<Sink*>(data);
  ssize_t written;
  do {
    written = write(sink->fd, buffer, size);
  } while (written < 0 && errno == EINTR);
  if (written > 0) {
    sink->sha.Update(absl::string_view(static_cast<const char*>(buffer),
                                       static_cast<size_t>(written)));
    sink->size_bytes += written;
  }
  return written;
}

absl::Status CopyContent(archive* out, const Entry& entry) {
  std::ifstream in(entry.source, std::ios::binary);
  if (!in) return Failed(entry.source, std::strerror(errno));
  std::vector<char> buffer(1 << 18);
  int64_t left = entry.size_bytes;
  while (left > 0) {
    in.read(buffer.data(), static_cast<std::streamsize>(std::min<int64_t>(
                               left, static_cast<int64_t>(buffer.size()))));
    if (in.gcount() <= 0) return Failed(entry.source, "the file shrank");
    if (archive_write_data(out, buffer.data(),
                           static_cast<size_t>(in.gcount())) < 0) {
      return Failed(entry.source, archive_error_string(out));
    }
    left -= in.gcount();
  }
  if (in.peek() != std::ifstream::traits_type::eof()) {
    return Failed(entry.source, "the file grew");
  }
  return absl::OkStatus();
}

absl::Status AddEntry(archive* out, const Entry& entry) {
  std::unique_ptr<archive_entry, void (*)(archive_entry*)> header(
      archive_entry_new(), archive_entry_free);
  archive_entry_set_pathname(
      header.get(),
      absl::StrCat(entry.path, entry.is_folder ? "/" : "").c_str());
  archive_entry_set_filetype(header.get(),
                             entry.is_folder ? AE_IFDIR : AE_IFREG);
  archive_entry_set_perm(header.get(), entry.is_folder ? 0755 : 0644);
  archive_entry_set_size(header.get(), entry.size_bytes);
  archive_entry_set_mtime(header.get(), 0, 0);
  archive_entry_set_uid(header.get(), 0);
  archive_entry_set_gid(header.get(), 0);
  if (archive_write_header(out, header.get()) < ARCHIVE_OK) {
    return Failed(entry.source, archive_error_string(out));
  }
  return entry.is_folder ? absl::OkStatus() : CopyContent(out, entry);
}

absl::Status CheckFolder(const std::string& folder) {
  std::error_code error;
  const fs::file_status status = fs::status(folder, error);
  if (!fs::exists(status)) {
    return MakeError(absl::StatusCode::kNotFound, "FILE_NOT_FOUND",
                     absl::StrCat("there is no folder '", folder, "'"));
  }
  if (!fs::is_directory(status)) {
    return MakeError(absl::StatusCode::kInvalidArgument, "NOT_A_FOLDER",
                     absl::StrCat("'", folder, "' is not a folder"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<TarSummary> WriteFolderTar(const std::string& folder, int fd) {
  CONDENSE_RETURN_IF_ERROR(CheckFolder(folder));
  CONDENSE_ASSIGN_OR_RETURN(const std::vector<Entry> entries,
                            ListEntries(folder));
  Sink sink{.fd = fd};
  std::unique_ptr<archive, int (*)(archive*)> out(archive_write_new(),
                                                  archive_write_free);
  archive_write_set_format_pax_restricted(out.get());
  archive_write_set_bytes_per_block(out.get(), 1 << 18);
  archive_write_set_bytes_in_last_block(out.get(), 1);
  if (archive_write_open(out.get(), &sink, nullptr, WriteToSink, nullptr) !=
      ARCHIVE_OK) {
    return Failed(folder, archive_error_string(out.get()));
  }
  TarSummary summary;
  for (const Entry& entry : entries) {
    CONDENSE_RETURN_IF_ERROR(AddEntry(out.get(), entry));
    if (!entry.is_folder) ++summary.files;
  }
  if (archive_write_close(out.get()) != ARCHIVE_OK) {
    return Failed(folder, archive_error_string(out.get()));
  }
  summary.digest = sink.sha.Finish();
  summary.size_bytes = sink.size_bytes;
  return summary;
}

}  // namespace condense::client
