#include "workers/engine/pruning/channel_walk.h"

#include <algorithm>
#include <numeric>
#include <set>

#include "absl/strings/str_cat.h"

namespace condense::pruning {

using graph::Graph;
using graph::kNoValue;
using graph::Node;
using graph::Tensor;
using graph::ValueId;

namespace {

// Each output channel is a function of the same input channel.
bool KeepsChannels(const Node& node) {
  static const auto& ops = *new std::set<std::string>{
      "Relu",          "LeakyRelu", "Elu",         "Selu",
      "Celu",          "Sigmoid",   "HardSigmoid", "HardSwish",
      "Tanh",          "Clip",      "Softplus",    "Softsign",
      "Exp",           "Log",       "Sqrt",        "Reciprocal",
      "Abs",           "Neg",       "Erf",         "Identity",
      "Dropout",       "MaxPool",   "AveragePool", "GlobalAveragePool",
      "GlobalMaxPool", "Gelu",      "Mish",        "Swish",
      "Floor",         "Ceil",      "Round"};
  return node.domain.empty() && ops.count(node.op) > 0;
}

bool IsElementwise(const Node& node) {
  static const auto& ops = *new std::set<std::string>{
      "Add", "Sub", "Mul", "Div", "PRelu", "Max", "Min", "Sum", "Pow"};
  return node.domain.empty() && ops.count(node.op) > 0;
}

bool IsReduction(const Node& node) {
  return node.Is("ReduceMean") || node.Is("ReduceSum") ||
         node.Is("ReduceMax") || node.Is("ReduceMin") || node.Is("ReduceL2");
}

}  // namespace

ChannelWalk::ChannelWalk(const Graph& graph, Units* units)
    : graph_(graph), units_(units), tracks_(graph.value_limit()) {
  for (ValueId id : graph.inputs()) {
    const auto& shape = graph.value(id).shape;
    if (!shape || shape->size() < 2 || !(*shape)[1].known()) continue;
    Track track{1, units_->New((*shape)[1].value)};
    FreezeTrack(track, "it is the model's input");
    tracks_[id] = std::move(track);
  }
}

const Track& ChannelWalk::TrackOf(ValueId id) const {
  static const Track& kUnknown = *new Track();
  return id == kNoValue ? kUnknown : tracks_[id];
}

void ChannelWalk::SetTrack(ValueId id, Track track) {
  if (id != kNoValue) tracks_[id] = std::move(track);
}

int64_t ChannelWalk::RankOf(ValueId id) const {
  if (id == kNoValue || !graph_.value(id).shape) return -1;
  return static_cast<int64_t>(graph_.value(id).shape->size());
}

void ChannelWalk::FreezeTrack(const Track& track, const std::string& why) {
  for (int unit : track.units) units_->Freeze(unit, why);
}

void ChannelWalk::FreezeInputs(const Node& node, const std::string& why) {
  for (ValueId id : node.inputs) FreezeTrack(TrackOf(id), why);
}

void ChannelWalk::FreezeOutputs() {
  for (ValueId id : graph_.outputs()) {
    FreezeTrack(TrackOf(id), "it makes an output of the model");
  }
}

void ChannelWalk::AttachAxis(const std::vector<int>& units, ValueId constant,
                             int64_t axis, bool reads) {
  if (constant == kNoValue) return;
  for (size_t i = 0; i < units.size(); ++i) {
    units_->Attach(units[i], {constant, axis, static_cast<int64_t>(i), reads});
  }
}

void ChannelWalk::Visit(const Node& node) {
  if (node.Is("Conv")) {
    Conv(node);
  } else if (node.Is("Gemm") || node.Is("MatMul")) {
    Linear(node);
  } else if (node.Is("BatchNormalization")) {
    BatchNormalization(node);
  } else if (KeepsChannels(node)) {
    SameChannels(node);
  } else if (IsElementwise(node)) {
    Elementwise(node);
  } else if (node.Is("Concat")) {
    Concat(node);
  } else if (node.Is("Flatten") || node.Is("Reshape")) {
    Flatten(node);
  } else if (IsReduction(node)) {
    Reduce(node);
  } else if (node.Is("Transpose")) {
    Transpose(node);
  } else if (node.Is("Squeeze") || node.Is("Unsqueeze")) {
    Squeeze(node);
  } else if (node.Is("Pad")) {
    Pad(node);
  } else {
    FreezeInputs(node, absl::StrCat("operator ", node.op, " (node ", node.name,
                                    ") needs all of its channels"));
  }
}

void ChannelWalk::Conv(const Node& node) {
  const Tensor* weight = graph_.ConstantOf(node.input(1));
  const Track& x = TrackOf(node.input(0));
  if (weight == nullptr || (x.known() && x.axis != 1)) {
    FreezeInputs(node, absl::StrCat("the weight of ", node.name,
                                    " is computed, not stored"));
    return;
  }
  const int64_t outputs = weight->dims()[0];
  const int64_t groups = node.Int("group", 1);
  if (groups > 1) {
    GroupedConv(node, x, groups, outputs);
    return;
  }
  if (x.known()) AttachAxis(x.units, node.inputs[1], 1, true);
  Track out{1, units_->New(outputs)};
  AttachAxis(out.units, node.inputs[1], 0, false);
  AttachAxis(out.units, node.input(2), 0, false);
  layers_.emplace_back(node.name, out.units);
  SetTrack(node.outputs[0], std::move(out));
}

// Groups stay equally wide: channel k of one group goes with channel k of all
// others. Depthwise convolutions have one channel per group, so a group goes as
// a whole, with the filters that it makes.
void ChannelWalk::GroupedConv(const Node& node, const Track& x, int64_t groups,
                              int64_t outputs) {
  const int64_t inputs = graph_.ConstantOf(node.inputs[1])->dims()[1];
  const int64_t made = outputs / groups;
  Track out{1, units_->New(outputs)};
  if (inputs == 1) {
    if (x.known()) {
      for (int64_t o = 0; o < outputs; ++o) {
        units_->Join(out.units[o], x.units[o / made]);
      }
      counts_.push_back({node.id, {x.units}, 0});
    } else {
      FreezeTrack(out, absl::StrCat("the channels into ", node.name,
                                    " cannot be followed"));
    }
  } else {
    for (int64_t o = 0; o < outputs; ++o) {
      units_->Join(out.units[o], out.units[o % made]);
    }
    for (size_t i = 0; x.known() && i < x.units.size(); ++i) {
      units_->Join(x.units[i], x.units[i % inputs]);
      units_->Attach(x.units[i], {node.inputs[1], 1,
                                  static_cast<int64_t>(i) % inputs, true});
    }
  }
  AttachAxis(out.units, node.inputs[1], 0, false);
  AttachAxis(out.units, node.input(2), 0, false);
  layers_.emplace_back(node.name, out.units);
  SetTrack(node.outputs[0], std::move(out));
}

void ChannelWalk::Linear(const Node& node) {
  const Tensor* weight = graph_.ConstantOf(node.input(1));
  const Track& x = TrackOf(node.input(0));
  const bool last = x.known() && x.axis == RankOf(node.input(0)) - 1;
  if (weight == nullptr || weight->rank() != 2 || node.Int("transA", 0) != 0) {
    FreezeInputs(node, absl::StrCat("the weight of ", node.name,
                                    " is computed, not stored"));
    return;
  }
  const int64_t in_axis = node.Is("Gemm") && node.Int("transB", 0) ? 1 : 0;
  if (last) {
    AttachAxis(x.units, node.inputs[1], in_axis, true);
  } else {
    FreezeInputs(node, absl::StrCat(node.name, " mixes another axis"));
  }
  Track out{RankOf(node.input(0)) - 1,
            units_->New(weight->dims()[1 - in_axis])};
  AttachAxis(out.units, node.inputs[1], 1 - in_axis, false);
  layers_.emplace_back(node.name, out.units);
  const Tensor* bias = graph_.ConstantOf(node.input(2));
  if (bias != nullptr && bias->rank() > 0) {
    if (bias->dims().back() == static_cast<int64_t>(out.units.size())) {
      AttachAxis(out.units, node.inputs[2], bias->rank() - 1, false);
    }
  } else if (node.input(2) != kNoValue && bias == nullptr) {
    FreezeTrack(out, absl::StrCat("the bias of ", node.name, " is computed"));
  }
  SetTrack(node.outputs[0], std::move(out));
}

void ChannelWalk::BatchNormalization(const Node& node) {
  const Track& x = TrackOf(node.input(0));
  if (!x.known()) return;
  for (size_t i = 1; i < 5; ++i) {
    if (!graph_.IsConstant(node.input(i)) || x.axis != 1) {
      FreezeInputs(node, absl::StrCat(node.name, " has computed statistics"));
      return;
    }
    AttachAxis(x.units, node.inputs[i], 0, false);
  }
  SetTrack(node.outputs[0], x);
}

void ChannelWalk::SameChannels(const Node& node) {
  const Track& x = TrackOf(node.input(0));
  // Pooling slides over the axes from 2 on.
  const bool pools = node.op.find("Pool") != std::string::npos;
  if (pools && x.known() && x.axis != 1) {
    FreezeInputs(node, absl::StrCat(node.name, " pools over the channels"));
    return;
  }
  SetTrack(node.outputs[0], x);
}

bool ChannelWalk::Couple(ValueId operand, int64_t out_rank, Track* out) {
  const int64_t axis = RankOf(operand) - (out_rank - out->axis);
  const Tensor* constant = graph_.ConstantOf(operand);
  if (constant != nullptr) {
    if (axis < 0 || constant->dims()[axis] == 1) return true;
    if (constant->dims()[axis] != static_cast<int64_t>(out->units.size())) {
      return false;
    }
    AttachAxis(out->units, operand, axis, false);
    return true;
  }
  const Track& other = TrackOf(operand);
  if (!other.known()) {
    // A value without channels: the same number for all of them.
    const auto& shape = graph_.value(operand).shape;
    return shape && (axis < 0 || (*shape)[axis] == graph::Dim(1));
  }
  if (other.axis != axis || other.units.size() != out->units.size()) {
    return false;
  }
  for (size_t i = 0; i < out->units.size(); ++i) {
    units_->Join(out->units[i], other.units[i]);
  }
  return true;
}

void ChannelWalk::Elementwise(const Node& node) {
  const int64_t rank = RankOf(node.outputs[0]);
  Track out;
  for (ValueId id : node.inputs) {
    const Track& track = TrackOf(id);
    if (track.known() && track.units.size() > out.units.size()) {
      out = track;
      out.axis += rank - RankOf(id);
    }
  }
  if (!out.known() || rank < 0) return;
  for (ValueId id : node.inputs) {
    if (id != kNoValue && !Couple(id, rank, &out)) {
      FreezeInputs(node, absl::StrCat(node.name, " broadcasts its channels"));
      return;
    }
  }
  SetTrack(node.outputs[0], std::move(out));
}

}  // namespace condense::pruning
