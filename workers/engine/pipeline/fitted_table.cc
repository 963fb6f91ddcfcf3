#include "workers/engine/pipeline/fitted_table.h"

#include <algorithm>

#include "common/human.h"

namespace condense::pipeline {
namespace {

// Names are cut to the first for a column to stay, to the second at most.
constexpr int kNameWanted = 44;
constexpr int kNameMin = 10;

int WidthOf(const std::vector<TableRow>& rows, size_t column) {
  int width = 0;
  for (const TableRow& row : rows) {
    width = std::max(width, DisplayWidth(row[column]));
  }
  return width;
}

}  // namespace

std::string FittedTable(std::vector<TableRow> rows,
                        std::vector<TableColumn> columns, int width) {
  constexpr int kIndent = 2, kGap = 2;
  while (width > 0) {
    int total = kIndent - kGap, widest = -1, leave = -1;
    for (int i = 0; i < static_cast<int>(columns.size()); ++i) {
      total += WidthOf(rows, i) + kGap;
      if (columns[i].cut &&
          (widest < 0 || WidthOf(rows, i) > WidthOf(rows, widest))) {
        widest = i;
      }
      if (columns[i].leave > 0 &&
          (leave < 0 || columns[i].leave < columns[leave].leave)) {
        leave = i;
      }
    }
    if (total <= width) break;
    const int least = leave < 0 ? kNameMin : kNameWanted;
    const int have = widest < 0 ? 0 : WidthOf(rows, widest);
    if (have > least) {
      const int kept = std::max(least, have - (total - width));
      for (TableRow& row : rows) row[widest] = CutMiddle(row[widest], kept);
    } else if (leave >= 0) {
      for (TableRow& row : rows) row.erase(row.begin() + leave);
      columns.erase(columns.begin() + leave);
    } else {
      break;
    }
  }
  std::vector<size_t> right;
  for (size_t i = 0; i < columns.size(); ++i) {
    if (columns[i].right) right.push_back(i);
  }
  return Table(rows, kIndent, right);
}

}  // namespace condense::pipeline
