#ifndef CONDENSE_WORKERS_ENGINE_DATA_LOADER_H_
#define CONDENSE_WORKERS_ENGINE_DATA_LOADER_H_

#include <algorithm>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
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
  InputShape shape;
  // Labels from this on are an error; 0: no bound.
  int64_t num_classes = 0;
  // Threads that decode, at least one. The order does not depend on it.
  int threads = 1;
};

// Batches of a data set in an order that depends on the seed alone. Decodes on
// threads of its own into a bounded ring. Use from one thread.
class Loader {
 public:
  // `dataset` must outlive the loader.
  Loader(const Dataset* dataset, LoaderOptions options);
  ~Loader();

  int64_t num_samples() const;
  int64_t batches_per_epoch() const;

  // Starts (again) at this batch of this epoch.
  void Seek(int64_t epoch, int64_t batch);
  // The next batch of the epoch, or nullopt at its end. Errors: those of the
  // data set and Transform, and LABEL_OUT_OF_RANGE.
  absl::StatusOr<std::optional<Batch>> Next();

  // Seconds that Next has waited for data, in all.
  double wait_seconds() const { return wait_seconds_; }

 private:
  // A batch that is being made, with its place in the epoch.
  struct Slot {
    int64_t batch = 0;
    bool ready = false;
    absl::StatusOr<Batch> result = Batch();
  };

  int threads_max() const { return std::max(1, options_.threads); }
  void Work();
  void Stop();
  absl::StatusOr<Batch> Make(int64_t epoch,
                             const std::vector<int64_t>& indices) const;

  const Dataset* const dataset_;
  const LoaderOptions options_;
  std::vector<int64_t> subset_;
  std::vector<std::thread> threads_;
  double wait_seconds_ = 0;

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
