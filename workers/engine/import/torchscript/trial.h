#ifndef CONDENSE_WORKERS_ENGINE_IMPORT_TORCHSCRIPT_TRIAL_H_
#define CONDENSE_WORKERS_ENGINE_IMPORT_TORCHSCRIPT_TRIAL_H_

#include <functional>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace condense::torchscript_import {

struct TrialLimits {
  // Of the processor; a trial that takes longer is ended.
  absl::Duration cpu = absl::Seconds(120);
};

// Does `work` in a child process (fork) that may write no file, and gives what
// it says. A child that crashes or runs too long is INVALID_ARGUMENT with
// reason MODEL_CRASHES or MODEL_TAKES_TOO_LONG: LibTorch reads programs of
// strangers without care. `work` has one LibTorch thread and must not touch a
// GPU. Other threads of this process must not be inside of LibTorch.
absl::Status InTrial(const std::function<absl::Status()>& work,
                     const TrialLimits& limits = {});

}  // namespace condense::torchscript_import

#endif  // CONDENSE_WORKERS_ENGINE_IMPORT_TORCHSCRIPT_TRIAL_H_
