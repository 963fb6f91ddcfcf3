#ifndef CONDENSE_WORKERS_ENGINE_RUNTIME_GRADIENTS_TEST_UTIL_H_
#define CONDENSE_WORKERS_ENGINE_RUNTIME_GRADIENTS_TEST_UTIL_H_

#include <cctype>
#include <map>
#include <string>
#include <variant>
#include <vector>

#include "gtest/gtest.h"
#include "workers/engine/graph/graph.h"

namespace condense::runtime {

// A float64 input, uniform in [low, high], whose gradient is checked.
struct Input {
  std::vector<int64_t> shape;
  double low = -1.5;
  double high = 1.5;
};
// An input of the node: checked, a constant, or omitted.
using Argument = std::variant<Input, graph::Tensor, std::monostate>;

// One operator with one set of attributes.
struct GradientCase {
  std::string op;
  std::vector<Argument> arguments;
  std::map<std::string, graph::Attribute> attrs;
  int outputs = 1;
  // Tells apart cases of one operator.
  std::string what;
};

inline graph::Tensor Ints(const std::vector<int64_t>& values) {
  return graph::Tensor::Of<int64_t>({static_cast<int64_t>(values.size())},
                                    values);
}

inline graph::Tensor Bools(std::vector<int64_t> dims, std::string bytes) {
  return graph::Tensor(graph::DType::kBool, std::move(dims), std::move(bytes));
}

// Runs the node in an executor in training mode; its gradient, of a random
// weighted sum of all outputs, must be that of central differences for every
// element of every checked input.
void ExpectGradientsOfDifferences(const GradientCase& c);

inline std::string CaseName(const testing::TestParamInfo<GradientCase>& info) {
  std::string name = info.param.op + "_" + info.param.what;
  for (char& c : name) {
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  }
  return name + std::to_string(info.index);
}

}  // namespace condense::runtime

#endif  // CONDENSE_WORKERS_ENGINE_RUNTIME_GRADIENTS_TEST_UTIL_H_
