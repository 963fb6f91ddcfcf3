// If, Loop and Scan: subgraphs run in executors of their own. The values that
// a body reads from outside are inputs behind the operator's own (graph.h).

#include <memory>

#include "common/status_macros.h"
#include "workers/engine/runtime/executor.h"
#include "workers/engine/runtime/step.h"

namespace condense::runtime {
namespace {

using torch::Tensor;
using Tensors = std::vector<Tensor>;

// Bounds a loop whose condition never turns false.
constexpr int64_t kIterationsMax = 1 << 20;

// Shared because std::function must be copyable.
using Body = std::shared_ptr<Executor>;

absl::StatusOr<Body> BodyOf(const KernelContext& c, const char* key) {
  auto it = c.node.attrs.find(key);
  const auto* graph =
      it == c.node.attrs.end()
          ? nullptr
          : std::get_if<std::shared_ptr<const graph::Graph>>(&it->second);
  if (graph == nullptr) return c.Unsupported("without a body");
  ExecutorOptions options;
  options.device = c.device;
  CONDENSE_ASSIGN_OR_RETURN(auto executor, Executor::Create(**graph, options));
  // Bodies run, but nothing in them is trained.
  for (Parameter& parameter : executor->parameters()) {
    parameter.tensor.set_requires_grad(false);
  }
  return Body(std::move(executor));
}

absl::StatusOr<Kernel> If(const KernelContext& c) {
  CONDENSE_ASSIGN_OR_RETURN(const Body yes, BodyOf(c, "then_branch"));
  CONDENSE_ASSIGN_OR_RETURN(const Body no, BodyOf(c, "else_branch"));
  return Kernel([=](const Call& call) {
    const Body& body = call.in[0].flatten()[0].item<bool>() ? yes : no;
    return body->Forward(Tensors(call.in.begin() + 1, call.in.end()));
  });
}

absl::StatusOr<Kernel> Loop(const KernelContext& c) {
  CONDENSE_ASSIGN_OR_RETURN(const Body body, BodyOf(c, "body"));
  const size_t captures = c.node.Int("captures", 0);
  return Kernel([=](const Call& call) {
    const size_t states = call.in.size() - 2 - captures;
    const int64_t trips =
        call.Has(0) ? IntsOf(call.in[0]).at(0) : kIterationsMax;
    bool alive = !call.Has(1) || call.in[1].flatten()[0].item<bool>();
    Tensors state(call.in.begin() + 2, call.in.begin() + 2 + states);
    std::vector<Tensors> scans;
    for (int64_t i = 0; i < trips && alive; ++i) {
      TORCH_CHECK(i < kIterationsMax, "Loop does not end");
      Tensors inputs = {torch::tensor(i, torch::kInt64), torch::tensor(alive)};
      inputs.insert(inputs.end(), state.begin(), state.end());
      inputs.insert(inputs.end(), call.in.end() - captures, call.in.end());
      Tensors outputs = body->Forward(inputs);
      alive = outputs[0].flatten()[0].item<bool>();
      state.assign(outputs.begin() + 1, outputs.begin() + 1 + states);
      scans.resize(outputs.size() - 1 - states);
      for (size_t k = 0; k < scans.size(); ++k) {
        scans[k].push_back(outputs[1 + states + k]);
      }
    }
    Tensors results = state;
    for (const Tensors& scan : scans) results.push_back(at::stack(scan));
    return results;
  });
}

// Axes and directions of Scan, 0 where they are not given.
std::vector<int64_t> IntsOr0(const graph::Node& node, const char* key,
                             size_t count) {
  std::vector<int64_t> values = node.Ints(key);
  values.resize(count, 0);
  return values;
}

absl::StatusOr<Kernel> Scan(const KernelContext& c) {
  CONDENSE_ASSIGN_OR_RETURN(const Body body, BodyOf(c, "body"));
  const size_t captures = c.node.Int("captures", 0);
  const size_t scanned = c.node.Int("num_scan_inputs", 1);
  const size_t states = c.node.inputs.size() - scanned - captures;
  const size_t made = c.node.outputs.size() - states;
  const auto in_axes = IntsOr0(c.node, "scan_input_axes", scanned);
  const auto in_back = IntsOr0(c.node, "scan_input_directions", scanned);
  const auto out_axes = IntsOr0(c.node, "scan_output_axes", made);
  const auto out_back = IntsOr0(c.node, "scan_output_directions", made);
  return Kernel([=](const Call& call) {
    Tensors state(call.in.begin(), call.in.begin() + states);
    const int64_t steps = call.in[states].size(in_axes[0]);
    std::vector<Tensors> scans(made);
    for (int64_t i = 0; i < steps; ++i) {
      Tensors inputs = state;
      for (size_t k = 0; k < scanned; ++k) {
        inputs.push_back(call.in[states + k].select(
            in_axes[k], in_back[k] != 0 ? steps - 1 - i : i));
      }
      inputs.insert(inputs.end(), call.in.end() - captures, call.in.end());
      Tensors outputs = body->Forward(inputs);
      state.assign(outputs.begin(), outputs.begin() + states);
      for (size_t k = 0; k < made; ++k) {
        scans[k].push_back(outputs[states + k]);
      }
    }
    Tensors results = state;
    for (size_t k = 0; k < made; ++k) {
      if (out_back[k] != 0) std::reverse(scans[k].begin(), scans[k].end());
      results.push_back(at::stack(scans[k], out_axes[k]));
    }
    return results;
  });
}

}  // namespace

void AddControlFlowKernels(KernelTable* table) {
  (*table)["If"] = If;
  (*table)["Loop"] = Loop;
  (*table)["Scan"] = Scan;
}

}  // namespace condense::runtime
