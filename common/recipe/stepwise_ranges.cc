#include "common/recipe/stepwise_ranges.h"

#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace condense::recipe {
namespace {

constexpr int kMaxShares = 32;

// Weights whose levels do not come from a number of bits.
bool HasOneWidth(v1::Scheme scheme) {
  return scheme == v1::BINARY || scheme == v1::TERNARY || scheme == v1::FLOAT;
}

// Levels are found with the weights.
bool HasFittedLevels(v1::Scheme scheme) {
  return scheme == v1::LQ || scheme == v1::LUT || scheme == v1::MRBIQ;
}

// Levels are integers times a scale per tensor or channel, or powers of two.
bool HasFixedLevels(const v1::WeightQuantization& weights) {
  return !HasOneWidth(weights.scheme()) && weights.scheme() != v1::AFFINE &&
         !HasFittedLevels(weights.scheme()) &&
         weights.granularity() != v1::WeightQuantization::BLOCK;
}

absl::Status CheckShares(const Checker& check, const v1::Incremental& steps) {
  if (steps.shares_size() > kMaxShares) {
    return check.Error("incremental.shares", "OUT_OF_RANGE",
                       absl::StrCat("at most ", kMaxShares, " shares, not ",
                                    steps.shares_size()));
  }
  double last = 0;
  for (int i = 0; i < steps.shares_size(); ++i) {
    const std::string at = absl::StrCat("incremental.shares[", i, "]");
    CONDENSE_RETURN_IF_ERROR(
        check.Range(at, true, steps.shares(i), 0, 1, true));
    if (steps.shares(i) <= last) {
      return check.Error(at, "OUT_OF_RANGE",
                         absl::StrCat("shares rise: ", steps.shares(i),
                                      " is not above ", last));
    }
    last = steps.shares(i);
  }
  if (steps.shares_size() == 1 || (steps.shares_size() > 0 && last != 1)) {
    return check.Error("incremental.shares", "OUT_OF_RANGE",
                       "at least two shares, the last of which is 1");
  }
  return absl::OkStatus();
}

int TargetsOf(const v1::MixedPrecisionTarget& target) {
  return target.has_size_bytes() + target.has_mean_bits() + target.has_bops() +
         target.has_latency_ms();
}

absl::Status CheckTarget(const Checker& check,
                         const v1::MixedPrecisionTarget& target) {
  const std::string at = "mixed_precision.target";
  CONDENSE_RETURN_IF_ERROR(check.Required(at, TargetsOf(target) > 0));
  if (TargetsOf(target) > 1) {
    return check.Error(at, "TOO_MANY_KEYS",
                       "'size_bytes', 'mean_bits', 'bops' and 'latency_ms' "
                       "exclude each other");
  }
  CONDENSE_RETURN_IF_ERROR(check.Range(at + ".size_bytes",
                                       target.has_size_bytes(),
                                       target.size_bytes(), 1, 1e15));
  CONDENSE_RETURN_IF_ERROR(check.Range(at + ".mean_bits",
                                       target.has_mean_bits(),
                                       target.mean_bits(), 1, 8, true));
  CONDENSE_RETURN_IF_ERROR(check.Range(at + ".bops", target.has_bops(),
                                       target.bops(), 0, 1e24, true));
  return check.Range(at + ".latency_ms", target.has_latency_ms(),
                     target.latency_ms(), 0, 1e9, true);
}

absl::Status CheckWidths(const Checker& check, const v1::Quantize& quantize) {
  const v1::MixedPrecision& mixed = quantize.mixed_precision();
  std::set<int> widths;
  for (int i = 0; i < mixed.bits_size(); ++i) {
    const std::string at = absl::StrCat("mixed_precision.bits[", i, "]");
    CONDENSE_RETURN_IF_ERROR(check.Range(at, true, mixed.bits(i), 2, 8));
    if (!widths.insert(mixed.bits(i)).second) {
      return check.Error(at, "OUT_OF_RANGE",
                         absl::StrCat(mixed.bits(i), " stands there twice"));
    }
    if (quantize.weights().scheme() == v1::LOG2 && mixed.bits(i) > 4) {
      return check.Error(at, "UNSUPPORTED_COMBINATION",
                         "log2 weights have 2 to 4 bits; the nearest is 4");
    }
  }
  if (mixed.bits_size() == 1) {
    return check.Error("mixed_precision.bits", "OUT_OF_RANGE",
                       "a choice needs at least two widths; for one and the "
                       "same everywhere there is weights.bits");
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckIncremental(const Checker& check,
                              const v1::Quantize& quantize) {
  if (quantize.mode() != v1::Quantize::INCREMENTAL) {
    if (!quantize.has_incremental()) return absl::OkStatus();
    return check.Error("incremental", "UNUSED_KEY",
                       "'incremental' goes with mode incremental");
  }
  if (!HasFixedLevels(quantize.weights())) {
    return check.Error("weights.scheme", "UNSUPPORTED_COMBINATION",
                       "mode incremental fixes levels at the start: symmetric, "
                       "power_of_two or log2, with a scale per channel or "
                       "tensor");
  }
  if (quantize.qat().batch_norm() == v1::Qat::LIVE) {
    return check.Error("qat.batch_norm", "UNSUPPORTED_COMBINATION",
                       "mode incremental fixes the levels of folded weights: "
                       "batch_norm folded");
  }
  const v1::Qat::Grids grids = quantize.qat().grids();
  if (grids == v1::Qat::LSQ || grids == v1::Qat::PACT) {
    return check.Error("qat.grids", "UNSUPPORTED_COMBINATION",
                       "mode incremental fixes the scales of weights; those of "
                       "activations are following or calibrated");
  }
  return CheckShares(check, quantize.incremental());
}

absl::Status CheckMixedPrecision(const Checker& check,
                                 const v1::Quantize& quantize) {
  if (!quantize.has_mixed_precision()) return absl::OkStatus();
  if (quantize.weights().has_bits()) {
    return check.Error("weights.bits", "UNUSED_KEY",
                       "mixed_precision chooses the bits; overrides[].bits "
                       "fixes them for some layers");
  }
  if (HasOneWidth(quantize.weights().scheme())) {
    return check.Error("mixed_precision", "UNSUPPORTED_COMBINATION",
                       "binary, ternary and float weights have one width; "
                       "there is a choice for others");
  }
  if (HasFittedLevels(quantize.weights().scheme())) {
    return check.Error("mixed_precision", "UNSUPPORTED_COMBINATION",
                       "the bits of lq, lut and mrbiq are not chosen; the "
                       "nearest is symmetric");
  }
  CONDENSE_RETURN_IF_ERROR(CheckWidths(check, quantize));
  return CheckTarget(check, quantize.mixed_precision().target());
}

absl::Status CheckBlocks(const Checker& check, const v1::Quantize& quantize) {
  if (!quantize.has_blocks()) return absl::OkStatus();
  if (quantize.mode() != v1::Quantize::QAT) {
    return check.Error("blocks", "UNUSED_KEY",
                       "'blocks' trains between its steps: it goes with mode "
                       "qat");
  }
  return check.Range("blocks.count", quantize.blocks().has_count(),
                     quantize.blocks().count(), 2, 100);
}

}  // namespace condense::recipe
