#ifndef CONDENSE_WORKERS_ENGINE_DATA_CSV_H_
#define CONDENSE_WORKERS_ENGINE_DATA_CSV_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace condense::data {

// A table with a header, as RFC 4180 has it: cells may be quoted, lines end in
// LF or CRLF; a byte order mark and empty lines are skipped.
struct CsvTable {
  struct Row {
    // Where it begins in the file, from 1.
    int line = 0;
    // As many as the header has.
    std::vector<std::string> cells;
  };
  std::vector<std::string> header;
  std::vector<Row> rows;
};

// `name` is what errors call the text. INVALID_ARGUMENT with reason
// BAD_MANIFEST and the line.
absl::StatusOr<CsvTable> ParseCsv(const std::string& name,
                                  const std::string& text);

}  // namespace condense::data

#endif  // CONDENSE_WORKERS_ENGINE_DATA_CSV_H_
