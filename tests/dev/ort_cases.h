#ifndef CONDENSE_TESTS_DEV_ORT_CASES_H_
#define CONDENSE_TESTS_DEV_ORT_CASES_H_

#include <string>
#include <vector>

#include "workers/engine/export/onnx.h"
#include "workers/engine/graph/graph.h"

namespace condense {

// One file that ONNX Runtime must run as we do.
struct OrtCase {
  // Also the name of its folder.
  std::string name;
  graph::Graph graph;
  // float32 where the graph is.
  std::vector<graph::Tensor> inputs;
  onnx_export::FileOptions options;
};

// Operators, attributes and types that came with opsets 18 to 21.
std::vector<OrtCase> NewerOperators();

// A small network with its weights stored in every form that we write.
std::vector<OrtCase> StorageForms();

}  // namespace condense

#endif  // CONDENSE_TESTS_DEV_ORT_CASES_H_
