#include "workers/engine/import/torchscript/importer.h"

#include <torch/csrc/jit/passes/inliner.h>
#include <torch/script.h>

#include <sstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/error.h"
#include "common/status_macros.h"
#include "workers/engine/graph/passes/simplify.h"
#include "workers/engine/graph/passes/widen_floats.h"
#include "workers/engine/graph/verify.h"
#include "workers/engine/import/archive_check.h"
#include "workers/engine/import/torchscript/interpreter.h"
#include "workers/engine/import/torchscript/program_check.h"
#include "workers/engine/import/torchscript/trial.h"

namespace condense::torchscript_import {
namespace {

using graph::DType;
using graph::Graph;
using graph::kNoValue;
using graph::Shape;
using graph::ValueId;

// LibTorch's own reason, without its stack of calls.
std::string FirstLine(const std::exception& error) {
  std::string what = error.what();
  const size_t reason = what.find("RuntimeError:");
  if (reason != std::string::npos) what = what.substr(reason + 14);
  while (!what.empty() && what[0] == '\n') what.erase(0, 1);
  return what.substr(0, what.find('\n'));
}

// The program of forward(), with everything that it calls inside.
std::shared_ptr<torch::jit::Graph> ProgramOf(const torch::jit::Module& module) {
  const auto program = module.get_method("forward").graph()->copy();
  torch::jit::Inline(*program);
  return program;
}

absl::StatusOr<torch::jit::Module> Load(absl::string_view bytes) {
  std::istringstream stream{std::string(bytes)};
  try {
    torch::jit::Module module = torch::jit::load(stream, torch::kCPU);
    module.eval();
    CONDENSE_RETURN_IF_ERROR(CheckProgram(*ProgramOf(module)));
    return module;
  } catch (const std::exception& error) {
    return MakeError(
        absl::StatusCode::kInvalidArgument, "NOT_A_MODEL",
        absl::StrCat("LibTorch ", TORCH_VERSION,
                     " cannot read the file: ", FirstLine(error)),
        {.hint = "save it with torch.jit.save, or export it as ONNX"});
  }
}

// What a program reads by `get`: a parameter, or the first of a list of them.
std::optional<torch::Tensor> WeightOf(const torch::jit::Value* value,
                                      const torch::jit::Module& module) {
  const torch::jit::Node* get = value->node();
  if (get->kind() == c10::prim::ListConstruct && get->inputs().size() > 0) {
    get = get->input(0)->node();
  }
  std::vector<std::string> path;
  while (get->kind() == c10::prim::GetAttr) {
    path.insert(path.begin(), get->s(c10::attr::name));
    get = get->input(0)->node();
  }
  c10::IValue found = module._ivalue();
  for (const std::string& part : path) {
    found = found.toObject()->getAttr(part);
  }
  if (found.isTensorList() && !found.toTensorVector().empty()) {
    return found.toTensorVector()[0];
  }
  if (!found.isTensor()) return std::nullopt;
  return found.toTensor();
}

// The rank and channels that a layer says about input number `at` of it.
std::optional<Shape> ShapeFromLayer(const torch::jit::Node* node, size_t at,
                                    const torch::jit::Module& module,
                                    DType* dtype) {
  const std::string op = node->kind().toQualString();
  if ((absl::StartsWith(op, "aten::conv") || op == "aten::_convolution") &&
      at == 0) {
    const auto weight = WeightOf(node->input(1), module);
    if (!weight) return std::nullopt;
    Shape shape(weight->dim());
    const size_t groups_at = op == "aten::_convolution" ? 8 : 6;
    const auto groups = torch::jit::toIValue(node->input(groups_at));
    shape[1] = weight->size(1) * (groups ? groups->toInt() : 1);
    return shape;
  }
  if (op == "aten::linear" && at == 0) {
    const auto weight = WeightOf(node->input(1), module);
    if (weight) return Shape{graph::Dim(), graph::Dim(weight->size(1))};
  }
  if (op == "aten::embedding" && at == 1) {
    *dtype = DType::kInt64;
    return Shape(2);
  }
  if ((op == "aten::lstm" || op == "aten::gru") && at == 0) {
    Shape shape(3);
    const auto weight = WeightOf(node->input(2), module);
    if (weight) shape[2] = weight->size(1);
    return shape;
  }
  return std::nullopt;
}

// The first layer of a block that says something, also in branches.
std::optional<Shape> ShapeFromFirstLayer(const torch::jit::Block* block,
                                         const torch::jit::Module& module,
                                         DType* dtype) {
  for (const torch::jit::Node* node : block->nodes()) {
    const size_t at =
        node->kind() == c10::Symbol::fromQualString("aten::embedding") ? 1 : 0;
    auto shape = ShapeFromLayer(node, at, module, dtype);
    for (const torch::jit::Block* inner : node->blocks()) {
      if (!shape) shape = ShapeFromFirstLayer(inner, module, dtype);
    }
    if (shape) return shape;
  }
  return std::nullopt;
}

// What the readers of an input say about it; of a program's only input, else
// its first layer (its input may go through checks and branches before).
std::optional<Shape> ShapeFromReaders(const torch::jit::Value* input,
                                      const torch::jit::Module& module,
                                      DType* dtype) {
  for (const auto& use : input->uses()) {
    const auto shape = ShapeFromLayer(use.user, use.offset, module, dtype);
    if (shape) return shape;
  }
  const torch::jit::Graph* program = input->owningGraph();
  if (program->inputs().size() != 2) return std::nullopt;
  return ShapeFromFirstLayer(program->block(), module, dtype);
}

// What a traced program says about its input itself.
std::optional<Shape> RecordedShape(const torch::jit::Value* input,
                                   DType* dtype) {
  const auto type = input->type()->cast<c10::TensorType>();
  if (!type) return std::nullopt;
  if (type->scalarType()) {
    *dtype = DTypeOfScalarType(static_cast<int64_t>(*type->scalarType()));
  }
  const auto sizes = type->sizes().sizes();
  if (!sizes) return std::nullopt;
  Shape shape;
  for (const auto& size : *sizes) {
    shape.push_back(size ? graph::Dim(*size) : graph::Dim());
  }
  return shape;
}

class Importer {
 public:
  Importer(const torch::jit::Module& module, const ImportOptions& options)
      : module_(module), options_(options) {}

  Graph Run() {
    for (const auto& parameter : module_.named_parameters()) {
      builder_.names[parameter.value.unsafeGetTensorImpl()] = parameter.name;
    }
    for (const auto& buffer : module_.named_buffers()) {
      builder_.names[buffer.value.unsafeGetTensorImpl()] = buffer.name;
    }
    const auto program = ProgramOf(module_);
    Interpreter interpreter(&builder_);
    interpreter.Set(program->inputs()[0], Item::Concrete(module_._ivalue()));
    AddInputs(*program, &interpreter);
    for (const Item& output : interpreter.RunBlock(program->block())) {
      AddOutput(output);
    }
    if (builder_.graph.outputs().empty()) {
      Fail("NOT_A_MODEL", "forward() returns no tensor");
    }
    return std::move(builder_.graph);
  }

 private:
  void AddInputs(const torch::jit::Graph& program, Interpreter* interpreter) {
    for (size_t i = 1; i < program.inputs().size(); ++i) {
      const torch::jit::Value* input = program.inputs()[i];
      if (input->type()->kind() != c10::TypeKind::TensorType) {
        // Optional arguments stay away.
        interpreter->Set(input, Item::Concrete(c10::IValue()));
        continue;
      }
      const size_t at = i - 1;
      DType dtype = DType::kFloat32;
      std::optional<Shape> shape;
      if (at < options_.input_shapes.size()) shape = options_.input_shapes[at];
      if (!shape) shape = RecordedShape(input, &dtype);
      if (!shape) shape = ShapeFromReaders(input, module_, &dtype);
      if (at < options_.input_dtypes.size() &&
          options_.input_dtypes[at] != DType::kUndefined) {
        dtype = options_.input_dtypes[at];
      }
      if (shape && shape->size() == 4 && options_.image_size.size() == 2) {
        for (size_t k : {0, 1}) {
          graph::Dim& dim = (*shape)[k + 2];
          if (!dim.known()) dim = graph::Dim(options_.image_size[k]);
        }
      }
      if (shape && !shape->empty()) (*shape)[0] = graph::Dim::Symbol("N");
      const std::string name =
          input->hasDebugName() ? input->debugNameBase() : "input";
      interpreter->Set(
          input, Item::Tensor(builder_.graph.AddInput(name, dtype, shape)));
    }
  }

  void AddOutput(const Item& item) {
    if (item.kind == Item::Kind::kList) {
      for (const Item& part : *item.items) AddOutput(part);
      return;
    }
    if (item.IsNone()) return;
    if (item.kind == Item::Kind::kConcrete && !item.value.isTensor()) return;
    const ValueId id = builder_.TensorOf(item);
    const size_t number = builder_.graph.outputs().size();
    ValueId output = id;
    // An input, a constant or an output twice needs a node of its own.
    if (builder_.graph.value(id).producer == graph::kNoNode ||
        builder_.graph.IsOutput(id)) {
      output = builder_.Op("Identity", {id});
    }
    builder_.graph.RenameValue(
        output, number == 0 ? "output" : absl::StrCat("output_", number));
    builder_.graph.AddOutput(output);
  }

  const torch::jit::Module& module_;
  const ImportOptions& options_;
  Builder builder_;
};

}  // namespace

namespace {

absl::StatusOr<Graph> Import(const torch::jit::Module& module,
                             const ImportOptions& options) {
  try {
    Graph graph = Importer(module, options).Run();
    graph.name =
        module.type()->name() ? module.type()->name()->name() : "model";
    CONDENSE_RETURN_IF_ERROR(graph::WidenFloats().Run(graph).status());
    CONDENSE_RETURN_IF_ERROR(graph::Simplify(graph));
    CONDENSE_RETURN_IF_ERROR(graph::Verify(graph));
    return graph;
  } catch (const ImportError& error) {
    return error.status;
  } catch (const std::exception& error) {
    return MakeError(
        absl::StatusCode::kInvalidArgument, "NOT_A_MODEL",
        absl::StrCat("the program cannot be read: ", FirstLine(error)));
  }
}

// Heights and widths that image models commonly take, and lengths of
// sequences.
constexpr int64_t kImageSizes[] = {28,  32,  64,  96,  112,
                                   128, 160, 224, 256, 320};
constexpr int64_t kLengths[] = {8, 16, 32, 64, 128, 256, 512};
// A model that does not run with this size and its double has its own size.
constexpr int64_t kOpenSize = 64;

Shape Filled(Shape shape, int64_t size) {
  shape[0] = graph::Dim(1);
  for (graph::Dim& dim : shape) {
    if (!dim.known()) dim = graph::Dim(size);
  }
  return shape;
}

bool Runs(const torch::jit::Module& module, const Shape& shape, DType dtype) {
  try {
    const torch::NoGradGuard no_grad;
    torch::jit::Module copy = module;
    copy.forward({torch::zeros(
        *graph::KnownDims(shape),
        dtype == DType::kInt64 ? torch::kInt64 : torch::kFloat32)});
    return true;
  } catch (const std::exception&) {
    return false;
  }
}

// A model with one input whose sizes nobody said. If it runs with common sizes
// they stay open; if it runs only with larger ones, or can only be read with
// some size, it gets the least.
absl::StatusOr<Graph> ImportWithDerivedSize(const torch::jit::Module& module,
                                            absl::StatusOr<Graph> open) {
  const auto program = ProgramOf(module);
  if (program->inputs().size() != 2 || !IsBounded(*program)) return open;
  DType dtype = DType::kFloat32;
  const auto shape = ShapeFromReaders(program->inputs()[1], module, &dtype);
  if (!shape || shape->size() < 2) return open;
  const absl::Span<const int64_t> candidates =
      shape->size() == 4 ? absl::MakeConstSpan(kImageSizes)
                         : absl::MakeConstSpan(kLengths);
  for (int64_t size : candidates) {
    const Shape fixed = Filled(*shape, size);
    if (!Runs(module, fixed, dtype)) continue;
    const bool common = Runs(module, Filled(*shape, kOpenSize), dtype) &&
                        Runs(module, Filled(*shape, 2 * kOpenSize), dtype);
    if (open.ok() && common) return open;
    ImportOptions options;
    options.input_shapes = {fixed};
    options.input_dtypes = {dtype};
    auto graph = Import(module, options);
    if (graph.ok()) return graph;
  }
  return open;
}

bool SizesAreOpen(const absl::StatusOr<Graph>& graph) {
  if (!graph.ok()) return true;
  for (ValueId id : graph->inputs()) {
    const auto& shape = graph->value(id).shape;
    if (!shape) return true;
    for (size_t i = 1; i < shape->size(); ++i) {
      if (!(*shape)[i].known()) return true;
    }
  }
  return false;
}

}  // namespace

namespace {

absl::StatusOr<Graph> LoadAndImport(absl::string_view bytes,
                                    const ImportOptions& options) {
  CONDENSE_ASSIGN_OR_RETURN(const torch::jit::Module module, Load(bytes));
  absl::StatusOr<Graph> graph = Import(module, options);
  if (!options.input_shapes.empty() || !options.image_size.empty() ||
      !SizesAreOpen(graph)) {
    return graph;
  }
  try {
    return ImportWithDerivedSize(module, std::move(graph));
  } catch (const std::exception& error) {
    return MakeError(absl::StatusCode::kInvalidArgument, "NOT_A_MODEL",
                     FirstLine(error));
  }
}

}  // namespace

absl::StatusOr<Graph> ImportTorchScript(absl::string_view bytes,
                                        const ImportOptions& options) {
  CONDENSE_RETURN_IF_ERROR(CheckArchive(bytes));
  CONDENSE_RETURN_IF_ERROR(
      InTrial([&] { return LoadAndImport(bytes, options).status(); }));
  return LoadAndImport(bytes, options);
}

}  // namespace condense::torchscript_import
