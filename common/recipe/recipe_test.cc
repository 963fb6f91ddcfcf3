#include "common/recipe/recipe.h"

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace condense::recipe {
namespace {

// "REASON field line:column nearest" of a recipe that must be refused.
std::string Refusal(absl::string_view text) {
  const absl::StatusOr<ParsedRecipe> parsed = ParseRecipe(text);
  if (parsed.ok()) return "accepted";
  const ErrorDetail detail = ErrorDetailOf(parsed.status());
  return ErrorReason(parsed.status()) + " " + detail.field + " " +
         std::to_string(detail.line) + ":" + std::to_string(detail.column) +
         (detail.nearest.empty() ? "" : " " + detail.nearest);
}

constexpr char kContract[] = R"(
version: 1
task: classification
data:
  train: {source: train, augment: [random_crop: {padding: 4}, horizontal_flip]}
  eval:  {source: test}
  calibration: {source: train, samples: 512}
  preprocess: {resize: [32, 32], scale: 0.00392156862745098, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225], layout: nchw, color: rgb}
teacher: {model: original}
stages:
  - prune:    {granularity: channel, criterion: l2, target: {macs: 0.5}, schedule: {iterative: {steps: 4}}}
  - finetune: {epochs: 5, optimizer: {sgd: {lr: 0.01, momentum: 0.9, weight_decay: 5.0e-4}}, lr_schedule: cosine, kd: [{soft_response: {temperature: 4, lambda: 0.9}}]}
  - quantize: {mode: qat, weights: {bits: 8, scheme: symmetric, granularity: channel}, activations: {bits: 8, scheme: affine}, epochs: 2}
gates: {max_accuracy_drop: 0.01, max_size_bytes: 1000000, max_latency_ms: 5}
seed: 17
)";

TEST(ParseRecipeTest, ReadsTheExampleOfTheContract) {
  const auto parsed = ParseRecipe(kContract);
  ASSERT_TRUE(parsed.ok()) << ErrorText(parsed.status());
  const v1::Recipe& recipe = parsed->recipe;
  EXPECT_EQ(recipe.task(), v1::Recipe::CLASSIFICATION);
  ASSERT_EQ(recipe.data().train().augment_size(), 2);
  EXPECT_EQ(recipe.data().train().augment(0).random_crop().padding(), 4);
  EXPECT_TRUE(recipe.data().train().augment(1).has_horizontal_flip());
  EXPECT_EQ(recipe.stages(0).prune().schedule().iterative().steps(), 4);
  EXPECT_EQ(recipe.stages(1).finetune().kd(0).soft_response().temperature(), 4);
  EXPECT_EQ(recipe.stages(2).quantize().mode(), v1::Quantize::QAT);
  EXPECT_EQ(parsed->positions.at("stages[1].finetune.epochs").line, 12);
}

TEST(ParseRecipeTest, ReadsTheSmallestRecipeAndJson) {
  EXPECT_TRUE(ParseRecipe("stages: [quantize: {mode: ptq}]").ok());
  EXPECT_TRUE(
      ParseRecipe(R"({"stages": [{"quantize": {"mode": "ptq"}}]})").ok());
}

TEST(ParseRecipeTest, NamesAnUnknownKeyWithItsPlaceAndTheNearest) {
  EXPECT_EQ(Refusal("stages:\n  - quantize: {mode: ptq, weight: {bits: 8}}"),
            "UNKNOWN_KEY stages[0].quantize.weight 2:27 weights");
}

TEST(ParseRecipeTest, ReadsHowTrainingComputes) {
  const auto parsed = ParseRecipe(
      "stages: [quantize: {mode: ptq}]\n"
      "compute: {precision: bf16, memory_format: channels_last}");
  ASSERT_TRUE(parsed.ok()) << ErrorText(parsed.status());
  EXPECT_EQ(parsed->recipe.compute().precision(), v1::Compute::BF16);
  EXPECT_EQ(parsed->recipe.compute().memory_format(),
            v1::Compute::MemoryFormat::CHANNELS_LAST);
  EXPECT_EQ(Refusal("stages: [quantize: {mode: ptq}]\n"
                    "compute: {precision: bf17}"),
            "UNKNOWN_VALUE compute.precision 2:22 bf16");
}

TEST(ParseRecipeTest, NamesADuplicateKey) {
  EXPECT_EQ(Refusal("seed: 1\nstages: [quantize: {mode: ptq}]\nseed: 2"),
            "DUPLICATE_KEY seed 3:1");
}

TEST(ParseRecipeTest, NamesAWrongType) {
  EXPECT_EQ(Refusal("stages:\n  - finetune: {epochs: many}"),
            "WRONG_TYPE stages[0].finetune.epochs 2:24");
  EXPECT_EQ(Refusal("stages: {quantize: {mode: ptq}}"),
            "WRONG_TYPE stages 1:9");
}

TEST(ParseRecipeTest, NamesAValueOutOfRange) {
  EXPECT_EQ(Refusal("stages:\n  - prune: {target: {macs: 1.5}}"),
            "OUT_OF_RANGE stages[0].prune.target.macs 2:22");
  EXPECT_EQ(Refusal("stages:\n  - finetune: {epochs: 0}"),
            "OUT_OF_RANGE stages[0].finetune.epochs 2:16");
  EXPECT_EQ(Refusal("stages:\n  - finetune: {epochs: 99999999999}"),
            "OUT_OF_RANGE stages[0].finetune.epochs 2:24");
}

TEST(ParseRecipeTest, NamesAnUnknownValueAndTheNearest) {
  EXPECT_EQ(Refusal("stages:\n  - quantize: {mode: qatt}"),
            "UNKNOWN_VALUE stages[0].quantize.mode 2:22 qat");
  EXPECT_EQ(Refusal("data: {train: {augment: [horizontal_flop]}}\n"
                    "stages: [quantize: {mode: ptq}]"),
            "UNKNOWN_VALUE data.train.augment[0] 1:26 horizontal_flip");
}

TEST(ParseRecipeTest, ChecksEveryAugmentation) {
  const auto refusal = [](const std::string& list) {
    return Refusal("data: {train: {augment: [" + list +
                   "]}}\nstages: [quantize: {mode: ptq}]");
  };
  EXPECT_EQ(refusal("random_resized_crop, random_crop, horizontal_flip, "
                    "color_jitter: {hue: 0.1}, cutout, mixup"),
            "accepted");
  const char* out_of_range[] = {
      "horizontal_flip: {probability: 0}",
      "color_jitter: {hue: 0.6}",
      "color_jitter: {brightness: -1}",
      "mixup: {alpha: 0}",
      "cutout: {size: 0}",
      "random_crop: {padding: 65}",
      "random_resized_crop: {area_min: 0}",
      "random_resized_crop: {area_max: 2}",
      "random_resized_crop: {area_min: 0.5, area_max: 0.4}",
      "random_resized_crop: {ratio_max: 0.5}"};
  for (const char* list : out_of_range) {
    EXPECT_EQ(refusal(list).substr(0, 12), "OUT_OF_RANGE") << list;
  }
  EXPECT_EQ(refusal("horizontal_flip, random_resized_crop"),
            "OUT_OF_RANGE data.train.augment[1] 1:43");
  EXPECT_EQ(refusal("mixup, mixup"), "OUT_OF_RANGE data.train.augment[1] 1:33");
  EXPECT_EQ(refusal("color_jitter"),
            "MISSING_KEY data.train.augment[0].color_jitter 1:26");
}

TEST(ParseRecipeTest, ChecksThePreprocessingAndTheBoundOfCorruptImages) {
  const auto refusal = [](const std::string& data) {
    return Refusal("data: {" + data + "}\nstages: [quantize: {mode: ptq}]")
        .substr(0, 12);
  };
  EXPECT_EQ(refusal("preprocess: {resize: [9, 9], crop: [8, 8], "
                    "antialias: true}, eval: {max_corrupt: 0.01}"),
            "accepted");
  EXPECT_EQ(refusal("eval: {max_corrupt: 3}"), "accepted");
  EXPECT_EQ(refusal("eval: {max_corrupt: 1.5}"), "OUT_OF_RANGE");
  EXPECT_EQ(refusal("eval: {max_corrupt: -1}"), "OUT_OF_RANGE");
  EXPECT_EQ(refusal("preprocess: {crop: [8]}"), "OUT_OF_RANGE");
  EXPECT_EQ(refusal("preprocess: {crop: [8, 0]}"), "OUT_OF_RANGE");
  EXPECT_EQ(refusal("preprocess: {scale: 0}"), "OUT_OF_RANGE");
}

TEST(ParseRecipeTest, NamesWhatIsMissing) {
  EXPECT_EQ(Refusal("seed: 1"), "MISSING_KEY stages 0:0");
  EXPECT_EQ(Refusal("stages:\n  - prune: {criterion: l2}"),
            "MISSING_KEY stages[0].prune.target 2:5");
}

TEST(ParseRecipeTest, AnswersAPlannedKeyWithUnimplemented) {
  const auto parsed =
      ParseRecipe("stages: [quantize: {mode: ptq}]\nfairness: {gap: 1}");
  EXPECT_EQ(parsed.status().code(), absl::StatusCode::kUnimplemented);
  EXPECT_EQ(ErrorReason(parsed.status()), "UNIMPLEMENTED_KEY");
}

TEST(ParseRecipeTest, ChecksColorBits) {
  const auto refusal = [](const std::string& bits) {
    return Refusal("data: {preprocess: {color_bits: " + bits +
                   "}}\nstages: [quantize: {mode: ptq}]");
  };
  EXPECT_EQ(refusal("1"), "accepted");
  EXPECT_EQ(refusal("8"), "accepted");
  EXPECT_EQ(refusal("0"), "OUT_OF_RANGE data.preprocess.color_bits 1:21");
  EXPECT_EQ(refusal("9"), "OUT_OF_RANGE data.preprocess.color_bits 1:21");
}

TEST(ParseRecipeTest, ChecksWhatQatLearnsFrom) {
  const auto refusal = [](const std::string& keys) {
    return Refusal("stages:\n  - quantize: {mode: " + keys + "}");
  };
  EXPECT_EQ(refusal("qat, qat_data: unlabeled, early_stop: {}"), "accepted");
  EXPECT_EQ(refusal("qat, qat_data: synthetic"), "accepted");
  EXPECT_EQ(refusal("qat, qat_data: labeled, kd: [soft_response]"), "accepted");
  EXPECT_EQ(refusal("qat, qat_data: unlabelled"),
            "UNKNOWN_VALUE stages[0].quantize.qat_data 2:37 unlabeled");
  EXPECT_EQ(refusal("ptq, qat_data: unlabeled"),
            "UNUSED_KEY stages[0].quantize.qat_data 2:27");
  EXPECT_EQ(refusal("qat, qat_data: unlabeled, kd: [soft_response]"),
            "UNSUPPORTED_COMBINATION stages[0].quantize.kd 2:48");
  EXPECT_EQ(refusal("qat, qat_data: synthetic, label_smoothing: 0.1"),
            "UNUSED_KEY stages[0].quantize.label_smoothing 2:48");
}

TEST(ParseRecipeTest, ActivationsOfOneBitAreAffine) {
  const auto refusal = [](const std::string& keys) {
    return Refusal("stages:\n  - quantize: {mode: qat, activations: {" + keys +
                   "}}");
  };
  EXPECT_EQ(refusal("bits: 1"), "accepted");
  EXPECT_EQ(refusal("bits: 1, scheme: power_of_two"), "accepted");
  EXPECT_EQ(refusal("bits: 1, scheme: symmetric"),
            "UNSUPPORTED_COMBINATION stages[0].quantize.activations.bits 2:41");
}

TEST(ParseRecipeTest, RefusesTrainingKeysForPtq) {
  EXPECT_EQ(Refusal("stages:\n  - quantize: {mode: ptq, epochs: 3}"),
            "UNUSED_KEY stages[0].quantize.mode 2:16");
}

TEST(ParseRecipeTest, RefusesNumbersThatDoNotGoTogether) {
  const auto quantize = [](const std::string& keys) {
    const std::string text = Refusal("stages:\n  - quantize: {" + keys + "}");
    return text.substr(0, text.find(' ', text.find(' ') + 1));
  };
  EXPECT_EQ(quantize("mode: ptq, weights: {scheme: binary, bits: 2}"),
            "UNSUPPORTED_COMBINATION stages[0].quantize.weights.bits");
  EXPECT_EQ(quantize("mode: ptq, weights: {scheme: log2, bits: 5}"),
            "UNSUPPORTED_COMBINATION stages[0].quantize.weights.bits");
  for (const char* other : {"lq, bits: 5", "lut, bits: 1", "mrbiq, bits: 8"}) {
    EXPECT_EQ(
        quantize(absl::StrCat("mode: ptq, weights: {scheme: ", other, "}")),
        "UNSUPPORTED_COMBINATION stages[0].quantize.weights.bits")
        << other;
  }
  EXPECT_EQ(quantize("mode: ptq, weights: {scheme: lq}, "
                     "overrides: [{match: a, bits: 8}]"),
            "UNSUPPORTED_COMBINATION stages[0].quantize.overrides[0].bits");
  EXPECT_EQ(quantize("mode: qat, weights: {scheme: mrbiq}"),
            "UNSUPPORTED_COMBINATION stages[0].quantize.weights.scheme");
  EXPECT_EQ(quantize("mode: ptq, "
                     "weights: {scheme: mrbiq, granularity: tensor}"),
            "UNSUPPORTED_COMBINATION stages[0].quantize.weights.granularity");
  EXPECT_EQ(quantize("mode: qat, activations: {scheme: lq}"),
            "UNIMPLEMENTED_VALUE stages[0].quantize.activations.scheme");
  EXPECT_EQ(quantize("mode: qat, weights: {scheme: lq, bits: 1}"), "accepted");
  EXPECT_EQ(quantize("mode: ptq, weights: {bits: 1}"),
            "UNSUPPORTED_COMBINATION stages[0].quantize.weights.bits");
  EXPECT_EQ(quantize("mode: ptq, activations: {scheme: ternary}"),
            "UNIMPLEMENTED_VALUE stages[0].quantize.activations.scheme");
  EXPECT_EQ(quantize("mode: ptq, activations: {bits: 9}"),
            "OUT_OF_RANGE stages[0].quantize.activations.bits");
  EXPECT_EQ(quantize("mode: ptq, qat: {grids: lsq}"),
            "UNUSED_KEY stages[0].quantize.qat");
  EXPECT_EQ(quantize("mode: qat, qat: {grids: lsq, batch_norm: live}"),
            "accepted");
  EXPECT_EQ(quantize("mode: qat, qat: {batch_norm: live}, "
                     "weights: {granularity: tensor}"),
            "UNSUPPORTED_COMBINATION stages[0].quantize.qat.batch_norm");
  EXPECT_EQ(quantize("mode: qat, activations: {scheme: power_of_two}, "
                     "qat: {grids: pact}"),
            "UNSUPPORTED_COMBINATION stages[0].quantize.qat.grids");
  EXPECT_EQ(quantize("mode: qat, qat: {freeze_after: 1.5}"),
            "OUT_OF_RANGE stages[0].quantize.qat.freeze_after");
  EXPECT_EQ(quantize("mode: qat, ptq: {smooth: 0}"),
            "UNUSED_KEY stages[0].quantize.ptq");
  EXPECT_EQ(quantize("mode: ptq, ptq: {iterations: 0}"),
            "OUT_OF_RANGE stages[0].quantize.ptq.iterations");
  EXPECT_EQ(quantize("mode: ptq, activations: {percentile: 50}"),
            "OUT_OF_RANGE stages[0].quantize.activations.percentile");
  EXPECT_EQ(quantize("mode: ptq, weights: {scheme: log2}, "
                     "ptq: {rounding: gptq}"),
            "UNSUPPORTED_COMBINATION stages[0].quantize.ptq.rounding");
  EXPECT_EQ(quantize("mode: ptq, activations: {scheme: float}, "
                     "ptq: {equalize: true}"),
            "UNSUPPORTED_COMBINATION stages[0].quantize.ptq.equalize");
  EXPECT_EQ(quantize("mode: ptq, weights: {scheme: ternary}, "
                     "activations: {scheme: float}"),
            "accepted");
}

TEST(ParseRecipeTest, RefusesFormsOfWeightsThatDoNotGoTogether) {
  const auto refusal = [](const std::string& keys) {
    const std::string text = Refusal("stages:\n  - quantize: {" + keys + "}");
    return text.substr(0, text.find(' ', text.find(' ') + 1));
  };
  const std::string at = " stages[0].quantize.";
  for (const char* accepted :
       {"mode: ptq, weights: {scheme: affine, bits: 16}",
        "mode: ptq, weights: {granularity: block, block_size: 16}",
        "mode: ptq, weights: {scheme: float}",
        "mode: ptq, activations: {bits: 16}",
        "mode: qat, overrides: [{match: a, bits: 16}]"}) {
    EXPECT_EQ(refusal(accepted), "accepted") << accepted;
  }
  EXPECT_EQ(refusal("mode: ptq, weights: {bits: 12}"),
            "OUT_OF_RANGE" + at + "weights.bits");
  EXPECT_EQ(refusal("mode: ptq, weights: {scheme: log2, bits: 16}"),
            "UNSUPPORTED_COMBINATION" + at + "weights.bits");
  EXPECT_EQ(refusal("mode: ptq, weights: {scheme: log2}, "
                    "overrides: [{match: a, bits: 8}]"),
            "UNSUPPORTED_COMBINATION" + at + "overrides[0].bits");
  EXPECT_EQ(refusal("mode: ptq, weights: {block_size: 16}"),
            "UNUSED_KEY" + at + "weights.block_size");
  EXPECT_EQ(refusal("mode: ptq, weights: {granularity: block, block_size: 1}"),
            "OUT_OF_RANGE" + at + "weights.block_size");
  EXPECT_EQ(refusal("mode: ptq, weights: {granularity: block, scheme: log2}"),
            "UNSUPPORTED_COMBINATION" + at + "weights.granularity");
  EXPECT_EQ(refusal("mode: ptq, weights: {granularity: block}, "
                    "ptq: {rounding: brecq}"),
            "UNSUPPORTED_COMBINATION" + at + "ptq.rounding");
  EXPECT_EQ(refusal("mode: ptq, weights: {scheme: affine}, "
                    "ptq: {rounding: adaround}"),
            "UNSUPPORTED_COMBINATION" + at + "ptq.rounding");
  EXPECT_EQ(refusal("mode: ptq, weights: {scheme: float, bits: 4}"),
            "UNUSED_KEY" + at + "weights");
  EXPECT_EQ(refusal("mode: ptq, weights: {scheme: float}, "
                    "activations: {scheme: float}"),
            "UNSUPPORTED_COMBINATION" + at + "activations.scheme");
  EXPECT_EQ(refusal("mode: qat, weights: {scheme: affine}, qat: {grids: lsq}"),
            "UNSUPPORTED_COMBINATION" + at + "qat.grids");
  EXPECT_EQ(refusal("mode: qat, weights: {scheme: affine}, "
                    "qat: {batch_norm: live}"),
            "UNSUPPORTED_COMBINATION" + at + "qat.batch_norm");
}

TEST(ParseRecipeTest, RefusesAnLrShapeThatTheScheduleDoesNotRead) {
  EXPECT_EQ(Refusal("stages:\n  - finetune: {epochs: 3, lr_shape: {gamma: 1}}"),
            "UNUSED_KEY stages[0].finetune.lr_shape.gamma 2:38");
  EXPECT_EQ(Refusal("stages:\n  - finetune: {epochs: 3, lr_schedule: step, "
                    "lr_shape: {gamma: 2}}"),
            "OUT_OF_RANGE stages[0].finetune.lr_shape.gamma 2:57");
  EXPECT_EQ(Refusal("stages:\n  - finetune: {epochs: 3, lr_schedule: step, "
                    "lr_shape: {gamma: 0.5, warmup_epochs: 1}}"),
            "accepted");
}

TEST(ParseRecipeTest, ChecksTheKeysOfTheTrainingLoop) {
  EXPECT_EQ(Refusal("stages:\n  - quantize: {mode: qat, ema: {decay: 1}}"),
            "OUT_OF_RANGE stages[0].quantize.ema.decay 2:33");
  EXPECT_EQ(Refusal("stages:\n  - quantize: {mode: ptq, clip_norm: 1}"),
            "UNUSED_KEY stages[0].quantize.mode 2:16");
  EXPECT_EQ(Refusal("budget: {time_seconds: 0}\nstages: [finetune: {epochs: "
                    "1}]"),
            "OUT_OF_RANGE budget.time_seconds 1:10");
}

TEST(ParseRecipeTest, RefusesWhatIsNoYaml) {
  EXPECT_EQ(Refusal("stages: [quantize: {mode: ptq}").substr(0, 10),
            "BAD_SYNTAX");
  // Makes some parsers read documents without end.
  EXPECT_EQ(Refusal(",srune*e: *").substr(0, 10), "BAD_SYNTAX");
  EXPECT_EQ(Refusal("[]"), "WRONG_TYPE  1:1");
  EXPECT_EQ(Refusal(std::string(1000, '[')).substr(0, 9), "TOO_LARGE");
  EXPECT_EQ(Refusal(std::string(2 << 20, ' ')).substr(0, 9), "TOO_LARGE");
}

TEST(ParseRecipeTest, RefusesAliasesThatMultiply) {
  std::string text = "a0: &a0 [x]\n";
  for (int i = 1; i < 12; ++i) {
    text += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [";
    for (int j = 0; j < 10; ++j) {
      text += "*a" + std::to_string(i - 1) + ", ";
    }
    text += "]\n";
  }
  EXPECT_NE(Refusal(text), "accepted");
}

TEST(ResolveRecipeTest, WritesDefaultsOutOnceAndRoundTrips) {
  auto parsed = ParseRecipe(kContract);
  ASSERT_TRUE(parsed.ok());
  v1::Recipe recipe = parsed->recipe;
  ResolveRecipe(&recipe);
  EXPECT_EQ(recipe.stages(1).finetune().batch_size(), 64);
  EXPECT_EQ(recipe.stages(2).quantize().optimizer().sgd().lr(), 0.001);
  EXPECT_EQ(recipe.stages(2).quantize().divergence().steps(), 100);
  EXPECT_FALSE(recipe.stages(1).finetune().has_early_stop());
  EXPECT_FALSE(recipe.stages(1).finetune().lr_shape().has_gamma());
  EXPECT_EQ(recipe.stages(2).quantize().activations().observer(),
            v1::ActivationQuantization::MSE);
  EXPECT_EQ(recipe.compute().precision(), v1::Compute::AUTO);
  EXPECT_EQ(recipe.compute().memory_format(), v1::Compute::MemoryFormat::AUTO);
  EXPECT_FALSE(recipe.compute().checkpoint_activations());
  v1::Recipe twice = recipe;
  ResolveRecipe(&twice);
  EXPECT_EQ(twice.SerializeAsString(), recipe.SerializeAsString());
  const auto again = ParseRecipe(RecipeToYaml(recipe));
  ASSERT_TRUE(again.ok()) << ErrorText(again.status()) << RecipeToYaml(recipe);
  EXPECT_EQ(again->recipe.SerializeAsString(), recipe.SerializeAsString());
}

TEST(ResolveRecipeTest, TechniquesAreOffWhereTheSchemesDoNotTakeThem) {
  const auto resolved = [](const std::string& schemes) {
    v1::Recipe recipe =
        ParseRecipe("stages: [quantize: {mode: ptq" + schemes + "}]")->recipe;
    ResolveRecipe(&recipe);
    EXPECT_TRUE(ParseRecipe(RecipeToYaml(recipe)).ok());
    return recipe.stages(0).quantize().ptq();
  };
  EXPECT_EQ(resolved("").rounding(), v1::Ptq::GPTQ);
  EXPECT_EQ(resolved("").smooth(), 0.5);
  EXPECT_EQ(resolved(", weights: {scheme: binary}").rounding(),
            v1::Ptq::NEAREST);
  const v1::Ptq floats = resolved(", activations: {scheme: float}");
  EXPECT_EQ(floats.rounding(), v1::Ptq::GPTQ);
  EXPECT_FALSE(floats.equalize() || floats.pixel_grid());
  EXPECT_EQ(floats.smooth(), 0);
}

TEST(ResolveRecipeTest, NormalisationStaysWhereLabelsLeadTraining) {
  const auto batch_norm = [](const std::string& keys) {
    auto parsed =
        ParseRecipe("stages: [quantize: {mode: qat, epochs: 1, " + keys + "}]");
    if (!parsed.ok()) return v1::Qat::BATCH_NORM_UNSPECIFIED;
    ResolveRecipe(&parsed->recipe);
    return parsed->recipe.stages(0).quantize().qat().batch_norm();
  };
  EXPECT_EQ(batch_norm("weights: {bits: 4}"), v1::Qat::LIVE);
  EXPECT_EQ(batch_norm("weights: {scheme: lut}"), v1::Qat::LIVE);
  EXPECT_EQ(batch_norm("qat: {batch_norm: folded}"), v1::Qat::FOLDED);
  EXPECT_EQ(batch_norm("qat_data: synthetic"), v1::Qat::FOLDED);
  EXPECT_EQ(batch_norm("qat_data: unlabeled"), v1::Qat::FOLDED);
  EXPECT_EQ(batch_norm("batch_size: 8"), v1::Qat::FOLDED);
  EXPECT_EQ(batch_norm("weights: {scheme: power_of_two}"), v1::Qat::FOLDED);
  EXPECT_EQ(batch_norm("weights: {granularity: tensor}"), v1::Qat::FOLDED);
}

TEST(ResolveRecipeTest, ActivationsAreFloatWhereWeightsAreComputedInFloat) {
  const auto resolved = [](const std::string& schemes) {
    v1::Recipe recipe =
        ParseRecipe("stages: [quantize: {mode: ptq" + schemes + "}]")->recipe;
    ResolveRecipe(&recipe);
    const auto again = ParseRecipe(RecipeToYaml(recipe));
    EXPECT_TRUE(again.ok()) << ErrorText(again.status());
    return recipe.stages(0).quantize();
  };
  const v1::Quantize blocks = resolved(", weights: {granularity: block}");
  EXPECT_EQ(blocks.weights().block_size(), 32);
  EXPECT_EQ(blocks.activations().scheme(), v1::FLOAT);
  EXPECT_EQ(blocks.ptq().rounding(), v1::Ptq::GPTQ);
  EXPECT_EQ(resolved(", weights: {bits: 16}").activations().scheme(),
            v1::FLOAT);
  EXPECT_EQ(resolved(", weights: {bits: 16}").ptq().rounding(),
            v1::Ptq::NEAREST);
  // What is asked for stays.
  EXPECT_EQ(resolved(", weights: {bits: 16}, activations: {bits: 8}")
                .activations()
                .scheme(),
            v1::AFFINE);
  const v1::Quantize activations = resolved(", weights: {scheme: float}");
  EXPECT_EQ(activations.activations().scheme(), v1::AFFINE);
  EXPECT_EQ(activations.ptq().rounding(), v1::Ptq::NEAREST);
  EXPECT_TRUE(activations.ptq().pixel_grid());
}

TEST(ApplyGateOverridesTest, ReplacesAndChecks) {
  v1::Recipe recipe;
  recipe.mutable_gates()->set_max_accuracy_drop(0.5);
  ASSERT_TRUE(
      ApplyGateOverrides(
          {{"max_accuracy_drop", "0.01"}, {"max_size_bytes", "7"}}, &recipe)
          .ok());
  EXPECT_EQ(recipe.gates().max_accuracy_drop(), 0.01);
  EXPECT_EQ(recipe.gates().max_size_bytes(), 7);
  const absl::Status bad = ApplyGateOverrides({{"max_size", "7"}}, &recipe);
  EXPECT_EQ(ErrorReason(bad), "UNKNOWN_KEY");
  EXPECT_EQ(ErrorDetailOf(bad).nearest, "max_size_bytes");
}

}  // namespace
}  // namespace condense::recipe
