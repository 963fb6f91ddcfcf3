#ifndef CONDENSE_WORKERS_ENGINE_IMPORT_EXTERNAL_DATA_H_
#define CONDENSE_WORKERS_ENGINE_IMPORT_EXTERNAL_DATA_H_

// Private to this room: ONNX's protos do not leave it.

#include <cstdint>
#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "onnx/onnx_pb.h"

namespace condense::onnx_import {

// The files beside a model that hold the bytes of its tensors. Not thread-safe.
class ExternalData {
 public:
  // `folder` is that of the model; empty: there are no such files.
  explicit ExternalData(std::string folder) : folder_(std::move(folder)) {}

  // The `bytes` bytes of a tensor with data_location EXTERNAL.
  // INVALID_ARGUMENT with reason BAD_EXTERNAL_DATA: a location that leaves the
  // folder (also by a symbolic link) or is no file, an offset or length that
  // does not fit the tensor or the file, or a file that is read so often that
  // the model would be far larger than its files.
  absl::StatusOr<std::string> Read(const onnx::TensorProto& proto,
                                   int64_t bytes);

 private:
  struct File {
    int64_t size = 0;
    // How much may still be read.
    int64_t left = 0;
  };

  const std::string folder_;
  // By canonical path.
  std::map<std::string, File> files_;
};

}  // namespace condense::onnx_import

#endif  // CONDENSE_WORKERS_ENGINE_IMPORT_EXTERNAL_DATA_H_
