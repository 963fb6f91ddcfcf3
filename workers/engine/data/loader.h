#ifndef CONDENSE_WORKERS_ENGINE_DATA_LOADER_H_
#define CONDENSE_WORKERS_ENGINE_DATA_LOADER_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "workers/engine/data/dataset.h"
#include "workers/engine/data/transform.h"

namespace condense::data {

// Samples ready for the model.
struct Batch {
  // [count, channels, height, width], or channels last.
  std::vector<float> pixels;
  std::vector<int64_t> labels;
  int64_t count = 0;
  InputShape shape;
  bool channels_last = false;
  // Of each sample, its place in the data set.
  std::vector<int64_t> indices;
  // After mixup: sample i is `lambda` of one with labels[i] and 1 - lambda of
  // one with mixed_labels[i]. Empty without.
  std::vector<int64_t> mixed_labels;
  double lambda = 1;
};

struct LoaderOptions {
  int64_t batch_size = 64;
  // Drawn without replacement by `seed`; 0: all.
  int64_t samples = 0;
  // A new order in each epoch, and the last, smaller batch is left out.
  bool training = false;
  uint64_t seed = 17;
  Preprocess preprocess;
  std::vector<Augmentation> augmentations;
  // Of training batches; 0: none are mixed.
  double mixup_alpha = 0;
  InputShape shape;
  // Labels from this on are an error; 0: no bound.
  int64_t num_classes = 0;
  // Images that may be corrupt: below 1 a share of the samples, else a number.
  // Left out, in training replaced by others; one more is an error.
  double max_corrupt = 0;
  // Told once of each corrupt image by the thread that calls Next.
  std::function<void(const std::string& message)> on_corrupt;
  // Only part `shard` of `shards` equal parts of each batch, in its order.
  int64_t shard = 0;
  int64_t shards = 1;
  // Threads that decode, at least one. The order does not depend on it.
  int threads = 1;
};

// Half of the cores, from 1 to 8: decoding is a small share of a step on the
// CPU, where training uses all of them too, and on a GPU's machine it is not.
int DefaultThreads();

// Batches of a data set in an order that depends on the seed alone: threads,
// and where one begins, change neither order nor pixels. Decodes on threads of
// its own into a ring of a few batches, so that memory is bounded by these
// whatever the size of the set. Use from one thread.
class Loader {
 public:
  // `dataset` must outlive the loader.
  Loader(const Dataset* dataset, LoaderOptions options);
  ~Loader();

  int64_t num_samples() const;
  int64_t batches_per_epoch() const;
  const Dataset& dataset() const { return *dataset_; }
  // Places in the data set of all its samples, rising: what batches name, but
  // for those that are corrupt.
  const std::vector<int64_t>& indices() const { return subset_; }

  // Starts (again) at this batch of this epoch; what comes before is not
  // decoded.
  void Seek(int64_t epoch, int64_t batch);
  // The next batch of the epoch, or nullopt at its end. Errors: those of the
  // data set and Prepare, LABEL_OUT_OF_RANGE, and CORRUPT_IMAGE for more of
  // them than there may be.
  absl::StatusOr<std::optional<Batch>> Next();

  // Seconds that Next has waited for data, in all.
  double wait_seconds() const { return wait_seconds_; }

 private:
  // A batch that is being made.
  struct Slot {
    bool ready = false;
    absl::StatusOr<Batch> result = Batch();
    // By place in the data set.
    std::map<int64_t, absl::Status> corrupt;
  };
  // Which one it is.
  struct Order {
    int64_t epoch = 0;
    int64_t batch = 0;
    std::vector<int64_t> indices;
  };

  int threads_max() const;
  void Work();
  void Stop();
  absl::StatusOr<Batch> Make(const Order& order,
                             std::map<int64_t, absl::Status>* corrupt) const;
  absl::Status Append(Sample sample, int64_t room, Batch* batch) const;
  absl::Status CountCorrupt(const std::map<int64_t, absl::Status>& found);
  std::shared_ptr<Slot> Take();

  const Dataset* const dataset_;
  const LoaderOptions options_;
  const Normalizer normalizer_;
  std::vector<int64_t> subset_;
  std::vector<std::thread> threads_;
  double wait_seconds_ = 0;
  // Corrupt samples so far, with their errors.
  std::map<int64_t, absl::Status> corrupt_;

  absl::Mutex mu_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  int64_t epoch_ ABSL_GUARDED_BY(mu_) = 0;
  // The next batch that a thread takes up.
  int64_t next_ ABSL_GUARDED_BY(mu_) = 0;
  std::vector<int64_t> order_ ABSL_GUARDED_BY(mu_);
  std::deque<std::shared_ptr<Slot>> ring_ ABSL_GUARDED_BY(mu_);
};

}  // namespace condense::data

#endif  // CONDENSE_WORKERS_ENGINE_DATA_LOADER_H_
