#ifndef CONDENSE_WORKERS_ENGINE_DATA_NPZ_H_
#define CONDENSE_WORKERS_ENGINE_DATA_NPZ_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "workers/engine/data/dataset.h"
#include "workers/engine/data/file_tree.h"

namespace condense::data {

// An array in NumPy's .npy format (versions 1 to 3), little endian, C order.
struct NpyArray {
  // 'b' bool, 'i', 'u', 'f', and bytes per element.
  char kind = 'u';
  int size = 1;
  std::vector<int64_t> shape;
  // Of the parsed bytes.
  absl::string_view data;

  int64_t count() const;
  double Value(int64_t index) const;
};

// `bytes` must outlive the array. CORRUPT_DATA for anything but such a file,
// with `name` and what is wrong.
absl::StatusOr<NpyArray> ParseNpy(const std::string& name,
                                  absl::string_view bytes);

// `x.npy` and `y.npy` in `folder` of the tree. x: [N, H, W], [N, H, W, 1 or 3]
// or [N, C, H, W]; whole numbers are pixels from 0 to 255, floats are taken as
// they are. y: [N] or [N, 1] of whole numbers. CORRUPT_DATA.
absl::StatusOr<std::unique_ptr<Dataset>> OpenNpz(const FileTree& tree,
                                                 const std::string& folder);

}  // namespace condense::data

#endif  // CONDENSE_WORKERS_ENGINE_DATA_NPZ_H_
