#include "workers/engine/data/dataset.h"

#include "common/error.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/shared_dir.h"
#include "tests/testing/temp_dir.h"
#include "workers/engine/data/data_test_files.h"

namespace condense::data {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<int64_t> LabelsOf(const Dataset& dataset) {
  std::vector<int64_t> labels;
  for (int64_t i = 0; i < dataset.size(); ++i) {
    labels.push_back(dataset.Get(i)->label);
  }
  return labels;
}

void ExpectError(const std::string& path, const std::string& reason,
                 const std::string& named) {
  const auto dataset = OpenDataset(path);
  EXPECT_EQ(ErrorReason(dataset.status()), reason) << dataset.status();
  EXPECT_THAT(std::string(dataset.status().message()), HasSubstr(named));
}

// Two images of 2 x 3 pixels, with labels 4 and 1.
const char kPixels[] = "\x01\x02\x03\x04\x05\x06\x0b\x0c\x0d\x0e\x0f\xff";
std::string TwoImages() { return IdxImages(2, 2, 3, std::string(kPixels, 12)); }
std::string TwoLabels() { return IdxLabels("\x04\x01"); }

void ExpectTwoImages(const std::string& path) {
  auto dataset = OpenDataset(path);
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  EXPECT_EQ((*dataset)->size(), 2);
  EXPECT_EQ((*dataset)->num_classes(), 5);
  const auto sample = (*dataset)->Get(1);
  EXPECT_EQ(sample->height, 2);
  EXPECT_EQ(sample->width, 3);
  EXPECT_EQ(sample->channels, 1);
  EXPECT_THAT(sample->pixels, ElementsAre(11, 12, 13, 14, 15, 255));
  EXPECT_THAT(LabelsOf(**dataset), ElementsAre(4, 1));
}

TEST(DatasetTest, ReadsIdxPlainPackedAndInArchives) {
  TempDir dir;
  WriteBytes(dir.path() + "/plain/t-images-idx3-ubyte", TwoImages());
  WriteBytes(dir.path() + "/plain/t-labels-idx1-ubyte", TwoLabels());
  ExpectTwoImages(dir.path() + "/plain");
  WriteBytes(dir.path() + "/gz/images.gz", GzipBytes(TwoImages()));
  WriteBytes(dir.path() + "/gz/labels.gz", GzipBytes(TwoLabels()));
  ExpectTwoImages(dir.path() + "/gz");
  for (const char* name : {"/d.tar", "/d.zip"}) {
    WriteArchive(dir.path() + name, {{"mnist/images", TwoImages()},
                                     {"mnist/labels", TwoLabels()}});
    ExpectTwoImages(dir.path() + name);
  }
}

TEST(DatasetTest, IdxErrorsNameTheFile) {
  TempDir dir;
  const std::string images = dir.path() + "/images";
  const std::string labels = dir.path() + "/labels";
  WriteBytes(labels, TwoLabels());
  const std::string good = TwoImages();
  std::string magic = good;
  magic[3] = 1;
  // Cut in the pixels and in the header, the magic of labels, a width of
  // zero and a height that is negative as an int.
  for (const std::string& bytes :
       {good.substr(0, good.size() - 1), good.substr(0, 9), magic,
        IdxImages(2, 2, 0, ""),
        IdxImages(2, 0x80000002u, 3, std::string(kPixels, 12))}) {
    WriteBytes(images, bytes);
    ExpectError(dir.path(), "CORRUPT_DATA", images);
  }
  WriteBytes(labels, IdxLabels(""));
  WriteBytes(images, IdxImages(0, 2, 3, ""));
  ExpectError(dir.path(), "CORRUPT_DATA", images);
  WriteBytes(images, good);
  // One label too many, cut, and the magic of images.
  for (const std::string& bytes : {IdxLabels("abc"), TwoLabels().substr(0, 9),
                                   BigEndianBytes(0x803) + "12345678"}) {
    WriteBytes(labels, bytes);
    ExpectError(dir.path(), "CORRUPT_DATA", labels);
  }
}

TEST(DatasetTest, ADamagedGzipNamesTheFile) {
  TempDir dir;
  const std::string packed = GzipBytes(TwoImages());
  WriteBytes(dir.path() + "/images.gz", packed.substr(0, packed.size() - 12));
  WriteBytes(dir.path() + "/labels.gz", GzipBytes(TwoLabels()));
  ExpectError(dir.path(), "CORRUPT_DATA", dir.path() + "/images.gz");
}

// A record whose planes hold red, green, blue and, in the last pixel, 7, 8, 9.
std::string CifarRecord(char label, char red, char green, char blue) {
  std::string record(1, label);
  for (auto [value, last] :
       {std::pair<char, char>{red, 7}, {green, 8}, {blue, 9}}) {
    record += std::string(1023, value) + last;
  }
  return record;
}

TEST(DatasetTest, ReadsCifarBatchesInOrderOfName) {
  TempDir dir;
  WriteBytes(dir.path() + "/data_batch_2.bin", CifarRecord(9, 1, 2, 3));
  WriteBytes(dir.path() + "/data_batch_1.bin",
             CifarRecord(3, 10, 20, 30) + CifarRecord(5, 4, 5, 6));
  auto dataset = OpenDataset(dir.path());
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  EXPECT_THAT(LabelsOf(**dataset), ElementsAre(3, 5, 9));
  EXPECT_EQ((*dataset)->num_classes(), 10);
  const auto sample = (*dataset)->Get(0);
  EXPECT_EQ(sample->height, 32);
  EXPECT_EQ(sample->channels, 3);
  // Planes become pixels: red, green and blue side by side.
  EXPECT_EQ(
      std::vector<uint8_t>(sample->pixels.begin(), sample->pixels.begin() + 3),
      (std::vector<uint8_t>{10, 20, 30}));
  EXPECT_EQ(
      std::vector<uint8_t>(sample->pixels.end() - 3, sample->pixels.end()),
      (std::vector<uint8_t>{7, 8, 9}));
}

TEST(DatasetTest, APublishedFolderIsReadByThePartThatIsMeant) {
  TempDir dir;
  const std::string batches = dir.path() + "/cifar-10-batches-bin";
  WriteBytes(batches + "/data_batch_1.bin", CifarRecord(1, 0, 0, 0));
  WriteBytes(batches + "/data_batch_2.bin", CifarRecord(2, 0, 0, 0));
  WriteBytes(batches + "/test_batch.bin", CifarRecord(9, 0, 0, 0));
  WriteBytes(batches + "/batches.meta.txt", "airplane");
  const std::string mnist = dir.path() + "/mnist";
  WriteBytes(mnist + "/train-images-idx3-ubyte", TwoImages());
  WriteBytes(mnist + "/train-labels-idx1-ubyte", IdxLabels("\x01\x02"));
  WriteBytes(mnist + "/t10k-images-idx3-ubyte", TwoImages());
  WriteBytes(mnist + "/t10k-labels-idx1-ubyte", IdxLabels("\x09\x09"));
  const std::string nested = dir.path() + "/nested";
  WriteBytes(nested + "/train/images", TwoImages());
  WriteBytes(nested + "/train/labels", IdxLabels("\x01\x02"));
  WriteBytes(nested + "/test/images", TwoImages());
  WriteBytes(nested + "/test/labels", IdxLabels("\x09\x09"));
  const std::string folders = dir.path() + "/folders";
  for (const char* name : {"train/a", "train/b", "val/c"}) {
    WriteBytes(folders + "/" + name + "/1.png", FlatPng(2, 5));
  }
  for (const std::string& path : {batches, mnist, nested}) {
    EXPECT_THAT(LabelsOf(**OpenDataset(path, Part::kTrain)), ElementsAre(1, 2));
    EXPECT_THAT(LabelsOf(**OpenDataset(path, Part::kTest)), Each(9));
  }
  EXPECT_THAT((*OpenDataset(folders, Part::kTrain))->class_names(),
              ElementsAre("a", "b"));
  EXPECT_THAT((*OpenDataset(folders, Part::kTest))->class_names(),
              ElementsAre("c"));
}

TEST(DatasetTest, AFolderWithOnePartIsThatWhateverIsMeant) {
  TempDir dir;
  WriteBytes(dir.path() + "/test_batch.bin", CifarRecord(9, 0, 0, 0));
  for (const Part part : {Part::kTrain, Part::kTest}) {
    EXPECT_THAT(LabelsOf(**OpenDataset(dir.path(), part)), ElementsAre(9));
  }
  // Classes that are called so, not parts.
  TempDir toys;
  for (const char* name : {"train", "truck"}) {
    WriteBytes(toys.path() + "/" + name + "/x/1.png", FlatPng(2, 5));
  }
  EXPECT_THAT((*OpenDataset(toys.path()))->class_names(),
              ElementsAre("train", "truck"));
}

TEST(DatasetTest, Cifar100CountsTheFineLabel) {
  TempDir dir;
  WriteBytes(dir.path() + "/train.bin", "\x03" + CifarRecord(77, 1, 2, 3) +
                                            "\x04" + CifarRecord(99, 4, 5, 6));
  auto dataset = OpenDataset(dir.path());
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  EXPECT_THAT(LabelsOf(**dataset), ElementsAre(77, 99));
  EXPECT_EQ((*dataset)->Get(1)->pixels[0], 4);
}

TEST(DatasetTest, AlignedClassesHaveTheSameLabelInEverySet) {
  TempDir dir;
  for (const char* name : {"train/a", "train/b", "test/b"}) {
    WriteBytes(dir.path() + "/" + name + "/1.png", FlatPng(2, 5));
  }
  auto test = *OpenDataset(dir.path(), Part::kTest);
  EXPECT_THAT(LabelsOf(*test), ElementsAre(0));
  test->AlignClasses((*OpenDataset(dir.path()))->class_names());
  EXPECT_THAT(LabelsOf(*test), ElementsAre(1));
  EXPECT_EQ(test->num_classes(), 2);
}

TEST(DatasetTest, ACifarBatchWithHalfARecordIsCorrupt) {
  TempDir dir;
  const std::string path = dir.path() + "/data_batch_1.bin";
  WriteBytes(path, CifarRecord(1, 1, 1, 1) + "half");
  ExpectError(dir.path(), "CORRUPT_DATA", path);
  WriteBytes(path, "");
  ExpectError(dir.path(), "CORRUPT_DATA", path);
}

TEST(DatasetTest, ClassFoldersAreClassesInOrderOfName) {
  TempDir dir;
  WriteBytes(dir.path() + "/dog/b.PNG", FlatPng(4, 20));
  WriteBytes(dir.path() + "/cat/x.jpeg", FlatJpeg(4, 10));
  WriteBytes(dir.path() + "/dog/a.jpg", FlatJpeg(4, 30));
  WriteBytes(dir.path() + "/ant/deep/1.png", FlatPng(4, 40));
  WriteBytes(dir.path() + "/README", "not an image");
  auto dataset = OpenDataset(dir.path());
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  EXPECT_EQ((*dataset)->num_classes(), 3);
  EXPECT_THAT(LabelsOf(**dataset), ElementsAre(0, 1, 2, 2));
  EXPECT_THAT((*dataset)->Get(0)->pixels, Each(40));
  EXPECT_THAT((*dataset)->Get(1)->pixels, Each(10));
  EXPECT_THAT((*dataset)->Get(2)->pixels, Each(30));
  EXPECT_THAT((*dataset)->Get(3)->pixels, Each(20));
}

TEST(DatasetTest, AnArchiveOfOneFolderIsThatFolder) {
  TempDir dir;
  const std::map<std::string, std::string> bare = {{"a/1.png", FlatPng(2, 5)},
                                                   {"b/2.jpg", FlatJpeg(8, 6)}};
  std::map<std::string, std::string> wrapped, noted;
  for (const auto& [name, bytes] : bare) wrapped["train/" + name] = bytes;
  noted = wrapped;
  noted["README.txt"] = "about this data";
  int number = 0;
  for (const auto& files : {bare, wrapped, noted}) {
    for (const char* ending : {".tar", ".zip", ".tar.gz"}) {
      const std::string path =
          dir.path() + "/" + std::to_string(number++) + ending;
      WriteArchive(path, files);
      auto dataset = OpenDataset(path);
      ASSERT_TRUE(dataset.ok()) << path << dataset.status();
      EXPECT_EQ((*dataset)->num_classes(), 2) << path;
      EXPECT_THAT(LabelsOf(**dataset), ElementsAre(0, 1)) << path;
      EXPECT_THAT((*dataset)->Get(1)->pixels, Each(6)) << path;
    }
  }
}

TEST(DatasetTest, ACorruptImageIsNamedWhenItIsRead) {
  TempDir dir;
  const std::string jpeg = FlatJpeg(16, 90), png = FlatPng(16, 90);
  WriteBytes(dir.path() + "/a/0.png", png);
  WriteBytes(dir.path() + "/a/1.jpg", jpeg.substr(0, jpeg.size() - 20));
  WriteBytes(dir.path() + "/a/2.png", png.substr(0, png.size() / 2));
  WriteBytes(dir.path() + "/a/3.png", "");
  auto dataset = OpenDataset(dir.path());
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  EXPECT_TRUE((*dataset)->Get(0).ok());
  const char* names[] = {"", "/a/1.jpg", "/a/2.png", "/a/3.png"};
  for (int i = 1; i <= 3; ++i) {
    const auto sample = (*dataset)->Get(i);
    EXPECT_EQ(ErrorReason(sample.status()), "CORRUPT_IMAGE") << names[i];
    EXPECT_THAT(std::string(sample.status().message()),
                HasSubstr(dir.path() + names[i]));
  }
}

TEST(DatasetTest, ImagesSideBySideHaveNoLabels) {
  TempDir dir;
  WriteBytes(dir.path() + "/1.png", FlatPng(2, 1));
  WriteBytes(dir.path() + "/2.png", FlatPng(2, 7));
  const auto images = OpenDataset(dir.path());
  ASSERT_TRUE(images.ok()) << images.status();
  EXPECT_EQ((*images)->num_classes(), 0);
  EXPECT_THAT(LabelsOf(**images), ElementsAre(kNoLabel, kNoLabel));
  EXPECT_THAT((*images)->Get(1)->pixels, Each(7));
  // Beside folders of classes they are left out.
  WriteBytes(dir.path() + "/cat/3.png", FlatPng(2, 3));
  EXPECT_THAT(LabelsOf(**OpenDataset(dir.path())), ElementsAre(0));
}

TEST(DatasetTest, EmptyUnknownAndMissingPathsSaySo) {
  TempDir dir;
  std::filesystem::create_directory(dir.path() + "/empty");
  ExpectError(dir.path() + "/empty", "EMPTY_FOLDER", "empty");
  ExpectError(dir.path() + "/none", "DATA_NOT_FOUND", "none");
  WriteBytes(dir.path() + "/text/a.txt", "text");
  ExpectError(dir.path() + "/text", "UNKNOWN_DATA_FORMAT", "text");
  // A set without its labels.
  for (const char* name : {"train-images", "train-labels", "test-images"}) {
    WriteBytes(dir.path() + "/two/" + name, TwoImages());
  }
  const auto test = OpenDataset(dir.path() + "/two", Part::kTest);
  EXPECT_EQ(ErrorReason(test.status()), "UNKNOWN_DATA_FORMAT");
}

TEST(DatasetTest, ReadsTheTestSetOfMnist) {
  const std::string shared = testing::SharedDir();
  if (shared.empty()) GTEST_SKIP() << "CONDENSE_SHARED is not there";
  TempDir dir;
  for (const char* name :
       {"t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"}) {
    std::filesystem::create_symlink(
        std::filesystem::absolute(shared + "/data/mnist/" + name),
        dir.path() + "/" + name);
  }
  auto dataset = OpenDataset(dir.path());
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  EXPECT_EQ((*dataset)->size(), 10000);
  EXPECT_EQ((*dataset)->num_classes(), 10);
  EXPECT_EQ((*dataset)->Get(0)->height, 28);
  // As everybody's tutorial prints them.
  EXPECT_EQ((*dataset)->Get(0)->label, 7);
  EXPECT_EQ((*dataset)->Get(1)->label, 2);
}

TEST(DatasetTest, ReadsTheFacesOfOrl) {
  const std::string shared = testing::SharedDir();
  if (shared.empty()) GTEST_SKIP() << "CONDENSE_SHARED is not there";
  auto dataset =
      OpenDataset(shared + "/data/orl_faces/orl_faces_s1-s20.tar.xz");
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  EXPECT_EQ((*dataset)->size(), 200);
  EXPECT_EQ((*dataset)->num_classes(), 20);
  const auto sample = (*dataset)->Get(0);
  ASSERT_TRUE(sample.ok()) << sample.status();
  EXPECT_EQ(sample->height, 112);
  EXPECT_EQ(sample->width, 92);
  EXPECT_EQ(sample->channels, 1);
}

TEST(DatasetTest, ReadsTheJpegsOfCifar10FromATarXz) {
  const std::string shared = testing::SharedDir();
  if (shared.empty()) GTEST_SKIP() << "CONDENSE_SHARED is not there";
  auto dataset =
      OpenDataset(shared + "/data/cifar10-jpg/cifar10_test_jpg.tar.xz");
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  EXPECT_EQ((*dataset)->size(), 10000);
  EXPECT_EQ((*dataset)->num_classes(), 10);
  std::vector<int> counts(10);
  for (int64_t i = 0; i < 10000; i += 100) {
    const auto sample = (*dataset)->Get(i);
    ASSERT_TRUE(sample.ok()) << sample.status();
    EXPECT_EQ(sample->pixels.size(), 32u * 32 * 3);
    ++counts[sample->label];
  }
  EXPECT_THAT(counts, Each(10));
}

}  // namespace
}  // namespace condense::data
