#include "workers/engine/evaluation/gates.h"

#include "absl/strings/str_cat.h"
#include "common/error.h"

namespace condense::evaluation {
namespace {

// Fractions are sums of 1/n: this is below any sample's share.
constexpr double kRounding = 1e-9;

std::optional<double> Difference(const std::optional<double>& more,
                                 const std::optional<double>& less) {
  if (!more.has_value() || !less.has_value()) return std::nullopt;
  return *more - *less;
}

}  // namespace

absl::StatusOr<std::vector<GateResult>> CheckGates(const Bounds& bounds,
                                                   const Figures& figures) {
  struct Gate {
    const char* name;
    std::optional<double> bound;
    std::optional<double> value;
    bool estimated = false;
  };
  std::vector<GateResult> gates;
  for (const Gate& gate :
       {Gate{"max_accuracy_drop", bounds.max_accuracy_drop,
             Difference(figures.accuracy_before, figures.accuracy_after)},
        Gate{"max_eer_increase", bounds.max_eer_increase,
             Difference(figures.eer_after, figures.eer_before)},
        Gate{"max_size_bytes", bounds.max_size_bytes, figures.size_bytes},
        Gate{"max_latency_ms", bounds.max_latency_ms, figures.latency_ms,
             figures.latency_estimated}}) {
    if (!gate.bound.has_value()) continue;
    if (!gate.value.has_value()) {
      return MakeError(absl::StatusCode::kInvalidArgument, "GATE_NOT_MEASURED",
                       absl::StrCat("what gate ", gate.name,
                                    " bounds could not be measured"),
                       {.field = absl::StrCat("gates.", gate.name)});
    }
    gates.push_back({gate.name, *gate.bound, *gate.value,
                     *gate.value <= *gate.bound + kRounding, gate.estimated});
  }
  return gates;
}

std::string VerdictOf(const std::vector<GateResult>& gates) {
  for (const GateResult& gate : gates) {
    if (gate.passed) continue;
    if (gate.name == "max_accuracy_drop" || gate.name == "max_eer_increase") {
      return "BELOW_ACCURACY";
    }
    if (gate.name == "max_size_bytes") return "TOO_LARGE";
    return "TOO_SLOW";
  }
  return "PASSED";
}

}  // namespace condense::evaluation
