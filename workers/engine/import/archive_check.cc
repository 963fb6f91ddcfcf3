#include "workers/engine/import/archive_check.h"

#include <archive.h>
#include <archive_entry.h>

#include <memory>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/error.h"

namespace condense::torchscript_import {
namespace {

constexpr int kEntriesMax = 100'000;
constexpr int64_t kGrowthMax = 4;
constexpr int64_t kSlackBytes = int64_t{64} << 20;

struct Close {
  void operator()(archive* reader) const { archive_read_free(reader); }
};

absl::Status Bad(absl::string_view reason, const std::string& message) {
  return MakeError(absl::StatusCode::kInvalidArgument, reason, message,
                   {.hint = "save the model again with torch.jit.save"});
}

absl::Status CheckName(const std::string& name) {
  const bool leaves = name.empty() || name[0] == '/' ||
                      absl::StartsWith(name, "../") ||
                      absl::StrContains(name, "/../");
  if (!leaves) return absl::OkStatus();
  return Bad("NOT_A_MODEL", absl::StrCat("the archive has a member '", name,
                                         "' outside of its folder"));
}

}  // namespace

bool IsArchive(absl::string_view bytes) {
  return absl::StartsWith(bytes, absl::string_view("PK\x03\x04", 4));
}

absl::Status CheckArchive(absl::string_view bytes) {
  std::unique_ptr<archive, Close> reader(archive_read_new());
  archive_read_support_format_zip_seekable(reader.get());
  if (archive_read_open_memory(reader.get(), bytes.data(), bytes.size()) !=
      ARCHIVE_OK) {
    return Bad("NOT_A_MODEL", "the file is no whole zip archive");
  }
  const int64_t limit =
      kGrowthMax * static_cast<int64_t>(bytes.size()) + kSlackBytes;
  bool has_data = false, has_code = false;
  int64_t total = 0;
  int entries = 0, result = ARCHIVE_OK;
  archive_entry* entry = nullptr;
  while ((result = archive_read_next_header(reader.get(), &entry)) ==
         ARCHIVE_OK) {
    const char* text = archive_entry_pathname(entry);
    const std::string name = text == nullptr ? "" : text;
    if (absl::Status status = CheckName(name); !status.ok()) return status;
    total += archive_entry_size(entry);
    if (++entries > kEntriesMax || total > limit) {
      return Bad("ARCHIVE_TOO_LARGE",
                 absl::StrCat("the archive of ", bytes.size(),
                              " bytes unpacks to more than ", limit,
                              " bytes or ", kEntriesMax, " members"));
    }
    has_data |= absl::EndsWith(name, "/data.pkl");
    has_code |= absl::StrContains(name, "/code/");
  }
  if (result != ARCHIVE_EOF || !has_data || !has_code) {
    return Bad("NOT_A_MODEL",
               "the file is no TorchScript archive, or not a whole one");
  }
  return absl::OkStatus();
}

}  // namespace condense::torchscript_import
