#include "workers/engine/data/loader.h"

#include <algorithm>
#include <cmath>
#include <new>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "common/error.h"
#include "common/status_macros.h"
#include "workers/engine/data/mixup.h"
#include "workers/engine/data/random.h"

namespace condense::data {
namespace {

// Batches that may wait or be made beyond one per thread.
constexpr int kRingSpare = 3;
// Streams of the seed: one for the subset, one per epoch, one per sample and
// one per batch.
constexpr uint64_t kSubsetStream = 1;
constexpr uint64_t kOrderStream = 2;
constexpr uint64_t kAugmentStream = 3;
constexpr uint64_t kMixupStream = 4;

// The seed's streams of one epoch.
Random RandomOf(uint64_t seed, int64_t epoch, uint64_t stream) {
  return Random(seed + 1000003 * static_cast<uint64_t>(epoch), stream);
}
constexpr uint64_t kSubstituteStream = 5;
// Draws of another sample in place of a corrupt one.
constexpr int kSubstitutes = 16;
// Files that an error names.
constexpr size_t kNamed = 5;

// A sample of the data set. In the place of a corrupt one, one that is drawn
// from `substitutes`, if they are given, so that training batches stay full;
// `index` is then that one's.
absl::StatusOr<Sample> Decode(const Dataset& dataset,
                              const std::vector<int64_t>* substitutes,
                              Random random, int64_t* index,
                              std::map<int64_t, absl::Status>* corrupt) {
  for (int i = 0;; ++i) {
    absl::StatusOr<Sample> sample = dataset.Get(*index);
    if (sample.ok() || ErrorReason(sample.status()) != "CORRUPT_IMAGE") {
      return sample;
    }
    (*corrupt)[*index] = sample.status();
    if (substitutes == nullptr || i == kSubstitutes) return sample;
    *index = (*substitutes)[random.Below(substitutes->size())];
  }
}

absl::Status OutOfMemory() {
  return MakeError(absl::StatusCode::kResourceExhausted, "OUT_OF_MEMORY",
                   "a batch of images does not fit into memory",
                   {.field = "data.preprocess",
                    .hint = "a smaller batch_size, or smaller images"});
}

void MixBatch(double alpha, Random random, Batch* batch) {
  const Mixing mixing = Mix(alpha, batch->count, &random, &batch->pixels);
  batch->lambda = mixing.lambda;
  for (int64_t partner : mixing.partner) {
    batch->mixed_labels.push_back(batch->labels[partner]);
  }
}

}  // namespace

int DefaultThreads() {
  const auto cores = static_cast<int>(std::thread::hardware_concurrency());
  return std::clamp(cores / 2, 1, 8);
}

Loader::Loader(const Dataset* dataset, LoaderOptions options)
    : dataset_(dataset),
      options_(std::move(options)),
      normalizer_(options_.preprocess) {
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

int Loader::threads_max() const { return std::max(1, options_.threads); }

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
    RandomOf(options_.seed, epoch, kOrderStream).Shuffle(&order_);
  }
}

absl::Status Loader::Append(Sample sample, int64_t room, Batch* batch) const {
  const InputShape shape = {sample.channels, sample.height, sample.width};
  const size_t size = size_t(shape.channels) * shape.height * shape.width;
  if (batch->count == 0) {
    batch->shape = shape;
    batch->pixels.resize(size * room);
  } else if (shape != batch->shape) {
    return MakeError(absl::StatusCode::kInvalidArgument, "DATA_SHAPE_MISMATCH",
                     "images have different sizes",
                     {.field = "data.preprocess.resize",
                      .hint = "set data.preprocess.resize"});
  }
  normalizer_.Write(sample, batch->pixels.data() + batch->count * size);
  ++batch->count;
  return absl::OkStatus();
}

absl::StatusOr<Batch> Loader::Make(
    const Order& order, std::map<int64_t, absl::Status>* corrupt) const {
  Batch out;
  out.channels_last = options_.preprocess.channels_last;
  for (int64_t index : order.indices) {
    const auto stream = 16 * static_cast<uint64_t>(index);
    absl::StatusOr<Sample> sample =
        Decode(*dataset_, options_.training ? &subset_ : nullptr,
               RandomOf(options_.seed, order.epoch, kSubstituteStream + stream),
               &index, corrupt);
    if (corrupt->count(index) > 0) continue;
    CONDENSE_RETURN_IF_ERROR(sample.status());
    const int64_t label = sample->label;
    const bool unlabelled = label == kNoLabel && !options_.training;
    if (options_.num_classes > 0 && !unlabelled &&
        (label < 0 || label >= options_.num_classes)) {
      return MakeError(
          absl::StatusCode::kInvalidArgument, "LABEL_OUT_OF_RANGE",
          absl::StrCat("sample ", index, " has label ", label,
                       "; the model has ", options_.num_classes, " classes"));
    }
    Random random =
        RandomOf(options_.seed, order.epoch, kAugmentStream + stream);
    CONDENSE_ASSIGN_OR_RETURN(
        *sample, Prepare(options_.preprocess, options_.augmentations,
                         options_.training ? &random : nullptr, options_.shape,
                         *std::move(sample)));
    CONDENSE_RETURN_IF_ERROR(
        Append(*std::move(sample), std::ssize(order.indices), &out));
    out.labels.push_back(label);
    out.indices.push_back(index);
  }
  const int64_t size =
      int64_t{out.shape.channels} * out.shape.height * out.shape.width;
  out.pixels.resize(size * out.count);
  if (options_.training && options_.mixup_alpha > 0 && out.count > 0) {
    const auto batch = static_cast<uint64_t>(order.batch);
    MixBatch(options_.mixup_alpha,
             RandomOf(options_.seed, order.epoch, kMixupStream + 16 * batch),
             &out);
  }
  return out;
}

void Loader::Work() {
  const size_t ring_max = threads_max() + kRingSpare;
  for (;;) {
    std::shared_ptr<Slot> slot;
    Order order;
    {
      absl::MutexLock lock(&mu_);
      auto ready = [this, ring_max]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
        return stopping_ || ring_.size() < ring_max;
      };
      mu_.Await(absl::Condition(&ready));
      if (stopping_ || next_ >= batches_per_epoch()) return;
      slot = std::make_shared<Slot>();
      ring_.push_back(slot);
      order.epoch = epoch_;
      order.batch = next_++;
      const int64_t begin = order.batch * options_.batch_size;
      const int64_t end =
          std::min<int64_t>(begin + options_.batch_size, order_.size());
      const int64_t size = end - begin;
      order.indices.assign(
          order_.begin() + begin + size * options_.shard / options_.shards,
          order_.begin() + begin +
              size * (options_.shard + 1) / options_.shards);
    }
    absl::StatusOr<Batch> result = OutOfMemory();
    try {
      result = Make(order, &slot->corrupt);
    } catch (const std::bad_alloc&) {
      // An exception that leaves a thread would end the process.
    }
    absl::MutexLock lock(&mu_);
    slot->result = std::move(result);
    slot->ready = true;
  }
}

absl::Status Loader::CountCorrupt(
    const std::map<int64_t, absl::Status>& found) {
  const double bound =
      options_.max_corrupt < 1
          ? options_.max_corrupt * static_cast<double>(num_samples())
          : options_.max_corrupt;
  for (const auto& [index, status] : found) {
    if (!corrupt_.emplace(index, status).second) continue;
    if (options_.on_corrupt) {
      options_.on_corrupt(std::string(status.message()));
    }
    if (static_cast<double>(corrupt_.size()) <= bound) continue;
    if (corrupt_.size() == 1) return status;
    std::vector<std::string> named;
    for (const auto& [other, error] : corrupt_) {
      if (named.size() < kNamed) named.emplace_back(error.message());
    }
    return MakeError(
        absl::StatusCode::kInvalidArgument, "CORRUPT_IMAGE",
        absl::StrCat(corrupt_.size(), " images are corrupt, more than the ",
                     std::floor(bound), " of ", num_samples(),
                     " that may be: ", absl::StrJoin(named, "; ")),
        {.hint = "repair or remove them, or raise max_corrupt"});
  }
  return absl::OkStatus();
}

// The next batch in order, when it is ready; nullptr at the end.
std::shared_ptr<Loader::Slot> Loader::Take() {
  absl::MutexLock lock(&mu_);
  auto ready = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (!ring_.empty()) return ring_.front()->ready;
    return next_ >= batches_per_epoch();
  };
  mu_.Await(absl::Condition(&ready));
  if (ring_.empty()) return nullptr;
  std::shared_ptr<Slot> slot = ring_.front();
  ring_.pop_front();
  return slot;
}

absl::StatusOr<std::optional<Batch>> Loader::Next() {
  if (threads_.empty()) {
    for (int i = 0; i < threads_max(); ++i) {
      threads_.emplace_back([this] { Work(); });
    }
  }
  for (;;) {
    const absl::Time start = absl::Now();
    const std::shared_ptr<Slot> slot = Take();
    wait_seconds_ += absl::ToDoubleSeconds(absl::Now() - start);
    if (slot == nullptr) return std::nullopt;
    CONDENSE_RETURN_IF_ERROR(CountCorrupt(slot->corrupt));
    CONDENSE_RETURN_IF_ERROR(slot->result.status());
    // A batch of which nothing is left is passed over.
    if (slot->result->count > 0) {
      return std::optional<Batch>(*std::move(slot->result));
    }
  }
}

}  // namespace condense::data
