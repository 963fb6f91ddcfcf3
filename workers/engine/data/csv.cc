#include "workers/engine/data/csv.h"

#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "workers/engine/data/data_error.h"

namespace condense::data {
namespace {

// Takes a text apart row by row.
class Scanner {
 public:
  Scanner(const std::string& name, const std::string& text)
      : name_(name),
        text_(text),
        at_(absl::StartsWith(text, "\xef\xbb\xbf") ? 3 : 0) {}

  bool AtEnd() const { return at_ >= text_.size(); }

  // The next row; empty cells for an empty line.
  absl::StatusOr<CsvTable::Row> Next() {
    CsvTable::Row row;
    row.line = line_;
    std::string cell;
    for (;;) {
      if (AtEnd() || text_[at_] == '\n') {
        if (!cell.empty() && cell.back() == '\r') cell.pop_back();
        ++at_;
        ++line_;
        row.cells.push_back(std::move(cell));
        return row;
      }
      const char c = text_[at_++];
      if (c == ',') {
        row.cells.push_back(std::move(cell));
        cell.clear();
      } else if (c == '"' && cell.empty()) {
        if (absl::Status status = Quoted(row.line, &cell); !status.ok()) {
          return status;
        }
      } else {
        cell += c;
      }
    }
  }

 private:
  // After the opening quote.
  absl::Status Quoted(int line, std::string* cell) {
    while (!AtEnd()) {
      const char c = text_[at_++];
      if (c == '\n') ++line_;
      if (c != '"') {
        *cell += c;
      } else if (!AtEnd() && text_[at_] == '"') {
        *cell += text_[at_++];
      } else {
        return AtEnd() || text_[at_] == ',' || text_[at_] == '\n' ||
                       text_[at_] == '\r'
                   ? absl::OkStatus()
                   : DataError("BAD_MANIFEST", absl::StrCat(name_, ":", line_),
                               "a quoted cell goes on after its quote",
                               "a quote inside of a cell is written twice");
      }
    }
    return DataError("BAD_MANIFEST", absl::StrCat(name_, ":", line),
                     "a quote is not closed");
  }

  const std::string& name_;
  const std::string& text_;
  size_t at_ = 0;
  int line_ = 1;
};

}  // namespace

absl::StatusOr<CsvTable> ParseCsv(const std::string& name,
                                  const std::string& text) {
  CsvTable table;
  Scanner scanner(name, text);
  while (!scanner.AtEnd()) {
    absl::StatusOr<CsvTable::Row> row = scanner.Next();
    if (!row.ok()) return row.status();
    for (std::string& cell : row->cells) absl::StripAsciiWhitespace(&cell);
    if (row->cells.size() == 1 && row->cells[0].empty()) continue;
    const std::string where = absl::StrCat(name, ":", row->line);
    if (table.header.empty()) {
      std::set<std::string> names;
      for (const std::string& cell : row->cells) {
        if (!cell.empty() && names.insert(cell).second) continue;
        return DataError(
            "BAD_MANIFEST", where,
            cell.empty() ? "a column has no name"
                         : absl::StrCat("column '", cell, "' is there twice"));
      }
      table.header = std::move(row->cells);
      continue;
    }
    if (row->cells.size() != table.header.size()) {
      return DataError(
          "BAD_MANIFEST", where,
          absl::StrCat("the row has ", row->cells.size(), " cells, the header ",
                       table.header.size()));
    }
    table.rows.push_back(*std::move(row));
  }
  return table;
}

}  // namespace condense::data
