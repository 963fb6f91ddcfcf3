#include "workers/engine/data/manifest.h"

#include "common/error.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/temp_dir.h"
#include "workers/engine/data/data_test_files.h"

namespace condense::data {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::map<std::string, std::string>& Images() {
  static const auto& images =
      *new std::map<std::string, std::string>{{"faces/1.png", FlatPng(2, 1)},
                                              {"faces/2.png", FlatPng(2, 2)},
                                              {"3.png", FlatPng(2, 3)}};
  return images;
}

// A folder with three images and the table, as t.csv.
absl::StatusOr<std::unique_ptr<Dataset>> OpenWith(const std::string& table,
                                                  bool by_file = false) {
  TempDir dir;
  for (const auto& [name, bytes] : Images()) {
    WriteBytes(dir.path() + "/" + name, bytes);
  }
  WriteBytes(dir.path() + "/t.csv", table);
  return OpenDataset(dir.path() + (by_file ? "/t.csv" : ""));
}

std::vector<int64_t> LabelsOf(const Dataset& dataset) {
  std::vector<int64_t> labels;
  for (int64_t i = 0; i < dataset.size(); ++i) {
    labels.push_back(dataset.Get(i)->label);
  }
  return labels;
}

TEST(ManifestTest, NamesLabelsAndAttributesInOrderOfName) {
  TempDir dir;
  std::map<std::string, std::string> files = Images();
  files["t.csv"] =
      "label,tilt,path,stroke\n"
      "dog,left,faces/2.png,thin\n"
      "cat,,./faces/1.png,bold\n"
      "dog,right,3.png,thin\n";
  for (const auto& [name, bytes] : files) {
    WriteBytes(dir.path() + "/folder/" + name, bytes);
  }
  WriteArchive(dir.path() + "/a.tar", files);
  WriteArchive(dir.path() + "/a.zip", files);
  WriteArchive(dir.path() + "/a.tar.gz", files);
  for (const char* path :
       {"/folder", "/folder/t.csv", "/a.tar", "/a.zip", "/a.tar.gz"}) {
    const auto data = OpenDataset(dir.path() + path);
    ASSERT_TRUE(data.ok()) << path << data.status();
    EXPECT_EQ((*data)->size(), 3);
    EXPECT_EQ((*data)->num_classes(), 2);
    EXPECT_THAT((*data)->class_names(), ElementsAre("cat", "dog"));
    EXPECT_THAT(LabelsOf(**data), ElementsAre(1, 0, 1));
    EXPECT_THAT((*data)->Get(0)->pixels, Each(2));
    EXPECT_THAT((*data)->Get(1)->pixels, Each(1));
    ASSERT_EQ((*data)->attributes().size(), 2u);
    const Attribute& tilt = (*data)->attributes()[0];
    EXPECT_EQ(tilt.name, "tilt");
    EXPECT_THAT(tilt.groups, ElementsAre("left", "right"));
    EXPECT_THAT(tilt.group_of, ElementsAre(0, -1, 1));
    const Attribute& stroke = (*data)->attributes()[1];
    EXPECT_EQ(stroke.name, "stroke");
    EXPECT_THAT(stroke.groups, ElementsAre("bold", "thin"));
    EXPECT_THAT(stroke.group_of, ElementsAre(1, 0, 1));
    EXPECT_TRUE((*data)->pairs().empty());
  }
}

TEST(ManifestTest, LabelsThatAreAllNumbersAreClassNumbers) {
  const auto data = OpenWith("path,label\n3.png,10\nfaces/1.png,2\n");
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_EQ((*data)->num_classes(), 11);
  EXPECT_TRUE((*data)->class_names().empty());
}

TEST(ManifestTest, WithoutALabelColumnThereAreNoLabels) {
  TempDir dir;
  for (const auto& [name, bytes] : Images()) {
    WriteBytes(dir.path() + "/" + name, bytes);
  }
  WriteBytes(dir.path() + "/t.csv",
             "path,tilt\n3.png,left\nfaces/1.png,right\n");
  const auto data = OpenDataset(dir.path() + "/t.csv");
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_EQ((*data)->num_classes(), 0);
  EXPECT_THAT(LabelsOf(**data), ElementsAre(kNoLabel, kNoLabel));
  EXPECT_EQ((*data)->attributes()[0].name, "tilt");
}

TEST(ManifestTest, PairListsNameEachImageOnce) {
  TempDir dir;
  for (const auto& [name, bytes] : Images()) {
    WriteBytes(dir.path() + "/" + name, bytes);
  }
  WriteBytes(dir.path() + "/pairs.csv",
             "a,b,same\n"
             "faces/2.png,faces/1.png,1\n"
             "faces/1.png,3.png,false\n"
             "faces/2.png,3.png,0\n");
  const auto data = OpenDataset(dir.path() + "/pairs.csv");
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_EQ((*data)->size(), 3);
  EXPECT_EQ((*data)->num_classes(), 0);
  EXPECT_THAT(LabelsOf(**data), Each(kNoLabel));
  EXPECT_THAT((*data)->Get(0)->pixels, Each(2));
  std::vector<std::vector<int64_t>> pairs;
  for (const Pair& pair : (*data)->pairs()) {
    pairs.push_back({pair.a, pair.b, pair.same});
  }
  EXPECT_THAT(pairs, ElementsAre(ElementsAre(0, 1, 1), ElementsAre(1, 2, 0),
                                 ElementsAre(0, 2, 0)));
}

TEST(ManifestTest, MistakesAreNamedWithLineColumnAndNearestName) {
  struct Case {
    const char* table;
    const char* message;
    const char* nearest;
  };
  const Case cases[] = {
      {"path,lable\n3.png,1\n",
       "/t.csv:1: there is no column 'label', only path, lable", "lable"},
      {"a,b,sane\n3.png,3.png,1\n",
       "/t.csv:1: there is no column 'same', only a, b, sane", "sane"},
      {"path,label\n3.png,1\nfaces/4.png,1\n",
       "/t.csv:3, column path: there is no file 'faces/4.png'", "faces/1.png"},
      {"path,label\n../3.png,1\n",
       "/t.csv:2, column path: '../3.png' is outside of the data", ""},
      {"path,label\n/etc/passwd,1\n",
       "/t.csv:2, column path: '/etc/passwd' is outside of the data", ""},
      {"path,label\n,1\n", "/t.csv:2, column path: the cell is empty", ""},
      {"path,label\n3.png,\n", "/t.csv:2, column label: the cell is empty", ""},
      {"path,label\n3.png,-1\n",
       "/t.csv:2, column label: no class has the number -1", ""},
      {"a,b,same\n3.png,3.png,maybe\n",
       "/t.csv:2, column same: 'maybe' is neither 1 nor 0", ""},
      {"path,label\n", "/t.csv:1: there is no row below the header", ""}};
  for (const bool by_file : {true, false}) {
    for (const Case& c : cases) {
      const auto data = OpenWith(c.table, by_file);
      // A folder with one class folder is that when its table is no manifest.
      EXPECT_EQ(ErrorReason(data.status()), "BAD_MANIFEST") << c.table;
      EXPECT_THAT(std::string(data.status().message()), HasSubstr(c.message));
      EXPECT_EQ(ErrorDetailOf(data.status()).nearest, c.nearest) << c.table;
    }
  }
}

TEST(ManifestTest, ATableOfSomethingElseBesideClassFoldersIsANote) {
  const auto data = OpenWith("author,year\nme,2020\n");
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_THAT((*data)->class_names(), ElementsAre("faces"));
}

TEST(ManifestTest, TrainAndTestTablesAreTwoParts) {
  TempDir dir;
  for (const auto& [name, bytes] : Images()) {
    WriteBytes(dir.path() + "/" + name, bytes);
  }
  WriteBytes(dir.path() + "/train.csv", "path,label\n3.png,3\n");
  WriteBytes(dir.path() + "/test.csv", "path,label\nfaces/1.png,1\n");
  EXPECT_THAT(LabelsOf(**OpenDataset(dir.path())), ElementsAre(3));
  EXPECT_THAT(LabelsOf(**OpenDataset(dir.path(), Part::kTest)), ElementsAre(1));
  WriteBytes(dir.path() + "/more.csv", "path,label\nfaces/1.png,1\n");
  const auto data = OpenDataset(dir.path());
  EXPECT_EQ(ErrorReason(data.status()), "UNKNOWN_DATA_FORMAT");
  EXPECT_THAT(std::string(data.status().message()),
              HasSubstr("more.csv, test.csv, train.csv"));
}

}  // namespace
}  // namespace condense::data
