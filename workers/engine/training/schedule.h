#ifndef CONDENSE_WORKERS_ENGINE_TRAINING_SCHEDULE_H_
#define CONDENSE_WORKERS_ENGINE_TRAINING_SCHEDULE_H_

#include <cstdint>

namespace condense::training {

enum class Schedule { kConstant, kCosine, kStep, kLinear, kOneCycle };

struct ScheduleOptions {
  Schedule kind = Schedule::kCosine;
  // Rises in a straight line over these epochs (arXiv:1706.02677); the schedule
  // runs over the steps that are left.
  double warmup_epochs = 0;
  // kCosine, kLinear, kOneCycle: share of the rate at the end.
  double final = 0;
  // kStep: lr * gamma^floor(epoch / every_epochs).
  double every_epochs = 1;
  double gamma = 0.1;
  // kOneCycle (arXiv:1708.07120): share of the rate at the start, and share of
  // the steps before the peak.
  double start = 0.04;
  double peak_at = 0.3;
};

// The rate of optimizer step `step` (from 0) of `total`, with
// `steps_per_epoch`. `lr` is the highest rate of any schedule. A pure function:
// a run that goes on needs nothing but its step.
double LearningRate(const ScheduleOptions& options, double lr, int64_t step,
                    int64_t total, int64_t steps_per_epoch);

}  // namespace condense::training

#endif  // CONDENSE_WORKERS_ENGINE_TRAINING_SCHEDULE_H_
