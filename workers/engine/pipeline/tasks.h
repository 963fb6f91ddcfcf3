#ifndef CONDENSE_WORKERS_ENGINE_PIPELINE_TASKS_H_
#define CONDENSE_WORKERS_ENGINE_PIPELINE_TASKS_H_

#include <string>
#include <vector>

#include "condense/v1/recipe.pb.h"

namespace condense::pipeline {

// One piece of work between two places where a run can always go on.
struct Task {
  enum class Kind {
    // Remove channels, one step of the schedule.
    kPrune,
    // Train with the settings of stage `settings`.
    kTrain,
    // Make the images that the quantize stage learns from.
    kSynthesize,
    // Place quantizers and take ranges.
    kCalibrate,
    // Train through the quantizers (mode incremental: around them).
    kQat,
    // Export and verify for one profile.
    kFinish,
  };
  Kind kind = Kind::kPrune;
  // The stage of the recipe that it belongs to.
  int stage = 0;
  // The stage whose training settings it uses.
  int settings = 0;
  // Index into the job's profiles; -1: for all of them.
  int profile = -1;
  // kPrune, kQat: `step` of `steps`, from 1. A stage that is quantized step by
  // step has one kQat for each.
  int step = 1;
  int steps = 1;
  // kTrain: this many epochs instead of the stage's. 0: the stage's.
  int epochs = 0;
};

// The whole job in order: what the profiles share once, then for each profile
// its tail (a quantize stage) and its finish.
std::vector<Task> PlanTasks(const v1::Recipe& recipe, int profiles);

// The next finetune stage after `stage`, or -1.
int NextFinetune(const v1::Recipe& recipe, int stage);

}  // namespace condense::pipeline

#endif  // CONDENSE_WORKERS_ENGINE_PIPELINE_TASKS_H_
