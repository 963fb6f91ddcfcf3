#include "workers/engine/export/torchscript/exporter.h"

#include <torch/csrc/jit/frontend/tracer.h>
#include <torch/csrc/jit/passes/dead_code_elimination.h>
#include <torch/script.h>

#include <algorithm>
#include <map>
#include <optional>
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

// Sizes that an open dimension is traced with: of the batch, of other axes.
constexpr int64_t kBatches[] = {3, 5, 8};
constexpr int64_t kSizes[] = {64, 96, 160};

// A dimension of an input that may have any size.
struct OpenDim {
  size_t input = 0;
  size_t axis = 0;
  int64_t Size(size_t sample) const {
    return axis == 0 ? kBatches[sample] : kSizes[sample];
  }
};

absl::Status DataDependent(const std::string& what, const std::string& node) {
  return MakeError(
      absl::StatusCode::kUnimplemented, "DATA_DEPENDENT_SHAPE",
      absl::StrCat(what, "; it cannot be written as TorchScript"),
      {.hint = "fix the input's sizes with --input-shape, or write ONNX",
       .node = node});
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

std::vector<OpenDim> OpenDims(const Graph& graph) {
  std::vector<OpenDim> open;
  for (size_t i = 0; i < graph.inputs().size(); ++i) {
    const auto& shape = graph.value(graph.inputs()[i]).shape;
    for (size_t axis = 0; shape && axis < shape->size(); ++axis) {
      if (!(*shape)[axis].known()) open.push_back({i, axis});
    }
  }
  return open;
}

// Which of its three sizes every open dimension has in a trace.
using Samples = std::vector<size_t>;

absl::StatusOr<torch::jit::Stack> SampleInputs(const Graph& graph,
                                               const std::vector<OpenDim>& open,
                                               const Samples& samples) {
  torch::jit::Stack inputs;
  std::vector<std::vector<int64_t>> dims;
  for (ValueId id : graph.inputs()) {
    const graph::Value& value = graph.value(id);
    if (!value.shape) return DataDependent("an input has no shape", value.name);
    dims.emplace_back();
    for (const graph::Dim& dim : *value.shape) dims.back().push_back(dim.value);
  }
  for (size_t i = 0; i < open.size(); ++i) {
    // A symbol is one size wherever it stands: all batches change together.
    dims[open[i].input][open[i].axis] = open[i].Size(samples[i]);
  }
  for (size_t i = 0; i < dims.size(); ++i) {
    const auto type =
        runtime::ScalarTypeOf(graph.value(graph.inputs()[i]).dtype)
            .value_or(torch::kFloat32);
    inputs.push_back(torch::zeros(dims[i], type));
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

// The constants of a program in order; nullopt where it is no whole number.
std::vector<std::optional<int64_t>> NumbersOf(
    const torch::jit::Graph& program) {
  std::vector<std::optional<int64_t>> numbers;
  for (const torch::jit::Node* node : program.nodes()) {
    if (node->kind() != c10::prim::Constant) continue;
    const auto value = torch::jit::toIValue(node->output());
    numbers.push_back(value && value->isInt() ? std::optional(value->toInt())
                                              : std::nullopt);
  }
  return numbers;
}

// Whether both are the same but for whole numbers.
bool SameProgram(const torch::jit::Graph& a, const torch::jit::Graph& b) {
  auto other = b.nodes().begin();
  for (const torch::jit::Node* node : a.nodes()) {
    if (other == b.nodes().end() || node->kind() != (*other)->kind()) {
      return false;
    }
    if (node->kind() == c10::prim::Constant) {
      const auto x = torch::jit::toIValue(node->output());
      const auto y = torch::jit::toIValue((*other)->output());
      if (x && y && x->isTensor() && y->isTensor() &&
          (x->toTensor().sizes() != y->toTensor().sizes() ||
           !torch::equal(x->toTensor(), y->toTensor()))) {
        return false;
      }
    }
    ++other;
  }
  return other == b.nodes().end();
}

// number = offset + sum of factor[i] * size of open dimension i.
struct Formula {
  int64_t offset = 0;
  std::vector<int64_t> factors;
  bool constant() const {
    return std::all_of(factors.begin(), factors.end(),
                       [](int64_t f) { return f == 0; });
  }
};

// Traces with different sizes of the inputs, and what they tell.
class Tracer {
 public:
  Tracer(const Graph& graph, runtime::Executor* executor, Module* module)
      : graph_(graph),
        executor_(executor),
        module_(module),
        open_(OpenDims(graph)) {
    for (ValueId id : graph.inputs()) {
      names_.push_back(Identifier(graph.value(id).name));
    }
  }

  absl::StatusOr<std::shared_ptr<torch::jit::Graph>> Run() {
    const Samples base(open_.size(), 0);
    CONDENSE_ASSIGN_OR_RETURN(auto program, TraceWith(base));
    if (open_.empty()) return program;
    CONDENSE_ASSIGN_OR_RETURN(auto formulas, FindFormulas(*program));
    CONDENSE_RETURN_IF_ERROR(CheckAllChanged(*program, formulas));
    Substitute(program.get(), formulas);
    return program;
  }

 private:
  absl::StatusOr<std::shared_ptr<torch::jit::Graph>> TraceWith(
      const Samples& samples) {
    CONDENSE_ASSIGN_OR_RETURN(auto inputs,
                              SampleInputs(graph_, open_, samples));
    return Trace(executor_, std::move(inputs), module_, names_);
  }

  absl::StatusOr<std::vector<std::optional<int64_t>>> NumbersWith(
      const torch::jit::Graph& program, const Samples& samples) {
    CONDENSE_ASSIGN_OR_RETURN(const auto other, TraceWith(samples));
    if (!SameProgram(program, *other)) {
      return DataDependent("the program changes with the input's sizes", "");
    }
    return NumbersOf(*other);
  }

  // Dimensions that change together: all batches.
  Samples With(size_t dim, size_t sample) const {
    Samples samples(open_.size(), 0);
    for (size_t i = 0; i < open_.size(); ++i) {
      if (i == dim || (open_[dim].axis == 0 && open_[i].axis == 0)) {
        samples[i] = sample;
      }
    }
    return samples;
  }

  bool Follows(size_t dim) const {
    for (size_t i = 0; i < dim; ++i) {
      if (open_[dim].axis == 0 && open_[i].axis == 0) return true;
    }
    return false;
  }

  absl::StatusOr<std::vector<Formula>> FindFormulas(
      const torch::jit::Graph& program) {
    const auto base = NumbersOf(program);
    std::vector<Formula> formulas(base.size());
    for (size_t k = 0; k < base.size(); ++k) {
      formulas[k].offset = base[k].value_or(0);
      formulas[k].factors.assign(open_.size(), 0);
    }
    for (size_t dim = 0; dim < open_.size(); ++dim) {
      if (Follows(dim)) continue;
      CONDENSE_ASSIGN_OR_RETURN(const auto one,
                                NumbersWith(program, With(dim, 1)));
      CONDENSE_ASSIGN_OR_RETURN(const auto two,
                                NumbersWith(program, With(dim, 2)));
      const int64_t s0 = open_[dim].Size(0), s1 = open_[dim].Size(1),
                    s2 = open_[dim].Size(2);
      for (size_t k = 0; k < base.size(); ++k) {
        if (!base[k] || *one[k] == *base[k]) continue;
        const int64_t factor = (*one[k] - *base[k]) / (s1 - s0);
        if (*base[k] + factor * (s1 - s0) != *one[k] ||
            *base[k] + factor * (s2 - s0) != *two[k]) {
          return DataDependent(
              "a size does not follow the input's in a straight line", "");
        }
        formulas[k].factors[dim] = factor;
        formulas[k].offset -= factor * s0;
      }
    }
    return formulas;
  }

  // Products of open sizes fit each line alone, but not together.
  absl::Status CheckAllChanged(const torch::jit::Graph& program,
                               const std::vector<Formula>& formulas) {
    CONDENSE_ASSIGN_OR_RETURN(const auto numbers,
                              NumbersWith(program, Samples(open_.size(), 1)));
    for (size_t k = 0; k < formulas.size(); ++k) {
      if (!numbers[k]) continue;
      int64_t expected = formulas[k].offset;
      for (size_t dim = 0; dim < open_.size(); ++dim) {
        expected += formulas[k].factors[dim] * open_[dim].Size(1);
      }
      if (expected != *numbers[k]) {
        return DataDependent("a size is a product of open sizes", "");
      }
    }
    return absl::OkStatus();
  }

  // Replaces the numbers by what they are of the inputs' sizes.
  void Substitute(torch::jit::Graph* program,
                  const std::vector<Formula>& formulas) {
    std::vector<torch::jit::Node*> constants;
    for (torch::jit::Node* node : program->nodes()) {
      if (node->kind() == c10::prim::Constant) constants.push_back(node);
    }
    torch::jit::Node* first = *program->nodes().begin();
    std::vector<torch::jit::Value*> sizes(open_.size(), nullptr);
    for (size_t k = 0; k < constants.size(); ++k) {
      if (formulas[k].constant()) continue;
      torch::jit::Value* sum = nullptr;
      for (size_t dim = 0; dim < open_.size(); ++dim) {
        if (formulas[k].factors[dim] == 0) continue;
        if (sizes[dim] == nullptr) {
          torch::jit::WithInsertPoint guard(first);
          sizes[dim] = program->insert(c10::aten::size,
                                       {program->inputs()[open_[dim].input + 1],
                                        static_cast<int64_t>(open_[dim].axis)});
        }
        torch::jit::WithInsertPoint guard(constants[k]);
        torch::jit::Value* term = sizes[dim];
        if (formulas[k].factors[dim] != 1) {
          term =
              program->insert(c10::aten::mul, {term, formulas[k].factors[dim]});
        }
        sum = sum == nullptr ? term
                             : program->insert(c10::aten::add, {sum, term});
      }
      torch::jit::WithInsertPoint guard(constants[k]);
      if (formulas[k].offset != 0) {
        sum = program->insert(c10::aten::add, {sum, formulas[k].offset});
      }
      constants[k]->output()->replaceAllUsesWith(sum);
    }
    torch::jit::EliminateDeadCode(program->block());
  }

  const Graph& graph_;
  runtime::Executor* executor_;
  Module* module_;
  const std::vector<OpenDim> open_;
  std::vector<std::string> names_;
};

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
  const torch::NoGradGuard no_grad;
  CONDENSE_ASSIGN_OR_RETURN(auto program,
                            Tracer(graph, executor.get(), &tree.root()).Run());
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
