#ifndef CONDENSE_WORKERS_ENGINE_DATA_MANIFEST_H_
#define CONDENSE_WORKERS_ENGINE_DATA_MANIFEST_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "workers/engine/data/csv.h"
#include "workers/engine/data/dataset.h"
#include "workers/engine/data/file_tree.h"

namespace condense::data {

// Whether the columns are those of a manifest or of a pair list.
bool IsManifest(const CsvTable& table);

// A manifest names images, one a row: `path` is relative to the file `csv` of
// the tree, `label` a class number, or a class name where not all of them are
// numbers; every other column is an attribute, its cells the groups. A pair
// list has `a`, `b` (paths) and `same` (1 or 0, true or false); its samples are
// the images in the order in which they appear, without labels.
//
// INVALID_ARGUMENT with reason BAD_MANIFEST, file, line and column name, and
// the nearest name where a column or a file is not there.
absl::StatusOr<std::unique_ptr<Dataset>> OpenManifest(
    std::shared_ptr<const FileTree> tree, const std::string& csv,
    const CsvTable& table);

}  // namespace condense::data

#endif  // CONDENSE_WORKERS_ENGINE_DATA_MANIFEST_H_
