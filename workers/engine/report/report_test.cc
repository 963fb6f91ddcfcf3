#include "workers/engine/report/report.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace condense::report {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Report Example() {
  Report report;
  report.job = "digits <1>";
  report.profile = "cpu";
  report.verdict = "BELOW_ACCURACY";
  report.gates = {{"max_accuracy_drop", 0.01, 0.0, true}};
  report.baseline.metrics = {{"top1", 0.99}};
  report.baseline.size_bytes = 1000;
  report.compressed.metrics = {{"top1", 0.0}};
  report.compressed.size_bytes = 150;
  report.layers = {{.name = "conv1",
                    .op = "Conv",
                    .bits_weight = 8,
                    .sparsity = 0.25,
                    .channels_before = 16,
                    .channels_after = 8,
                    .snr_db = 41.5,
                    .size_bytes = 1234}};
  report.stages = {{.name = "prune", .technique = "l2", .seconds = 1.5}};
  report.curves["loss"] = {{0, 2.0}, {1, 1.0}};
  return report;
}

TEST(ReportJsonTest, PrintsZeroWhereItIsAValueAndOmitsWhatWasNotMeasured) {
  const auto json = nlohmann::json::parse(ToJson(Example()));
  EXPECT_EQ(json["schema_version"], 1);
  EXPECT_EQ(json["gates"][0]["value"], 0.0);
  EXPECT_EQ(json["compressed"]["metrics"]["top1"], 0.0);
  EXPECT_EQ(json["compressed"]["size_bytes"], 150);
  EXPECT_FALSE(json["compressed"].contains("macs"));
  EXPECT_FALSE(json["compressed"].contains("latency_ms"));
  EXPECT_FALSE(json.contains("agreement"));
  EXPECT_EQ(json["layers"][0]["channels_after"], 8);
  EXPECT_FALSE(json["layers"][0].contains("bits_activation"));
}

Report OfEmbeddings() {
  Report report = Example();
  report.baseline.metrics = {{"accuracy", 0.97}, {"eer", 0.064}};
  report.compressed.metrics = {{"accuracy", 0.96}, {"eer", 0.0655}};
  report.agreement = Agreement{.cosine = 0.99999, .samples = 32};
  report.embedding = Embedding{128, 200, 0.99853, 0.9912, 900, 19000};
  return report;
}

TEST(ReportJsonTest, SaysHowNearEmbeddingsAre) {
  const auto json = nlohmann::json::parse(ToJson(OfEmbeddings()));
  EXPECT_EQ(json["embedding"]["cosine_mean"], 0.99853);
  EXPECT_EQ(json["embedding"]["cosine_min"], 0.9912);
  EXPECT_EQ(json["embedding"]["genuine_pairs"], 900);
  EXPECT_EQ(json["compressed"]["metrics"]["eer"], 0.0655);
  EXPECT_FALSE(json["agreement"].contains("top1"));
  EXPECT_FALSE(nlohmann::json::parse(ToJson(Example())).contains("embedding"));
}

TEST(ReportHtmlTest, NamesTheFiguresOfVerification) {
  const std::string html = ToHtml(OfEmbeddings());
  EXPECT_THAT(html, HasSubstr("equal error rate"));
  EXPECT_THAT(html, HasSubstr("+0.15 points, was 6.40 %"));
  EXPECT_THAT(html, HasSubstr("0.9985"));
  EXPECT_THAT(html, HasSubstr("lowest 0.9912"));
  EXPECT_THAT(html, HasSubstr("900 pairs show the same, 19000 do not"));
  EXPECT_THAT(html,
              HasSubstr("1.0000</div><div class=d>mean cosine, 32 samples"));
}

TEST(ReportHtmlTest, ShowsTheVerdictAndNeedsNothingFromOutside) {
  const std::string html = ToHtml(Example());
  EXPECT_THAT(html, HasSubstr("BELOW_ACCURACY"));
  EXPECT_THAT(html, HasSubstr("15.00 % of"));
  EXPECT_THAT(html, HasSubstr("16 → 8"));
  EXPECT_THAT(html, HasSubstr("class=curve"));
  EXPECT_THAT(html, Not(HasSubstr("http")));
  EXPECT_THAT(html, Not(HasSubstr("<script")));
}

TEST(ReportHtmlTest, PlotsNothingThatWasMeasuredButNotTrained) {
  Report report = Example();
  report.curves = {{"top1", {{0, 0.97}, {0, 0.98}}}, {"loss", {}}};
  EXPECT_THAT(ToHtml(report), Not(HasSubstr("Training")));
}

TEST(ReportHtmlTest, AnUnchangedFigureHasNoSign) {
  Report report = Example();
  report.baseline.metrics = {{"top1", 0.970001}};
  report.compressed.metrics = {{"top1", 0.97}};
  EXPECT_THAT(ToHtml(report), HasSubstr("+0.00 points"));
}

TEST(ReportHtmlTest, EscapesNames) {
  const std::string html = ToHtml(Example());
  EXPECT_THAT(html, HasSubstr("digits &lt;1&gt;"));
  EXPECT_THAT(html, Not(HasSubstr("digits <1>")));
}

}  // namespace
}  // namespace condense::report
