#include "workers/engine/import/torchscript/program_check.h"

#include <torch/csrc/jit/ir/constants.h>
#include <torch/csrc/jit/ir/ir.h>

#include <functional>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/error.h"

namespace condense::torchscript_import {
namespace {

using torch::jit::Block;
using torch::jit::Node;

// False once `visit` says so.
bool VisitNodes(const Block* block,
                const std::function<bool(const Node*)>& visit) {
  for (const Node* node : block->nodes()) {
    if (!visit(node)) return false;
    for (const Block* inner : node->blocks()) {
      if (!VisitNodes(inner, visit)) return false;
    }
  }
  return true;
}

bool IsSafe(const std::string& name) {
  for (const char* refused :
       {"aten::from_file", "aten::save", "aten::load", "aten::wait",
        "aten::set_source_Storage", "aten::set_", "prim::PythonOp",
        "prim::fork", "prim::rpc", "prim::CudaFusionGroup", "prim::awaitable",
        "prim::AddStatValue"}) {
    if (absl::StartsWith(name, refused)) return false;
  }
  return absl::StartsWith(name, "aten::") || absl::StartsWith(name, "prim::");
}

}  // namespace

absl::Status CheckProgram(const torch::jit::Graph& program) {
  absl::Status status;
  VisitNodes(program.block(), [&](const Node* node) {
    const std::string name = node->kind().toQualString();
    if (IsSafe(name)) return true;
    status = MakeError(
        absl::StatusCode::kInvalidArgument, "UNSAFE_OPERATOR",
        absl::StrCat("the model uses ", name,
                     ", which may touch more than "
                     "tensors; such models are not run"),
        {.hint = "leave this out of forward(), or export the model as ONNX",
         .node = node->scopeName()});
    return false;
  });
  return status;
}

bool IsBounded(const torch::jit::Graph& program) {
  return VisitNodes(program.block(), [](const Node* node) {
    if (node->kind() != c10::prim::Loop) return true;
    const auto trips = torch::jit::toIValue(node->input(0));
    return trips && trips->isInt() && trips->toInt() <= kIterationsMax;
  });
}

}  // namespace condense::torchscript_import
