#include "workers/engine/pipeline/tasks.h"

namespace condense::pipeline {
namespace {

void AddPruning(const v1::Recipe& recipe, int stage, std::vector<Task>* tasks) {
  const v1::PruneSchedule& schedule = recipe.stages(stage).prune().schedule();
  const int steps = schedule.has_iterative() ? schedule.iterative().steps() : 1;
  const int epochs = schedule.iterative().epochs_between();
  for (int step = 1; step <= steps; ++step) {
    tasks->push_back({.kind = Task::Kind::kPrune,
                      .stage = stage,
                      .step = step,
                      .steps = steps});
    if (step < steps && epochs > 0) {
      tasks->push_back({.kind = Task::Kind::kTrain,
                        .stage = stage,
                        .settings = NextFinetune(recipe, stage),
                        .epochs = epochs});
    }
  }
}

// Trainings of a quantize stage. The last share is not followed by one.
int QuantizeSteps(const v1::Quantize& quantize) {
  switch (quantize.mode()) {
    case v1::Quantize::QAT:
      return quantize.has_blocks() ? quantize.blocks().count() : 1;
    case v1::Quantize::INCREMENTAL:
      return quantize.incremental().shares_size() - 1;
    default:
      return 0;
  }
}

}  // namespace

int NextFinetune(const v1::Recipe& recipe, int stage) {
  for (int i = stage + 1; i < recipe.stages_size(); ++i) {
    if (recipe.stages(i).has_finetune()) return i;
  }
  return -1;
}

std::vector<Task> PlanTasks(const v1::Recipe& recipe, int profiles) {
  std::vector<Task> tasks;
  std::vector<Task> tail;
  for (int i = 0; i < recipe.stages_size(); ++i) {
    const v1::Stage& stage = recipe.stages(i);
    if (stage.has_prune()) {
      AddPruning(recipe, i, &tasks);
    } else if (stage.has_finetune()) {
      tasks.push_back({.kind = Task::Kind::kTrain, .stage = i, .settings = i});
    } else if (stage.has_quantize()) {
      if (stage.quantize().qat_data() == v1::Quantize::SYNTHETIC) {
        tasks.push_back({.kind = Task::Kind::kSynthesize, .stage = i});
      }
      tail.push_back({.kind = Task::Kind::kCalibrate, .stage = i});
      const int steps = QuantizeSteps(stage.quantize());
      for (int step = 1; step <= steps; ++step) {
        tail.push_back({.kind = Task::Kind::kQat,
                        .stage = i,
                        .settings = i,
                        .step = step,
                        .steps = steps});
      }
    }
  }
  tail.push_back({.kind = Task::Kind::kFinish, .stage = recipe.stages_size()});
  for (int profile = 0; profile < profiles; ++profile) {
    for (Task task : tail) {
      task.profile = profile;
      tasks.push_back(task);
    }
  }
  return tasks;
}

}  // namespace condense::pipeline
