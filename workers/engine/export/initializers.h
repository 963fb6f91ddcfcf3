#ifndef CONDENSE_WORKERS_ENGINE_EXPORT_INITIALIZERS_H_
#define CONDENSE_WORKERS_ENGINE_EXPORT_INITIALIZERS_H_

// Private to this room: ONNX's protos do not leave it.

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "onnx/onnx_pb.h"
#include "workers/engine/graph/tensor.h"

namespace condense::onnx_export {

// Writes constants into a model: inside of it, sparse, or as references to one
// file beside it, which WriteFile then makes.
class InitializerWriter {
 public:
  struct Options {
    // Constants that are smaller that way become sparse_initializer.
    bool sparse = false;
    // The name of the weight file, relative to the model; empty: none.
    std::string location;
  };
  explicit InitializerWriter(Options options) : options_(std::move(options)) {}

  void Add(const graph::Tensor& tensor, const std::string& name,
           onnx::GraphProto* out);

  // The weight file. Errors as WriteFileAtomically has them.
  absl::Status WriteFile(const std::string& path) const;

 private:
  const Options options_;
  // In the file, in order; tensors share their bytes with the graph.
  std::vector<graph::Tensor> tensors_;
  int64_t size_ = 0;
};

}  // namespace condense::onnx_export

#endif  // CONDENSE_WORKERS_ENGINE_EXPORT_INITIALIZERS_H_
