#include "workers/engine/evaluation/gates.h"

namespace condense::evaluation {
namespace {

// Fractions are sums of 1/n: this is below any sample's share.
constexpr double kRounding = 1e-9;

}  // namespace

std::vector<GateResult> CheckGates(const Bounds& bounds,
                                   const Figures& figures) {
  std::vector<GateResult> gates;
  auto check = [&](const char* name, const std::optional<double>& bound,
                   double value, bool estimated) {
    if (!bound) return;
    gates.push_back(
        {name, *bound, value, value <= *bound + kRounding, estimated});
  };
  check("max_accuracy_drop", bounds.max_accuracy_drop,
        figures.accuracy_before - figures.accuracy_after, false);
  check("max_size_bytes", bounds.max_size_bytes, figures.size_bytes, false);
  check("max_latency_ms", bounds.max_latency_ms, figures.latency_ms,
        figures.latency_estimated);
  return gates;
}

std::string VerdictOf(const std::vector<GateResult>& gates) {
  for (const GateResult& gate : gates) {
    if (gate.passed) continue;
    if (gate.name == "max_accuracy_drop") return "BELOW_ACCURACY";
    if (gate.name == "max_size_bytes") return "TOO_LARGE";
    return "TOO_SLOW";
  }
  return "PASSED";
}

}  // namespace condense::evaluation
