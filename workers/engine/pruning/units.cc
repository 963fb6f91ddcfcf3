#include "workers/engine/pruning/units.h"

#include <utility>

namespace condense::pruning {

int Units::New() {
  parent_.push_back(size());
  slices_.emplace_back();
  reason_.emplace_back();
  return size() - 1;
}

std::vector<int> Units::New(int64_t count) {
  std::vector<int> units(count);
  for (int& unit : units) unit = New();
  return units;
}

int Units::Find(int unit) {
  while (parent_[unit] != unit) {
    parent_[unit] = parent_[parent_[unit]];
    unit = parent_[unit];
  }
  return unit;
}

void Units::Join(int a, int b) {
  a = Find(a);
  b = Find(b);
  if (a == b) return;
  // The older one stays root, so that the outcome depends on the graph alone.
  if (b < a) std::swap(a, b);
  parent_[b] = a;
  slices_[a].insert(slices_[a].end(), slices_[b].begin(), slices_[b].end());
  slices_[b].clear();
  if (reason_[a].empty()) reason_[a] = reason_[b];
}

void Units::Attach(int unit, const Slice& slice) {
  unit = Find(unit);
  const auto [it, fresh] =
      owner_[{slice.constant, slice.axis}].emplace(slice.index, unit);
  if (fresh) {
    slices_[unit].push_back(slice);
  } else {
    Join(unit, it->second);
  }
}

void Units::Freeze(int unit, const std::string& reason) {
  std::string& known = reason_[Find(unit)];
  if (known.empty()) known = reason;
}

const std::string& Units::FrozenReason(int unit) { return reason_[Find(unit)]; }

}  // namespace condense::pruning
