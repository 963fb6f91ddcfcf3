#ifndef CONDENSE_WORKERS_ENGINE_EXPORT_TORCHSCRIPT_EXPORTER_H_
#define CONDENSE_WORKERS_ENGINE_EXPORT_TORCHSCRIPT_EXPORTER_H_

#include <string>

#include "absl/status/statusor.h"
#include "workers/engine/graph/graph.h"

namespace condense::torchscript_export {

// The model as a TorchScript archive that plain LibTorch or PyTorch loads
// (torch.jit.load): forward() takes the graph's inputs and returns its output,
// or a tuple of them. Parameters keep their paths. The program is a trace of
// our own kernels. Sizes that are not fixed (the batch, open axes) stay free:
// the model is traced with several of each, and every number that follows them
// in a straight line is computed from the input. UNIMPLEMENTED with reason
// DATA_DEPENDENT_SHAPE where a trace would bake in what depends on the data
// (If, Loop, NonZero and the like), or numbers that follow no line.
absl::StatusOr<std::string> ExportTorchScript(const graph::Graph& graph);

}  // namespace condense::torchscript_export

#endif  // CONDENSE_WORKERS_ENGINE_EXPORT_TORCHSCRIPT_EXPORTER_H_
