#ifndef CONDENSE_TESTS_TESTING_ZIP_H_
#define CONDENSE_TESTS_TESTING_ZIP_H_

#include <archive.h>
#include <archive_entry.h>

#include <map>
#include <string>

namespace condense::testing {

// A ZIP archive of members by name, at most 1 MiB; `stored`: as TorchScript
// writes it, without compression.
inline std::string ZipOf(const std::map<std::string, std::string>& members,
                         bool stored = false) {
  std::string bytes(size_t{1} << 20, '\0');
  size_t used = 0;
  archive* writer = archive_write_new();
  archive_write_set_format_zip(writer);
  if (stored) archive_write_zip_set_compression_store(writer);
  archive_write_open_memory(writer, bytes.data(), bytes.size(), &used);
  for (const auto& [name, content] : members) {
    archive_entry* entry = archive_entry_new();
    archive_entry_set_pathname(entry, name.c_str());
    archive_entry_set_size(entry, static_cast<int64_t>(content.size()));
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_write_header(writer, entry);
    archive_write_data(writer, content.data(), content.size());
    archive_entry_free(entry);
  }
  archive_write_close(writer);
  archive_write_free(writer);
  bytes.resize(used);
  return bytes;
}

}  // namespace condense::testing

#endif  // CONDENSE_TESTS_TESTING_ZIP_H_
