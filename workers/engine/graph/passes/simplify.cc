#include "workers/engine/graph/passes/simplify.h"

#include "common/status_macros.h"
#include "workers/engine/graph/infer_shapes.h"
#include "workers/engine/graph/passes/common_subexpressions.h"
#include "workers/engine/graph/passes/dead_code.h"
#include "workers/engine/graph/passes/fold_constants.h"
#include "workers/engine/graph/passes/fuse_bias.h"
#include "workers/engine/graph/passes/fuse_clip.h"
#include "workers/engine/graph/passes/fuse_gelu.h"
#include "workers/engine/graph/passes/fuse_group_norm.h"
#include "workers/engine/graph/passes/fuse_hard_sigmoid.h"
#include "workers/engine/graph/passes/fuse_hard_swish.h"
#include "workers/engine/graph/passes/fuse_layer_norm.h"
#include "workers/engine/graph/passes/fuse_prelu.h"
#include "workers/engine/graph/passes/fuse_swish.h"
#include "workers/engine/graph/passes/inline_control_flow.h"
#include "workers/engine/graph/passes/merge_pads.h"
#include "workers/engine/graph/passes/merge_reshapes.h"
#include "workers/engine/graph/passes/merge_transposes.h"
#include "workers/engine/graph/passes/push_transposes.h"
#include "workers/engine/graph/passes/remove_identity.h"
#include "workers/engine/graph/passes/simplify_arithmetic.h"
#include "workers/engine/graph/passes/symbolic_batch.h"
#include "workers/engine/graph/verify.h"

namespace condense::graph {
namespace {

// Each round removes a node or stops; this only bounds a bug.
constexpr int kRoundsMax = 100;

}  // namespace

absl::Status Simplify(Graph& graph, const SimplifyOptions& options) {
  CONDENSE_RETURN_IF_ERROR(Verify(graph, {.types = false}));
  CONDENSE_RETURN_IF_ERROR(InferShapes(graph));
  if (options.only_infer) return absl::OkStatus();
  const SymbolicBatch symbolic_batch;
  const FoldConstants fold_constants;
  const InlineControlFlow inline_control_flow;
  const RemoveIdentity remove_identity;
  const CommonSubexpressions common_subexpressions;
  const FuseBias fuse_bias;
  const FuseGelu fuse_gelu;
  const FuseGroupNorm fuse_group_norm;
  const FuseHardSwish fuse_hard_swish;
  const FuseLayerNorm fuse_layer_norm;
  const FuseSwish fuse_swish;
  const FuseClip fuse_clip;
  const FuseHardSigmoid fuse_hard_sigmoid;
  const FusePRelu fuse_prelu;
  const MergePads merge_pads;
  const MergeReshapes merge_reshapes;
  const MergeTransposes merge_transposes;
  const SimplifyArithmetic simplify_arithmetic;
  const PushTransposes push_transposes;
  const DeadCode dead_code;
  // Patterns of many nodes before those that take a part of them.
  const Pass* passes[] = {
      &fold_constants,
      &inline_control_flow,
      &remove_identity,
      &common_subexpressions,
      &fuse_gelu,
      &fuse_group_norm,
      &fuse_layer_norm,
      &fuse_hard_swish,
      &fuse_hard_sigmoid,
      &fuse_swish,
      &fuse_prelu,
      &fuse_clip,
      &simplify_arithmetic,
      &merge_reshapes,
      &merge_transposes,
      &push_transposes,
      &fuse_bias,
      &merge_pads,
      &dead_code,
  };
  bool tried_batch = false;
  for (int round = 0; round < kRoundsMax; ++round) {
    bool changed = false;
    for (const Pass* pass : passes) {
      CONDENSE_ASSIGN_OR_RETURN(bool did, pass->Run(graph));
      if (!did) continue;
      changed = true;
      CONDENSE_RETURN_IF_ERROR(Verify(graph, {.types = false}));
      CONDENSE_RETURN_IF_ERROR(InferShapes(graph));
    }
    if (changed) continue;
    if (tried_batch) return absl::OkStatus();
    // After folding, so that sizes of Reshape are constants.
    tried_batch = true;
    CONDENSE_RETURN_IF_ERROR(symbolic_batch.Run(graph).status());
  }
  return absl::OkStatus();
}

}  // namespace condense::graph
