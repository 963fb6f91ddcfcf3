#ifndef CONDENSE_WORKERS_ENGINE_DATA_CIFAR_H_
#define CONDENSE_WORKERS_ENGINE_DATA_CIFAR_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "workers/engine/data/dataset.h"
#include "workers/engine/data/file_tree.h"

namespace condense::data {

// The binary batches that the CIFAR sets are published in: a label byte
// (CIFAR-100: the coarse and the fine label, of which the fine one counts),
// then 3 planes of 32 x 32. CORRUPT_DATA.
absl::StatusOr<std::unique_ptr<Dataset>> OpenCifar(
    const FileTree& tree, const std::vector<std::string>& files);

}  // namespace condense::data

#endif  // CONDENSE_WORKERS_ENGINE_DATA_CIFAR_H_
