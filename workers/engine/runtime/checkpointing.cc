#include "workers/engine/runtime/checkpointing.h"

#include <algorithm>
#include <cmath>

namespace condense::runtime {
namespace {

using graph::kNoValue;
using graph::ValueId;

constexpr int kBudgets = 48;

// Elements of the value for a batch of one; 1 if its shape is not known.
double SizeOf(const graph::Value& value) {
  if (!value.shape) return 1;
  double size = 1;
  for (const graph::Dim& dim : *value.shape) {
    if (dim.known())
      size *= static_cast<double>(std::max<int64_t>(1, dim.value));
  }
  return size;
}

// Sizes along the order of nodes.
struct Profile {
  // Made by node i.
  std::vector<double> made;
  // Alive between node i - 1 and node i, without the graph's inputs.
  std::vector<double> crossing;
};

Profile ProfileOf(const graph::Graph& graph) {
  const int count = static_cast<int>(graph.order().size());
  Profile profile{std::vector<double>(count, 0),
                  std::vector<double>(count + 1, 0)};
  std::vector<int> made_at(graph.value_limit(), -1);
  std::vector<int> last_use(graph.value_limit(), -1);
  for (int i = 0; i < count; ++i) {
    const graph::Node& node = graph.node(graph.order()[i]);
    for (ValueId id : node.inputs) {
      if (id != kNoValue) last_use[id] = i;
    }
    for (ValueId id : node.outputs) {
      if (id == kNoValue) continue;
      made_at[id] = i;
      profile.made[i] += SizeOf(graph.value(id));
    }
  }
  for (ValueId id : graph.values()) {
    if (made_at[id] < 0) continue;
    for (int i = made_at[id] + 1; i <= last_use[id]; ++i) {
      profile.crossing[i] += SizeOf(graph.value(id));
    }
  }
  return profile;
}

// Segments of at most `budget`, each as long as it gets to the cheapest cut of
// its second half; what they need at the peak goes to `memory`.
std::vector<int> CutsFor(const Profile& profile, double budget,
                         double* memory) {
  const int count = static_cast<int>(profile.made.size());
  std::vector<int> cuts = {0};
  double kept = 0, largest = 0;
  for (int begin = 0; begin < count;) {
    double inside = 0;
    int best = begin + 1, end = begin;
    while (end < count &&
           (end == begin || inside + profile.made[end] <= budget)) {
      inside += profile.made[end++];
      if (end == count) {
        best = count;
      } else if (2 * inside <= budget ||
                 profile.crossing[end] <= profile.crossing[best]) {
        best = end;
      }
    }
    double size = 0;
    for (int i = begin; i < best; ++i) size += profile.made[i];
    largest = std::max(largest, size);
    begin = best;
    if (begin < count) {
      cuts.push_back(begin);
      kept += profile.crossing[begin];
    }
  }
  *memory = kept + largest;
  return cuts;
}

}  // namespace

std::vector<int> PlanCuts(const graph::Graph& graph) {
  if (graph.order().empty()) return {};
  const Profile profile = ProfileOf(graph);
  double total = 0, largest = 0;
  for (double size : profile.made) {
    total += size;
    largest = std::max(largest, size);
  }
  std::vector<int> best = {0};
  double least = total;
  for (int i = 0; i < kBudgets; ++i) {
    const double budget =
        largest * std::pow(total / largest, static_cast<double>(i) / kBudgets);
    double memory = 0;
    std::vector<int> cuts = CutsFor(profile, budget, &memory);
    if (memory < least) {
      least = memory;
      best = std::move(cuts);
    }
  }
  return best;
}

}  // namespace condense::runtime
