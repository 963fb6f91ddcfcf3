#ifndef CONDENSE_WORKERS_ENGINE_DATA_DATASET_H_
#define CONDENSE_WORKERS_ENGINE_DATA_DATASET_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace condense::data {

// One image: height x width x channels, row by row, with its class. The values
// are 8-bit `pixels` or, from arrays of floats, `values`; the other is empty.
struct Sample {
  int height = 0;
  int width = 0;
  int channels = 0;
  std::vector<uint8_t> pixels;
  // kNoLabel where the data has none (pair lists, images alone).
  int64_t label = 0;
  std::vector<float> values;
};
inline constexpr int64_t kNoLabel = -1;

// What the samples are besides their class, such as "tilt" with the groups
// "left" and "right": the columns of a manifest that follow path and label.
struct Attribute {
  std::string name;
  // In order of name.
  std::vector<std::string> groups;
  // Per sample, its place in `groups`; -1: the cell is empty.
  std::vector<int32_t> group_of;
};

// Two samples, and whether they show the same one.
struct Pair {
  int64_t a = 0;
  int64_t b = 0;
  bool same = false;
};

// Images, labelled or in pairs. Thread-safe, but for AlignClasses.
class Dataset {
 public:
  virtual ~Dataset() = default;
  virtual int64_t size() const = 0;
  // Classes, as far as the data tells: one more than the largest label, or the
  // number of class names. 0: there are no labels.
  virtual int64_t num_classes() const = 0;
  // INVALID_ARGUMENT with reason CORRUPT_IMAGE and the file's name.
  virtual absl::StatusOr<Sample> Get(int64_t index) const = 0;
  // Sample::label, decoded only where the data does not tell it otherwise
  // (kNoLabel then for what is corrupt).
  virtual int64_t LabelOf(int64_t index) const {
    const absl::StatusOr<Sample> sample = Get(index);
    return sample.ok() ? sample->label : kNoLabel;
  }

  // In order of label; empty where the data has numbers only.
  const std::vector<std::string>& class_names() const { return class_names_; }
  const std::vector<Attribute>& attributes() const { return attributes_; }
  // Of a pair list, in its order.
  const std::vector<Pair>& pairs() const { return pairs_; }
  // Makes labels count in `names`, which must contain class_names(): the same
  // class then has the same label in every data set of a job. Once; nothing
  // happens where labels are numbers.
  void AlignClasses(const std::vector<std::string>& names);

 protected:
  // The label of a class after AlignClasses.
  int64_t Aligned(int64_t label) const {
    return aligned_.empty() || label < 0 ? label : aligned_[label];
  }
  std::vector<std::string> class_names_;
  std::vector<Attribute> attributes_;
  std::vector<Pair> pairs_;

 private:
  std::vector<int64_t> aligned_;
};

// Which part is meant where the data holds a training and a test part: files or
// folders named train*, data_batch* and test*, t10k*, val*, eval*.
enum class Part { kTrain, kTest };

// Opens a folder, an archive of one (.tar, compressed tar, .zip) or a single
// .csv or .npz file by what is in it, the first of
//   - a manifest: one .csv with the header path[,label][,attribute columns], or
//     a pair list: one .csv with the header a,b,same; paths are relative to it;
//   - NPZ: x and y as .npy files, or one .npz of them;
//   - class folders of JPEG, PNG, PGM or PPM files (classes in order of name);
//   - IDX: one *images* and one *labels* file, .gz allowed;
//   - CIFAR-10 or CIFAR-100 binary batches (*.bin);
//   - images side by side, without labels.
// INVALID_ARGUMENT: EMPTY_FOLDER, UNKNOWN_DATA_FORMAT, CORRUPT_DATA,
// BAD_MANIFEST (with file, line, column name); NOT_FOUND: DATA_NOT_FOUND.
absl::StatusOr<std::unique_ptr<Dataset>> OpenDataset(const std::string& path,
                                                     Part part = Part::kTrain);

}  // namespace condense::data

#endif  // CONDENSE_WORKERS_ENGINE_DATA_DATASET_H_
