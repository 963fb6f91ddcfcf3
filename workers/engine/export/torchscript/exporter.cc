#include "workers/engine/export/torchscript/exporter.h"

#include <torch/csrc/jit/frontend/tracer.h>
#include <torch/csrc/jit/passes/dead_code_elimination.h>
#include <torch/script.h>

#include <map>
#include <set>
#include <sstream>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/error.h"
#include "common/status_macros.h"
#include "workers/engine/runtime/dtype.h"
#include "workers/engine/runtime/executor.h"

namespace condense::torchscript_export {
namespace {

using graph::Graph;
using graph::Node;
using graph::NodeId;
using graph::ValueId;
using torch::jit::Module;

// Batch sizes of the two traces.
constexpr int64_t kBatches[] = {3, 5};

absl::Status DataDependent(const std::string& what, const std::string& node) {
  return MakeError(absl::StatusCode::kUnimplemented, "DATA_DEPENDENT_SHAPE",
                   absl::StrCat(what, "; it cannot be written as TorchScript"),
                   {.hint = "write ONNX instead", .node = node});
}

absl::Status CheckNodes(const Graph& graph) {
  static const auto& dynamic = *new std::set<std::string>{
      "Compress", "If",   "Loop",     "NonMaxSuppression",
      "NonZero",  "Scan", "RoiAlign", "Unique"};
  for (NodeId id : graph.order()) {
    const Node& node = graph.node(id);
    if (dynamic.count(node.op) > 0) {
      return DataDependent(absl::StrCat(node.op, " depends on the data"),
                           node.name);
    }
  }
  return absl::OkStatus();
}

// A name that TorchScript's source can have.
std::string Identifier(const std::string& name) {
  std::string out = name;
  for (char& c : out) {
    if (!absl::ascii_isalnum(c)) c = '_';
  }
  return out.empty() || absl::ascii_isdigit(out[0])
             ? absl::StrCat("input_", out)
             : out;
}

// Whether the first dimension of every input is the batch.
bool HasBatch(const Graph& graph) {
  for (ValueId id : graph.inputs()) {
    const auto& shape = graph.value(id).shape;
    if (!shape || shape->empty() || (*shape)[0].known()) return false;
  }
  return !graph.inputs().empty();
}

absl::StatusOr<torch::jit::Stack> SampleInputs(const Graph& graph,
                                               int64_t batch) {
  torch::jit::Stack inputs;
  for (ValueId id : graph.inputs()) {
    const graph::Value& value = graph.value(id);
    if (!value.shape) return DataDependent("an input has no shape", value.name);
    std::vector<int64_t> dims;
    for (size_t i = 0; i < value.shape->size(); ++i) {
      const graph::Dim& dim = (*value.shape)[i];
      if (!dim.known() && i > 0) {
        return DataDependent(absl::StrCat("size ", i, " of input '", value.name,
                                          "' is not known"),
                             value.name);
      }
      dims.push_back(dim.known() ? dim.value : batch);
    }
    const auto type =
        runtime::ScalarTypeOf(value.dtype).value_or(torch::kFloat32);
    inputs.push_back(torch::zeros(dims, type));
  }
  return inputs;
}

// A tree of modules, so that "layer1.0.weight" lies where PyTorch has it.
class ModuleTree {
 public:
  ModuleTree()
      : unit_(std::make_shared<torch::jit::CompilationUnit>()),
        root_(c10::QualifiedName("__torch__.Model"), unit_) {}

  void Register(const std::string& path, const torch::Tensor& tensor,
                bool parameter) {
    std::vector<std::string> parts = absl::StrSplit(path, '.');
    Module module = root_;
    std::string prefix;
    for (size_t i = 0; i + 1 < parts.size(); ++i) {
      absl::StrAppend(&prefix, parts[i], ".");
      module = Child(module, prefix, parts[i]);
    }
    std::string name = parts.back().empty() ? "value" : parts.back();
    while (module.hasattr(name)) name += "_";
    if (parameter) {
      module.register_parameter(name, tensor, false);
    } else {
      module.register_buffer(name, tensor);
    }
  }

  Module& root() { return root_; }

 private:
  Module Child(const Module& parent, const std::string& prefix,
               const std::string& name) {
    auto it = children_.find(prefix);
    if (it != children_.end()) return it->second;
    Module child(
        c10::QualifiedName(absl::StrCat("__torch__.Part", children_.size())),
        unit_);
    Module owner = parent;
    std::string free = name.empty() ? "part" : name;
    while (owner.hasattr(free)) free += "_";
    owner.register_module(free, child);
    children_.emplace(prefix, child);
    return child;
  }

  std::shared_ptr<torch::jit::CompilationUnit> unit_;
  Module root_;
  std::map<std::string, Module> children_;
};

// A program of our kernels, its constants taken from the module.
std::shared_ptr<torch::jit::Graph> Trace(runtime::Executor* executor,
                                         torch::jit::Stack inputs,
                                         Module* module,
                                         std::vector<std::string> names) {
  const auto run = [executor](torch::jit::Stack stack) {
    std::vector<torch::Tensor> tensors;
    for (const c10::IValue& value : stack) tensors.push_back(value.toTensor());
    const std::vector<torch::Tensor> outputs = executor->Forward(tensors);
    if (outputs.size() == 1) return torch::jit::Stack{outputs[0]};
    std::vector<c10::IValue> elements(outputs.begin(), outputs.end());
    return torch::jit::Stack{c10::ivalue::Tuple::create(std::move(elements))};
  };
  const auto no_name = [](const torch::Tensor&) { return std::string(); };
  auto traced = torch::jit::tracer::trace(std::move(inputs), run, no_name,
                                          /*strict=*/true,
                                          /*force_outplace=*/false, module,
                                          std::move(names));
  auto program = traced.first->graph;
  torch::jit::EliminateDeadCode(program);
  return program;
}

// Replaces numbers that differ between the traces by what they are of the
// batch: c = a * N + b.
absl::Status FreeBatch(torch::jit::Graph* program,
                       const torch::jit::Graph& other) {
  torch::jit::Value* batch = nullptr;
  auto theirs = other.nodes().begin();
  for (auto mine = program->nodes().begin(); mine != program->nodes().end();
       ++mine) {
    // Nodes that this function added have no counterpart.
    if (batch != nullptr && *mine == batch->node()) continue;
    if (theirs == other.nodes().end() || mine->kind() != theirs->kind()) {
      return DataDependent("the program changes with the batch", "");
    }
    const torch::jit::Node* twin = *theirs;
    ++theirs;
    if (mine->kind() != c10::prim::Constant) continue;
    const auto a = torch::jit::toIValue(mine->output());
    const auto b = torch::jit::toIValue(twin->output());
    if (!a || !b || !a->isInt() || !b->isInt() || a->toInt() == b->toInt()) {
      const bool tensors = a && b && a->isTensor() && b->isTensor();
      if (tensors && (a->toTensor().sizes() != b->toTensor().sizes() ||
                      !torch::equal(a->toTensor(), b->toTensor()))) {
        return DataDependent("a constant changes with the batch", "");
      }
      continue;
    }
    const int64_t rise = b->toInt() - a->toInt();
    if (rise % (kBatches[1] - kBatches[0]) != 0) {
      return DataDependent("a size is not linear in the batch", "");
    }
    const int64_t factor = rise / (kBatches[1] - kBatches[0]);
    const int64_t offset = a->toInt() - factor * kBatches[0];
    if (batch == nullptr) {
      torch::jit::WithInsertPoint guard(*program->nodes().begin());
      batch =
          program->insert(c10::aten::size, {program->inputs()[1], int64_t{0}});
    }
    torch::jit::WithInsertPoint guard(*mine);
    torch::jit::Value* number = batch;
    if (factor != 1) number = program->insert(c10::aten::mul, {number, factor});
    if (offset != 0) number = program->insert(c10::aten::add, {number, offset});
    mine->output()->replaceAllUsesWith(number);
  }
  torch::jit::EliminateDeadCode(program->block());
  return absl::OkStatus();
}

absl::StatusOr<std::string> Export(const Graph& graph) {
  CONDENSE_ASSIGN_OR_RETURN(auto executor, runtime::Executor::Create(graph));
  ModuleTree tree;
  std::set<std::string> trained;
  for (const runtime::Parameter& parameter : executor->parameters()) {
    trained.insert(parameter.name);
    parameter.tensor.set_requires_grad(false);
  }
  for (ValueId id : graph.values()) {
    const torch::Tensor tensor = executor->ConstantTensor(id);
    // Sizes and axes are part of the program.
    if (!tensor.defined() || !tensor.is_floating_point()) continue;
    const std::string& name = graph.value(id).name;
    tree.Register(name, tensor, trained.count(name) > 0);
  }
  std::vector<std::string> names;
  for (ValueId id : graph.inputs()) {
    names.push_back(Identifier(graph.value(id).name));
  }
  const torch::NoGradGuard no_grad;
  CONDENSE_ASSIGN_OR_RETURN(auto inputs, SampleInputs(graph, kBatches[0]));
  auto program = Trace(executor.get(), std::move(inputs), &tree.root(), names);
  if (HasBatch(graph)) {
    CONDENSE_ASSIGN_OR_RETURN(auto again, SampleInputs(graph, kBatches[1]));
    const auto other =
        Trace(executor.get(), std::move(again), &tree.root(), names);
    CONDENSE_RETURN_IF_ERROR(FreeBatch(program.get(), *other));
  }
  const c10::QualifiedName method(*tree.root().type()->name(), "forward");
  auto* function = tree.root()._ivalue()->compilation_unit()->create_function(
      method, program);
  tree.root().type()->addMethod(function);
  std::ostringstream stream;
  tree.root().save(stream);
  return stream.str();
}

}  // namespace

absl::StatusOr<std::string> ExportTorchScript(const Graph& graph) {
  CONDENSE_RETURN_IF_ERROR(CheckNodes(graph));
  try {
    return Export(graph);
  } catch (const std::exception& error) {
    const std::string what = error.what();
    return MakeError(absl::StatusCode::kInternal, "CANNOT_EXPORT",
                     absl::StrCat("LibTorch cannot write the model: ",
                                  what.substr(0, what.find('\n'))));
  }
}

}  // namespace condense::torchscript_export
