#include "workers/engine/pipeline/settings.h"

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "workers/engine/pipeline/node_pattern.h"

namespace condense::pipeline {
namespace {

template <typename Repeated>
std::vector<double> Doubles(const Repeated& values) {
  return std::vector<double>(values.begin(), values.end());
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
  out.color_bits = preprocess.color_bits();
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
  if (gates.has_max_eer_increase()) {
    bounds.max_eer_increase = gates.max_eer_increase();
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
      stop.metric() == v1::EarlyStop::LOSS ? Metric::kLoss : Metric::kMain;
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
  TrainingSettings out = SettingsOf(quantize);
  out.data = quantize.qat_data();
  return out;
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
                              MatchingNodes(parsed, path, rule.match(), graph));
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

}  // namespace condense::pipeline
