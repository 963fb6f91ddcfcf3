#include "workers/engine/data/loader.h"

#include <algorithm>
#include <atomic>
#include <numeric>
#include <set>
#include <thread>

#include "common/error.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace condense::data {
namespace {

using ::testing::ElementsAre;
using ::testing::ElementsAreArray;

// Image i is 4 x 4 with pixels i, i + 1, ...; its label is i.
class Counting : public Dataset {
 public:
  explicit Counting(int64_t size) : size_(size) {}
  int64_t size() const override { return size_; }
  int64_t num_classes() const override { return size_; }
  absl::StatusOr<Sample> Get(int64_t index) const override {
    ++decoded;
    if (broken.count(index) > 0) {
      return MakeError(absl::StatusCode::kInvalidArgument, "CORRUPT_IMAGE",
                       "image " + std::to_string(index));
    }
    Sample sample{4, index == wide ? 5 : 4, 1, {}, index};
    sample.pixels.resize(sample.height * sample.width);
    std::iota(sample.pixels.begin(), sample.pixels.end(), index);
    return sample;
  }

  std::set<int64_t> broken;
  mutable std::atomic<int> decoded{0};
  int64_t wide = -1;

 private:
  const int64_t size_;
};

// The rest of the epoch.
std::vector<Batch> Rest(Loader* loader) {
  std::vector<Batch> batches;
  for (;;) {
    auto batch = loader->Next();
    EXPECT_TRUE(batch.ok()) << batch.status();
    if (!batch.ok() || !batch->has_value()) return batches;
    batches.push_back(**std::move(batch));
  }
}

std::vector<Batch> Epoch(Loader* loader, int64_t epoch, int64_t batch = 0) {
  loader->Seek(epoch, batch);
  return Rest(loader);
}

std::vector<int64_t> Labels(const std::vector<Batch>& batches) {
  std::vector<int64_t> labels;
  for (const Batch& batch : batches) {
    labels.insert(labels.end(), batch.labels.begin(), batch.labels.end());
  }
  return labels;
}

std::vector<float> Pixels(const std::vector<Batch>& batches) {
  std::vector<float> pixels;
  for (const Batch& batch : batches) {
    pixels.insert(pixels.end(), batch.pixels.begin(), batch.pixels.end());
  }
  return pixels;
}

std::vector<int64_t> UpTo(int64_t count) {
  std::vector<int64_t> all(count);
  std::iota(all.begin(), all.end(), 0);
  return all;
}

LoaderOptions Training(int threads = 1) {
  LoaderOptions options;
  options.batch_size = 8;
  options.training = true;
  options.threads = threads;
  options.augmentations = {RandomCrop{1}, HorizontalFlip{}};
  return options;
}

TEST(LoaderTest, EvaluationGoesThroughTheSetInOrderWithTheLastSmallBatch) {
  Counting data(20);
  LoaderOptions options = Training();
  options.training = false;
  Loader loader(&data, options);
  EXPECT_EQ(loader.batches_per_epoch(), 3);
  for (int64_t epoch : {0, 1}) {
    const std::vector<Batch> batches = Epoch(&loader, epoch);
    ASSERT_EQ(batches.size(), 3u);
    EXPECT_EQ(batches[2].count, 4);
    EXPECT_EQ(batches[0].shape.height, 4);
    EXPECT_EQ(Labels(batches), UpTo(20));
    // Not augmented: image 0 holds 0 to 15.
    EXPECT_THAT(std::vector<float>(batches[0].pixels.begin(),
                                   batches[0].pixels.begin() + 3),
                ElementsAre(0, 1, 2));
  }
}

TEST(LoaderTest, TrainingSeesEverySampleOnceInAnotherOrderEachEpoch) {
  Counting data(24);
  Loader loader(&data, Training());
  std::vector<int64_t> first = Labels(Epoch(&loader, 0));
  std::vector<int64_t> second = Labels(Epoch(&loader, 1));
  EXPECT_NE(first, UpTo(24));
  EXPECT_NE(first, second);
  std::sort(first.begin(), first.end());
  std::sort(second.begin(), second.end());
  EXPECT_EQ(first, UpTo(24));
  EXPECT_EQ(second, UpTo(24));
}

TEST(LoaderTest, TrainingLeavesTheLastSmallBatchOut) {
  Counting data(23);
  Loader loader(&data, Training());
  EXPECT_EQ(loader.batches_per_epoch(), 2);
  EXPECT_EQ(Labels(Epoch(&loader, 0)).size(), 16u);
  // All of a set that is smaller than one batch.
  Counting few(5);
  Loader small(&few, Training());
  EXPECT_EQ(small.batches_per_epoch(), 1);
  EXPECT_EQ(Labels(Epoch(&small, 0)).size(), 5u);
}

TEST(LoaderTest, TheStreamDependsOnTheSeedAndNotOnThreads) {
  Counting data(100);
  Loader one(&data, Training(1));
  const std::vector<Batch> expected = Epoch(&one, 2);
  for (int threads : {0, 2, 5}) {
    Loader many(&data, Training(threads));
    const std::vector<Batch> batches = Epoch(&many, 2);
    EXPECT_EQ(Labels(batches), Labels(expected)) << threads;
    EXPECT_EQ(Pixels(batches), Pixels(expected)) << threads;
  }
  LoaderOptions options = Training();
  options.seed = 18;
  Loader other(&data, options);
  EXPECT_NE(Labels(Epoch(&other, 2)), Labels(expected));
}

TEST(LoaderTest, SeekGivesWhatAnUninterruptedRunGives) {
  Counting data(64);
  Loader whole(&data, Training(3));
  std::vector<std::vector<Batch>> epochs;
  for (int64_t epoch = 0; epoch < 3; ++epoch) {
    epochs.push_back(Epoch(&whole, epoch));
  }
  // Augmented: some image differs from what it was an epoch before.
  EXPECT_NE(Pixels(epochs[0]), Pixels(epochs[1]));
  for (int64_t epoch : {2, 0, 1}) {
    for (int64_t at : {5, 0, 8}) {
      Loader again(&data, Training(2));
      const std::vector<Batch> rest = Epoch(&again, epoch, at);
      const std::vector<Batch> expected(epochs[epoch].begin() + at,
                                        epochs[epoch].end());
      EXPECT_EQ(Labels(rest), Labels(expected)) << epoch << " " << at;
      EXPECT_EQ(Pixels(rest), Pixels(expected)) << epoch << " " << at;
    }
  }
}

TEST(LoaderTest, SeekInTheMiddleOfAnEpochStartsOver) {
  Counting data(64);
  Loader loader(&data, Training(4));
  ASSERT_TRUE(loader.Next().ok());
  ASSERT_TRUE(loader.Next().ok());
  Loader fresh(&data, Training(1));
  EXPECT_EQ(Labels(Epoch(&loader, 0, 1)), Labels(Epoch(&fresh, 0, 1)));
}

TEST(LoaderTest, TheEndOfAnEpochIsRepeatedUntilSeek) {
  Counting data(8);
  Loader loader(&data, Training());
  EXPECT_EQ(Rest(&loader).size(), 1u);
  EXPECT_EQ(Rest(&loader).size(), 0u);
  EXPECT_EQ(Epoch(&loader, 1).size(), 1u);
}

TEST(LoaderTest, EveryAugmentationIsTheSameWhateverTheThreadsAndTheStart) {
  LoaderOptions options = Training();
  options.augmentations = {RandomResizedCrop{}, RandomCrop{1}, HorizontalFlip{},
                           ColorJitter{0.4, 0.4, 0.4, 0.1}, Cutout{2}};
  options.mixup_alpha = 1;
  Counting data(64);
  Loader one(&data, options);
  const std::vector<Batch> expected = Epoch(&one, 1);
  for (int threads : {2, 4}) {
    options.threads = threads;
    Loader many(&data, options);
    const std::vector<Batch> batches = Epoch(&many, 1, 3);
    ASSERT_EQ(batches.size(), 5u);
    for (size_t i = 0; i < 5; ++i) {
      EXPECT_EQ(batches[i].pixels, expected[3 + i].pixels);
      EXPECT_EQ(batches[i].labels, expected[3 + i].labels);
      EXPECT_EQ(batches[i].mixed_labels, expected[3 + i].mixed_labels);
      EXPECT_EQ(batches[i].lambda, expected[3 + i].lambda);
    }
  }
}

TEST(LoaderTest, SeekDecodesNothingOfWhatComesBefore) {
  Counting data(800);
  LoaderOptions options = Training();
  Loader loader(&data, options);
  EXPECT_EQ(Epoch(&loader, 5, 98).size(), 2u);
  EXPECT_EQ(data.decoded, 16);
}

TEST(LoaderTest, DecodesAsFarAheadAsTheRingAndNoFurther) {
  Counting data(400);
  Loader loader(&data, Training(2));
  for (int taken = 1; taken <= 40; ++taken) {
    ASSERT_TRUE(loader.Next().ok());
    // Five more batches are in the ring or in the making.
    const int ahead = 8 * (taken + 5);
    while (data.decoded < ahead) std::this_thread::yield();
    EXPECT_EQ(data.decoded, ahead);
  }
}

TEST(LoaderTest, MixedBatchesCarryBothLabelsAndTheShare) {
  Counting data(16);
  LoaderOptions options;
  options.batch_size = 8;
  options.training = true;
  Loader plain(&data, options);
  options.mixup_alpha = 1;
  Loader mixing(&data, options);
  const std::vector<Batch> before = Epoch(&plain, 0);
  const std::vector<Batch> after = Epoch(&mixing, 0);
  EXPECT_TRUE(before[0].mixed_labels.empty());
  EXPECT_EQ(Labels(before), Labels(after));
  EXPECT_NE(after[0].lambda, after[1].lambda);
  for (const Batch& batch : after) {
    ASSERT_EQ(batch.mixed_labels.size(), 8u);
    for (int i = 0; i < 8; ++i) {
      // An image's first pixel is its label.
      EXPECT_NEAR(batch.pixels[i * 16],
                  batch.lambda * batch.labels[i] +
                      (1 - batch.lambda) * batch.mixed_labels[i],
                  1e-4);
    }
  }
  // Only training mixes.
  options.training = false;
  Loader evaluating(&data, options);
  EXPECT_TRUE(Epoch(&evaluating, 0)[0].mixed_labels.empty());
}

TEST(LoaderTest, CorruptImagesAreLeftOutAndToldOnceUpToTheBound) {
  for (int threads : {1, 3}) {
    Counting data(20);
    data.broken = {0, 1, 2, 3, 9};
    LoaderOptions options;
    options.batch_size = 4;
    options.threads = threads;
    std::vector<std::string> told;
    options.on_corrupt = [&](const std::string& what) { told.push_back(what); };
    for (double bound : {5.0, 0.25}) {
      told.clear();
      options.max_corrupt = bound;
      Loader loader(&data, options);
      for (int epoch : {0, 1}) {
        const std::vector<Batch> batches = Epoch(&loader, epoch);
        // The first batch has nothing left.
        ASSERT_EQ(batches.size(), 4u);
        EXPECT_EQ(batches[1].count, 3);
        EXPECT_THAT(batches[1].labels, ElementsAre(8, 10, 11));
        EXPECT_THAT(batches[1].indices, ElementsAre(8, 10, 11));
        EXPECT_EQ(batches[1].pixels.size(), 3u * 16);
        EXPECT_EQ(batches[1].pixels[16], 10);
      }
      EXPECT_THAT(told, ElementsAre("image 0", "image 1", "image 2", "image 3",
                                    "image 9"));
    }
    options.max_corrupt = 0.2;
    Loader fewer(&data, options);
    EXPECT_EQ((**fewer.Next()).labels[0], 4);
    const absl::Status status = fewer.Next().status();
    EXPECT_EQ(ErrorReason(status), "CORRUPT_IMAGE");
    EXPECT_EQ(status.message(),
              "5 images are corrupt, more than the 4 of 20 that may be: image "
              "0; image 1; image 2; image 3; image 9");
  }
}

TEST(LoaderTest, TrainingBatchesStayFullWhateverIsCorrupt) {
  Counting data(24);
  for (int64_t i = 0; i < 24; i += 2) data.broken.insert(i);
  LoaderOptions options = Training(1);
  options.batch_size = 1;
  options.max_corrupt = 0.5;
  Loader one(&data, options);
  const std::vector<Batch> expected = Epoch(&one, 0);
  ASSERT_EQ(expected.size(), 24u);
  std::set<int64_t> seen;
  for (const Batch& batch : expected) {
    EXPECT_EQ(batch.labels, batch.indices);
    EXPECT_EQ(batch.labels[0] % 2, 1);
    seen.insert(batch.labels[0]);
  }
  // Those that are whole come in their own place too.
  EXPECT_EQ(seen.size(), 12u);
  options.threads = 3;
  Loader many(&data, options);
  EXPECT_EQ(Pixels(Epoch(&many, 0)), Pixels(expected));
  const std::vector<Batch> rest = Epoch(&many, 0, 20);
  ASSERT_EQ(rest.size(), 4u);
  EXPECT_EQ(rest[0].pixels, expected[20].pixels);
}

TEST(LoaderTest, SamplesWithoutALabelAreForEvaluationAlone) {
  class Unlabelled : public Counting {
   public:
    using Counting::Counting;
    absl::StatusOr<Sample> Get(int64_t index) const override {
      auto sample = Counting::Get(index);
      sample->label = kNoLabel;
      return sample;
    }
  };
  Unlabelled data(4);
  LoaderOptions options;
  options.num_classes = 3;
  Loader loader(&data, options);
  EXPECT_THAT(Labels(Rest(&loader)), ElementsAre(-1, -1, -1, -1));
  options.training = true;
  Loader training(&data, options);
  EXPECT_EQ(ErrorReason(training.Next().status()), "LABEL_OUT_OF_RANGE");
}

TEST(LoaderTest, SamplesDrawsASubsetBySeed) {
  Counting data(100);
  LoaderOptions options;
  options.batch_size = 4;
  options.samples = 10;
  Loader loader(&data, options), again(&data, options);
  EXPECT_EQ(loader.num_samples(), 10);
  const std::vector<int64_t> labels = Labels(Rest(&loader));
  ASSERT_EQ(labels.size(), 10u);
  // In order and without replacement, and not merely the first ten.
  EXPECT_TRUE(std::is_sorted(labels.begin(), labels.end(),
                             [](int64_t a, int64_t b) { return a <= b; }));
  EXPECT_NE(labels, UpTo(10));
  EXPECT_EQ(labels, Labels(Rest(&again)));
  options.seed = 18;
  Loader other(&data, options);
  EXPECT_NE(labels, Labels(Rest(&other)));
  options.samples = 1000;
  Loader all(&data, options);
  EXPECT_EQ(all.num_samples(), 100);
}

TEST(LoaderTest, AnErrorComesInItsPlaceInTheOrder) {
  Counting data(20);
  data.broken = {9};
  LoaderOptions options;
  options.batch_size = 4;
  options.threads = 3;
  Loader loader(&data, options);
  EXPECT_TRUE(loader.Next().ok());
  EXPECT_TRUE(loader.Next().ok());
  EXPECT_EQ(ErrorReason(loader.Next().status()), "CORRUPT_IMAGE");
}

TEST(LoaderTest, ALabelThatTheModelLacksIsAnErrorWithBothNumbers) {
  Counting data(8);
  LoaderOptions options;
  options.num_classes = 7;
  Loader loader(&data, options);
  const absl::Status status = loader.Next().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ErrorReason(status), "LABEL_OUT_OF_RANGE");
  EXPECT_EQ(status.message(), "sample 7 has label 7; the model has 7 classes");
  options.num_classes = 8;
  Loader fits(&data, options);
  EXPECT_TRUE(fits.Next().ok());
}

TEST(LoaderTest, ImagesOfDifferentSizesNeedAResize) {
  Counting data(4);
  data.wide = 2;
  Loader loader(&data, {});
  const absl::Status status = loader.Next().status();
  EXPECT_EQ(ErrorReason(status), "DATA_SHAPE_MISMATCH");
  EXPECT_EQ(ErrorDetailOf(status).field, "data.preprocess.resize");
  LoaderOptions options;
  options.preprocess.resize_height = options.preprocess.resize_width = 4;
  Loader resized(&data, options);
  EXPECT_TRUE(resized.Next().ok());
}

TEST(LoaderTest, AnImageThatDoesNotFitIntoMemoryIsAnError) {
  class Huge : public Counting {
   public:
    using Counting::Counting;
    absl::StatusOr<Sample> Get(int64_t) const override {
      throw std::bad_alloc();
    }
  };
  Huge data(4);
  Loader loader(&data, {});
  const absl::Status status = loader.Next().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ErrorReason(status), "OUT_OF_MEMORY");
}

TEST(LoaderTest, ShardsTogetherAreTheBatchesOfOneLoader) {
  Counting data(20);
  LoaderOptions options;
  options.batch_size = 6;
  options.training = true;
  Loader whole(&data, options);
  const auto batches = Rest(&whole);
  std::vector<std::vector<int64_t>> parts(batches.size());
  options.shards = 2;
  for (options.shard = 0; options.shard < 2; ++options.shard) {
    Loader part(&data, options);
    EXPECT_EQ(part.batches_per_epoch(), whole.batches_per_epoch());
    const auto some = Rest(&part);
    ASSERT_EQ(some.size(), batches.size());
    for (size_t i = 0; i < some.size(); ++i) {
      EXPECT_EQ(some[i].count, 3);
      parts[i].insert(parts[i].end(), some[i].labels.begin(),
                      some[i].labels.end());
    }
  }
  for (size_t i = 0; i < batches.size(); ++i) {
    EXPECT_EQ(parts[i], batches[i].labels);
  }
}

TEST(LoaderTest, AnEmptySetHasNoBatch) {
  Counting data(0);
  for (bool training : {false, true}) {
    LoaderOptions options;
    options.training = training;
    Loader loader(&data, options);
    EXPECT_EQ(loader.batches_per_epoch(), 0);
    EXPECT_TRUE(Rest(&loader).empty());
  }
}

}  // namespace
}  // namespace condense::data
