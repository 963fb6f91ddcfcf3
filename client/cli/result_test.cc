#include "client/cli/result.h"

#include "gtest/gtest.h"

namespace condense::cli {
namespace {

constexpr char kReport[] = R"({
  "schema_version": 1, "verdict": "PASSED", "unknown": [1],
  "gates": [{"name": "max_accuracy_drop", "bound": 0.01, "value": 0.0028,
             "passed": true}],
  "baseline": {"metrics": {"top1": 0.9806}, "size_bytes": "412000", "macs": 200},
  "compressed": {"metrics": {"top1": 0.9778}, "size_bytes": 71000, "macs": 98},
  "agreement": {"top1": 0.9972},
  "warnings": [{"reason": "SLOWER", "message": "slower"}]
})";

v1::Artifact Passed() {
  v1::Artifact artifact;
  artifact.set_profile("cpu");
  artifact.set_verdict(v1::Artifact::PASSED);
  return artifact;
}

TEST(ResultTest, ReadsTheReportWithNumbersAsStringsToo) {
  Result result = ReadReport(Passed(), kReport);
  EXPECT_EQ(result.size_before, 412000);
  EXPECT_EQ(result.size_after, 71000);
  EXPECT_EQ(result.metric, "top1");
  EXPECT_EQ(result.agreement, 0.9972);
  result.report = "out/cpu/report.html";
  EXPECT_EQ(ResultTable({result}, false),
            "PROFILE  VERDICT  SIZE                      TOP1                "
            "AGREEMENT  REPORT\n"
            "cpu      PASSED   412 kB -> 71.0 kB (17 %)  98.06 % -> 97.78 %  "
            "0.997      out/cpu/report.html\n");
  EXPECT_EQ(ResultDetail(result),
            "  gate max_accuracy_drop: passed, 0.0028 of at most 0.01\n"
            "  MACs: 49 % of the original\n"
            "  warning: slower\n");
}

TEST(ResultTest, OfEmbeddingsAccuracyAndCosineAreShown) {
  const Result result = ReadReport(Passed(), R"({
    "baseline": {"metrics": {"accuracy": 0.98, "eer": 0.064, "rank1": 0.99}},
    "compressed": {"metrics": {"accuracy": 0.97, "eer": 0.065, "rank1": 0.98}},
    "agreement": {"cosine": 0.9998}})");
  EXPECT_EQ(result.metric, "accuracy");
  EXPECT_EQ(result.metric_before, 0.98);
  EXPECT_EQ(result.metric_after, 0.97);
  EXPECT_EQ(result.agreement, 0.9998);
}

TEST(ResultTest, WhatWasNotMeasuredStaysAbsent) {
  const Result result =
      ReadReport(Passed(), R"({"compressed": {"size_bytes": 5}})");
  EXPECT_FALSE(result.metric_after.has_value());
  EXPECT_EQ(ResultTable({result}, false),
            "PROFILE  VERDICT  SIZE  ACCURACY  AGREEMENT  REPORT\n"
            "cpu      PASSED   5 B   -         -\n");
}

TEST(ResultTest, BytesThatAreNoReportGiveAnEmptyResult) {
  for (const char* text : {"", "{", "[]", "null", R"({"baseline": 3})",
                           R"({"gates": {"a": 1}, "warnings": 7})"}) {
    const Result result = ReadReport(Passed(), text);
    EXPECT_EQ(result.verdict, "PASSED");
    EXPECT_FALSE(result.size_after.has_value());
  }
}

}  // namespace
}  // namespace condense::cli
