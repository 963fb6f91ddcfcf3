#include "workers/engine/pipeline/settings.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/recipe/pattern.h"
#include "common/status_macros.h"
#include "workers/engine/pipeline/qat_task.h"

namespace condense::pipeline {
namespace {

template <typename Repeated>
std::vector<double> Doubles(const Repeated& values) {
  return std::vector<double>(values.begin(), values.end());
}

// Names of nodes that the pattern at `path` matches; an error if none.
absl::StatusOr<std::set<std::string>> Matches(
    const recipe::ParsedRecipe& parsed, const std::string& path,
    const std::string& text, const graph::Graph& graph) {
  CONDENSE_ASSIGN_OR_RETURN(recipe::Pattern pattern,
                            recipe::Pattern::Compile(text));
  std::set<std::string> names;
  std::vector<std::string> all;
  for (graph::NodeId id : graph.order()) {
    const std::string& name = graph.node(id).name;
    all.push_back(name);
    if (pattern.Matches(name)) names.insert(name);
  }
  if (names.empty()) {
    return recipe::ErrorAt(
        parsed, path, absl::StatusCode::kInvalidArgument,
        "PATTERN_WITHOUT_MATCH",
        absl::StrCat("no node of the model matches '", text, "'"),
        {.nearest = NearestName(text, all),
         .hint = "condense analyze lists the nodes by name"});
  }
  return names;
}

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

// What the recipe asks for, if the profile takes it.
absl::Status FillNumerics(const recipe::ParsedRecipe& parsed,
                          const v1::Quantize& quantize, const std::string& path,
                          const v1::DeviceProfile& profile,
                          quantization::Numerics* numerics) {
  const v1::WeightQuantization& weights = quantize.weights();
  const v1::ActivationQuantization& activations = quantize.activations();
  numerics->weight_bits =
      weights.has_bits() ? weights.bits() : DefaultBits(weights, profile);
  if (!Has(profile.weights().schemes(), weights.scheme())) {
    return ProfileCannot(
        parsed, path + ".weights.scheme", profile,
        absl::StrCat(
            SchemeName(weights.scheme()), " weights; the nearest is ",
            SchemeName(static_cast<v1::Scheme>(profile.weights().schemes(0)))));
  }
  numerics->weight_scheme = ProjectionName(weights.scheme());
  if (!Has(profile.weights().bits(), numerics->weight_bits)) {
    return ProfileCannot(
        parsed, path + ".weights.bits", profile,
        absl::StrCat("weights of ", numerics->weight_bits, " bits (it takes ",
                     absl::StrJoin(profile.weights().bits(), ", "), ")"));
  }
  if (!Has(profile.weights().granularities(), weights.granularity())) {
    return ProfileCannot(parsed, path + ".weights.granularity", profile,
                         "weights of this granularity");
  }
  CONDENSE_RETURN_IF_ERROR(
      FillActivations(parsed, activations, path, profile, numerics));
  numerics->per_channel =
      weights.granularity() == v1::WeightQuantization::CHANNEL;
  numerics->packed = profile.weights().packed();
  numerics->quantized_ops.insert(profile.quantized_ops().begin(),
                                 profile.quantized_ops().end());
  for (const v1::Fusion& fusion : profile.fusions()) {
    numerics->fusions.emplace_back(fusion.ops().begin(), fusion.ops().end());
  }
  return absl::OkStatus();
}

}  // namespace

data::Preprocess PreprocessOf(const v1::Preprocess& preprocess) {
  data::Preprocess out;
  if (preprocess.resize_size() == 2) {
    out.resize_height = preprocess.resize(0);
    out.resize_width = preprocess.resize(1);
  }
  if (preprocess.crop_size() == 2) {
    out.crop_height = preprocess.crop(0);
    out.crop_width = preprocess.crop(1);
  }
  out.antialias = preprocess.antialias();
  out.scale = preprocess.scale();
  out.mean = Doubles(preprocess.mean());
  out.std = Doubles(preprocess.std());
  out.channels_last = preprocess.layout() == v1::Preprocess::NHWC;
  switch (preprocess.color()) {
    case v1::Preprocess::RGB:
      out.color = data::Color::kRgb;
      break;
    case v1::Preprocess::BGR:
      out.color = data::Color::kBgr;
      break;
    case v1::Preprocess::GRAY:
      out.color = data::Color::kGray;
      break;
    default:
      break;
  }
  return out;
}

std::vector<data::Augmentation> AugmentationsOf(const v1::DataSource& source) {
  std::vector<data::Augmentation> out;
  for (const v1::Augmentation& augmentation : source.augment()) {
    switch (augmentation.kind_case()) {
      case v1::Augmentation::kRandomCrop:
        out.push_back(data::RandomCrop{augmentation.random_crop().padding()});
        break;
      case v1::Augmentation::kHorizontalFlip:
        out.push_back(
            data::HorizontalFlip{augmentation.horizontal_flip().probability()});
        break;
      case v1::Augmentation::kColorJitter: {
        const v1::ColorJitter& jitter = augmentation.color_jitter();
        out.push_back(data::ColorJitter{jitter.brightness(), jitter.contrast(),
                                        jitter.saturation(), jitter.hue()});
        break;
      }
      case v1::Augmentation::kCutout:
        out.push_back(data::Cutout{augmentation.cutout().size()});
        break;
      case v1::Augmentation::kRandomResizedCrop: {
        const v1::RandomResizedCrop& crop = augmentation.random_resized_crop();
        out.push_back(data::RandomResizedCrop{crop.area_min(), crop.area_max(),
                                              crop.ratio_max()});
        break;
      }
      default:
        // Mixup is a change of batches.
        break;
    }
  }
  return out;
}

double MixupAlphaOf(const v1::DataSource& source) {
  for (const v1::Augmentation& augmentation : source.augment()) {
    if (augmentation.has_mixup()) return augmentation.mixup().alpha();
  }
  return 0;
}

training::OptimizerOptions OptimizerOf(const v1::Optimizer& optimizer) {
  training::OptimizerOptions out;
  if (optimizer.has_adam() || optimizer.has_adamw()) {
    const bool decoupled = optimizer.has_adamw();
    const v1::Adam& adam = decoupled ? optimizer.adamw() : optimizer.adam();
    out.kind = decoupled ? training::OptimizerOptions::Kind::kAdamW
                         : training::OptimizerOptions::Kind::kAdam;
    out.lr = adam.lr();
    out.beta1 = adam.beta1();
    out.beta2 = adam.beta2();
    out.epsilon = adam.epsilon();
    out.weight_decay = adam.weight_decay();
    return out;
  }
  const v1::Sgd& sgd = optimizer.sgd();
  out.lr = sgd.lr();
  out.momentum = sgd.momentum();
  out.nesterov = sgd.nesterov();
  out.weight_decay = sgd.weight_decay();
  return out;
}

training::ScheduleOptions ScheduleOf(v1::LrSchedule schedule,
                                     const v1::LrShape& shape) {
  training::ScheduleOptions out;
  out.warmup_epochs = shape.warmup_epochs();
  out.final = shape.final();
  switch (schedule) {
    case v1::CONSTANT:
      out.kind = training::Schedule::kConstant;
      break;
    case v1::STEP:
      out.kind = training::Schedule::kStep;
      out.every_epochs = shape.every_epochs();
      out.gamma = shape.gamma();
      break;
    case v1::LINEAR:
      out.kind = training::Schedule::kLinear;
      break;
    case v1::ONE_CYCLE:
      out.kind = training::Schedule::kOneCycle;
      out.start = shape.start();
      out.peak_at = shape.peak_at();
      break;
    default:
      break;
  }
  return out;
}

pruning::Criterion CriterionOf(v1::Prune::Criterion criterion) {
  switch (criterion) {
    case v1::Prune::L1:
      return pruning::Criterion::kL1;
    case v1::Prune::RANDOM:
      return pruning::Criterion::kRandom;
    default:
      return pruning::Criterion::kL2;
  }
}

evaluation::Bounds BoundsOf(const v1::Gates& gates) {
  evaluation::Bounds bounds;
  if (gates.has_max_accuracy_drop()) {
    bounds.max_accuracy_drop = gates.max_accuracy_drop();
  }
  if (gates.has_max_size_bytes()) {
    bounds.max_size_bytes = static_cast<double>(gates.max_size_bytes());
  }
  if (gates.has_max_latency_ms())
    bounds.max_latency_ms = gates.max_latency_ms();
  return bounds;
}

namespace {

training::EarlyStopOptions EarlyStopOf(const v1::EarlyStop& stop) {
  using Metric = training::EarlyStopOptions::Metric;
  training::EarlyStopOptions out;
  out.metric =
      stop.metric() == v1::EarlyStop::LOSS ? Metric::kLoss : Metric::kTop1;
  out.every_epochs = stop.every_epochs();
  out.patience = stop.patience();
  out.min_delta = stop.min_delta();
  return out;
}

template <typename Stage>
TrainingSettings SettingsOf(const Stage& stage) {
  TrainingSettings out;
  out.batch_size = stage.batch_size();
  out.label_smoothing = stage.label_smoothing();
  out.kd.assign(stage.kd().begin(), stage.kd().end());
  training::TrainOptions& train = out.train;
  train.epochs = stage.epochs();
  train.optimizer = OptimizerOf(stage.optimizer());
  train.schedule = ScheduleOf(stage.lr_schedule(), stage.lr_shape());
  train.accumulate = stage.accumulate();
  train.clip_norm = stage.clip_norm();
  train.ema_decay = stage.ema().decay();
  if (stage.has_early_stop()) {
    train.early_stop = EarlyStopOf(stage.early_stop());
  }
  train.divergence.factor = stage.divergence().factor();
  train.divergence.steps = stage.divergence().steps();
  return out;
}

}  // namespace

TrainingSettings TrainingOf(const v1::Finetune& finetune) {
  return SettingsOf(finetune);
}
TrainingSettings TrainingOf(const v1::Quantize& quantize) {
  return SettingsOf(quantize);
}

absl::StatusOr<std::set<std::string>> FrozenNodes(
    const recipe::ParsedRecipe& parsed, const v1::Prune& prune, int stage,
    const graph::Graph& graph) {
  std::set<std::string> frozen;
  for (int i = 0; i < prune.overrides_size(); ++i) {
    const v1::PruneOverride& rule = prune.overrides(i);
    const std::string path =
        absl::StrCat("stages[", stage, "].prune.overrides[", i, "].match");
    CONDENSE_ASSIGN_OR_RETURN(std::set<std::string> names,
                              Matches(parsed, path, rule.match(), graph));
    for (const std::string& name : names) {
      if (rule.freeze()) {
        frozen.insert(name);
      } else {
        frozen.erase(name);
      }
    }
  }
  return frozen;
}

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
        Matches(parsed, rule_path + ".match", rule.match(), graph));
    if (rule.has_bits() && !Has(profile.weights().bits(), rule.bits())) {
      return ProfileCannot(parsed, rule_path + ".bits", profile,
                           absl::StrCat("weights of ", rule.bits(), " bits"));
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
                                      options.numerics.weight_bits <= 4;
  options.rounding = RoundingOf(ptq.rounding());
  options.iterations = ptq.iterations();
  options.seed = static_cast<uint64_t>(resolved.seed());
  return options;
}

}  // namespace condense::pipeline
