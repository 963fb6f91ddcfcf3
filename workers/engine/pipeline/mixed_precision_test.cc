#include "workers/engine/pipeline/mixed_precision.h"

#include <set>

#include "common/error.h"
#include "common/profiles/profiles.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "workers/engine/graph/infer_shapes.h"
#include "workers/engine/pipeline/digits_job_test_util.h"
#include "workers/engine/pipeline/quantize_settings.h"
#include "workers/engine/quantization/quantization_test_graphs.h"

namespace condense::pipeline {
namespace {

using graph::Graph;
using graph::ValueId;

constexpr char kVnni[] = "onnxruntime-cpu-x86-vnni";
constexpr char kAvx2[] = "onnxruntime-cpu-x86-avx2";
constexpr char kInt4[] = "onnxruntime-opset21-int4";

// Two convolutions on images of 6 x 6: 36 and 72 weights, 36 places each.
Graph TwoConvolutions() {
  Graph g;
  const ValueId x = quantization::Image(&g, 2);
  const ValueId y = quantization::Conv(&g, "first", x, 2, 2);
  g.AddOutput(quantization::Conv(&g, "second", y, 2, 4));
  EXPECT_TRUE(graph::InferShapes(g).ok());
  return g;
}

absl::StatusOr<WidthQuestion> Ask(const std::string& keys,
                                  const std::string& profile_id) {
  auto parsed =
      recipe::ParseRecipe("stages: [quantize: {mode: ptq, " + keys + "}]");
  if (!parsed.ok()) return parsed.status();
  v1::Recipe resolved = parsed->recipe;
  recipe::ResolveRecipe(&resolved);
  const v1::DeviceProfile profile = *profiles::LoadProfile(profile_id);
  const Graph g = TwoConvolutions();
  const v1::Quantize& quantize = resolved.stages(0).quantize();
  const auto numerics = NumericsOf(*parsed, quantize, 0, profile, g);
  if (!numerics.ok()) return numerics.status();
  return AskForWidths({*parsed, quantize, 0, profile}, *numerics, g);
}

std::string Mixed(const std::string& target, const std::string& more = "") {
  return "mixed_precision: {" + more + "target: {" + target + "}}";
}

std::vector<double> CostsOf(const WidthQuestion& question, size_t layer) {
  std::vector<double> costs;
  for (const auto& choice : question.choices[layer]) {
    costs.push_back(choice.cost);
  }
  return costs;
}

TEST(AskForWidthsTest, CostsAreThoseOfTheTarget) {
  const auto mean = Ask(Mixed("mean_bits: 4"), kVnni);
  ASSERT_TRUE(mean.ok()) << mean.status();
  ASSERT_EQ(mean->layers.size(), 2u);
  EXPECT_EQ(mean->layers[1].name, "second");
  EXPECT_EQ(mean->fixed, 0);
  // 2, 4 and 8 bits of a third and of two thirds of the weights.
  EXPECT_THAT(CostsOf(*mean, 0),
              testing::ElementsAre(2 / 3.0, 4 / 3.0, 8 / 3.0));
  EXPECT_THAT(CostsOf(*mean, 1),
              testing::ElementsAre(4 / 3.0, 8 / 3.0, 16 / 3.0));

  const auto bops = Ask(
      Mixed("bops: 1e6", "bits: [3, 8], ") + ", activations: {bits: 5}", kVnni);
  ASSERT_TRUE(bops.ok()) << bops.status();
  EXPECT_THAT(CostsOf(*bops, 0),
              testing::ElementsAre(36 * 36 * 3 * 5, 36 * 36 * 8 * 5));
  EXPECT_THAT(CostsOf(*bops, 1),
              testing::ElementsAre(72 * 36 * 3 * 5, 72 * 36 * 8 * 5));
  EXPECT_EQ(bops->fixed, 0);
}

TEST(AskForWidthsTest, BytesAreThoseThatTheProfileStores) {
  const auto packed = Ask(Mixed("size_bytes: 100000"), kInt4);
  ASSERT_TRUE(packed.ok()) << packed.status();
  EXPECT_THAT(CostsOf(*packed, 0), testing::ElementsAre(18, 18, 36));
  const auto bytes = Ask(Mixed("size_bytes: 100000"), kVnni);
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  EXPECT_THAT(CostsOf(*bytes, 0), testing::ElementsAre(36, 36, 36));
  EXPECT_GT(bytes->fixed, 100);
  // A layer this small waits for its weights, a bias of 8 bytes and the 72 that
  // it puts out, at 1e10 bytes a second.
  const auto latency = Ask(Mixed("latency_ms: 1", "bits: [4, 8], "), kInt4);
  ASSERT_TRUE(latency.ok()) << latency.status();
  EXPECT_THAT(
      CostsOf(*latency, 0),
      testing::ElementsAre(testing::DoubleNear((18 + 8 + 72) / 1e7, 1e-12),
                           testing::DoubleNear((36 + 8 + 72) / 1e7, 1e-12)));
}

TEST(AskForWidthsTest, OverridesFixWidthsAndSkippedLayersAreNoChoice) {
  const auto fixed = Ask(
      Mixed("mean_bits: 6") + ", overrides: [{match: first, bits: 7}]", kVnni);
  ASSERT_TRUE(fixed.ok()) << fixed.status();
  EXPECT_THAT(CostsOf(*fixed, 0), testing::ElementsAre(7 / 3.0));
  EXPECT_EQ(fixed->choices[1].size(), 3u);
  const auto skipped = Ask(
      Mixed("bops: 1e9") + ", overrides: [{match: first, skip: true}]", kVnni);
  ASSERT_TRUE(skipped.ok()) << skipped.status();
  EXPECT_EQ(skipped->layers.size(), 1u);
  EXPECT_EQ(skipped->fixed, 36 * 36 * 32 * 32);
}

TEST(AskForWidthsTest, SaysWhatIsReachable) {
  const absl::Status mean =
      Ask(Mixed("mean_bits: 2.5", "bits: [3, 4], "), kVnni).status();
  EXPECT_EQ(ErrorReason(mean), "TARGET_UNREACHABLE");
  EXPECT_EQ(ErrorDetailOf(mean).field,
            "stages[0].quantize.mixed_precision.target.mean_bits");
  EXPECT_THAT(
      std::string(mean.message()),
      testing::HasSubstr("with the fewest bits in every layer it is 3"));
  const absl::Status size = Ask(Mixed("size_bytes: 100"), kVnni).status();
  EXPECT_EQ(ErrorReason(size), "TARGET_UNREACHABLE");
  EXPECT_THAT(ErrorDetailOf(size).hint, testing::HasSubstr("mean_bits"));
  EXPECT_EQ(
      ErrorReason(Ask(Mixed("mean_bits: 4", "bits: [2, 8], "), kAvx2).status()),
      "PROFILE_CANNOT");
}

class MixedPrecisionJobTest : public DigitsJobTest {
 protected:
  // The mean, and how many widths there are, by the report.
  struct Widths {
    double mean = 0;
    std::set<int> all;
  };
  static Widths WidthsIn(const nlohmann::json& report) {
    Widths widths;
    double bits = 0, elements = 0;
    for (const auto& layer : report["layers"]) {
      const int width = layer["bits_weight"];
      const double bytes = layer["size_bytes"];
      bits += width * bytes;
      elements += bytes;
      widths.all.insert(width);
    }
    widths.mean = bits / elements;
    return widths;
  }
};

TEST_F(MixedPrecisionJobTest, TheMeanIsKeptAndTheChoiceIsInReportAndLog) {
  for (const std::string sensitivity : {"kl", "hessian"}) {
    const std::string job =
        WriteJob(sensitivity,
                 "mode: ptq, mixed_precision: {sensitivity: " + sensitivity +
                     ", bits: [2, 3, 4, 5, 6, 8], target: {mean_bits: 4}}",
                 kVnni);
    const JobResult result = Run(job);
    ASSERT_TRUE(result.status.ok()) << result.status;
    const auto report = Report(job, kVnni);
    const Widths widths = WidthsIn(report);
    EXPECT_LE(widths.mean, 4);
    EXPECT_GT(widths.mean, 3.5) << "bits are left";
    EXPECT_GE(widths.all.size(), 2u);
    EXPECT_GT(report["compressed"]["metrics"]["top1"], 0.9);
    EXPECT_THAT(sink_.text, testing::HasSubstr("mixed precision: mean of"));
  }
}

TEST_F(MixedPrecisionJobTest, ATargetThatNoFileReachesIsRefusedAtOnce) {
  const JobResult refused = Run(
      WriteJob("refused", "mode: ptq, " + Mixed("size_bytes: 1000"), kInt4));
  EXPECT_EQ(ErrorReason(refused.status), "TARGET_UNREACHABLE");
  EXPECT_EQ(sink_.text.find("CALIBRATING"), std::string::npos) << sink_.text;
}

TEST_F(MixedPrecisionJobTest, TheFileFillsItsTargetWithFourAndEightBits) {
  const auto size_under = [this](const std::string& target, Widths* widths) {
    const std::string job = WriteJob("at" + target.substr(target.size() - 5),
                                     "mode: ptq, " + Mixed(target), kInt4);
    const JobResult result = Run(job);
    EXPECT_TRUE(result.status.ok()) << result.status;
    if (!result.status.ok()) return 0.0;
    const auto report = Report(job, kInt4);
    // Narrower than 4 would save nothing.
    for (const auto& layer : report["layers"]) {
      widths->all.insert(layer["bits_weight"].get<int>());
    }
    return report["compressed"]["size_bytes"].get<double>();
  };
  Widths loose, tight, middle;
  const double eight = size_under("size_bytes: 900000", &loose);
  EXPECT_EQ(loose.all, (std::set<int>{8}));
  // The least that 4 bits everywhere take stands in the refusal.
  const JobResult refused =
      Run(WriteJob("least", "mode: ptq, " + Mixed("size_bytes: 1"), kInt4));
  const std::string text(refused.status.message());
  const auto least =
      static_cast<int64_t>(std::stod(text.substr(text.rfind(' ') + 1)));
  const double four =
      size_under("size_bytes: " + std::to_string(least), &tight);
  EXPECT_LE(four, static_cast<double>(least));
  EXPECT_EQ(tight.all, (std::set<int>{4}));
  const auto target = static_cast<int64_t>((four + eight) / 2);
  const double written =
      size_under("size_bytes: " + std::to_string(target), &middle);
  EXPECT_EQ(middle.all, (std::set<int>{4, 8}));
  EXPECT_LE(written, static_cast<double>(target));
  // What the log says of it is the file, but for the names of tensors.
  const std::string said = "size_bytes ";
  const double predicted =
      std::stod(sink_.text.substr(sink_.text.find(said) + said.size()));
  EXPECT_NEAR(written / predicted, 1, 0.03);
}

TEST_F(MixedPrecisionJobTest, TrainingKeepsTheWidthsAlsoAroundNormalisation) {
  for (const std::string norm : {"folded", "live"}) {
    const std::string job =
        WriteJob(norm,
                 "mode: qat, qat: {batch_norm: " + norm + "}, epochs: 1, " +
                     Mixed("bops: 60000000", "bits: [2, 4, 8], "),
                 kVnni);
    const JobResult result = Run(job);
    ASSERT_TRUE(result.status.ok()) << result.status;
    EXPECT_GE(WidthsIn(Report(job, kVnni)).all.size(), 2u);
  }
}

}  // namespace
}  // namespace condense::pipeline
