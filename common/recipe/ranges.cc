#include "common/recipe/ranges.h"

#include <cmath>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/recipe/checker.h"
#include "common/recipe/quantize_ranges.h"
#include "common/recipe/task_ranges.h"
#include "common/recipe/training_ranges.h"
#include "common/status_macros.h"

namespace condense::recipe {
namespace {

// One key of an augmentation.
struct Bounded {
  const char* key;
  bool has;
  double value;
  double low;
  double high;
  bool open = false;
};

absl::Status CheckColorJitter(const Checker& check, const std::string& key,
                              const v1::ColorJitter& jitter) {
  if (jitter.brightness() > 0 || jitter.contrast() > 0 ||
      jitter.saturation() > 0 || jitter.hue() > 0) {
    return absl::OkStatus();
  }
  return check.Error(key, "MISSING_KEY",
                     "color_jitter changes nothing: set brightness, contrast, "
                     "saturation or hue above 0");
}

absl::Status CheckAugmentation(const Checker& check, const std::string& key,
                               const v1::Augmentation& augmentation) {
  const v1::RandomCrop& crop = augmentation.random_crop();
  const v1::HorizontalFlip& flip = augmentation.horizontal_flip();
  const v1::ColorJitter& jitter = augmentation.color_jitter();
  const v1::Mixup& mixup = augmentation.mixup();
  const v1::Cutout& cutout = augmentation.cutout();
  const v1::RandomResizedCrop& part = augmentation.random_resized_crop();
  const Bounded keys[] = {
      {"random_crop.padding", crop.has_padding(), 1.0 * crop.padding(), 1, 64},
      {"horizontal_flip.probability", flip.has_probability(),
       flip.probability(), 0, 1, true},
      {"color_jitter.brightness", jitter.has_brightness(), jitter.brightness(),
       0, 10},
      {"color_jitter.contrast", jitter.has_contrast(), jitter.contrast(), 0,
       10},
      {"color_jitter.saturation", jitter.has_saturation(), jitter.saturation(),
       0, 10},
      {"color_jitter.hue", jitter.has_hue(), jitter.hue(), 0, 0.5},
      {"mixup.alpha", mixup.has_alpha(), mixup.alpha(), 0, 100, true},
      {"cutout.size", cutout.has_size(), 1.0 * cutout.size(), 1, 4096},
      {"random_resized_crop.area_min", part.has_area_min(), part.area_min(), 0,
       1, true},
      {"random_resized_crop.area_max", part.has_area_max(), part.area_max(),
       part.has_area_min() ? part.area_min() : 0.08, 1},
      {"random_resized_crop.ratio_max", part.has_ratio_max(), part.ratio_max(),
       1, 100}};
  for (const Bounded& k : keys) {
    CONDENSE_RETURN_IF_ERROR(check.Range(absl::StrCat(key, ".", k.key), k.has,
                                         k.value, k.low, k.high, k.open));
  }
  return augmentation.has_color_jitter()
             ? CheckColorJitter(check, key + ".color_jitter", jitter)
             : absl::OkStatus();
}

absl::Status CheckSource(const Checker& check, const v1::DataSource& source) {
  CONDENSE_RETURN_IF_ERROR(
      check.Range("samples", source.has_samples(), source.samples(), 0, 1e9));
  CONDENSE_RETURN_IF_ERROR(check.Range("max_corrupt", source.has_max_corrupt(),
                                       source.max_corrupt(), 0, 1e9));
  if (source.max_corrupt() > 1 &&
      source.max_corrupt() != std::floor(source.max_corrupt())) {
    return check.Error("max_corrupt", "OUT_OF_RANGE",
                       "'max_corrupt' is a share below 1, or a whole number");
  }
  bool mixes = false;
  for (int i = 0; i < source.augment_size(); ++i) {
    const v1::Augmentation& augmentation = source.augment(i);
    const std::string key = absl::StrCat("augment[", i, "]");
    if (augmentation.kind_case() == v1::Augmentation::KIND_NOT_SET) {
      return check.Error(key, "MISSING_KEY", "an augmentation has no name");
    }
    if (augmentation.has_random_resized_crop() && i > 0) {
      return check.Error(key, "OUT_OF_RANGE",
                         "random_resized_crop stands first: it takes the place "
                         "of preprocess.resize");
    }
    if (augmentation.has_mixup() && mixes) {
      return check.Error(key, "OUT_OF_RANGE", "mixup stands once");
    }
    mixes = mixes || augmentation.has_mixup();
    CONDENSE_RETURN_IF_ERROR(CheckAugmentation(check, key, augmentation));
  }
  return absl::OkStatus();
}

absl::Status CheckData(const ParsedRecipe& parsed) {
  const v1::DataConfig& data = parsed.recipe.data();
  CONDENSE_RETURN_IF_ERROR(
      CheckSource(Checker(parsed, "data.train"), data.train()));
  CONDENSE_RETURN_IF_ERROR(
      CheckSource(Checker(parsed, "data.eval"), data.eval()));
  CONDENSE_RETURN_IF_ERROR(
      CheckSource(Checker(parsed, "data.calibration"), data.calibration()));
  const Checker check(parsed, "data.preprocess");
  for (const auto* source : {&data.eval(), &data.calibration()}) {
    if (source->augment_size() > 0) {
      return ErrorAt(parsed,
                     source == &data.eval() ? "data.eval.augment"
                                            : "data.calibration.augment",
                     absl::StatusCode::kInvalidArgument, "UNUSED_KEY",
                     "only training samples are augmented");
    }
  }
  const v1::Preprocess& preprocess = data.preprocess();
  CONDENSE_RETURN_IF_ERROR(check.Range("color_bits",
                                       preprocess.has_color_bits(),
                                       preprocess.color_bits(), 1, 8));
  for (const auto& [key, sizes] : {std::pair{"resize", &preprocess.resize()},
                                   {"crop", &preprocess.crop()}}) {
    if (!sizes->empty() && sizes->size() != 2) {
      return check.Error(
          key, "OUT_OF_RANGE",
          absl::StrCat("'", key, "' takes a height and a width"));
    }
    for (int size : *sizes) {
      CONDENSE_RETURN_IF_ERROR(check.Range(key, true, size, 1, 8192));
    }
  }
  CONDENSE_RETURN_IF_ERROR(check.Range("scale", preprocess.has_scale(),
                                       preprocess.scale(), 0, 1e12, true));
  for (double std : preprocess.std()) {
    CONDENSE_RETURN_IF_ERROR(check.Range("std", true, std, 0, 1e12, true));
  }
  for (const auto& [key, size] :
       {std::pair<const char*, int>{"mean", preprocess.mean_size()},
        {"std", preprocess.std_size()}}) {
    if (size > 4) {
      return check.Error(
          key, "OUT_OF_RANGE",
          absl::StrCat("'", key, "' has one value, or one per channel"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckPrune(const Checker& check, const v1::Prune& prune) {
  const v1::PruneTarget& target = prune.target();
  CONDENSE_RETURN_IF_ERROR(
      check.Required("target", target.has_macs() || target.has_parameters()));
  if (target.has_macs() && target.has_parameters()) {
    return check.Error("target.parameters", "TOO_MANY_KEYS",
                       "'macs' and 'parameters' exclude each other");
  }
  const double most = 0.999999;
  CONDENSE_RETURN_IF_ERROR(check.Range("target.macs", target.has_macs(),
                                       target.macs(), 0, most, true));
  CONDENSE_RETURN_IF_ERROR(check.Range("target.parameters",
                                       target.has_parameters(),
                                       target.parameters(), 0, most, true));
  const v1::Iterative& iterative = prune.schedule().iterative();
  CONDENSE_RETURN_IF_ERROR(check.Range("schedule.iterative.steps",
                                       iterative.has_steps(), iterative.steps(),
                                       2, 100));
  CONDENSE_RETURN_IF_ERROR(check.Range("schedule.iterative.epochs_between",
                                       iterative.has_epochs_between(),
                                       iterative.epochs_between(), 0, 1000));
  for (int i = 0; i < prune.overrides_size(); ++i) {
    CONDENSE_RETURN_IF_ERROR(
        CheckPattern(check, absl::StrCat("overrides[", i, "].match"),
                     prune.overrides(i).match()));
  }
  return absl::OkStatus();
}

absl::Status CheckStage(const ParsedRecipe& parsed, int index) {
  const v1::Stage& stage = parsed.recipe.stages(index);
  const std::string path = absl::StrCat("stages[", index, "]");
  switch (stage.kind_case()) {
    case v1::Stage::kPrune:
      return CheckPrune(Checker(parsed, path + ".prune"), stage.prune());
    case v1::Stage::kFinetune: {
      const Checker check(parsed, path + ".finetune");
      CONDENSE_RETURN_IF_ERROR(
          check.Required("epochs", stage.finetune().has_epochs()));
      return CheckTraining(check, stage.finetune());
    }
    case v1::Stage::kQuantize:
      return CheckQuantize(Checker(parsed, path + ".quantize"),
                           stage.quantize());
    case v1::Stage::KIND_NOT_SET:
      break;
  }
  return ErrorAt(parsed, path, absl::StatusCode::kInvalidArgument,
                 "MISSING_KEY", "a stage has no name",
                 {.hint = "prune, finetune or quantize"});
}

}  // namespace

absl::Status CheckGates(const ParsedRecipe& parsed) {
  const Checker check(parsed, "gates");
  const v1::Gates& gates = parsed.recipe.gates();
  CONDENSE_RETURN_IF_ERROR(check.Range("max_accuracy_drop",
                                       gates.has_max_accuracy_drop(),
                                       gates.max_accuracy_drop(), -1, 1));
  CONDENSE_RETURN_IF_ERROR(check.Range("max_size_bytes",
                                       gates.has_max_size_bytes(),
                                       gates.max_size_bytes(), 1, 1e15));
  CONDENSE_RETURN_IF_ERROR(check.Range("max_latency_ms",
                                       gates.has_max_latency_ms(),
                                       gates.max_latency_ms(), 0, 1e9, true));
  return check.Range("max_eer_increase", gates.has_max_eer_increase(),
                     gates.max_eer_increase(), -1, 1);
}

absl::Status CheckRecipe(const ParsedRecipe& parsed) {
  const Checker check(parsed, "");
  const v1::Recipe& recipe = parsed.recipe;
  CONDENSE_RETURN_IF_ERROR(
      check.Range("version", recipe.has_version(), recipe.version(), 1, 1));
  CONDENSE_RETURN_IF_ERROR(
      check.Range("budget.time_seconds", recipe.budget().has_time_seconds(),
                  recipe.budget().time_seconds(), 0, 1e9, true));
  CONDENSE_RETURN_IF_ERROR(CheckData(parsed));
  if (recipe.teacher().model() != v1::Teacher::MODEL_UNSPECIFIED &&
      !recipe.teacher().source().empty()) {
    return check.Error("teacher.source", "TOO_MANY_KEYS",
                       "'model' and 'source' exclude each other");
  }
  if (recipe.stages().empty()) {
    return check.Error("stages", "MISSING_KEY", "a recipe needs a stage");
  }
  for (int i = 0; i < recipe.stages_size(); ++i) {
    CONDENSE_RETURN_IF_ERROR(CheckStage(parsed, i));
    if (recipe.stages(i).has_quantize() && i + 1 < recipe.stages_size()) {
      return check.Error(absl::StrCat("stages[", i, "]"), "UNIMPLEMENTED_VALUE",
                         "quantize must be the last stage in this version",
                         absl::StatusCode::kUnimplemented);
    }
  }
  CONDENSE_RETURN_IF_ERROR(CheckTask(parsed));
  return CheckGates(parsed);
}

}  // namespace condense::recipe
