#ifndef CONDENSE_WORKERS_ENGINE_PRUNING_UNITS_H_
#define CONDENSE_WORKERS_ENGINE_PRUNING_UNITS_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "workers/engine/pruning/coupling.h"

namespace condense::pruning {

// Disjoint sets of channels while the graph is walked; a set is one Channel in
// the end. Not thread-safe.
class Units {
 public:
  int New();
  std::vector<int> New(int64_t count);
  int Find(int unit);
  void Join(int a, int b);

  // The unit owns this slice too. A slice that another unit has already (a
  // shared weight) joins the two.
  void Attach(int unit, const Slice& slice);
  // The unit stays, for this reason (the first one counts).
  void Freeze(int unit, const std::string& reason);
  // "" while it may go.
  const std::string& FrozenReason(int unit);
  const std::vector<Slice>& Slices(int root) const { return slices_[root]; }
  int size() const { return static_cast<int>(parent_.size()); }

 private:
  std::vector<int> parent_;
  std::vector<std::vector<Slice>> slices_;
  std::vector<std::string> reason_;
  std::map<std::pair<graph::ValueId, int64_t>, std::map<int64_t, int>> owner_;
};

// Which unit stands where along the channel axis of a value.
struct Track {
  int64_t axis = -1;
  std::vector<int> units;
  bool known() const { return axis >= 0; }
};

}  // namespace condense::pruning

#endif  // CONDENSE_WORKERS_ENGINE_PRUNING_UNITS_H_
