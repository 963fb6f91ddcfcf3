#ifndef CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_FUSE_CLIP_H_
#define CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_FUSE_CLIP_H_

#include "workers/engine/graph/passes/pass.h"

namespace condense::graph {

// Every form of a bounded activation as Relu or Clip, which device profiles
// fuse: Max and Min with a number, Relu behind or before them, and Clip of Clip
// become one Clip; a Clip to [0, inf) becomes Relu.
class FuseClip : public Pass {
 public:
  absl::string_view Name() const override { return "fuse_clip"; }
  absl::StatusOr<bool> Run(Graph& graph) const override;
};

}  // namespace condense::graph

#endif  // CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_FUSE_CLIP_H_
