#include "workers/engine/data/dataset.h"

#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/error.h"
#include "common/status_macros.h"
#include "workers/engine/data/file_tree.h"
#include "workers/engine/data/image.h"

namespace condense::data {
namespace {

absl::Status Bad(absl::string_view reason, const std::string& message,
                 const std::string& hint = "") {
  return MakeError(absl::StatusCode::kInvalidArgument, reason, message,
                   {.hint = hint});
}

bool IsImage(const std::string& path) {
  const std::string lower = absl::AsciiStrToLower(path);
  return absl::EndsWith(lower, ".jpg") || absl::EndsWith(lower, ".jpeg") ||
         absl::EndsWith(lower, ".png");
}

// Class folders of image files.
class ImageFolder : public Dataset {
 public:
  ImageFolder(std::shared_ptr<const FileTree> tree,
              std::map<std::string, std::vector<std::string>> classes)
      : tree_(std::move(tree)) {
    for (const auto& [name, files] : classes) {
      for (const std::string& file : files) {
        files_.emplace_back(file, num_classes_);
      }
      ++num_classes_;
    }
  }
  int64_t size() const override { return static_cast<int64_t>(files_.size()); }
  int64_t num_classes() const override { return num_classes_; }
  absl::StatusOr<Sample> Get(int64_t index) const override {
    const auto& [file, label] = files_[index];
    CONDENSE_ASSIGN_OR_RETURN(std::string bytes, tree_->Read(file));
    absl::StatusOr<Sample> sample = DecodeImage(bytes);
    if (!sample.ok()) {
      return Bad("CORRUPT_IMAGE", absl::StrCat(tree_->name(), "/", file, ": ",
                                               sample.status().message()));
    }
    sample->label = label;
    return sample;
  }

 private:
  // Shared with nobody else; a tree may be large and is never copied.
  std::shared_ptr<const FileTree> tree_;
  std::vector<std::pair<std::string, int64_t>> files_;
  int64_t num_classes_ = 0;
};

// Images of one size, all in memory.
class PackedImages : public Dataset {
 public:
  PackedImages(Sample shape, std::string pixels, std::vector<int64_t> labels)
      : shape_(std::move(shape)),
        pixels_(std::move(pixels)),
        labels_(std::move(labels)) {
    for (int64_t label : labels_) classes_ = std::max(classes_, label + 1);
  }
  int64_t size() const override { return static_cast<int64_t>(labels_.size()); }
  int64_t num_classes() const override { return classes_; }
  absl::StatusOr<Sample> Get(int64_t index) const override {
    Sample sample = shape_;
    const size_t bytes = size_t(shape_.height) * shape_.width * shape_.channels;
    const auto* begin =
        reinterpret_cast<const uint8_t*>(pixels_.data()) + index * bytes;
    sample.pixels.assign(begin, begin + bytes);
    sample.label = labels_[index];
    return sample;
  }

 private:
  const Sample shape_;
  const std::string pixels_;
  const std::vector<int64_t> labels_;
  int64_t classes_ = 0;
};

uint32_t BigEndian(const std::string& bytes, size_t at) {
  auto byte = [&](size_t i) {
    return static_cast<uint32_t>(static_cast<uint8_t>(bytes[at + i]));
  };
  return byte(0) << 24 | byte(1) << 16 | byte(2) << 8 | byte(3);
}

absl::StatusOr<std::string> ReadIdx(const FileTree& tree,
                                    const std::string& file) {
  CONDENSE_ASSIGN_OR_RETURN(std::string bytes, tree.Read(file));
  if (!absl::EndsWith(file, ".gz")) return bytes;
  absl::StatusOr<std::string> unpacked = Gunzip(bytes);
  if (!unpacked.ok()) {
    return Bad("CORRUPT_DATA", absl::StrCat(tree.name(), "/", file, ": ",
                                            unpacked.status().message()));
  }
  return unpacked;
}

// The IDX format of the MNIST files: magic 0x801 labels, 0x803 gray images.
absl::StatusOr<std::unique_ptr<Dataset>> OpenIdx(
    const FileTree& tree, const std::string& images_file,
    const std::string& labels_file) {
  CONDENSE_ASSIGN_OR_RETURN(std::string images, ReadIdx(tree, images_file));
  CONDENSE_ASSIGN_OR_RETURN(std::string labels, ReadIdx(tree, labels_file));
  auto corrupt = [&](const std::string& file, const char* why) {
    return Bad("CORRUPT_DATA", absl::StrCat(tree.name(), "/", file, ": ", why));
  };
  if (images.size() < 16 || BigEndian(images, 0) != 0x803) {
    return corrupt(images_file, "no IDX file of images");
  }
  if (labels.size() < 8 || BigEndian(labels, 0) != 0x801) {
    return corrupt(labels_file, "no IDX file of labels");
  }
  const size_t count = BigEndian(images, 4);
  Sample shape;
  shape.height = static_cast<int>(BigEndian(images, 8));
  shape.width = static_cast<int>(BigEndian(images, 12));
  shape.channels = 1;
  if (count == 0) return corrupt(images_file, "it holds no image");
  if (shape.height <= 0 || shape.width <= 0 || shape.height > 16384 ||
      shape.width > 16384 ||
      images.size() != 16 + count * size_t(shape.height) * shape.width) {
    return corrupt(images_file, "its size does not fit its header");
  }
  if (BigEndian(labels, 4) != count || labels.size() != 8 + count) {
    return corrupt(labels_file, "not as many labels as images");
  }
  std::vector<int64_t> classes;
  for (size_t i = 0; i < count; ++i) {
    classes.push_back(static_cast<uint8_t>(labels[8 + i]));
  }
  return std::make_unique<PackedImages>(shape, images.substr(16),
                                        std::move(classes));
}

// CIFAR-10's binary form: a label byte, then 3 planes of 32 x 32.
absl::StatusOr<std::unique_ptr<Dataset>> OpenCifar(
    const FileTree& tree, const std::vector<std::string>& files) {
  constexpr size_t kPlane = 1024, kRecord = 1 + 3 * kPlane;
  std::string pixels;
  std::vector<int64_t> labels;
  for (const std::string& file : files) {
    CONDENSE_ASSIGN_OR_RETURN(std::string bytes, tree.Read(file));
    if (bytes.empty() || bytes.size() % kRecord != 0) {
      return Bad("CORRUPT_DATA", absl::StrCat(tree.name(), "/", file,
                                              ": no CIFAR binary batch"));
    }
    for (size_t at = 0; at < bytes.size(); at += kRecord) {
      labels.push_back(static_cast<uint8_t>(bytes[at]));
      for (size_t i = 0; i < kPlane; ++i) {
        for (size_t c = 0; c < 3; ++c) {
          pixels.push_back(bytes[at + 1 + c * kPlane + i]);
        }
      }
    }
  }
  Sample shape;
  shape.height = shape.width = 32;
  shape.channels = 3;
  return std::make_unique<PackedImages>(shape, std::move(pixels),
                                        std::move(labels));
}

// What a folder holds, by the names of its files.
struct Survey {
  std::vector<std::string> idx_images, idx_labels, cifar;
  std::map<std::string, std::vector<std::string>> classes;
};

Survey Look(const FileTree& tree) {
  Survey survey;
  // An archive of one folder is opened as that folder, whatever notes lie
  // beside it.
  std::set<std::string> tops;
  bool deep = true;
  for (const auto& [file, size] : tree.files()) {
    if (!IsImage(file)) continue;
    tops.insert(file.substr(0, file.find('/')));
    deep &= std::count(file.begin(), file.end(), '/') >= 2;
  }
  const size_t skip =
      tops.size() == 1 && deep ? tops.begin()->size() + 1 : size_t{0};
  for (const auto& [file, size] : tree.files()) {
    const std::string base = file.substr(file.rfind('/') + 1);
    const size_t cut = file.find('/', skip);
    if (IsImage(base) && cut != std::string::npos) {
      survey.classes[file.substr(skip, cut - skip)].push_back(file);
    } else if (absl::StrContains(base, "images")) {
      survey.idx_images.push_back(file);
    } else if (absl::StrContains(base, "labels")) {
      survey.idx_labels.push_back(file);
    } else if (absl::EndsWith(base, ".bin")) {
      survey.cifar.push_back(file);
    }
  }
  return survey;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Dataset>> OpenDataset(const std::string& path) {
  CONDENSE_ASSIGN_OR_RETURN(auto tree, FileTree::Open(path));
  if (tree->files().empty()) {
    return Bad("EMPTY_FOLDER", absl::StrCat(path, " has no files"));
  }
  Survey survey = Look(*tree);
  if (!survey.classes.empty()) {
    return std::make_unique<ImageFolder>(tree, std::move(survey.classes));
  }
  if (survey.idx_images.size() == 1 && survey.idx_labels.size() == 1) {
    return OpenIdx(*tree, survey.idx_images[0], survey.idx_labels[0]);
  }
  if (!survey.cifar.empty()) return OpenCifar(*tree, survey.cifar);
  return Bad("UNKNOWN_DATA_FORMAT",
             absl::StrCat(path, " holds no data that condense reads"),
             "class folders of .jpg or .png, one *images* and one *labels* IDX "
             "file, or CIFAR *.bin");
}

}  // namespace condense::data
