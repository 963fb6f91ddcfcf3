#include "common/recipe/ranges.h"

#include <cmath>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/recipe/checker.h"
#include "common/recipe/pattern.h"
#include "common/recipe/stepwise_ranges.h"
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

absl::Status CheckOptimizer(const Checker& check,
                            const v1::Optimizer& optimizer) {
  if (optimizer.has_sgd()) {
    const v1::Sgd& sgd = optimizer.sgd();
    const std::string at = "optimizer.sgd.";
    CONDENSE_RETURN_IF_ERROR(
        check.Range(at + "lr", sgd.has_lr(), sgd.lr(), 0, 100, true));
    CONDENSE_RETURN_IF_ERROR(check.Range(at + "momentum", sgd.has_momentum(),
                                         sgd.momentum(), 0, 0.999999));
    return check.Range(at + "weight_decay", sgd.has_weight_decay(),
                       sgd.weight_decay(), 0, 1);
  }
  const bool decoupled = optimizer.has_adamw();
  const v1::Adam& adam = decoupled ? optimizer.adamw() : optimizer.adam();
  const std::string at = decoupled ? "optimizer.adamw." : "optimizer.adam.";
  CONDENSE_RETURN_IF_ERROR(
      check.Range(at + "lr", adam.has_lr(), adam.lr(), 0, 100, true));
  CONDENSE_RETURN_IF_ERROR(
      check.Range(at + "beta1", adam.has_beta1(), adam.beta1(), 0, 0.9999999));
  CONDENSE_RETURN_IF_ERROR(
      check.Range(at + "beta2", adam.has_beta2(), adam.beta2(), 0, 0.9999999));
  CONDENSE_RETURN_IF_ERROR(check.Range(at + "epsilon", adam.has_epsilon(),
                                       adam.epsilon(), 0, 1, true));
  return check.Range(at + "weight_decay", adam.has_weight_decay(),
                     adam.weight_decay(), 0, 1);
}

// Keys of `lr_shape` that the schedule does not read are refused.
absl::Status CheckLrShape(const Checker& check, v1::LrSchedule schedule,
                          const v1::LrShape& shape) {
  const bool falls = schedule != v1::STEP && schedule != v1::CONSTANT;
  const bool step = schedule == v1::STEP;
  const bool cycle = schedule == v1::ONE_CYCLE;
  struct Key {
    const char* name;
    bool has, used;
    double value, low, high;
    bool open;
  };
  for (const Key& key :
       {Key{"warmup_epochs", shape.has_warmup_epochs(), true,
            shape.warmup_epochs(), 0, 10000, false},
        Key{"final", shape.has_final(), falls, shape.final(), 0, 1, false},
        Key{"every_epochs", shape.has_every_epochs(), step,
            shape.every_epochs(), 0, 10000, true},
        Key{"gamma", shape.has_gamma(), step, shape.gamma(), 0, 1, true},
        Key{"start", shape.has_start(), cycle, shape.start(), 0, 1, true},
        Key{"peak_at", shape.has_peak_at(), cycle, shape.peak_at(), 0, 0.9999,
            true}}) {
    const std::string at = absl::StrCat("lr_shape.", key.name);
    if (key.has && !key.used) {
      return check.Error(
          at, "UNUSED_KEY",
          absl::StrCat("this lr_schedule does not read '", key.name, "'"));
    }
    CONDENSE_RETURN_IF_ERROR(
        check.Range(at, key.has, key.value, key.low, key.high, key.open));
  }
  return absl::OkStatus();
}

// What goes around the optimizer.
template <typename Training>
absl::Status CheckLoop(const Checker& check, const Training& training) {
  CONDENSE_RETURN_IF_ERROR(
      CheckLrShape(check, training.lr_schedule(), training.lr_shape()));
  CONDENSE_RETURN_IF_ERROR(check.Range("clip_norm", training.has_clip_norm(),
                                       training.clip_norm(), 0, 1e9, true));
  CONDENSE_RETURN_IF_ERROR(check.Range("accumulate", training.has_accumulate(),
                                       training.accumulate(), 1, 4096));
  CONDENSE_RETURN_IF_ERROR(check.Range("ema.decay", training.ema().has_decay(),
                                       training.ema().decay(), 0, 0.9999999,
                                       true));
  CONDENSE_RETURN_IF_ERROR(check.Range("label_smoothing",
                                       training.has_label_smoothing(),
                                       training.label_smoothing(), 0, 0.9999));
  const v1::EarlyStop& stop = training.early_stop();
  CONDENSE_RETURN_IF_ERROR(check.Range("early_stop.every_epochs",
                                       stop.has_every_epochs(),
                                       stop.every_epochs(), 1, 10000));
  CONDENSE_RETURN_IF_ERROR(check.Range(
      "early_stop.patience", stop.has_patience(), stop.patience(), 1, 10000));
  CONDENSE_RETURN_IF_ERROR(check.Range(
      "early_stop.min_delta", stop.has_min_delta(), stop.min_delta(), 0, 1e9));
  const v1::Divergence& divergence = training.divergence();
  CONDENSE_RETURN_IF_ERROR(check.Range("divergence.factor",
                                       divergence.has_factor(),
                                       divergence.factor(), 1, 1e9, true));
  return check.Range("divergence.steps", divergence.has_steps(),
                     divergence.steps(), 1, 1000000);
}

template <typename Training>
absl::Status CheckTraining(const Checker& check, const Training& training) {
  CONDENSE_RETURN_IF_ERROR(check.Range("epochs", training.has_epochs(),
                                       training.epochs(), 1, 10000));
  CONDENSE_RETURN_IF_ERROR(check.Range("batch_size", training.has_batch_size(),
                                       training.batch_size(), 1, 65536));
  CONDENSE_RETURN_IF_ERROR(CheckOptimizer(check, training.optimizer()));
  CONDENSE_RETURN_IF_ERROR(CheckLoop(check, training));
  for (int i = 0; i < training.kd_size(); ++i) {
    const std::string at = absl::StrCat("kd[", i, "]");
    if (!training.kd(i).has_soft_response()) {
      return check.Error(at, "MISSING_KEY", "a kd loss has no name");
    }
    const v1::SoftResponse& soft = training.kd(i).soft_response();
    CONDENSE_RETURN_IF_ERROR(check.Range(at + ".soft_response.temperature",
                                         soft.has_temperature(),
                                         soft.temperature(), 0, 100, true));
    CONDENSE_RETURN_IF_ERROR(check.Range(
        at + ".soft_response.lambda", soft.has_lambda(), soft.lambda(), 0, 1));
  }
  return absl::OkStatus();
}

// From `low` to 8, or 16.
absl::Status CheckBits(const Checker& check, const std::string& key, bool has,
                       int bits, int low) {
  if (!has || bits == 16 || (bits >= low && bits <= 8)) return absl::OkStatus();
  return check.Error(key, "OUT_OF_RANGE",
                     absl::StrCat("'", check.At(key), "' must be from ", low,
                                  " to 8, or 16, not ", bits));
}

absl::Status CheckPattern(const Checker& check, const std::string& key,
                          const std::string& pattern) {
  CONDENSE_RETURN_IF_ERROR(check.Required(key, !pattern.empty()));
  const absl::StatusOr<Pattern> compiled = Pattern::Compile(pattern);
  if (compiled.ok()) return absl::OkStatus();
  return check.Error(key, "BAD_PATTERN",
                     std::string(compiled.status().message()));
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

// Bits that a scheme of weights can have, under this key.
absl::Status CheckWeightBits(const Checker& check, const std::string& key,
                             bool has, int bits, v1::Scheme scheme) {
  struct Limits {
    v1::Scheme scheme;
    const char* name;
    int low, high;
    // 16 as well.
    bool wide;
  };
  constexpr Limits kLimits[] = {{v1::SYMMETRIC, "symmetric", 2, 8, true},
                                {v1::AFFINE, "affine", 2, 8, true},
                                {v1::POWER_OF_TWO, "power_of_two", 2, 8, false},
                                {v1::LOG2, "log2", 2, 4, false},
                                {v1::BINARY, "binary", 1, 1, false},
                                {v1::TERNARY, "ternary", 2, 2, false},
                                {v1::LQ, "lq", 1, 4, false},
                                {v1::LUT, "lut", 2, 4, false},
                                {v1::MRBIQ, "mrbiq", 2, 4, false}};
  CONDENSE_RETURN_IF_ERROR(CheckBits(check, key, has, bits, 1));
  if (scheme == v1::SCHEME_UNSPECIFIED) scheme = v1::SYMMETRIC;
  for (const Limits& limits : kLimits) {
    if (!has || scheme != limits.scheme || (limits.wide && bits == 16) ||
        (bits >= limits.low && bits <= limits.high)) {
      continue;
    }
    return check.Error(
        key, "UNSUPPORTED_COMBINATION",
        absl::StrCat(limits.name, " weights have ", limits.low, " to ",
                     limits.high, " bits", limits.wide ? ", or 16" : "",
                     "; the nearest is ",
                     bits < limits.low ? limits.low : limits.high));
  }
  return absl::OkStatus();
}

// Weights that are not quantized have no numbers of their own.
absl::Status CheckFloatWeights(const Checker& check,
                               const v1::Quantize& quantize) {
  const v1::WeightQuantization& weights = quantize.weights();
  if (quantize.activations().scheme() == v1::FLOAT) {
    return check.Error("activations.scheme", "UNSUPPORTED_COMBINATION",
                       "neither weights nor activations are quantized; the "
                       "nearest for activations is affine");
  }
  bool bits = weights.has_bits();
  for (const v1::QuantizeOverride& rule : quantize.overrides()) {
    bits = bits || rule.has_bits();
  }
  if (!bits && weights.granularity() ==
                   v1::WeightQuantization::GRANULARITY_UNSPECIFIED) {
    return absl::OkStatus();
  }
  return check.Error("weights", "UNUSED_KEY",
                     "weights of scheme float have neither bits nor "
                     "granularity");
}

absl::Status CheckGranularity(const Checker& check,
                              const v1::WeightQuantization& weights) {
  const bool blocks = weights.granularity() == v1::WeightQuantization::BLOCK;
  if (!blocks && weights.has_block_size()) {
    return check.Error("weights.block_size", "UNUSED_KEY",
                       "'block_size' goes with granularity block");
  }
  const v1::Scheme scheme = weights.scheme();
  if (blocks && scheme != v1::SCHEME_UNSPECIFIED && scheme != v1::SYMMETRIC &&
      scheme != v1::AFFINE) {
    return check.Error("weights.granularity", "UNSUPPORTED_COMBINATION",
                       "blocks are for symmetric and affine weights; the "
                       "nearest for others is channel");
  }
  return check.Range("weights.block_size", weights.has_block_size(),
                     weights.block_size(), 2, 4096);
}

bool IsForActivations(v1::Scheme scheme) {
  return scheme == v1::SCHEME_UNSPECIFIED || scheme == v1::SYMMETRIC ||
         scheme == v1::AFFINE || scheme == v1::POWER_OF_TWO ||
         scheme == v1::FLOAT;
}

// mrbiq looks at the inputs of each output after training.
absl::Status CheckMrbiq(const Checker& check, const v1::Quantize& quantize) {
  if (quantize.weights().scheme() != v1::MRBIQ) return absl::OkStatus();
  if (quantize.mode() == v1::Quantize::QAT) {
    return check.Error("weights.scheme", "UNSUPPORTED_COMBINATION",
                       "mrbiq is found after training, in mode ptq; the "
                       "nearest for mode qat is lq");
  }
  if (quantize.weights().granularity() == v1::WeightQuantization::TENSOR) {
    return check.Error("weights.granularity", "UNSUPPORTED_COMBINATION",
                       "mrbiq finds levels for each output; the nearest is "
                       "channel");
  }
  return absl::OkStatus();
}

absl::Status CheckSchemes(const Checker& check, const v1::Quantize& quantize) {
  const v1::WeightQuantization& weights = quantize.weights();
  if (weights.scheme() == v1::FLOAT) {
    CONDENSE_RETURN_IF_ERROR(CheckFloatWeights(check, quantize));
  }
  CONDENSE_RETURN_IF_ERROR(CheckGranularity(check, weights));
  const v1::Scheme activations = quantize.activations().scheme();
  CONDENSE_RETURN_IF_ERROR(CheckMrbiq(check, quantize));
  if (!IsForActivations(activations)) {
    return check.Error("activations.scheme", "UNIMPLEMENTED_VALUE",
                       "this scheme is for weights; the nearest for "
                       "activations is power_of_two",
                       absl::StatusCode::kUnimplemented);
  }
  if (activations == v1::SYMMETRIC && quantize.activations().bits() == 1) {
    return check.Error(
        "activations.bits", "UNSUPPORTED_COMBINATION",
        "symmetric activations have 2 to 8 bits, or 16; the nearest "
        "scheme of 1 bit is affine");
  }
  return CheckWeightBits(check, "weights.bits", weights.has_bits(),
                         weights.bits(), weights.scheme());
}

absl::Status CheckQat(const Checker& check, const v1::Quantize& quantize) {
  if (quantize.mode() == v1::Quantize::PTQ && quantize.has_qat()) {
    return check.Error("qat", "UNUSED_KEY", "'qat' goes with mode qat");
  }
  const v1::Qat& qat = quantize.qat();
  if (qat.batch_norm() == v1::Qat::LIVE &&
      quantize.weights().granularity() == v1::WeightQuantization::TENSOR) {
    return check.Error("qat.batch_norm", "UNSUPPORTED_COMBINATION",
                       "live batch normalisation needs a scale per channel",
                       absl::StatusCode::kInvalidArgument);
  }
  if (qat.grids() == v1::Qat::LSQ && qat.batch_norm() == v1::Qat::LIVE) {
    return check.Error(
        "qat.grids", "UNSUPPORTED_COMBINATION",
        "lsq learns scales of folded weights: batch_norm folded");
  }
  const bool affine = quantize.weights().scheme() == v1::AFFINE;
  if (affine && qat.batch_norm() == v1::Qat::LIVE) {
    return check.Error("qat.batch_norm", "UNSUPPORTED_COMBINATION",
                       "affine weights change where live batch normalisation "
                       "is folded; the nearest is folded");
  }
  if (qat.grids() == v1::Qat::LSQ &&
      (affine ||
       quantize.weights().granularity() == v1::WeightQuantization::BLOCK)) {
    return check.Error("qat.grids", "UNSUPPORTED_COMBINATION",
                       "lsq learns symmetric scales per channel or tensor; the "
                       "nearest is following");
  }
  const bool learns =
      qat.grids() == v1::Qat::LSQ || qat.grids() == v1::Qat::PACT;
  const v1::Scheme scheme = quantize.activations().scheme();
  if (learns && scheme != v1::SCHEME_UNSPECIFIED && scheme != v1::AFFINE) {
    return check.Error("qat.grids", "UNSUPPORTED_COMBINATION",
                       "lsq and pact learn scales of affine activations");
  }
  return check.Range("qat.freeze_after", qat.has_freeze_after(),
                     qat.freeze_after(), 0, 1);
}

// What post-training quantization cannot do with these schemes.
absl::Status CheckPtqSchemes(const Checker& check,
                             const v1::Quantize& quantize) {
  const v1::Ptq& ptq = quantize.ptq();
  const v1::Scheme scheme = quantize.weights().scheme();
  const bool plain =
      scheme == v1::SCHEME_UNSPECIFIED || scheme == v1::SYMMETRIC;
  const bool rounds = ptq.rounding() != v1::Ptq::ROUNDING_UNSPECIFIED &&
                      ptq.rounding() != v1::Ptq::NEAREST;
  const bool gptq = ptq.rounding() == v1::Ptq::GPTQ;
  if (!plain && rounds && !(gptq && scheme == v1::AFFINE)) {
    return check.Error(
        "ptq.rounding", "UNSUPPORTED_COMBINATION",
        absl::StrCat("this rounding is for symmetric weights; the nearest "
                     "here is ",
                     scheme == v1::AFFINE ? "gptq" : "nearest"));
  }
  if (!plain && ptq.has_min_snr_db()) {
    return check.Error("ptq.min_snr_db", "UNSUPPORTED_COMBINATION",
                       "layers are measured with symmetric weights only");
  }
  if (scheme == v1::FLOAT && ptq.bias_correction()) {
    return check.Error("ptq.bias_correction", "UNSUPPORTED_COMBINATION",
                       "biases are corrected where weights are quantized");
  }
  if (ActivationScheme(quantize) != v1::FLOAT) return absl::OkStatus();
  const std::pair<const char*, bool> needs_activations[] = {
      {"rounding", rounds && !gptq},
      {"min_snr_db", ptq.has_min_snr_db()},
      {"equalize", ptq.equalize()},
      {"smooth", ptq.smooth() > 0},
      {"pixel_grid", ptq.pixel_grid()}};
  for (const auto& [key, wanted] : needs_activations) {
    if (!wanted) continue;
    return check.Error(
        absl::StrCat("ptq.", key), "UNSUPPORTED_COMBINATION",
        absl::StrCat("'", key, "' needs activations that are quantized"));
  }
  return absl::OkStatus();
}

absl::Status CheckPtq(const Checker& check, const v1::Quantize& quantize) {
  if (quantize.mode() != v1::Quantize::PTQ && quantize.has_ptq()) {
    return check.Error("ptq", "UNUSED_KEY", "'ptq' goes with mode ptq");
  }
  const v1::Ptq& ptq = quantize.ptq();
  CONDENSE_RETURN_IF_ERROR(check.Range("ptq.iterations", ptq.has_iterations(),
                                       ptq.iterations(), 1, 1e6));
  CONDENSE_RETURN_IF_ERROR(
      check.Range("ptq.smooth", ptq.has_smooth(), ptq.smooth(), 0, 1));
  CONDENSE_RETURN_IF_ERROR(check.Range("ptq.min_snr_db", ptq.has_min_snr_db(),
                                       ptq.min_snr_db(), 0, 200));
  return CheckPtqSchemes(check, quantize);
}

// Without labels the teacher is all that there is to learn from.
absl::Status CheckQatData(const Checker& check, const v1::Quantize& quantize) {
  const v1::Quantize::QatData data = quantize.qat_data();
  if (data == v1::Quantize::QAT_DATA_UNSPECIFIED) return absl::OkStatus();
  if (quantize.mode() == v1::Quantize::PTQ) {
    return check.Error("qat_data", "UNUSED_KEY", "'qat_data' goes with qat");
  }
  if (data == v1::Quantize::LABELED) return absl::OkStatus();
  if (quantize.kd_size() > 0) {
    return check.Error("kd", "UNSUPPORTED_COMBINATION",
                       "without labels the loss against the teacher is given: "
                       "leave out 'kd', or set qat_data to labeled");
  }
  if (quantize.has_label_smoothing()) {
    return check.Error("label_smoothing", "UNUSED_KEY",
                       "there are no labels to smooth");
  }
  return absl::OkStatus();
}

absl::Status CheckQuantize(const Checker& check, const v1::Quantize& quantize) {
  CONDENSE_RETURN_IF_ERROR(check.Required(
      "mode", quantize.mode() != v1::Quantize::MODE_UNSPECIFIED));
  const bool trains = quantize.has_epochs() || quantize.has_batch_size() ||
                      quantize.has_optimizer() || quantize.kd_size() > 0 ||
                      quantize.lr_schedule() != v1::LR_SCHEDULE_UNSPECIFIED ||
                      quantize.has_lr_shape() || quantize.has_clip_norm() ||
                      quantize.has_accumulate() || quantize.has_ema() ||
                      quantize.has_label_smoothing() ||
                      quantize.has_early_stop() || quantize.has_divergence();
  if (quantize.mode() == v1::Quantize::PTQ && trains) {
    return check.Error("mode", "UNUSED_KEY",
                       "ptq does not train: epochs, batch_size, optimizer, kd "
                       "and what is about training goes with mode qat or "
                       "incremental");
  }
  CONDENSE_RETURN_IF_ERROR(CheckQat(check, quantize));
  CONDENSE_RETURN_IF_ERROR(CheckQatData(check, quantize));
  CONDENSE_RETURN_IF_ERROR(CheckPtq(check, quantize));
  CONDENSE_RETURN_IF_ERROR(CheckIncremental(check, quantize));
  CONDENSE_RETURN_IF_ERROR(CheckMixedPrecision(check, quantize));
  CONDENSE_RETURN_IF_ERROR(CheckBlocks(check, quantize));
  CONDENSE_RETURN_IF_ERROR(CheckTraining(check, quantize));
  CONDENSE_RETURN_IF_ERROR(CheckBits(check, "activations.bits",
                                     quantize.activations().has_bits(),
                                     quantize.activations().bits(), 1));
  CONDENSE_RETURN_IF_ERROR(CheckSchemes(check, quantize));
  CONDENSE_RETURN_IF_ERROR(check.Range(
      "activations.percentile", quantize.activations().has_percentile(),
      quantize.activations().percentile(), 50, 100, true));
  for (int i = 0; i < quantize.overrides_size(); ++i) {
    const std::string at = absl::StrCat("overrides[", i, "].");
    const v1::QuantizeOverride& rule = quantize.overrides(i);
    CONDENSE_RETURN_IF_ERROR(CheckPattern(check, at + "match", rule.match()));
    CONDENSE_RETURN_IF_ERROR(CheckWeightBits(check, at + "bits",
                                             rule.has_bits(), rule.bits(),
                                             quantize.weights().scheme()));
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
  return check.Range("max_latency_ms", gates.has_max_latency_ms(),
                     gates.max_latency_ms(), 0, 1e9, true);
}

v1::Scheme ActivationScheme(const v1::Quantize& quantize) {
  const v1::ActivationQuantization& activations = quantize.activations();
  if (activations.scheme() != v1::SCHEME_UNSPECIFIED) {
    return activations.scheme();
  }
  const bool silent = !activations.has_bits() &&
                      !activations.has_percentile() &&
                      activations.observer() ==
                          v1::ActivationQuantization::OBSERVER_UNSPECIFIED;
  const v1::WeightQuantization& weights = quantize.weights();
  const bool in_float =
      weights.granularity() == v1::WeightQuantization::BLOCK ||
      weights.bits() == 16;
  return silent && in_float ? v1::FLOAT : v1::AFFINE;
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
  return CheckGates(parsed);
}

}  // namespace condense::recipe
