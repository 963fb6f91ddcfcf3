#include "common/recipe/training_ranges.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace condense::recipe {
namespace {

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
absl::Status CheckAll(const Checker& check, const Training& training) {
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

}  // namespace

absl::Status CheckTraining(const Checker& check, const v1::Finetune& finetune) {
  return CheckAll(check, finetune);
}

absl::Status CheckTraining(const Checker& check, const v1::Quantize& quantize) {
  return CheckAll(check, quantize);
}

}  // namespace condense::recipe
