#ifndef CONDENSE_WORKERS_ENGINE_PIPELINE_JOB_H_
#define CONDENSE_WORKERS_ENGINE_PIPELINE_JOB_H_

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/recipe/job_file.h"
#include "common/recipe/recipe.h"
#include "condense/v1/device_profile.pb.h"
#include "workers/engine/data/dataset.h"
#include "workers/engine/data/loader.h"
#include "workers/engine/data/packed.h"
#include "workers/engine/graph/graph.h"
#include "workers/engine/pipeline/load_model.h"
#include "workers/engine/pipeline/ranks.h"
#include "workers/engine/training/checkpoint.h"

namespace condense::pipeline {

// Everything that a job is given, read and understood. Does not change while
// the job runs, but for what is found corrupt and what is synthesised. Not
// thread-safe.
class Job {
 public:
  // Reads the job file, the recipe and the profiles of `job_dir`. Errors are
  // those of the text alone.
  static absl::StatusOr<std::unique_ptr<Job>> Load(const std::string& job_dir);

  // Reads model, teacher and data, and works out this rank's device. Errors:
  // those of the importer and the readers, DATA_MISSING, NO_DEVICE; of models
  // that come quantized UNSUPPORTED_QUANTIZATION and ALREADY_QUANTIZED; where
  // images are to be synthesised IMAGE_SIZE_UNKNOWN.
  absl::Status Open(const RankPlan& ranks = {});

  const std::string& dir() const { return dir_; }
  const v1::JobFile& file() const { return file_; }
  // As it was written (for line and column), and with every default.
  const recipe::ParsedRecipe& parsed() const { return parsed_; }
  const v1::Recipe& recipe() const { return resolved_; }
  const std::vector<v1::DeviceProfile>& profiles() const { return profiles_; }
  // In float, or with the quantizers of a file that comes quantized, which are
  // then trained through and stay.
  const graph::Graph& model() const { return model_; }
  // The file came quantized, and a quantize stage places its quantizers anew.
  bool requantizes() const { return requantizes_; }
  int64_t model_bytes() const { return model_bytes_; }
  const std::string& model_digest() const { return model_digest_; }
  // The teacher that the recipe names.
  const graph::Graph& teacher() const {
    return teacher_.has_value() ? *teacher_ : model_;
  }
  const std::string& device() const { return device_; }
  const RankPlan& ranks() const { return ranks_; }
  // Of the model's input; the first axis is the batch.
  const data::InputShape& input_shape() const { return input_shape_; }
  // The task is verification: the first output is an embedding, not classes.
  bool verifies() const { return resolved_.task() == v1::Recipe::VERIFICATION; }
  // Bits per colour channel, where they are reduced.
  std::optional<int> color_bits() const;
  // Columns of the model's first output; 0 if it is not [N, classes].
  int64_t num_classes() const { return num_classes_; }
  // Everything that a checkpoint depends on.
  const training::Fingerprint& fingerprint() const { return fingerprint_; }
  const std::map<std::string, std::string>& data_digests() const {
    return data_digests_;
  }

  // nullptr: the job has no data of this name.
  const data::Dataset* Data(const std::string& source) const;
  // It has labels; false also where the job has no such data.
  bool HasLabels(const std::string& source) const;
  // The model's outputs are classes: by the recipe's task, and their shape.
  bool Classifies() const;
  // A stage trains without labels, and none with; for verification all do.
  bool trains_without_labels() const;
  // The three uses of data; nullptr where the job has none. Training: this
  // rank's part of batches of `batch_size`. Evaluation: only where there are
  // labels or, for verification, pairs. Calibration: synthesised images where
  // there is no data for it.
  std::unique_ptr<data::Loader> TrainLoader(int64_t batch_size) const;
  std::unique_ptr<data::Loader> EvalLoader() const;
  std::unique_ptr<data::Loader> CalibrationLoader() const;

  // Images of the model's own size and channels for a stage whose qat_data is
  // synthetic, noise until they are replaced; null where no stage has it.
  data::PackedImages* synthetic() const { return synthetic_.get(); }
  // Batches of them to train on.
  std::unique_ptr<data::Loader> SyntheticLoader(int64_t batch_size) const;
  // What its loaders found corrupt so far, by data set; one sentence each.
  const std::map<std::string, std::set<std::string>>& corrupt() const {
    return corrupt_;
  }

 private:
  Job() = default;
  LoadOptions InputOptions() const;
  absl::Status ReadModels();
  absl::Status SettleQuantizers();
  absl::Status ReadData();
  absl::Status DescribeInput();
  void MakeFingerprint();
  absl::Status MakeSynthetic();
  data::LoaderOptions LoaderOptionsOf(const v1::DataSource& source,
                                      int64_t batch_size, bool training) const;
  std::unique_ptr<data::Loader> LoaderOf(const v1::DataSource& source,
                                         int64_t batch_size,
                                         bool training) const;
  std::unique_ptr<data::Loader> SyntheticLoaderOf(const v1::DataSource& source,
                                                  int64_t batch_size,
                                                  bool training) const;

  std::string dir_;
  v1::JobFile file_;
  recipe::ParsedRecipe parsed_;
  v1::Recipe resolved_;
  std::vector<v1::DeviceProfile> profiles_;
  graph::Graph model_;
  bool requantizes_ = false;
  int64_t model_bytes_ = 0;
  std::string model_digest_;
  std::optional<graph::Graph> teacher_;
  std::map<std::string, std::unique_ptr<data::Dataset>> data_;
  std::map<std::string, std::string> data_digests_;
  std::unique_ptr<data::PackedImages> synthetic_;
  RankPlan ranks_;
  std::string device_;
  data::InputShape input_shape_;
  int64_t num_classes_ = 0;
  training::Fingerprint fingerprint_;
  // Written by the loaders, which are used from the job's thread.
  mutable std::map<std::string, std::set<std::string>> corrupt_;
};

}  // namespace condense::pipeline

#endif  // CONDENSE_WORKERS_ENGINE_PIPELINE_JOB_H_
