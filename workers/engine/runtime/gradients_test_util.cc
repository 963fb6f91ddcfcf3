#include "workers/engine/runtime/gradients_test_util.h"

#include <cmath>

#include "workers/engine/runtime/executor.h"

namespace condense::runtime {
namespace {

using graph::Graph;
using graph::kNoValue;
using graph::ValueId;
using torch::Tensor;

// Of the differences, in float64.
constexpr double kStep = 1e-6;
constexpr double kTolerance = 2e-6;

struct Subject {
  std::unique_ptr<Executor> executor;
  std::vector<Tensor> inputs;
};

Subject SubjectOf(const GradientCase& c) {
  Subject subject;
  Graph graph;
  std::vector<ValueId> ids;
  torch::manual_seed(11);
  for (const Argument& argument : c.arguments) {
    if (const auto* input = std::get_if<Input>(&argument)) {
      graph::Shape shape(input->shape.begin(), input->shape.end());
      ids.push_back(
          graph.AddInput("x", graph::DType::kFloat64, std::move(shape)));
      subject.inputs.push_back(torch::rand(input->shape, torch::kFloat64) *
                                   (input->high - input->low) +
                               input->low);
    } else if (const auto* tensor = std::get_if<graph::Tensor>(&argument)) {
      ids.push_back(graph.AddConstant("c", *tensor));
    } else {
      ids.push_back(kNoValue);
    }
  }
  const std::vector<std::string> names(c.outputs, "y");
  const auto node = graph.AddNode(c.op, "node", ids, names, c.attrs);
  for (ValueId id : graph.node(node).outputs) graph.AddOutput(id);
  auto executor = Executor::Create(graph);
  EXPECT_TRUE(executor.ok()) << executor.status();
  if (executor.ok()) subject.executor = *std::move(executor);
  return subject;
}

// A scalar in which every element of every float output has its own weight.
Tensor Score(Executor* executor, const std::vector<Tensor>& inputs) {
  Tensor sum = torch::zeros({}, torch::kFloat64);
  for (const Tensor& y : executor->Forward(inputs)) {
    if (!y.defined() || !y.is_floating_point()) continue;
    const Tensor weights =
        torch::cos(torch::arange(y.numel(), torch::kFloat64) * 1.7 + 0.3);
    sum = sum + (y.to(torch::kFloat64).flatten() * weights).sum();
  }
  return sum;
}

}  // namespace

void ExpectGradientsOfDifferences(const GradientCase& c) {
  Subject subject = SubjectOf(c);
  ASSERT_NE(subject.executor, nullptr);
  subject.executor->SetTraining(true);
  std::vector<Tensor> leaves;
  for (const Tensor& x : subject.inputs) {
    leaves.push_back(x.clone().requires_grad_());
  }
  const Tensor score = Score(subject.executor.get(), leaves);
  ASSERT_TRUE(score.requires_grad()) << "the operator cuts the graph";
  score.backward();
  const torch::NoGradGuard no_grad;
  for (size_t k = 0; k < leaves.size(); ++k) {
    ASSERT_TRUE(leaves[k].grad().defined()) << "input " << k;
    const Tensor exact = leaves[k].grad().contiguous();
    double* value = subject.inputs[k].data_ptr<double>();
    for (int64_t i = 0; i < subject.inputs[k].numel(); ++i) {
      const double before = value[i];
      value[i] = before + kStep;
      const double up =
          Score(subject.executor.get(), subject.inputs).item<double>();
      value[i] = before - kStep;
      const double down =
          Score(subject.executor.get(), subject.inputs).item<double>();
      value[i] = before;
      const double numeric = (up - down) / (2 * kStep);
      ASSERT_NEAR(exact.data_ptr<double>()[i], numeric,
                  kTolerance * std::max(1.0, std::abs(numeric)))
          << "input " << k << ", element " << i;
    }
  }
}

}  // namespace condense::runtime
