#include "workers/engine/import/pickle_check.h"

#include <map>

#include "absl/strings/str_cat.h"
#include "common/error.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace condense::torchscript_import {
namespace {

// Pickles are written with these, as LibTorch's Pickler writes them.
const char kStart[] = "\x80\x02";
std::string Global(const std::string& module, const std::string& name) {
  return "c" + module + "\n" + name + "\n";
}
std::string Text(const std::string& text) {
  std::string out = "X";
  for (int i = 0; i < 4; ++i) {
    out += static_cast<char>((text.size() >> (8 * i)) & 255);
  }
  return out + text;
}
std::string Int(int64_t value) {
  std::string out = "\x8a\x08";
  for (int i = 0; i < 8; ++i) {
    out += static_cast<char>((static_cast<uint64_t>(value) >> (8 * i)) & 255);
  }
  return out;
}
std::string Ints(const std::vector<int64_t>& values) {
  std::string out = "(";
  for (int64_t value : values) out += Int(value);
  return out + "t";
}
std::string Storage(const std::string& key, int64_t count,
                    const std::string& type = "FloatStorage") {
  return "(" + Text("storage") + Global("torch", type) + Text(key) +
         Text("cpu") + Int(count) + "tQ";
}
std::string Tensor(const std::string& storage, int64_t offset,
                   const std::vector<int64_t>& sizes,
                   const std::vector<int64_t>& strides) {
  return Global("torch._utils", "_rebuild_tensor_v2") + "(" + storage +
         Int(offset) + Ints(sizes) + Ints(strides) + "\x89" +
         Global("collections", "OrderedDict") + ")RtR";
}

std::string Reason(const std::string& body) {
  // One record of 48 bytes: 12 floats.
  const std::map<std::string, int64_t> records = {{"0", 48}};
  return std::string(ErrorReason(
      CheckPickle(kStart + body + ".",
                  [&](const std::string& key) -> std::optional<int64_t> {
                    auto it = records.find(key);
                    if (it == records.end()) return std::nullopt;
                    return it->second;
                  })));
}

TEST(PickleCheckTest, AModuleWithATensorPasses) {
  const std::string module =
      Global("__torch__", "Net") + ")\x81}(" + Text("training") + "\x89" +
      Text("weight") + "q\x05" + Tensor(Storage("0", 12), 0, {3, 4}, {4, 1}) +
      "h\x05" + Tensor(Storage("0", 12), 2, {2, 5}, {5, 1}) + "ub";
  EXPECT_EQ(Reason(module), "");
}

TEST(PickleCheckTest, ATensorStaysInsideOfItsStorage) {
  EXPECT_EQ(Reason(Tensor(Storage("0", 12), 1, {3, 4}, {4, 1})), "NOT_A_MODEL");
  EXPECT_EQ(Reason(Tensor(Storage("0", 12), 0, {2}, {12})), "NOT_A_MODEL");
  EXPECT_EQ(Reason(Tensor(Storage("0", 12), -1, {3}, {1})), "NOT_A_MODEL");
  EXPECT_EQ(Reason(Tensor(Storage("0", 12), 11, {3}, {-1})), "NOT_A_MODEL");
  EXPECT_EQ(Reason(Tensor(Storage("0", 12), 0, {3, 4}, {4})), "NOT_A_MODEL");
  EXPECT_EQ(
      Reason(Tensor(Storage("0", 12), 0, {INT64_MAX, INT64_MAX, INT64_MAX},
                    {INT64_MAX, INT64_MAX, INT64_MAX})),
      "NOT_A_MODEL");
  EXPECT_EQ(Reason(Tensor(Storage("0", 12), 0, {1000, 0}, {1000, 1})), "");
}

TEST(PickleCheckTest, AStorageStaysInsideOfItsRecord) {
  EXPECT_EQ(Reason(Tensor(Storage("0", 13), 0, {13}, {1})), "NOT_A_MODEL");
  EXPECT_EQ(Reason(Tensor(Storage("1", 12), 0, {12}, {1})), "NOT_A_MODEL");
  EXPECT_EQ(Reason(Tensor(Storage("0", 12, "LongStorage"), 0, {1}, {1})),
            "NOT_A_MODEL");
  EXPECT_EQ(Reason(Tensor(Storage("0", -1), 0, {0}, {1})), "NOT_A_MODEL");
}

TEST(PickleCheckTest, OnlyWhatModelsNeedIsNamed) {
  EXPECT_EQ(Reason(Global("os", "system") + Text("true") + "\x85R"),
            "NOT_A_MODEL");
  EXPECT_EQ(Reason(Global("builtins", "eval")), "NOT_A_MODEL");
  EXPECT_EQ(Reason(Global("torch._utils", "_rebuild_qtensor")),
            "UNSUPPORTED_MODULE");
  EXPECT_EQ(Reason(Global("__torch__.torch.classes.quantized",
                          "Conv2dPackedParamsBase")),
            "UNSUPPORTED_MODULE");
}

TEST(PickleCheckTest, ARefusedNameIsQuotedIfItIsText) {
  const StorageSize none = [](const std::string&) { return std::nullopt; };
  EXPECT_THAT(
      CheckPickle("\x80\x02" + Global("os", "system") + ".", none).message(),
      testing::HasSubstr("names 'os system'"));
  EXPECT_THAT(
      CheckPickle("\x80\x02" + Global("os", "\xff") + ".", none).message(),
      testing::HasSubstr("names '(not text)'"));
}

TEST(PickleCheckTest, AMachineThatCannotGoOnIsAnError) {
  for (const std::string& body :
       {std::string("h\x07"), std::string("t"), std::string("R"),
        std::string("Q"), std::string("\x81"), std::string("u"),
        std::string("b"), std::string("NN"), std::string("i"),
        std::string("q\x01"), std::string("((t"), std::string("X\xff"),
        std::string("\x8a\x09")}) {
    EXPECT_EQ(Reason(body), "NOT_A_MODEL") << body;
  }
  EXPECT_EQ(ErrorReason(CheckPickle("\x80\x02N", nullptr)), "NOT_A_MODEL");
}

TEST(PickleCheckTest, DeepTuplesAreRefused) {
  EXPECT_EQ(Reason("N" + std::string(90, '\x85')), "");
  EXPECT_EQ(Reason("N" + std::string(1'000'000, '\x85')), "NOT_A_MODEL");
}

}  // namespace
}  // namespace condense::torchscript_import
