#include "workers/engine/pipeline/quantize_settings.h"

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status_macros.h"
#include "workers/engine/pipeline/node_pattern.h"
#include "workers/engine/pipeline/qat_task.h"
#include "workers/engine/pipeline/settings.h"

namespace condense::pipeline {
namespace {

absl::Status ProfileCannot(const recipe::ParsedRecipe& parsed,
                           const std::string& path,
                           const v1::DeviceProfile& profile,
                           const std::string& what) {
  return recipe::ErrorAt(
      parsed, path, absl::StatusCode::kInvalidArgument, "PROFILE_CANNOT",
      absl::StrCat("profile ", profile.id(), " does not run ", what),
      {.hint = absl::StrCat("condense profiles show ", profile.id(),
                            " says what it runs")});
}

template <typename Repeated, typename T>
bool Has(const Repeated& values, T value) {
  return std::find(values.begin(), values.end(), value) != values.end();
}

quantization::ObserverKind ObserverOf(
    v1::ActivationQuantization::Observer observer) {
  switch (observer) {
    case v1::ActivationQuantization::MIN_MAX:
      return quantization::ObserverKind::kMinMax;
    case v1::ActivationQuantization::PERCENTILE:
      return quantization::ObserverKind::kPercentile;
    case v1::ActivationQuantization::MOVING_AVERAGE:
      return quantization::ObserverKind::kMovingAverage;
    case v1::ActivationQuantization::ENTROPY:
      return quantization::ObserverKind::kEntropy;
    default:
      return quantization::ObserverKind::kMse;
  }
}

std::string SchemeName(v1::Scheme scheme) {
  return absl::AsciiStrToLower(v1::Scheme_Name(scheme));
}

// See quantization::WeightGrid.
std::string ProjectionName(v1::Scheme scheme) {
  return scheme == v1::SYMMETRIC ? "max_abs" : SchemeName(scheme);
}

int DefaultBits(const v1::WeightQuantization& weights,
                const v1::DeviceProfile& profile) {
  switch (weights.scheme()) {
    case v1::BINARY:
      return 1;
    case v1::TERNARY:
      return 2;
    case v1::LOG2:
    case v1::LQ:
    case v1::LUT:
    case v1::MRBIQ:
      return 4;
    default:
      return profile.weights().bits(0);
  }
}

absl::Status FillActivations(const recipe::ParsedRecipe& parsed,
                             const v1::ActivationQuantization& activations,
                             const std::string& path,
                             const v1::DeviceProfile& profile,
                             quantization::Numerics* numerics) {
  numerics->activation_bits = activations.has_bits()
                                  ? activations.bits()
                                  : profile.activations().bits(0);
  if (!Has(profile.activations().bits(), numerics->activation_bits)) {
    return ProfileCannot(
        parsed, path + ".activations.bits", profile,
        absl::StrCat("activations of ", numerics->activation_bits,
                     " bits (it takes ",
                     absl::StrJoin(profile.activations().bits(), ", "), ")"));
  }
  const v1::Scheme scheme = activations.scheme();
  // An affine kernel runs symmetric grids too.
  const bool runs = Has(profile.activations().schemes(), scheme) ||
                    (scheme == v1::SYMMETRIC &&
                     Has(profile.activations().schemes(), v1::AFFINE));
  if (!runs) {
    return ProfileCannot(
        parsed, path + ".activations.scheme", profile,
        absl::StrCat(SchemeName(scheme), " activations; the nearest is ",
                     SchemeName(static_cast<v1::Scheme>(
                         profile.activations().schemes(0)))));
  }
  numerics->activation_unsigned = profile.activations().is_unsigned();
  numerics->activation_symmetric = scheme == v1::SYMMETRIC;
  numerics->activation_power_of_two = scheme == v1::POWER_OF_TWO;
  numerics->float_activations = scheme == v1::FLOAT;
  return absl::OkStatus();
}

quantization::Rounding RoundingOf(v1::Ptq::Rounding rounding) {
  switch (rounding) {
    case v1::Ptq::GPTQ:
      return quantization::Rounding::kGptq;
    case v1::Ptq::ADAROUND:
      return quantization::Rounding::kAdaRound;
    case v1::Ptq::BRECQ:
      return quantization::Rounding::kBrecq;
    case v1::Ptq::QDROP:
      return quantization::Rounding::kQDrop;
    default:
      return quantization::Rounding::kNearest;
  }
}

std::string NameOf(v1::WeightQuantization::Granularity granularity) {
  return absl::AsciiStrToLower(
      v1::WeightQuantization::Granularity_Name(granularity));
}

// Weights of so many bits, as integers or stored.
absl::Status CheckWeightBits(const recipe::ParsedRecipe& parsed, int bits,
                             const std::string& path,
                             const v1::DeviceProfile& profile) {
  std::vector<int> takes(profile.weights().bits().begin(),
                         profile.weights().bits().end());
  for (int stored : profile.weights().stored().bits()) takes.push_back(stored);
  if (Has(takes, bits)) return absl::OkStatus();
  const int nearest = *std::min_element(
      takes.begin(), takes.end(),
      [&](int a, int b) { return std::abs(a - bits) < std::abs(b - bits); });
  return ProfileCannot(
      parsed, path, profile,
      absl::StrCat("weights of ", bits, " bits (it takes ",
                   absl::StrJoin(takes, ", "), "); the nearest is ", nearest));
}

// What is only stored needs activations in float.
template <typename Repeated, typename T>
absl::Status CheckForm(const recipe::ParsedRecipe& parsed,
                       const v1::Quantize& quantize, const std::string& path,
                       const v1::DeviceProfile& profile,
                       const Repeated& integers, const Repeated& stored,
                       T value, const std::string& name,
                       const std::string& nearest) {
  const bool in_float = quantize.activations().scheme() == v1::FLOAT;
  if (Has(integers, value) || (in_float && Has(stored, value))) {
    return absl::OkStatus();
  }
  return ProfileCannot(
      parsed, path, profile,
      Has(stored, value)
          ? absl::StrCat(name, " with integer activations; the nearest is ",
                         name, " with activations: {scheme: float}, or ",
                         nearest)
          : absl::StrCat(name, "; the nearest is ", nearest));
}

// What the recipe asks of weights, if the profile takes it.
absl::Status FillWeights(const recipe::ParsedRecipe& parsed,
                         const v1::Quantize& quantize, const std::string& path,
                         const v1::DeviceProfile& profile,
                         quantization::Numerics* numerics) {
  const v1::WeightQuantization& weights = quantize.weights();
  const v1::WeightNumerics& takes = profile.weights();
  numerics->weight_scheme = ProjectionName(weights.scheme());
  numerics->packed = takes.packed();
  numerics->per_channel =
      weights.granularity() != v1::WeightQuantization::TENSOR;
  if (weights.scheme() == v1::FLOAT) return absl::OkStatus();
  numerics->weight_bits =
      weights.has_bits() ? weights.bits() : DefaultBits(weights, profile);
  CONDENSE_RETURN_IF_ERROR(
      CheckForm(parsed, quantize, path + ".weights.scheme", profile,
                takes.schemes(), takes.stored().schemes(), weights.scheme(),
                absl::StrCat(SchemeName(weights.scheme()), " weights"),
                SchemeName(static_cast<v1::Scheme>(takes.schemes(0)))));
  CONDENSE_RETURN_IF_ERROR(CheckWeightBits(parsed, numerics->weight_bits,
                                           path + ".weights.bits", profile));
  CONDENSE_RETURN_IF_ERROR(CheckForm(
      parsed, quantize, path + ".weights.granularity", profile,
      takes.granularities(), takes.stored().granularities(),
      weights.granularity(),
      absl::StrCat("weights of granularity ", NameOf(weights.granularity())),
      NameOf(static_cast<v1::WeightQuantization::Granularity>(
          takes.granularities(0)))));
  if (weights.granularity() == v1::WeightQuantization::BLOCK) {
    numerics->block_size = weights.block_size();
  }
  for (int bits : takes.stored().bits()) {
    if (!Has(takes.bits(), bits)) numerics->float_bits.insert(bits);
  }
  return absl::OkStatus();
}

absl::Status FillNumerics(const recipe::ParsedRecipe& parsed,
                          const v1::Quantize& quantize, const std::string& path,
                          const v1::DeviceProfile& profile,
                          quantization::Numerics* numerics) {
  CONDENSE_RETURN_IF_ERROR(
      FillWeights(parsed, quantize, path, profile, numerics));
  CONDENSE_RETURN_IF_ERROR(
      FillActivations(parsed, quantize.activations(), path, profile, numerics));
  numerics->quantized_ops.insert(profile.quantized_ops().begin(),
                                 profile.quantized_ops().end());
  for (const v1::Fusion& fusion : profile.fusions()) {
    numerics->fusions.emplace_back(fusion.ops().begin(), fusion.ops().end());
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<quantization::Numerics> NumericsOf(
    const recipe::ParsedRecipe& parsed, const v1::Quantize& quantize, int stage,
    const v1::DeviceProfile& profile, const graph::Graph& graph) {
  const std::string path = absl::StrCat("stages[", stage, "].quantize");
  quantization::Numerics numerics;
  CONDENSE_RETURN_IF_ERROR(
      FillNumerics(parsed, quantize, path, profile, &numerics));
  for (int i = 0; i < quantize.overrides_size(); ++i) {
    const v1::QuantizeOverride& rule = quantize.overrides(i);
    const std::string rule_path = absl::StrCat(path, ".overrides[", i, "]");
    CONDENSE_ASSIGN_OR_RETURN(
        std::set<std::string> names,
        MatchingNodes(parsed, rule_path + ".match", rule.match(), graph));
    if (rule.has_bits()) {
      CONDENSE_RETURN_IF_ERROR(
          CheckWeightBits(parsed, rule.bits(), rule_path + ".bits", profile));
    }
    for (const std::string& name : names) {
      if (rule.has_skip() && rule.skip()) numerics.skip.insert(name);
      if (rule.has_skip() && !rule.skip()) numerics.skip.erase(name);
      if (rule.has_bits()) numerics.bits[name] = rule.bits();
    }
  }
  return numerics;
}

absl::StatusOr<quantization::PostTrainingOptions> PostTrainingOf(
    const recipe::ParsedRecipe& parsed, const v1::Recipe& resolved, int stage,
    const v1::DeviceProfile& profile, const graph::Graph& graph) {
  const v1::Quantize& quantize = resolved.stages(stage).quantize();
  quantization::PostTrainingOptions options;
  CONDENSE_ASSIGN_OR_RETURN(
      options.numerics, NumericsOf(parsed, quantize, stage, profile, graph));
  options.observer.kind = ObserverOf(quantize.activations().observer());
  options.observer.percentile = quantize.activations().percentile();
  const data::Preprocess preprocess =
      PreprocessOf(resolved.data().preprocess());
  options.fold_batch_norm = !TrainsBatchNorm(quantize);
  options.project_weights = quantize.mode() == v1::Quantize::PTQ;
  // Empty in mode qat, which then gets ranges alone.
  const v1::Ptq& ptq = quantize.ptq();
  if (ptq.pixel_grid() && !preprocess.channels_last) {
    options.pixels = quantization::PixelScaling{
        preprocess.scale, preprocess.mean, preprocess.std};
  }
  options.smooth = ptq.smooth();
  if (ptq.has_min_snr_db()) options.min_snr_db = ptq.min_snr_db();
  options.equalize = ptq.equalize();
  options.bias_correction = ptq.has_bias_correction()
                                ? ptq.bias_correction()
                                : quantize.mode() == v1::Quantize::PTQ &&
                                      (options.numerics.weight_bits <= 4 ||
                                       quantize.has_mixed_precision());
  options.rounding = RoundingOf(ptq.rounding());
  options.iterations = ptq.iterations();
  options.seed = static_cast<uint64_t>(resolved.seed());
  return options;
}

}  // namespace condense::pipeline
