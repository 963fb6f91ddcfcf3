#include "common/recipe/recipe.h"

#include "absl/strings/str_cat.h"
#include "common/recipe/quantize_ranges.h"
#include "common/recipe/ranges.h"
#include "common/recipe/task_ranges.h"
#include "common/status_macros.h"

namespace condense::recipe {
namespace {

// Named by the design, not offered yet: a clear answer instead of "unknown".
const std::vector<PlannedKey>& Planned() {
  static const auto& planned = *new std::vector<PlannedKey>{
      {"Recipe", "fairness"},
      {"DataConfig", "groups"},
      {"DataSource", "sampler"},
      {"DataSource", "groups"},
      {"Prune", "scope"},
      {"Prune", "ensemble"},
      {"PruneTarget", "sparsity"},
      {"PruneTarget", "latency_ms"},
      {"PruneTarget", "size_bytes"},
      {"PruneSchedule", "gradual"},
      {"PruneSchedule", "lottery_ticket"},
      {"PruneSchedule", "grouped"},
      {"KdLoss", "response"},
      {"KdLoss", "feature"},
      {"KdLoss", "relation"},
      {"KdLoss", "dkd"},
      {"KdLoss", "dist"},
      {"Gates", "max_group_gap"},
  };
  return planned;
}

void ResolveColorJitter(v1::ColorJitter* jitter) {
  if (!jitter->has_brightness()) jitter->set_brightness(0);
  if (!jitter->has_contrast()) jitter->set_contrast(0);
  if (!jitter->has_saturation()) jitter->set_saturation(0);
  if (!jitter->has_hue()) jitter->set_hue(0);
}

void ResolveRandomResizedCrop(v1::RandomResizedCrop* crop) {
  if (!crop->has_area_min()) crop->set_area_min(0.08);
  if (!crop->has_area_max()) crop->set_area_max(1);
  if (!crop->has_ratio_max()) crop->set_ratio_max(4.0 / 3);
}

void ResolveAugmentation(v1::Augmentation* augmentation) {
  if (augmentation->has_random_crop()) {
    v1::RandomCrop* crop = augmentation->mutable_random_crop();
    if (!crop->has_padding()) crop->set_padding(4);
  } else if (augmentation->has_horizontal_flip()) {
    v1::HorizontalFlip* flip = augmentation->mutable_horizontal_flip();
    if (!flip->has_probability()) flip->set_probability(0.5);
  } else if (augmentation->has_color_jitter()) {
    ResolveColorJitter(augmentation->mutable_color_jitter());
  } else if (augmentation->has_mixup()) {
    v1::Mixup* mixup = augmentation->mutable_mixup();
    if (!mixup->has_alpha()) mixup->set_alpha(0.2);
  } else if (augmentation->has_cutout()) {
    v1::Cutout* cutout = augmentation->mutable_cutout();
    if (!cutout->has_size()) cutout->set_size(8);
  } else if (augmentation->has_random_resized_crop()) {
    ResolveRandomResizedCrop(augmentation->mutable_random_resized_crop());
  }
}

void ResolveSource(v1::DataSource* source, const std::string& name,
                   int samples) {
  if (source->source().empty()) source->set_source(name);
  if (!source->has_samples()) source->set_samples(samples);
  if (!source->has_max_corrupt()) source->set_max_corrupt(0);
  for (v1::Augmentation& augmentation : *source->mutable_augment()) {
    ResolveAugmentation(&augmentation);
  }
}

void ResolveData(v1::DataConfig* data) {
  ResolveSource(data->mutable_train(), "train", 0);
  ResolveSource(data->mutable_eval(), "test", 0);
  ResolveSource(data->mutable_calibration(), data->train().source(), 512);
  v1::Preprocess* preprocess = data->mutable_preprocess();
  if (!preprocess->has_scale()) preprocess->set_scale(1);
  if (preprocess->mean().empty()) preprocess->add_mean(0);
  if (preprocess->std().empty()) preprocess->add_std(1);
  if (preprocess->layout() == v1::Preprocess::LAYOUT_UNSPECIFIED) {
    preprocess->set_layout(v1::Preprocess::NCHW);
  }
  if (!preprocess->has_antialias()) preprocess->set_antialias(false);
  if (!preprocess->has_color_bits()) preprocess->set_color_bits(8);
}

void ResolveCompute(v1::Compute* compute) {
  using MemoryFormat = v1::Compute::MemoryFormat;
  if (compute->precision() == v1::Compute::PRECISION_UNSPECIFIED) {
    compute->set_precision(v1::Compute::AUTO);
  }
  if (compute->memory_format() == MemoryFormat::VALUE_UNSPECIFIED) {
    compute->set_memory_format(MemoryFormat::AUTO);
  }
  if (!compute->has_checkpoint_activations()) {
    compute->set_checkpoint_activations(false);
  }
}

void ResolveOptimizer(double lr, v1::Optimizer* optimizer) {
  if (optimizer->has_adam() || optimizer->has_adamw()) {
    const bool decoupled = optimizer->has_adamw();
    v1::Adam* adam =
        decoupled ? optimizer->mutable_adamw() : optimizer->mutable_adam();
    if (!adam->has_lr()) adam->set_lr(0.001);
    if (!adam->has_beta1()) adam->set_beta1(0.9);
    if (!adam->has_beta2()) adam->set_beta2(0.999);
    if (!adam->has_epsilon()) adam->set_epsilon(1e-8);
    if (!adam->has_weight_decay()) {
      adam->set_weight_decay(decoupled ? 0.01 : 0);
    }
    return;
  }
  v1::Sgd* sgd = optimizer->mutable_sgd();
  if (!sgd->has_lr()) sgd->set_lr(lr);
  if (!sgd->has_momentum()) sgd->set_momentum(0.9);
  if (!sgd->has_weight_decay()) sgd->set_weight_decay(0);
  if (!sgd->has_nesterov()) sgd->set_nesterov(false);
}

void ResolveLrShape(v1::LrSchedule schedule, v1::LrShape* shape) {
  if (!shape->has_warmup_epochs()) shape->set_warmup_epochs(0);
  if (schedule == v1::STEP) {
    if (!shape->has_every_epochs()) shape->set_every_epochs(1);
    if (!shape->has_gamma()) shape->set_gamma(0.1);
  }
  const bool falls = schedule != v1::STEP && schedule != v1::CONSTANT;
  if (falls && !shape->has_final()) shape->set_final(0);
  if (schedule == v1::ONE_CYCLE) {
    if (!shape->has_start()) shape->set_start(0.04);
    if (!shape->has_peak_at()) shape->set_peak_at(0.3);
  }
}

void ResolveEarlyStop(v1::Recipe::Task task, v1::EarlyStop* stop) {
  if (stop->metric() == v1::EarlyStop::METRIC_UNSPECIFIED) {
    stop->set_metric(task == v1::Recipe::VERIFICATION ? v1::EarlyStop::ACCURACY
                                                      : v1::EarlyStop::TOP1);
  }
  if (!stop->has_every_epochs()) stop->set_every_epochs(1);
  if (!stop->has_patience()) stop->set_patience(5);
  if (!stop->has_min_delta()) stop->set_min_delta(0);
}

// What finetune and qat share.
template <typename Training>
void ResolveTraining(v1::Recipe::Task task, double lr, Training* training) {
  if (!training->has_batch_size()) training->set_batch_size(64);
  ResolveOptimizer(lr, training->mutable_optimizer());
  if (training->lr_schedule() == v1::LR_SCHEDULE_UNSPECIFIED) {
    training->set_lr_schedule(v1::COSINE);
  }
  ResolveLrShape(training->lr_schedule(), training->mutable_lr_shape());
  if (!training->has_accumulate()) training->set_accumulate(1);
  if (!training->has_label_smoothing()) training->set_label_smoothing(0);
  if (training->has_ema() && !training->ema().has_decay()) {
    training->mutable_ema()->set_decay(0.999);
  }
  if (training->has_early_stop()) {
    ResolveEarlyStop(task, training->mutable_early_stop());
  }
  v1::Divergence* divergence = training->mutable_divergence();
  if (!divergence->has_factor()) divergence->set_factor(10);
  if (!divergence->has_steps()) divergence->set_steps(100);
  for (v1::KdLoss& kd : *training->mutable_kd()) {
    v1::SoftResponse* soft = kd.mutable_soft_response();
    if (!soft->has_temperature()) soft->set_temperature(4);
    if (!soft->has_lambda()) soft->set_lambda(0.9);
  }
}

void ResolvePrune(v1::Prune* prune) {
  if (prune->granularity() == v1::Prune::GRANULARITY_UNSPECIFIED) {
    prune->set_granularity(v1::Prune::CHANNEL);
  }
  if (prune->criterion() == v1::Prune::CRITERION_UNSPECIFIED) {
    prune->set_criterion(v1::Prune::L2);
  }
  if (prune->schedule().kind_case() == v1::PruneSchedule::KIND_NOT_SET) {
    prune->mutable_schedule()->mutable_one_shot();
  }
  if (prune->schedule().has_iterative()) {
    v1::Iterative* iterative = prune->mutable_schedule()->mutable_iterative();
    if (!iterative->has_steps()) iterative->set_steps(4);
    if (!iterative->has_epochs_between()) iterative->set_epochs_between(0);
  }
  for (v1::PruneOverride& rule : *prune->mutable_overrides()) {
    if (!rule.has_freeze()) rule.set_freeze(true);
  }
}

// bias_correction stays open where it is not said: it depends on the bits of
// the weights, which may be the profile's.
void ResolvePtq(const v1::WeightQuantization& weights,
                const v1::ActivationQuantization& activations, v1::Ptq* ptq) {
  const bool integers = activations.scheme() != v1::FLOAT;
  if (!ptq->has_equalize()) ptq->set_equalize(integers);
  if (ptq->rounding() == v1::Ptq::ROUNDING_UNSPECIFIED) {
    const bool grid =
        weights.scheme() == v1::SYMMETRIC || weights.scheme() == v1::AFFINE;
    ptq->set_rounding(grid && weights.bits() != 16 ? v1::Ptq::GPTQ
                                                   : v1::Ptq::NEAREST);
  }
  if (!ptq->has_pixel_grid()) ptq->set_pixel_grid(integers);
  if (!ptq->has_iterations()) ptq->set_iterations(1000);
  if (!ptq->has_smooth()) ptq->set_smooth(integers ? 0.5 : 0);
}

// Widths stay open where they are not said: they are the profile's.
void ResolveStepwise(v1::Quantize* quantize) {
  if (quantize->mode() == v1::Quantize::INCREMENTAL &&
      quantize->incremental().shares().empty()) {
    for (double share : {0.5, 0.75, 0.875, 1.0}) {
      quantize->mutable_incremental()->add_shares(share);
    }
  }
  if (quantize->has_mixed_precision() &&
      quantize->mixed_precision().sensitivity() ==
          v1::MixedPrecision::SENSITIVITY_UNSPECIFIED) {
    quantize->mutable_mixed_precision()->set_sensitivity(
        v1::MixedPrecision::KL);
  }
  if (!quantize->has_blocks()) return;
  v1::Blocks* blocks = quantize->mutable_blocks();
  if (!blocks->has_count()) blocks->set_count(4);
  if (blocks->order() == v1::Blocks::ORDER_UNSPECIFIED) {
    blocks->set_order(v1::Blocks::ROBUST_FIRST);
  }
}

// Weights that are multiplied per channel stay on their levels when
// normalisation is folded, and batches of this size tell its statistics. What
// has no labels is to be the teacher, statistics included.
v1::Qat::BatchNorm DefaultBatchNorm(const v1::Quantize& quantize) {
  constexpr int kBatch = 16;
  const v1::WeightQuantization& weights = quantize.weights();
  const bool moves =
      weights.granularity() == v1::WeightQuantization::CHANNEL &&
      (weights.scheme() == v1::SYMMETRIC || weights.scheme() == v1::BINARY ||
       weights.scheme() == v1::TERNARY || weights.scheme() == v1::LQ ||
       weights.scheme() == v1::LUT);
  const bool live = quantize.mode() == v1::Quantize::QAT && moves &&
                    quantize.qat_data() == v1::Quantize::LABELED &&
                    quantize.batch_size() >= kBatch;
  return live ? v1::Qat::LIVE : v1::Qat::FOLDED;
}

void ResolveQuantize(v1::Recipe::Task task, v1::Quantize* quantize) {
  v1::WeightQuantization* weights = quantize->mutable_weights();
  if (weights->scheme() == v1::SCHEME_UNSPECIFIED) {
    weights->set_scheme(v1::SYMMETRIC);
  }
  if (weights->scheme() != v1::FLOAT &&
      weights->granularity() ==
          v1::WeightQuantization::GRANULARITY_UNSPECIFIED) {
    weights->set_granularity(v1::WeightQuantization::CHANNEL);
  }
  if (weights->granularity() == v1::WeightQuantization::BLOCK &&
      !weights->has_block_size()) {
    weights->set_block_size(32);
  }
  v1::ActivationQuantization* activations = quantize->mutable_activations();
  activations->set_scheme(ActivationScheme(*quantize));
  if (activations->observer() ==
      v1::ActivationQuantization::OBSERVER_UNSPECIFIED) {
    activations->set_observer(v1::ActivationQuantization::MSE);
  }
  if (!activations->has_percentile()) activations->set_percentile(99.99);
  if (quantize->mode() == v1::Quantize::PTQ) {
    ResolvePtq(*weights, *activations, quantize->mutable_ptq());
  }
  ResolveStepwise(quantize);
  if (quantize->mode() != v1::Quantize::PTQ) {
    if (!quantize->has_epochs()) quantize->set_epochs(1);
    if (quantize->qat_data() == v1::Quantize::QAT_DATA_UNSPECIFIED) {
      quantize->set_qat_data(task == v1::Recipe::VERIFICATION
                                 ? v1::Quantize::UNLABELED
                                 : v1::Quantize::LABELED);
    }
    ResolveTraining(task, 0.001, quantize);
    v1::Qat* qat = quantize->mutable_qat();
    if (qat->batch_norm() == v1::Qat::BATCH_NORM_UNSPECIFIED) {
      qat->set_batch_norm(DefaultBatchNorm(*quantize));
    }
    if (qat->grids() == v1::Qat::GRIDS_UNSPECIFIED) {
      qat->set_grids(v1::Qat::FOLLOWING);
    }
    if (!qat->has_freeze_after()) qat->set_freeze_after(0.8);
  }
}

}  // namespace

absl::StatusOr<ParsedRecipe> ParseRecipe(absl::string_view text) {
  ParsedRecipe parsed;
  CONDENSE_RETURN_IF_ERROR(
      YamlToProto(text, Planned(), &parsed.recipe, &parsed.positions));
  CONDENSE_RETURN_IF_ERROR(CheckRecipe(parsed));
  return parsed;
}

absl::Status ApplyGateOverrides(const std::map<std::string, std::string>& gates,
                                v1::Recipe* recipe) {
  std::string text = "gates: {";
  for (const auto& [name, value] : gates) {
    absl::StrAppend(&text, name, ": ", value, ", ");
  }
  ParsedRecipe overrides;
  absl::Status status = YamlToProto(text + "}", Planned(), &overrides.recipe,
                                    &overrides.positions);
  if (status.ok()) status = CheckGates(overrides);
  if (status.ok()) status = CheckGatesOfTask(overrides, recipe->task());
  if (!status.ok()) {
    const ErrorDetail detail = ErrorDetailOf(status);
    return MakeError(status.code(), ErrorReason(status),
                     std::string(status.message()),
                     {.field = detail.field,
                      .nearest = detail.nearest,
                      .hint = detail.hint});
  }
  recipe->mutable_gates()->MergeFrom(overrides.recipe.gates());
  return absl::OkStatus();
}

void ResolveRecipe(v1::Recipe* recipe) {
  recipe->set_version(1);
  if (recipe->task() == v1::Recipe::TASK_UNSPECIFIED) {
    recipe->set_task(v1::Recipe::CLASSIFICATION);
  }
  ResolveData(recipe->mutable_data());
  if (recipe->teacher().source().empty()) {
    recipe->mutable_teacher()->set_model(v1::Teacher::ORIGINAL);
  }
  for (v1::Stage& stage : *recipe->mutable_stages()) {
    if (stage.has_prune()) ResolvePrune(stage.mutable_prune());
    if (stage.has_finetune()) {
      ResolveTraining(recipe->task(), 0.01, stage.mutable_finetune());
    }
    if (stage.has_quantize()) {
      ResolveQuantize(recipe->task(), stage.mutable_quantize());
    }
  }
  recipe->mutable_gates();
  if (!recipe->has_seed()) recipe->set_seed(17);
  ResolveCompute(recipe->mutable_compute());
}

std::string RecipeToYaml(const v1::Recipe& recipe) {
  return ProtoToYaml(recipe);
}

absl::Status ErrorAt(const ParsedRecipe& parsed, const std::string& path,
                     absl::StatusCode code, absl::string_view reason,
                     absl::string_view message, ErrorDetail detail) {
  detail.field = path;
  // A key that is missing is reported where its parent stands.
  for (std::string at = path; !at.empty();) {
    if (auto it = parsed.positions.find(at); it != parsed.positions.end()) {
      detail.line = it->second.line;
      detail.column = it->second.column;
      break;
    }
    const size_t cut = at.find_last_of(".[");
    at = cut == std::string::npos ? "" : at.substr(0, cut);
  }
  return MakeError(code, reason, message, std::move(detail));
}

}  // namespace condense::recipe
