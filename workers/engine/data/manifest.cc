#include "workers/engine/data/manifest.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_join.h"
#include "common/status_macros.h"
#include "workers/engine/data/data_error.h"
#include "workers/engine/data/image_files.h"

namespace condense::data {
namespace {

constexpr int kLabelMax = 1 << 24;

// A table with where it comes from.
struct Source {
  const FileTree& tree;
  const std::string& csv;
  const CsvTable& table;

  absl::Status Error(int line, const std::string& column,
                     const std::string& why, const std::string& hint = "",
                     const std::string& nearest = "") const {
    return DataError(
        "BAD_MANIFEST",
        absl::StrCat(tree.name(), "/", csv, ":", line,
                     column.empty() ? "" : absl::StrCat(", column ", column)),
        why, hint, nearest);
  }

  // The place of a column.
  absl::StatusOr<size_t> Column(const std::string& name) const {
    const auto& header = table.header;
    const auto it = std::find(header.begin(), header.end(), name);
    if (it != header.end()) return static_cast<size_t>(it - header.begin());
    return Error(1, "",
                 absl::StrCat("there is no column '", name, "', only ",
                              absl::StrJoin(header, ", ")),
                 "the header is path,label[,attribute columns] or a,b,same",
                 NearestName(name, header));
  }

  // The file that a cell names.
  absl::StatusOr<std::string> File(const CsvTable::Row& row,
                                   size_t column) const {
    namespace fs = std::filesystem;
    const std::string& cell = row.cells[column];
    const std::string& name = table.header[column];
    const fs::path path =
        (fs::path(csv).parent_path() / cell).lexically_normal();
    if (cell.empty() || path.is_absolute() || *path.begin() == "..") {
      return Error(row.line, name,
                   cell.empty()
                       ? "the cell is empty"
                       : absl::StrCat("'", cell, "' is outside of the data"),
                   "paths are relative to the manifest");
    }
    const std::string file = path.string();
    if (tree.files().count(file) > 0) return file;
    std::vector<std::string> all;
    for (const auto& [other, size] : tree.files()) all.push_back(other);
    return Error(row.line, name, absl::StrCat("there is no file '", cell, "'"),
                 "paths are relative to the manifest", NearestName(file, all));
  }
};

// Distinct values in order, and the place of each cell among them.
std::vector<std::string> Distinct(const CsvTable& table, size_t column) {
  std::set<std::string> values;
  for (const CsvTable::Row& row : table.rows) values.insert(row.cells[column]);
  values.erase("");
  return {values.begin(), values.end()};
}
int64_t PlaceOf(const std::vector<std::string>& values,
                const std::string& value) {
  if (value.empty()) return -1;
  return std::lower_bound(values.begin(), values.end(), value) - values.begin();
}

absl::Status ReadLabels(const Source& source, size_t column,
                        ImageFiles::Index* index) {
  bool numbers = true;
  for (const CsvTable::Row& row : source.table.rows) {
    int64_t label = 0;
    if (row.cells[column].empty()) {
      return source.Error(row.line, "label", "the cell is empty");
    }
    numbers &= absl::SimpleAtoi(row.cells[column], &label);
    index->labels.push_back(label);
  }
  if (!numbers) {
    index->class_names = Distinct(source.table, column);
    for (size_t i = 0; i < source.table.rows.size(); ++i) {
      index->labels[i] =
          PlaceOf(index->class_names, source.table.rows[i].cells[column]);
    }
    return absl::OkStatus();
  }
  for (size_t i = 0; i < index->labels.size(); ++i) {
    if (index->labels[i] < 0 || index->labels[i] > kLabelMax) {
      return source.Error(
          source.table.rows[i].line, "label",
          absl::StrCat("no class has the number ", index->labels[i]),
          "labels are numbers from 0 on, or names");
    }
  }
  return absl::OkStatus();
}

std::optional<size_t> LabelColumn(const CsvTable& table) {
  const auto it = std::find(table.header.begin(), table.header.end(), "label");
  if (it == table.header.end()) return std::nullopt;
  return static_cast<size_t>(it - table.header.begin());
}

absl::StatusOr<ImageFiles::Index> ReadManifest(const Source& source) {
  ImageFiles::Index index;
  CONDENSE_ASSIGN_OR_RETURN(const size_t path, source.Column("path"));
  const std::optional<size_t> label = LabelColumn(source.table);
  // A misspelt one is an error.
  if (!label && !NearestName("label", source.table.header).empty()) {
    return source.Column("label").status();
  }
  for (const CsvTable::Row& row : source.table.rows) {
    CONDENSE_ASSIGN_OR_RETURN(std::string file, source.File(row, path));
    index.files.push_back(std::move(file));
  }
  if (label) {
    CONDENSE_RETURN_IF_ERROR(ReadLabels(source, *label, &index));
  } else {
    index.labels.assign(index.files.size(), kNoLabel);
  }
  for (size_t c = 0; c < source.table.header.size(); ++c) {
    if (c == path || c == label) continue;
    Attribute attribute;
    attribute.name = source.table.header[c];
    attribute.groups = Distinct(source.table, c);
    for (const CsvTable::Row& row : source.table.rows) {
      attribute.group_of.push_back(
          static_cast<int32_t>(PlaceOf(attribute.groups, row.cells[c])));
    }
    index.attributes.push_back(std::move(attribute));
  }
  return index;
}

absl::StatusOr<ImageFiles::Index> ReadPairs(const Source& source) {
  ImageFiles::Index index;
  CONDENSE_ASSIGN_OR_RETURN(const size_t a, source.Column("a"));
  CONDENSE_ASSIGN_OR_RETURN(const size_t b, source.Column("b"));
  CONDENSE_ASSIGN_OR_RETURN(const size_t same, source.Column("same"));
  std::map<std::string, int64_t> places;
  for (const CsvTable::Row& row : source.table.rows) {
    Pair pair;
    for (auto [column, place] : {std::pair{a, &pair.a}, {b, &pair.b}}) {
      CONDENSE_ASSIGN_OR_RETURN(std::string file, source.File(row, column));
      const auto [it, added] =
          places.emplace(file, static_cast<int64_t>(places.size()));
      if (added) index.files.push_back(std::move(file));
      *place = it->second;
    }
    const std::string& cell = row.cells[same];
    if (!absl::SimpleAtob(cell, &pair.same)) {
      return source.Error(row.line, "same",
                          absl::StrCat("'", cell, "' is neither 1 nor 0"));
    }
    index.pairs.push_back(pair);
  }
  index.labels.assign(index.files.size(), kNoLabel);
  return index;
}

bool Has(const CsvTable& table, const char* name) {
  return std::find(table.header.begin(), table.header.end(), name) !=
         table.header.end();
}

// Two of the three columns, so that a misspelt one is named as missing.
bool IsPairList(const CsvTable& table) {
  return Has(table, "a") + Has(table, "b") + Has(table, "same") >= 2;
}

}  // namespace

bool IsManifest(const CsvTable& table) {
  return IsPairList(table) || Has(table, "path") || Has(table, "label");
}

absl::StatusOr<std::unique_ptr<Dataset>> OpenManifest(
    std::shared_ptr<const FileTree> tree, const std::string& csv,
    const CsvTable& table) {
  const Source source = {*tree, csv, table};
  if (table.rows.empty()) {
    return source.Error(1, "", "there is no row below the header");
  }
  CONDENSE_ASSIGN_OR_RETURN(
      ImageFiles::Index index,
      IsPairList(table) ? ReadPairs(source) : ReadManifest(source));
  return std::make_unique<ImageFiles>(std::move(tree), std::move(index));
}

}  // namespace condense::data
