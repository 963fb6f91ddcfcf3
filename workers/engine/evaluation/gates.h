#ifndef CONDENSE_WORKERS_ENGINE_EVALUATION_GATES_H_
#define CONDENSE_WORKERS_ENGINE_EVALUATION_GATES_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace condense::evaluation {

// The recipe's bounds; absent: not asked for.
struct Bounds {
  std::optional<double> max_accuracy_drop;
  std::optional<double> max_eer_increase;
  std::optional<double> max_size_bytes;
  std::optional<double> max_latency_ms;
};

// What was measured of baseline and artifact.
struct Figures {
  std::optional<double> accuracy_before;
  std::optional<double> accuracy_after;
  std::optional<double> eer_before;
  std::optional<double> eer_after;
  double size_bytes = 0;
  double latency_ms = 0;
  bool latency_estimated = false;
};

struct GateResult {
  std::string name;
  double bound = 0;
  double value = 0;
  bool passed = false;
  bool estimated = false;
};

// INVALID_ARGUMENT with reason GATE_NOT_MEASURED and the gate's name where the
// figure of a bound is absent: no gate passes unseen.
absl::StatusOr<std::vector<GateResult>> CheckGates(const Bounds& bounds,
                                                   const Figures& figures);

// "PASSED", or the verdict of the first gate that failed: BELOW_ACCURACY,
// TOO_LARGE, TOO_SLOW.
std::string VerdictOf(const std::vector<GateResult>& gates);

}  // namespace condense::evaluation

#endif  // CONDENSE_WORKERS_ENGINE_EVALUATION_GATES_H_
