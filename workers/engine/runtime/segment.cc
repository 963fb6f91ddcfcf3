// The executor's part in activation checkpointing: segments of steps that run
// without graph, and once more, with it, in the backward pass.

#include <set>

#include "workers/engine/runtime/executor.h"
#include "workers/engine/runtime/step.h"
#include "workers/engine/runtime/sync_batch_norm.h"

namespace condense::runtime {

using graph::kNoValue;
using graph::ValueId;
using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

namespace {

// Gradients of `outputs` towards `wanted`, undefined where one asks for none.
variable_list Gradients(const variable_list& outputs,
                        const variable_list& grads,
                        const variable_list& wanted) {
  variable_list from, with, towards, results(wanted.size());
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (!grads[i].defined() || !outputs[i].requires_grad()) continue;
    from.push_back(outputs[i]);
    with.push_back(grads[i]);
  }
  for (const Tensor& x : wanted) {
    if (x.requires_grad()) towards.push_back(x);
  }
  if (from.empty() || towards.empty()) return results;
  const variable_list found = torch::autograd::grad(
      from, towards, with, /*retain_graph=*/false, /*create_graph=*/false,
      /*allow_unused=*/true);
  size_t next = 0;
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (wanted[i].requires_grad()) results[i] = found[next++];
  }
  return results;
}

}  // namespace

// One segment. Inputs: those of the segment, then the constants that it reads.
// Only the former are kept.
class SegmentFunction : public torch::autograd::Function<SegmentFunction> {
 public:
  static variable_list forward(AutogradContext* context, Executor* executor,
                               int64_t index, at::TensorList arguments) {
    const Executor::Segment& segment = executor->segments_[index];
    variable_list inputs = arguments.vec();
    inputs.resize(segment.inputs.size());
    context->save_for_backward(inputs);
    context->saved_data["executor"] = reinterpret_cast<int64_t>(executor);
    context->saved_data["index"] = index;
    context->saved_data["add_up"] =
        reinterpret_cast<int64_t>(SyncStatistics::Current());
    context->saved_data["outputs"] =
        std::vector<int64_t>(segment.outputs.begin(), segment.outputs.end());
    context->set_materialize_grads(false);
    executor->RunSteps(segment.begin, segment.end, Executor::Pass::kSegment);
    variable_list outputs;
    for (ValueId id : segment.outputs) outputs.push_back(executor->slots_[id]);
    return outputs;
  }

  static variable_list backward(AutogradContext* context, variable_list grads) {
    auto* executor =
        reinterpret_cast<Executor*>(context->saved_data["executor"].toInt());
    const Executor::Segment& segment =
        executor->segments_[context->saved_data["index"].toInt()];
    variable_list inputs;
    for (const Tensor& x : context->get_saved_variables()) {
      inputs.push_back(x.detach().set_requires_grad(x.requires_grad()));
    }
    // On GPUs another thread runs this than the one that ran forward.
    const SyncStatistics sync(
        reinterpret_cast<const AddUp*>(context->saved_data["add_up"].toInt()));
    const torch::AutoGradMode with_graph(true);
    const variable_list outputs = executor->Replay(
        segment, inputs, context->saved_data["outputs"].toIntVector());
    variable_list wanted = inputs;
    for (ValueId id : segment.constants) {
      wanted.push_back(executor->slots_[id]);
    }
    // The first two arguments of forward are no tensors.
    variable_list results = Gradients(outputs, grads, wanted);
    results.insert(results.begin(), 2, Tensor());
    return results;
  }
};

void Executor::RunSegments() {
  // The backward pass begins with the last segment: what it needs of that may
  // as well stay.
  const size_t last = segments_.size() - 1;
  for (size_t i = 0; i < last; ++i) RunSegment(i);
  RunSteps(segments_[last].begin, segments_[last].end, Pass::kPlain);
}

void Executor::RunSegment(size_t index) {
  const Segment& segment = segments_[index];
  variable_list arguments;
  for (ValueId id : segment.inputs) arguments.push_back(slots_[id]);
  for (ValueId id : segment.constants) arguments.push_back(slots_[id]);
  variable_list results = SegmentFunction::apply(
      this, static_cast<int64_t>(index), at::TensorList(arguments));
  for (size_t i = 0; i < results.size(); ++i) {
    const ValueId id = segment.outputs[i];
    slots_[id] = std::move(results[i]);
    if (observer_ && observed_[id]) observer_(id, slots_[id]);
    if (i >= segment.crossing) slots_[id].reset();
  }
}

std::vector<Tensor> Executor::Replay(const Segment& segment,
                                     const std::vector<Tensor>& inputs,
                                     const std::vector<int64_t>& outputs) {
  for (size_t i = 0; i < inputs.size(); ++i) {
    slots_[segment.inputs[i]] = inputs[i];
  }
  RunSteps(segment.begin, segment.end, Pass::kReplay);
  std::vector<Tensor> results;
  for (int64_t id : outputs) results.push_back(std::move(slots_[id]));
  for (ValueId id : segment.inputs) slots_[id].reset();
  for (ValueId id : segment.outputs) slots_[id].reset();
  return results;
}

void Executor::AddSegmentOutputs(const std::vector<int>& last_use,
                                 Segment* segment) {
  std::vector<ValueId> observed;
  for (int i = segment->begin; i < segment->end; ++i) {
    for (ValueId id : steps_[i]->outputs) {
      if (id == kNoValue) continue;
      if (last_use[id] >= segment->end) {
        segment->outputs.push_back(id);
      } else if (observed_[id]) {
        observed.push_back(id);
      }
    }
  }
  segment->crossing = segment->outputs.size();
  segment->outputs.insert(segment->outputs.end(), observed.begin(),
                          observed.end());
}

void Executor::PlanSegments() {
  segments_.clear();
  const int count = static_cast<int>(steps_.size());
  std::vector<int> made_at(slots_.size(), -1), last_use(slots_.size(), -1);
  for (int i = 0; i < count; ++i) {
    for (ValueId id : steps_[i]->inputs) {
      if (id != kNoValue) last_use[id] = i;
    }
    for (ValueId id : steps_[i]->outputs) {
      if (id != kNoValue) made_at[id] = i;
    }
  }
  for (ValueId id : outputs_) last_use[id] = count;
  for (size_t k = 0; k < cuts_.size(); ++k) {
    Segment segment;
    segment.begin = cuts_[k];
    segment.end = k + 1 < cuts_.size() ? cuts_[k + 1] : count;
    std::set<ValueId> seen;
    for (int i = segment.begin; i < segment.end; ++i) {
      for (ValueId id : steps_[i]->inputs) {
        if (id == kNoValue || !seen.insert(id).second) continue;
        if (constant_[id]) {
          segment.constants.push_back(id);
        } else if (made_at[id] < segment.begin) {
          segment.inputs.push_back(id);
        }
      }
    }
    AddSegmentOutputs(last_use, &segment);
    segments_.push_back(std::move(segment));
  }
}

}  // namespace condense::runtime
