#ifndef CONDENSE_WORKERS_ENGINE_PIPELINE_FITTED_TABLE_H_
#define CONDENSE_WORKERS_ENGINE_PIPELINE_FITTED_TABLE_H_

#include <string>
#include <vector>

namespace condense::pipeline {

using TableRow = std::vector<std::string>;

struct TableColumn {
  // Its cells end in line.
  bool right = false;
  // Left out where the table is too wide, the smallest number first; 0: never.
  int leave = 0;
  // Its cells may lose their middle.
  bool cut = false;
};

// The rows, of which the first is the heading, in `width` columns of a
// terminal; 0: as wide as they are. Long names give what they can before a
// column goes, and more when none is left to go.
std::string FittedTable(std::vector<TableRow> rows,
                        std::vector<TableColumn> columns, int width);

}  // namespace condense::pipeline

#endif  // CONDENSE_WORKERS_ENGINE_PIPELINE_FITTED_TABLE_H_
