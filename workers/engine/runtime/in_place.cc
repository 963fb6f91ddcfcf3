#include "workers/engine/runtime/in_place.h"

namespace condense::runtime {

bool WritesInPlace(const graph::Node& node) {
  return node.Is("Add") || node.Is("Clip") || node.Is("Relu");
}

bool LeavesItsResult(const graph::Node& node) {
  return node.Is("Add") || node.Is("BatchNormalization") || node.Is("Conv") ||
         node.Is("ConvTranspose") || node.Is("Gemm") || node.Is("MatMul") ||
         node.Is("Sub");
}

}  // namespace condense::runtime
