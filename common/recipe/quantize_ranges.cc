#include "common/recipe/quantize_ranges.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "common/recipe/stepwise_ranges.h"
#include "common/recipe/training_ranges.h"
#include "common/status_macros.h"

namespace condense::recipe {
namespace {

// From `low` to 8, or 16.
absl::Status CheckBits(const Checker& check, const std::string& key, bool has,
                       int bits, int low) {
  if (!has || bits == 16 || (bits >= low && bits <= 8)) return absl::OkStatus();
  return check.Error(key, "OUT_OF_RANGE",
                     absl::StrCat("'", check.At(key), "' must be from ", low,
                                  " to 8, or 16, not ", bits));
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
  if (quantize.label_smoothing() > 0) {
    return check.Error("label_smoothing", "UNUSED_KEY",
                       "there are no labels to smooth");
  }
  return absl::OkStatus();
}

}  // namespace

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

}  // namespace condense::recipe
