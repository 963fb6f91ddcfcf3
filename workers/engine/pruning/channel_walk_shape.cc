// Operators that move channels without computing on them.

#include <algorithm>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "workers/engine/pruning/channel_walk.h"

namespace condense::pruning {

using graph::kNoValue;
using graph::Node;
using graph::Tensor;
using graph::ValueId;

void ChannelWalk::Concat(const Node& node) {
  const int64_t rank = RankOf(node.outputs[0]);
  int64_t axis = node.Int("axis", 0);
  if (axis < 0) axis += rank;
  Track out{axis, {}};
  for (ValueId id : node.inputs) {
    const Track& track = TrackOf(id);
    if (track.known() && track.axis == axis) {
      out.units.insert(out.units.end(), track.units.begin(), track.units.end());
      continue;
    }
    FreezeInputs(node, absl::StrCat(node.name, " joins along another axis"));
    return;
  }
  SetTrack(node.outputs[0], std::move(out));
}

// [N, C, H, W] to [N, C * H * W]: each channel becomes H * W columns.
void ChannelWalk::Flatten(const Node& node) {
  const Track& x = TrackOf(node.input(0));
  if (!x.known()) return;
  const auto& from = graph_.value(node.inputs[0]).shape;
  const auto& to = graph_.value(node.outputs[0]).shape;
  const std::string why =
      absl::StrCat(node.name, " spreads channels over other axes");
  if (!from || !to || x.axis != 1 || to->size() != 2 || !(*to)[1].known()) {
    FreezeInputs(node, why);
    return;
  }
  int64_t columns = 1;
  for (size_t i = 2; i < from->size(); ++i) {
    if (!(*from)[i].known()) columns = -1;
    if (columns > 0) columns *= (*from)[i].value;
  }
  const int64_t width = (*to)[1].value;
  if (columns < 0 || columns * static_cast<int64_t>(x.units.size()) != width) {
    FreezeInputs(node, why);
    return;
  }
  Track out{1, {}};
  for (int unit : x.units) out.units.insert(out.units.end(), columns, unit);
  if (node.Is("Reshape")) counts_.push_back({node.id, {out.units}, 1});
  SetTrack(node.outputs[0], std::move(out));
}

void ChannelWalk::Reduce(const Node& node) {
  const Track& x = TrackOf(node.input(0));
  if (!x.known()) return;
  std::vector<int64_t> axes = node.Ints("axes");
  if (const Tensor* given = graph_.ConstantOf(node.input(1))) {
    axes = given->ToInts();
  }
  const int64_t rank = RankOf(node.inputs[0]);
  Track out = x;
  for (int64_t& axis : axes) {
    if (axis < 0) axis += rank;
    if (axis == x.axis) axes.clear();
    if (axes.empty()) break;
    if (axis < x.axis && node.Int("keepdims", 1) == 0) --out.axis;
  }
  if (axes.empty()) {
    FreezeInputs(node, absl::StrCat(node.name, " reduces over the channels"));
    return;
  }
  SetTrack(node.outputs[0], std::move(out));
}

void ChannelWalk::Transpose(const Node& node) {
  const Track& x = TrackOf(node.input(0));
  if (!x.known()) return;
  std::vector<int64_t> perm = node.Ints("perm");
  if (perm.empty()) {
    perm.resize(RankOf(node.inputs[0]));
    std::iota(perm.rbegin(), perm.rend(), 0);
  }
  const auto at = std::find(perm.begin(), perm.end(), x.axis);
  SetTrack(node.outputs[0], {at - perm.begin(), x.units});
}

void ChannelWalk::Squeeze(const Node& node) {
  const Track& x = TrackOf(node.input(0));
  if (!x.known()) return;
  const Tensor* given = graph_.ConstantOf(node.input(1));
  const bool squeeze = node.Is("Squeeze");
  const int64_t rank =
      squeeze ? RankOf(node.inputs[0]) : RankOf(node.outputs[0]);
  if (given == nullptr || rank < 0) {
    FreezeInputs(node, absl::StrCat(node.name, " has no fixed axes"));
    return;
  }
  std::vector<int64_t> axes = given->ToInts();
  for (int64_t& axis : axes) {
    if (axis < 0) axis += rank;
  }
  std::sort(axes.begin(), axes.end());
  Track out = x;
  for (int64_t axis : axes) {
    if (squeeze && axis < x.axis) --out.axis;
    if (!squeeze && axis <= out.axis) ++out.axis;
  }
  SetTrack(node.outputs[0], std::move(out));
}

// Zeros before and after the channels are channels of their own: whoever adds
// them to others couples them, and the amounts follow.
void ChannelWalk::Pad(const Node& node) {
  const Track& x = TrackOf(node.input(0));
  if (!x.known()) return;
  const Tensor* pads = graph_.ConstantOf(node.input(1));
  const int64_t rank = RankOf(node.inputs[0]);
  if (pads == nullptr || pads->num_elements() != 2 * rank) {
    FreezeInputs(node, absl::StrCat(node.name, " has no fixed amounts"));
    return;
  }
  const std::vector<int64_t> amounts = pads->ToInts();
  const int64_t before = amounts[x.axis];
  const int64_t after = amounts[rank + x.axis];
  if (before < 0 || after < 0 ||
      (before + after > 0 && node.String("mode", "constant") != "constant")) {
    FreezeInputs(node, absl::StrCat(node.name, " pads the channels"));
    return;
  }
  if (before + after == 0) {
    SetTrack(node.outputs[0], x);
    return;
  }
  const std::vector<int> front = units_->New(before);
  const std::vector<int> back = units_->New(after);
  Track out{x.axis, front};
  out.units.insert(out.units.end(), x.units.begin(), x.units.end());
  out.units.insert(out.units.end(), back.begin(), back.end());
  counts_.push_back({node.id, {front, back}, x.axis});
  SetTrack(node.outputs[0], std::move(out));
}

}  // namespace condense::pruning
