#include "workers/engine/quantization/channel_classes.h"

#include <limits>
#include <map>
#include <numeric>
#include <optional>

#include "workers/engine/quantization/weight_view.h"

namespace condense::quantization {
namespace {

using graph::Graph;
using graph::kNoNode;
using graph::kNoValue;
using graph::Node;
using graph::NodeId;
using graph::ValueId;

bool PassesFactors(const Node& node) {
  return node.Is("Relu") || node.Is("LeakyRelu") || node.Is("PRelu") ||
         node.Is("MaxPool") || node.Is("AveragePool") ||
         node.Is("GlobalAveragePool") || node.Is("GlobalMaxPool") ||
         node.Is("Identity");
}

class Finder {
 public:
  explicit Finder(const Graph& graph)
      : graph_(graph), consumers_(graph.ConsumerTable()) {}

  std::vector<ChannelClass> Run() {
    NumberChannels();
    for (ValueId id : graph_.inputs()) Refuse(id);
    for (ValueId id : graph_.outputs()) Refuse(id);
    for (NodeId id : graph_.order()) Visit(graph_.node(id));
    return Collect();
  }

 private:
  void NumberChannels() {
    first_.assign(graph_.value_limit(), -1);
    int64_t next = 0;
    for (ValueId id : graph_.values()) {
      const auto& shape = graph_.value(id).shape;
      if (graph_.IsConstant(id) || !shape || shape->size() < 2 ||
          !(*shape)[1].known()) {
        continue;
      }
      first_[id] = next;
      next += (*shape)[1].value;
      for (int64_t c = 0; c < (*shape)[1].value; ++c) {
        channels_.push_back({id, c});
      }
    }
    parent_.resize(next);
    std::iota(parent_.begin(), parent_.end(), 0);
    refused_.assign(next, false);
  }

  int64_t ChannelsOf(ValueId id) const {
    if (id == kNoValue || first_[id] < 0) return -1;
    return (*graph_.value(id).shape)[1].value;
  }
  int64_t RankOf(ValueId id) const {
    const auto& shape = graph_.value(id).shape;
    return shape ? static_cast<int64_t>(shape->size()) : -1;
  }

  int64_t Root(int64_t i) {
    while (parent_[i] != i) i = parent_[i] = parent_[parent_[i]];
    return i;
  }

  void Refuse(ValueId id) {
    for (int64_t c = 0; c < ChannelsOf(id); ++c)
      refused_[first_[id] + c] = true;
  }
  void RefuseAll(const Node& node) {
    for (ValueId id : node.inputs) Refuse(id);
    for (ValueId id : node.outputs) Refuse(id);
  }

  // Channels from + [0, count) of `a` belong with to + [0, count) of `b`.
  void Join(ValueId a, ValueId b, int64_t from, int64_t to, int64_t count) {
    for (int64_t c = 0; c < count; ++c) {
      parent_[Root(first_[a] + from + c)] = Root(first_[b] + to + c);
    }
  }
  bool JoinAll(ValueId a, ValueId b) {
    if (ChannelsOf(a) < 0 || ChannelsOf(a) != ChannelsOf(b)) return false;
    Join(a, b, 0, 0, ChannelsOf(a));
    return true;
  }

  void Visit(const Node& node) {
    bool known = false;
    if (node.Is("Conv") || node.Is("Gemm")) {
      known = VisitLayer(node);
    } else if (PassesFactors(node)) {
      known = node.outputs.size() == 1 &&
              (node.inputs.size() < 2 || graph_.IsConstant(node.inputs[1])) &&
              JoinAll(node.inputs[0], node.outputs[0]);
    } else if (node.Is("Flatten") || node.Is("Reshape") || node.Is("Squeeze")) {
      known = VisitFlatten(node);
    } else if (node.Is("Clip")) {
      known = VisitClip(node);
    } else if (node.Is("Add")) {
      known = VisitAdd(node);
    } else if (node.Is("Pad")) {
      known = VisitPad(node);
    } else if (node.Is("Slice")) {
      known = VisitSlice(node);
    } else if (node.Is("Concat")) {
      known = VisitConcat(node);
    }
    if (!known) RefuseAll(node);
  }

  bool VisitLayer(const Node& node) {
    const auto view = WeightViewOf(graph_, node);
    const ValueId x = node.inputs[0], y = node.outputs[0];
    if (!view || !OnlyReader(view->weight) || node.Int("transA", 0) != 0 ||
        ChannelsOf(x) != view->inputs * view->groups ||
        ChannelsOf(y) != view->outputs) {
      return false;
    }
    const ValueId bias = node.input(2);
    if (bias != kNoValue &&
        (!OnlyReader(bias) || !graph_.IsConstant(bias) ||
         graph_.ConstantOf(bias)->num_elements() != view->outputs)) {
      return false;
    }
    layers_.push_back(node.id);
    return true;
  }

  bool OnlyReader(ValueId id) const {
    return graph_.IsConstant(id) && consumers_[id].size() == 1;
  }

  // [N, C, 1, 1] to [N, C] and back.
  bool VisitFlatten(const Node& node) {
    const ValueId x = node.inputs[0], y = node.outputs[0];
    for (ValueId id : {x, y}) {
      const auto& shape = graph_.value(id).shape;
      if (!shape) return false;
      for (size_t i = 2; i < shape->size(); ++i) {
        if ((*shape)[i].value != 1) return false;
      }
    }
    return JoinAll(x, y);
  }

  std::optional<double> BoundOf(const Node& node, size_t input,
                                double fallback) const {
    const ValueId id = node.input(input);
    if (id == kNoValue) return fallback;
    const graph::Tensor* tensor = graph_.ConstantOf(id);
    if (tensor == nullptr || tensor->num_elements() != 1) return std::nullopt;
    return tensor->ToFloats()[0];
  }

  bool VisitClip(const Node& node) {
    const double infinity = std::numeric_limits<double>::infinity();
    const auto low = BoundOf(node, 1, -infinity);
    const auto high = BoundOf(node, 2, infinity);
    if (!low || !high || *low > 0 || *high < 0) return false;
    clips_.push_back({node.id, *low, *high});
    return JoinAll(node.inputs[0], node.outputs[0]);
  }

  bool VisitAdd(const Node& node) {
    const ValueId a = node.inputs[0], b = node.inputs[1], y = node.outputs[0];
    if (graph_.IsConstant(a) || graph_.IsConstant(b)) {
      const ValueId shift = graph_.IsConstant(a) ? a : b;
      const ValueId x = graph_.IsConstant(a) ? b : a;
      const graph::Tensor& tensor = *graph_.ConstantOf(shift);
      // One value per channel: [C, 1, 1], [1, C, 1, 1], or [C] of a matrix.
      const int64_t axis = tensor.rank() - RankOf(x) + 1;
      if (!OnlyReader(shift) || axis < 0 || axis >= tensor.rank() ||
          tensor.dims()[axis] != ChannelsOf(x) ||
          tensor.num_elements() != ChannelsOf(x)) {
        return false;
      }
      shifts_.push_back(node.id);
      return JoinAll(x, y);
    }
    return RankOf(a) == RankOf(b) && ChannelsOf(a) == ChannelsOf(b) &&
           JoinAll(a, y) && JoinAll(b, y);
  }

  const graph::Tensor* Constant(const Node& node, size_t input) const {
    return node.input(input) == kNoValue
               ? nullptr
               : graph_.ConstantOf(node.inputs[input]);
  }

  bool VisitPad(const Node& node) {
    const graph::Tensor* pads = Constant(node, 1);
    if (pads == nullptr || node.String("mode", "constant") != "constant" ||
        node.input(3) != kNoValue) {
      return false;
    }
    if (node.input(2) != kNoValue) {
      const graph::Tensor* value = Constant(node, 2);
      if (value == nullptr || value->ToFloats()[0] != 0) return false;
    }
    const std::vector<int64_t> sizes = pads->ToInts();
    const size_t rank = sizes.size() / 2;
    const ValueId x = node.inputs[0], y = node.outputs[0];
    if (ChannelsOf(x) < 0 || ChannelsOf(y) < 0 || sizes[0] != 0 ||
        sizes[rank] != 0 || sizes[1] < 0 || sizes[rank + 1] < 0) {
      return false;
    }
    Join(x, y, 0, sizes[1], ChannelsOf(x));
    return true;
  }

  bool VisitSlice(const Node& node) {
    const graph::Tensor* starts = Constant(node, 1);
    const ValueId x = node.inputs[0], y = node.outputs[0];
    if (starts == nullptr || ChannelsOf(x) < 0 || ChannelsOf(y) < 0) {
      return false;
    }
    const std::vector<int64_t> from = starts->ToInts();
    std::vector<int64_t> axes, steps;
    if (const graph::Tensor* t = Constant(node, 3)) axes = t->ToInts();
    if (const graph::Tensor* t = Constant(node, 4)) steps = t->ToInts();
    int64_t offset = 0;
    for (size_t i = 0; i < from.size(); ++i) {
      int64_t axis = axes.empty() ? static_cast<int64_t>(i) : axes[i];
      if (axis < 0) axis += RankOf(x);
      if (axis == 0) return false;
      if (axis != 1) continue;
      if (!steps.empty() && steps[i] != 1) return false;
      offset = from[i] < 0 ? from[i] + ChannelsOf(x) : from[i];
    }
    if (offset < 0 || offset + ChannelsOf(y) > ChannelsOf(x)) return false;
    Join(y, x, 0, offset, ChannelsOf(y));
    return true;
  }

  bool VisitConcat(const Node& node) {
    const ValueId y = node.outputs[0];
    const int64_t axis = node.Int("axis", 0);
    if (ChannelsOf(y) < 0 || (axis != 1 && axis + RankOf(y) != 1)) return false;
    int64_t at = 0;
    for (ValueId x : node.inputs) {
      if (ChannelsOf(x) < 0) return false;
      Join(x, y, 0, at, ChannelsOf(x));
      at += ChannelsOf(x);
    }
    return at == ChannelsOf(y);
  }

  struct Clip {
    NodeId node = kNoNode;
    double low = 0;
    double high = 0;
  };

  std::vector<ChannelClass> Collect() {
    std::map<int64_t, ChannelClass> found;
    std::vector<bool> refused(parent_.size(), false);
    for (size_t i = 0; i < parent_.size(); ++i) {
      if (refused_[i]) refused[Root(static_cast<int64_t>(i))] = true;
    }
    auto class_of = [&](ValueId id, int64_t c) -> ChannelClass* {
      const int64_t root = Root(first_[id] + c);
      return refused[root] ? nullptr : &found[root];
    };
    for (const Channel& channel : channels_) {
      ChannelClass* its = class_of(channel.value, channel.channel);
      if (its != nullptr) its->members.push_back(channel);
    }
    auto use = [&](NodeId node, ValueId id,
                   std::vector<ChannelClass::Use> ChannelClass::*list) {
      for (int64_t c = 0; c < ChannelsOf(id); ++c) {
        ChannelClass* its = class_of(id, c);
        if (its != nullptr) (its->*list).push_back({node, c});
      }
    };
    for (NodeId id : layers_) {
      use(id, graph_.node(id).outputs[0], &ChannelClass::made_by);
      use(id, graph_.node(id).inputs[0], &ChannelClass::read_by);
    }
    for (NodeId id : shifts_) {
      use(id, graph_.node(id).outputs[0], &ChannelClass::shifted_by);
    }
    for (const Clip& clip : clips_) {
      const ValueId x = graph_.node(clip.node).inputs[0];
      for (int64_t c = 0; c < ChannelsOf(x); ++c) {
        ChannelClass* its = class_of(x, c);
        if (its != nullptr)
          its->bounds.push_back({{x, c}, clip.low, clip.high});
      }
    }
    std::vector<ChannelClass> classes;
    for (auto& [root, its] : found) {
      if (its.made_by.empty() || its.read_by.empty()) continue;
      classes.push_back(std::move(its));
    }
    return classes;
  }

  const Graph& graph_;
  const std::vector<std::vector<NodeId>> consumers_;
  // By value: the number of its first channel; -1: has none.
  std::vector<int64_t> first_;
  std::vector<Channel> channels_;
  std::vector<int64_t> parent_;
  std::vector<bool> refused_;
  std::vector<NodeId> layers_;
  std::vector<NodeId> shifts_;
  std::vector<Clip> clips_;
};

}  // namespace

std::vector<ChannelClass> FindChannelClasses(const Graph& graph) {
  return Finder(graph).Run();
}

}  // namespace condense::quantization
