#include "workers/engine/import/tensor_file.h"

#include "tests/fuzz/targets.h"
#include "workers/engine/export/tensor_file.h"
#include "workers/engine/import/archive_check.h"
#include "workers/engine/import/pickle_check.h"

namespace condense::fuzz {

void TensorFile(absl::string_view bytes) {
  for (const auto& tensor :
       {onnx_import::ParseNpy(bytes), onnx_import::ParseTensorProto(bytes)}) {
    CheckTyped(tensor.status());
  }
  for (const absl::Status& status :
       {torchscript_import::CheckArchive(bytes),
        torchscript_import::CheckCode(bytes),
        torchscript_import::CheckPickle(
            bytes, [](const std::string& key) { return key.size() * 64; })}) {
    CheckTyped(status);
  }
}

// ('a', 1, [True, None], (2.5,)) as LibTorch pickles it.
constexpr char kPickle[] =
    "\x80\x02(X\x01\x00\x00\x00"
    "aK\x01]q\x00(\x88Ne"
    "G@\x04\x00\x00\x00\x00\x00\x00\x85t.";

std::vector<std::string> TensorFileSeeds() {
  const auto tensor =
      graph::Tensor::Of<float>({2, 3}, std::vector<float>{1, 2, 3, 4, 5, 6});
  return {*onnx_export::NpyBytes(tensor),
          onnx_export::TensorProtoBytes(tensor, "t"),
          std::string(kPickle, sizeof(kPickle) - 1)};
}

}  // namespace condense::fuzz
