#include "workers/engine/pipeline/settings.h"

#include "common/error.h"
#include "common/profiles/profiles.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "workers/engine/graph/infer_shapes.h"
#include "workers/engine/pipeline/quantize_settings.h"
#include "workers/engine/pipeline/roofline.h"
#include "workers/engine/pipeline/tasks.h"
#include "workers/engine/quantization/stored_levels.h"

namespace condense::pipeline {
namespace {

using testing::ElementsAre;
using testing::UnorderedElementsAre;

recipe::ParsedRecipe Parse(const std::string& text) {
  auto parsed = recipe::ParseRecipe(text);
  EXPECT_TRUE(parsed.ok()) << parsed.status();
  recipe::ResolveRecipe(&parsed->recipe);
  return *std::move(parsed);
}

// Nodes block.1, block.2 and head.
graph::Graph Names() {
  graph::Graph graph;
  graph::ValueId x =
      graph.AddInput("x", graph::DType::kFloat32, graph::Shape{1});
  for (const char* name : {"block.1", "block.2", "head"}) {
    x = graph.node(graph.AddNode("Relu", name, {x}, {"y"})).outputs[0];
  }
  graph.AddOutput(x);
  return graph;
}

v1::DeviceProfile Profile(const char* id) {
  auto profile = profiles::LoadProfile(id);
  EXPECT_TRUE(profile.ok()) << profile.status();
  return *std::move(profile);
}

TEST(SettingsTest, OfPruneOverridesTheLastThatMatchesWins) {
  const auto parsed = Parse(
      "stages:\n"
      "  - prune:\n"
      "      target: {macs: 0.5}\n"
      "      overrides:\n"
      "        - {match: 'block.*'}\n"
      "        - {match: 're:.*2', freeze: false}\n");
  const auto frozen =
      FrozenNodes(parsed, parsed.recipe.stages(0).prune(), 0, Names());
  ASSERT_TRUE(frozen.ok()) << frozen.status();
  EXPECT_THAT(*frozen, ElementsAre("block.1"));
}

TEST(SettingsTest, APatternWithoutMatchHasItsPlaceAndTheNearestName) {
  const auto parsed = Parse(
      "stages:\n"
      "  - prune:\n"
      "      target: {macs: 0.5}\n"
      "      overrides:\n"
      "        - {match: haed}\n");
  const absl::Status status =
      FrozenNodes(parsed, parsed.recipe.stages(0).prune(), 0, Names()).status();
  EXPECT_EQ(ErrorReason(status), "PATTERN_WITHOUT_MATCH");
  const ErrorDetail detail = ErrorDetailOf(status);
  EXPECT_EQ(detail.nearest, "head");
  EXPECT_EQ(detail.line, 5);
  EXPECT_EQ(detail.field, "stages[0].prune.overrides[0].match");
}

TEST(SettingsTest, BitsComeFromTheProfileUnlessTheRecipeSaysThem) {
  const auto open = Parse("stages: [quantize: {mode: ptq}]\n");
  const auto bits = [&](const recipe::ParsedRecipe& parsed, const char* id) {
    return NumericsOf(parsed, parsed.recipe.stages(0).quantize(), 0,
                      Profile(id), Names());
  };
  EXPECT_EQ(bits(open, "onnxruntime-cpu-x86-vnni")->weight_bits, 8);
  EXPECT_EQ(bits(open, "onnxruntime-cpu-x86-avx2")->weight_bits, 7);
  const auto eight =
      Parse("stages: [quantize: {mode: ptq, weights: {bits: 8}}]\n");
  const absl::Status status = bits(eight, "onnxruntime-cpu-x86-avx2").status();
  EXPECT_EQ(ErrorReason(status), "PROFILE_CANNOT");
  EXPECT_EQ(ErrorDetailOf(status).field, "stages[0].quantize.weights.bits");
}

TEST(SettingsTest, SchemesBringTheirBitsAndMustBeTheProfiles) {
  const auto numerics = [](const std::string& keys,
                           const v1::DeviceProfile& profile) {
    const auto parsed =
        Parse("stages: [quantize: {mode: ptq, " + keys + "}]\n");
    return NumericsOf(parsed, parsed.recipe.stages(0).quantize(), 0, profile,
                      Names());
  };
  const v1::DeviceProfile vnni = Profile("onnxruntime-cpu-x86-vnni");
  const auto log2 = numerics("weights: {scheme: log2}", vnni);
  ASSERT_TRUE(log2.ok()) << log2.status();
  EXPECT_EQ(log2->weight_bits, 4);
  EXPECT_EQ(log2->weight_scheme, "log2");
  EXPECT_FALSE(log2->packed);
  const auto mrbiq = numerics("weights: {scheme: mrbiq}", vnni);
  ASSERT_TRUE(mrbiq.ok()) << mrbiq.status();
  EXPECT_EQ(mrbiq->weight_bits, 4);
  EXPECT_EQ(mrbiq->weight_scheme, "mrbiq");
  const auto binary = numerics(
      "weights: {scheme: binary}, activations: {scheme: float, bits: 4}",
      Profile("onnxruntime-opset21-int4"));
  ASSERT_TRUE(binary.ok()) << binary.status();
  EXPECT_EQ(binary->weight_bits, 1);
  EXPECT_TRUE(binary->packed);
  EXPECT_TRUE(binary->float_activations);
  EXPECT_EQ(binary->activation_bits, 4);
  v1::DeviceProfile plain = vnni;
  plain.mutable_weights()->clear_schemes();
  plain.mutable_weights()->add_schemes(v1::SYMMETRIC);
  plain.mutable_activations()->clear_schemes();
  plain.mutable_activations()->add_schemes(v1::AFFINE);
  const absl::Status weights =
      numerics("weights: {scheme: ternary}", plain).status();
  for (const char* table : {"lq", "lut", "mrbiq"}) {
    EXPECT_EQ(
        ErrorReason(
            numerics(absl::StrCat("weights: {scheme: ", table, "}"), plain)
                .status()),
        "PROFILE_CANNOT");
  }
  EXPECT_EQ(ErrorReason(weights), "PROFILE_CANNOT");
  EXPECT_EQ(ErrorDetailOf(weights).field, "stages[0].quantize.weights.scheme");
  EXPECT_THAT(std::string(weights.message()),
              testing::HasSubstr("the nearest is symmetric"));
  const absl::Status activations =
      numerics("activations: {scheme: power_of_two}", plain).status();
  EXPECT_EQ(ErrorDetailOf(activations).field,
            "stages[0].quantize.activations.scheme");
}

TEST(SettingsTest, QuantizeOverridesSkipOrNameBits) {
  const auto parsed = Parse(
      "stages:\n"
      "  - quantize:\n"
      "      mode: ptq\n"
      "      overrides: [{match: '*', bits: 4}, {match: head, skip: true}]\n");
  const auto numerics =
      NumericsOf(parsed, parsed.recipe.stages(0).quantize(), 0,
                 Profile("onnxruntime-cpu-x86-vnni"), Names());
  ASSERT_TRUE(numerics.ok()) << numerics.status();
  EXPECT_THAT(numerics->skip, ElementsAre("head"));
  EXPECT_EQ(numerics->bits.at("block.1"), 4);
  EXPECT_TRUE(numerics->per_channel);
}

TEST(SettingsTest, AugmentationsKeepTheirOrderAndNumbers) {
  const recipe::ParsedRecipe parsed = Parse(
      "data: {train: {augment: [random_resized_crop: {area_min: 0.5, "
      "ratio_max: "
      "2}, horizontal_flip: {probability: 0.25}, mixup: {alpha: 0.3}, "
      "color_jitter: {hue: 0.1, contrast: 0.2}, cutout, random_crop]}, "
      "preprocess: {resize: [9, 8], crop: [7, 6], antialias: true}}\n"
      "stages: [quantize: {mode: ptq}]\n");
  const v1::DataSource& source = parsed.recipe.data().train();
  const auto list = AugmentationsOf(source);
  ASSERT_EQ(list.size(), 5u);
  const auto& part = std::get<data::RandomResizedCrop>(list[0]);
  EXPECT_EQ(part.area_min, 0.5);
  EXPECT_EQ(part.area_max, 1);
  EXPECT_EQ(part.ratio_max, 2);
  EXPECT_EQ(std::get<data::HorizontalFlip>(list[1]).probability, 0.25);
  const auto& jitter = std::get<data::ColorJitter>(list[2]);
  EXPECT_EQ(jitter.brightness, 0);
  EXPECT_EQ(jitter.contrast, 0.2);
  EXPECT_EQ(jitter.saturation, 0);
  EXPECT_EQ(jitter.hue, 0.1);
  EXPECT_EQ(std::get<data::Cutout>(list[3]).size, 8);
  EXPECT_EQ(std::get<data::RandomCrop>(list[4]).padding, 4);
  EXPECT_EQ(MixupAlphaOf(source), 0.3);
  EXPECT_EQ(MixupAlphaOf(parsed.recipe.data().eval()), 0);
  const data::Preprocess preprocess =
      PreprocessOf(parsed.recipe.data().preprocess());
  EXPECT_EQ(preprocess.resize_height, 9);
  EXPECT_EQ(preprocess.crop_height, 7);
  EXPECT_EQ(preprocess.crop_width, 6);
  EXPECT_TRUE(preprocess.antialias);
}

TEST(SettingsTest, AdamAndSgdKeepTheirNumbers) {
  const auto parsed = Parse(
      "stages:\n"
      "  - finetune: {epochs: 3, optimizer: {adam: {lr: 0.5, beta1: 0.8}}}\n"
      "  - finetune: {epochs: 1, optimizer: {sgd: {nesterov: true}}, "
      "lr_schedule: constant, kd: [soft_response]}\n");
  const TrainingSettings adam = TrainingOf(parsed.recipe.stages(0).finetune());
  EXPECT_EQ(adam.train.epochs, 3);
  const training::OptimizerOptions& optimizer = adam.train.optimizer;
  EXPECT_EQ(optimizer.kind, training::OptimizerOptions::Kind::kAdam);
  EXPECT_EQ(optimizer.lr, 0.5);
  EXPECT_EQ(optimizer.beta1, 0.8);
  EXPECT_EQ(optimizer.beta2, 0.999);
  const TrainingSettings sgd = TrainingOf(parsed.recipe.stages(1).finetune());
  EXPECT_TRUE(sgd.train.optimizer.nesterov);
  EXPECT_EQ(sgd.train.schedule.kind, training::Schedule::kConstant);
  EXPECT_EQ(sgd.kd.size(), 1u);
}

TEST(SettingsTest, FinetuneAndQatReadTheSameTrainingKeys) {
  const std::string keys =
      "epochs: 4, optimizer: {adamw: {lr: 0.1}}, lr_schedule: one_cycle, "
      "lr_shape: {warmup_epochs: 0.5, final: 0.01, peak_at: 0.4}, clip_norm: "
      "2, accumulate: 3, ema: {decay: 0.9}, label_smoothing: 0.1, early_stop: "
      "{metric: loss, every_epochs: 2, patience: 3, min_delta: 0.01}, "
      "divergence: {factor: 4, steps: 7}";
  const auto parsed = Parse("stages:\n  - finetune: {" + keys +
                            "}\n  - quantize: {mode: qat, " + keys + "}\n");
  for (const TrainingSettings& settings :
       {TrainingOf(parsed.recipe.stages(0).finetune()),
        TrainingOf(parsed.recipe.stages(1).quantize())}) {
    const training::TrainOptions& train = settings.train;
    EXPECT_EQ(train.epochs, 4);
    EXPECT_EQ(train.optimizer.kind, training::OptimizerOptions::Kind::kAdamW);
    EXPECT_EQ(train.optimizer.weight_decay, 0.01);
    EXPECT_EQ(train.schedule.kind, training::Schedule::kOneCycle);
    EXPECT_EQ(train.schedule.warmup_epochs, 0.5);
    EXPECT_EQ(train.schedule.final, 0.01);
    EXPECT_EQ(train.schedule.start, 0.04);
    EXPECT_EQ(train.schedule.peak_at, 0.4);
    EXPECT_EQ(train.clip_norm, 2);
    EXPECT_EQ(train.accumulate, 3);
    EXPECT_EQ(train.ema_decay, 0.9);
    EXPECT_EQ(settings.label_smoothing, 0.1);
    EXPECT_EQ(train.early_stop->metric,
              training::EarlyStopOptions::Metric::kLoss);
    EXPECT_EQ(train.early_stop->every_epochs, 2);
    EXPECT_EQ(train.early_stop->patience, 3);
    EXPECT_EQ(train.early_stop->min_delta, 0.01);
    EXPECT_EQ(train.divergence.factor, 4);
    EXPECT_EQ(train.divergence.steps, 7);
  }
}

std::string Text(const std::vector<Task>& tasks) {
  std::string text;
  for (const Task& task : tasks) {
    const char* names[] = {"prune",     "train", "synthesize",
                           "calibrate", "qat",   "finish"};
    text += names[static_cast<int>(task.kind)];
    if (task.profile >= 0) text += std::to_string(task.profile);
    text += " ";
  }
  return text;
}

TEST(TasksTest, WhatIsSharedRunsOnceAndTheTailPerProfile) {
  const auto parsed = Parse(
      "stages:\n"
      "  - prune: {target: {macs: 0.5}, schedule: {iterative: {steps: 3, "
      "epochs_between: 1}}}\n"
      "  - finetune: {epochs: 2}\n"
      "  - quantize: {mode: qat}\n");
  EXPECT_EQ(Text(PlanTasks(parsed.recipe, 2)),
            "prune train prune train prune train calibrate0 qat0 finish0 "
            "calibrate1 qat1 finish1 ");
}

TEST(TasksTest, AfterTrainingQuantizationHasNoTraining) {
  const auto parsed = Parse("stages: [quantize: {mode: ptq}]\n");
  EXPECT_EQ(Text(PlanTasks(parsed.recipe, 1)), "calibrate0 finish0 ");
}

TEST(TasksTest, ImagesAreSynthesisedOnceForAllProfiles) {
  const auto parsed = Parse(
      "stages:\n"
      "  - finetune: {epochs: 2}\n"
      "  - quantize: {mode: qat, qat_data: synthetic}\n");
  EXPECT_EQ(Text(PlanTasks(parsed.recipe, 2)),
            "train synthesize calibrate0 qat0 finish0 calibrate1 qat1 "
            "finish1 ");
}

TEST(RooflineTest, IsTheGreaterOfComputeAndMemoryPerLayer) {
  graph::Graph graph;
  const graph::ValueId x = graph.AddInput(
      "x", graph::DType::kFloat32, graph::Shape{graph::Dim::Symbol("N"), 100});
  const graph::ValueId w = graph.AddConstant(
      "w", graph::Tensor::Of<float>({100, 10}, std::vector<float>(1000, 1)));
  graph.AddOutput(
      graph.node(graph.AddNode("MatMul", "m", {x, w}, {"y"})).outputs[0]);
  ASSERT_TRUE(graph::InferShapes(graph).ok());
  v1::Roofline roofline;
  roofline.set_float_macs_per_second(1e6);
  roofline.set_int8_macs_per_second(1e9);
  roofline.set_bytes_per_second(1e9);
  // 1000 products at a million a second.
  EXPECT_DOUBLE_EQ(EstimateLatencyMs(graph, roofline), 1.0);
  roofline.set_bytes_per_second(1e6);
  // 4000 bytes of weights and 40 of outputs.
  EXPECT_DOUBLE_EQ(EstimateLatencyMs(graph, roofline), 4.04);
}

TEST(RooflineTest, StoredBytesOfQuantizedWeightsCount) {
  const auto latency = [](graph::DType dtype) {
    graph::Graph graph;
    const graph::ValueId x =
        graph.AddInput("x", graph::DType::kFloat32,
                       graph::Shape{graph::Dim::Symbol("N"), 100});
    const graph::ValueId w = graph.AddConstant(
        "w", quantization::PackLevels(dtype, {100, 10},
                                      std::vector<int64_t>(1000, 1)));
    const graph::ValueId scale =
        graph.AddConstant("s", graph::Tensor::Scalar<float>(1));
    const graph::ValueId real =
        graph.node(graph.AddNode("DequantizeLinear", "d", {w, scale}, {"r"}))
            .outputs[0];
    graph.AddOutput(
        graph.node(graph.AddNode("MatMul", "m", {x, real}, {"y"})).outputs[0]);
    EXPECT_TRUE(graph::InferShapes(graph).ok());
    v1::Roofline roofline;
    roofline.set_float_macs_per_second(1e9);
    roofline.set_int8_macs_per_second(1e9);
    roofline.set_bytes_per_second(1e6);
    return EstimateLatencyMs(graph, roofline);
  };
  EXPECT_DOUBLE_EQ(latency(graph::DType::kInt8), 1.04);
  EXPECT_DOUBLE_EQ(latency(graph::DType::kInt4), 0.54);
}

}  // namespace
}  // namespace condense::pipeline
