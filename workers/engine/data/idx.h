#ifndef CONDENSE_WORKERS_ENGINE_DATA_IDX_H_
#define CONDENSE_WORKERS_ENGINE_DATA_IDX_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "workers/engine/data/dataset.h"
#include "workers/engine/data/file_tree.h"

namespace condense::data {

// The IDX format of the MNIST files, plain or .gz: magic 0x801 labels, 0x803
// gray images. CORRUPT_DATA.
absl::StatusOr<std::unique_ptr<Dataset>> OpenIdx(
    const FileTree& tree, const std::string& images_file,
    const std::string& labels_file);

}  // namespace condense::data

#endif  // CONDENSE_WORKERS_ENGINE_DATA_IDX_H_
