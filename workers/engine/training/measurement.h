#ifndef CONDENSE_WORKERS_ENGINE_TRAINING_MEASUREMENT_H_
#define CONDENSE_WORKERS_ENGINE_TRAINING_MEASUREMENT_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>

namespace condense::training {

// What a model was measured by on evaluation data, whatever its task.
struct Measurement {
  // Fractions in [0, 1] by name ("top1", "eer"), and "loss". What could not be
  // measured is absent.
  std::map<std::string, double> metrics;
  // Which of them the model is judged by; more of it is better.
  std::string main;
  int64_t samples = 0;

  std::optional<double> Find(const std::string& name) const {
    const auto it = metrics.find(name);
    if (it == metrics.end()) return std::nullopt;
    return it->second;
  }
  std::optional<double> main_value() const { return Find(main); }
};

}  // namespace condense::training

#endif  // CONDENSE_WORKERS_ENGINE_TRAINING_MEASUREMENT_H_
