#ifndef CONDENSE_TESTS_BENCHMARKS_ORL_FACES_H_
#define CONDENSE_TESTS_BENCHMARKS_ORL_FACES_H_

#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "common/status_macros.h"
#include "workers/engine/data/dataset.h"
#include "workers/engine/data/file_tree.h"

namespace condense {

// The ORL faces: binary PGM files, one folder per subject (the label).
class OrlFaces : public data::Dataset {
 public:
  static absl::StatusOr<std::unique_ptr<OrlFaces>> Open(
      const std::string& archive) {
    CONDENSE_ASSIGN_OR_RETURN(const auto tree, data::FileTree::Open(archive));
    auto faces = std::make_unique<OrlFaces>();
    std::string subject;
    for (const auto& [name, size] : tree->files()) {
      if (!absl::EndsWith(name, ".pgm")) continue;
      CONDENSE_ASSIGN_OR_RETURN(const std::string bytes, tree->Read(name));
      const std::string folder = name.substr(0, name.rfind('/'));
      if (folder != subject) ++faces->classes_;
      subject = folder;
      CONDENSE_ASSIGN_OR_RETURN(data::Sample sample,
                                Parse(bytes, faces->classes_ - 1));
      faces->samples_.push_back(std::move(sample));
    }
    return faces;
  }

  int64_t size() const override {
    return static_cast<int64_t>(samples_.size());
  }
  int64_t num_classes() const override { return classes_; }
  absl::StatusOr<data::Sample> Get(int64_t index) const override {
    return samples_[index];
  }

 private:
  // "P5", comments from # to the end of the line, width, height, 255, pixels.
  static absl::StatusOr<data::Sample> Parse(const std::string& bytes,
                                            int64_t label) {
    data::Sample sample;
    sample.channels = 1;
    sample.label = label;
    std::istringstream header(bytes);
    std::string word, comment;
    std::vector<int> numbers;
    while (numbers.size() < 3 && header >> word) {
      int number = 0;
      if (word[0] == '#') std::getline(header, comment);
      if (absl::SimpleAtoi(word, &number)) numbers.push_back(number);
    }
    const size_t count =
        numbers.size() == 3 ? static_cast<size_t>(numbers[0]) * numbers[1] : 0;
    if (count == 0 || bytes.size() < count) {
      return absl::InvalidArgumentError("not a PGM file");
    }
    sample.width = numbers[0];
    sample.height = numbers[1];
    sample.pixels.assign(bytes.end() - static_cast<int64_t>(count),
                         bytes.end());
    return sample;
  }

  std::vector<data::Sample> samples_;
  int64_t classes_ = 0;
};

}  // namespace condense

#endif  // CONDENSE_TESTS_BENCHMARKS_ORL_FACES_H_
