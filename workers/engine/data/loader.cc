#include "workers/engine/data/loader.h"

#include <algorithm>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/error.h"
#include "common/status_macros.h"
#include "workers/engine/data/random.h"

namespace condense::data {
namespace {

// Batches that may wait, per thread.
constexpr size_t kRingPerThread = 3;
// Streams of the seed: one for the subset, one per epoch and one per sample.
constexpr uint64_t kSubsetStream = 1;
constexpr uint64_t kOrderStream = 2;
constexpr uint64_t kAugmentStream = 3;

}  // namespace

Loader::Loader(const Dataset* dataset, LoaderOptions options)
    : dataset_(dataset), options_(std::move(options)) {
  subset_.resize(dataset_->size());
  std::iota(subset_.begin(), subset_.end(), 0);
  if (options_.samples > 0 && options_.samples < dataset_->size()) {
    Random random(options_.seed, kSubsetStream);
    random.Shuffle(&subset_);
    subset_.resize(options_.samples);
    std::sort(subset_.begin(), subset_.end());
  }
  Seek(0, 0);
}

Loader::~Loader() { Stop(); }

void Loader::Stop() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
  }
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
  absl::MutexLock lock(&mu_);
  stopping_ = false;
  ring_.clear();
}

int64_t Loader::num_samples() const {
  return static_cast<int64_t>(subset_.size());
}

int64_t Loader::batches_per_epoch() const {
  const int64_t size = options_.batch_size;
  // A set smaller than one batch is still one batch.
  if (options_.training && num_samples() >= size) return num_samples() / size;
  return (num_samples() + size - 1) / size;
}

void Loader::Seek(int64_t epoch, int64_t batch) {
  Stop();
  absl::MutexLock lock(&mu_);
  epoch_ = epoch;
  next_ = batch;
  order_ = subset_;
  if (options_.training) {
    Random random(options_.seed + 1000003 * epoch, kOrderStream);
    random.Shuffle(&order_);
  }
}

absl::StatusOr<Batch> Loader::Make(int64_t epoch,
                                   const std::vector<int64_t>& indices) const {
  Batch out;
  out.channels_last = options_.preprocess.channels_last;
  std::vector<float> pixels;
  for (int64_t index : indices) {
    CONDENSE_ASSIGN_OR_RETURN(Sample sample, dataset_->Get(index));
    if (options_.num_classes > 0 &&
        (sample.label < 0 || sample.label >= options_.num_classes)) {
      return MakeError(
          absl::StatusCode::kInvalidArgument, "LABEL_OUT_OF_RANGE",
          absl::StrCat("sample ", index, " has label ", sample.label,
                       "; the model has ", options_.num_classes, " classes"));
    }
    out.labels.push_back(sample.label);
    Random random(options_.seed + 1000003 * epoch,
                  kAugmentStream + 16 * static_cast<uint64_t>(index));
    InputShape produced;
    CONDENSE_RETURN_IF_ERROR(
        Transform(options_.preprocess, options_.augmentations,
                  options_.training ? &random : nullptr, options_.shape,
                  std::move(sample), &pixels, &produced));
    if (out.labels.size() == 1) {
      out.shape = produced;
      out.pixels.reserve(pixels.size() * indices.size());
    } else if (produced.height != out.shape.height ||
               produced.width != out.shape.width ||
               produced.channels != out.shape.channels) {
      return MakeError(absl::StatusCode::kInvalidArgument,
                       "DATA_SHAPE_MISMATCH", "images have different sizes",
                       {.field = "data.preprocess.resize",
                        .hint = "set data.preprocess.resize"});
    }
    out.pixels.insert(out.pixels.end(), pixels.begin(), pixels.end());
  }
  out.count = static_cast<int64_t>(indices.size());
  return out;
}

void Loader::Work() {
  const size_t ring_max = kRingPerThread * threads_max();
  for (;;) {
    std::shared_ptr<Slot> slot;
    int64_t epoch;
    std::vector<int64_t> order;
    {
      absl::MutexLock lock(&mu_);
      auto ready = [this, ring_max]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
        return stopping_ || ring_.size() < ring_max;
      };
      mu_.Await(absl::Condition(&ready));
      if (stopping_ || next_ >= batches_per_epoch()) return;
      slot = std::make_shared<Slot>();
      slot->batch = next_++;
      ring_.push_back(slot);
      epoch = epoch_;
      const int64_t begin = slot->batch * options_.batch_size;
      const int64_t end =
          std::min<int64_t>(begin + options_.batch_size, order_.size());
      order.assign(order_.begin() + begin, order_.begin() + end);
    }
    absl::StatusOr<Batch> result = Make(epoch, order);
    absl::MutexLock lock(&mu_);
    slot->result = std::move(result);
    slot->ready = true;
  }
}

absl::StatusOr<std::optional<Batch>> Loader::Next() {
  if (threads_.empty()) {
    for (int i = 0; i < threads_max(); ++i) {
      threads_.emplace_back([this] { Work(); });
    }
  }
  const absl::Time start = absl::Now();
  std::shared_ptr<Slot> slot;
  {
    absl::MutexLock lock(&mu_);
    auto ready = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
      if (!ring_.empty()) return ring_.front()->ready;
      return next_ >= batches_per_epoch();
    };
    mu_.Await(absl::Condition(&ready));
    if (ring_.empty()) return std::nullopt;
    slot = ring_.front();
    ring_.pop_front();
  }
  wait_seconds_ += absl::ToDoubleSeconds(absl::Now() - start);
  if (!slot->result.ok()) return slot->result.status();
  return std::optional<Batch>(std::move(*slot->result));
}

}  // namespace condense::data
