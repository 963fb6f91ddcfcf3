#include "workers/engine/quantization/reconstruct.h"

#include <cmath>
#include <map>
#include <memory>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "workers/engine/data/random.h"
#include "workers/engine/quantization/blocks.h"
#include "workers/engine/quantization/calibrate.h"
#include "workers/engine/quantization/lower_qdq.h"
#include "workers/engine/quantization/quantizers_in_graph.h"
#include "workers/engine/quantization/soft_rounding.h"
#include "workers/engine/quantization/weight_view.h"
#include "workers/engine/runtime/executor.h"

namespace condense::quantization {
namespace {

using graph::Graph;
using graph::kNoNode;
using graph::Node;
using graph::NodeId;
using graph::ValueId;
using runtime::Executor;
using torch::Tensor;

constexpr double kBetaFirst = 20;
constexpr double kBetaLast = 2;
constexpr double kWarmUp = 0.2;

// What is trained at once.
struct Unit {
  ValueId input = graph::kNoValue;
  ValueId output = graph::kNoValue;
  std::vector<NodeId> layers;
};

// An input that says which elements of an activation are quantized.
struct Mask {
  ValueId value = graph::kNoValue;
  // Behind the batch.
  std::vector<int64_t> sizes;
};

class Reconstructor {
 public:
  Reconstructor(Graph* graph, const ReconstructOptions& options)
      : graph_(*graph),
        plain_(WithoutQuantizers(*graph)),
        options_(options),
        random_(options.seed),
        generator_(at::detail::createCPUGenerator(options.seed)) {
    for (const QuantizedLayer& layer : QuantizedLayers(graph_)) {
      quantizers_[layer.node] = layer.weight_quantizer;
    }
  }

  absl::Status Run(const Tensor& images) {
    const std::vector<Block> blocks = FindBlocks(graph_);
    Tensor quantized = images, floats = images;
    int64_t done = 0;
    for (const Block& block : blocks) {
      for (const Unit& unit : UnitsOf(block)) {
        CONDENSE_RETURN_IF_ERROR(Fit(unit, quantized, floats));
      }
      CONDENSE_ASSIGN_OR_RETURN(floats,
                                RunAll(SubGraph(plain_, {FloatOf(block.input)},
                                                FloatOf(block.output)),
                                       floats));
      CONDENSE_ASSIGN_OR_RETURN(
          quantized,
          RunAll(SubGraph(graph_, {block.input}, block.output), quantized));
      if (options_.progress) {
        options_.progress(++done, static_cast<int64_t>(blocks.size()));
      }
    }
    return absl::OkStatus();
  }

 private:
  // The value that the float graph has instead of a quantizer's output.
  ValueId FloatOf(ValueId id) const {
    const NodeId producer = graph_.value(id).producer;
    return producer != kNoNode && graph_.node(producer).IsFakeQuantize()
               ? FloatOf(graph_.node(producer).inputs[0])
               : id;
  }

  // A layer's output behind the activation function that is fused to it.
  ValueId OutputOf(NodeId layer) const {
    const ValueId out = graph_.node(layer).outputs[0];
    const std::vector<NodeId> readers = graph_.Consumers(out);
    if (readers.size() != 1 || graph_.IsOutput(out)) return out;
    const Node& next = graph_.node(readers[0]);
    return next.Is("Relu") || next.Is("Clip") ? next.outputs[0] : out;
  }

  std::vector<Unit> UnitsOf(const Block& block) const {
    if (options_.blocks) return {{block.input, block.output, block.layers}};
    std::vector<Unit> units;
    for (NodeId layer : block.layers) {
      units.push_back({block.input, OutputOf(layer), {layer}});
    }
    return units;
  }

  absl::StatusOr<Tensor> RunAll(const Graph& part, const Tensor& x) {
    const torch::NoGradGuard no_grad;
    CONDENSE_ASSIGN_OR_RETURN(
        auto executor, Executor::Create(part, {.device = options_.device}));
    std::vector<Tensor> out;
    for (int64_t at = 0; at < x.size(0); at += options_.batch_size) {
      CONDENSE_ASSIGN_OR_RETURN(
          auto y, executor->Run({x.slice(0, at, at + options_.batch_size)}));
      out.push_back(y[0].to(torch::kCPU));
    }
    return torch::cat(out);
  }

  // y = x + keep (quantize(x) - x) for each activation inside `part`: where
  // `keep`, a new input, is 0 the element stays in float.
  std::vector<Mask> AddDrops(Graph* part) const {
    std::vector<Mask> masks;
    const std::vector<NodeId> order = part->order();
    for (NodeId id : order) {
      const Node node = part->node(id);
      if (!node.IsFakeQuantize() || node.String("role", "") != "activation") {
        continue;
      }
      const ValueId x = node.inputs[0], y = node.outputs[0];
      const auto shape = graph_.value(x).shape;
      if (!shape || part->IsOutput(y)) continue;
      const auto dims =
          graph::KnownDims(graph::Shape(shape->begin() + 1, shape->end()));
      if (!dims) continue;
      const ValueId keep = part->AddValue(absl::StrCat(node.name, ".keep"),
                                          graph::DType::kFloat32, shape);
      const auto out = [&](NodeId made) { return part->node(made).outputs[0]; };
      const NodeId lost =
          part->InsertAfter(id, "Sub", node.name + ".lost", {y, x}, "lost");
      const NodeId kept = part->InsertAfter(lost, "Mul", node.name + ".kept",
                                            {out(lost), keep}, "kept");
      const NodeId sum = part->InsertAfter(kept, "Add", node.name + ".mixed",
                                           {x, out(kept)}, "mixed");
      part->ReplaceUses(y, out(sum));
      part->mutable_node(lost).inputs[0] = y;
      masks.push_back({keep, *dims});
    }
    return masks;
  }

  Tensor Keep(const std::vector<int64_t>& sizes) {
    return at::rand(sizes, generator_).ge(options_.drop).to(torch::kFloat32);
  }

  SoftRounding RoundingOf(NodeId layer) const {
    const Node& quantizer = graph_.node(quantizers_.at(layer));
    const Tensor weight =
        runtime::ToTorch(*graph_.ConstantOf(quantizer.inputs[0])).value();
    Tensor scale =
        runtime::ToTorch(*graph_.ConstantOf(quantizer.inputs[1])).value();
    const int64_t axis = quantizer.Int("axis", -1);
    if (axis >= 0) {
      std::vector<int64_t> shape(weight.dim(), 1);
      shape[axis] = scale.numel();
      scale = scale.view(shape);
    }
    return SoftRounding(
        weight, scale,
        {quantizer.Int("qmin", -127), quantizer.Int("qmax", 127)});
  }

  absl::Status Fit(const Unit& unit, const Tensor& quantized,
                   const Tensor& floats) {
    CONDENSE_ASSIGN_OR_RETURN(
        const Tensor target,
        RunAll(SubGraph(plain_, {FloatOf(unit.input)}, FloatOf(unit.output)),
               floats));
    std::vector<SoftRounding> roundings;
    std::vector<ValueId> inputs = {unit.input};
    std::vector<Tensor> variables;
    for (NodeId layer : unit.layers) {
      roundings.push_back(RoundingOf(layer));
      variables.push_back(roundings.back().variable());
      inputs.push_back(graph_.node(quantizers_.at(layer)).outputs[0]);
    }
    Graph part = SubGraph(graph_, inputs, unit.output);
    std::vector<Mask> masks;
    if (options_.drop > 0) masks = AddDrops(&part);
    for (const Mask& mask : masks) inputs.push_back(mask.value);
    part.SetInputs(inputs);
    CONDENSE_ASSIGN_OR_RETURN(
        auto executor, Executor::Create(part, {.device = options_.device}));
    torch::optim::Adam adam(variables, torch::optim::AdamOptions(options_.lr));
    for (int64_t step = 0; step < options_.iterations; ++step) {
      adam.zero_grad();
      const std::vector<int64_t> rows = DrawRows(quantized.size(0));
      CONDENSE_ASSIGN_OR_RETURN(
          Tensor loss, LossOf(rows, quantized, floats, target, masks, roundings,
                              executor.get()));
      const double progress =
          static_cast<double>(step) / static_cast<double>(options_.iterations);
      if (progress >= kWarmUp) {
        const double beta = BetaAt((progress - kWarmUp) / (1 - kWarmUp));
        for (SoftRounding& rounding : roundings) {
          loss = loss + options_.regularization * rounding.Regularizer(beta);
        }
      }
      loss.backward();
      adam.step();
    }
    for (size_t i = 0; i < unit.layers.size(); ++i) {
      const Node& quantizer = graph_.node(quantizers_.at(unit.layers[i]));
      graph_.SetConstant(quantizer.inputs[0],
                         runtime::FromTorch(roundings[i].Hard()));
    }
    return absl::OkStatus();
  }

  // A cosine from 20 to 2.
  static double BetaAt(double progress) {
    return kBetaLast +
           (kBetaFirst - kBetaLast) * 0.5 * (1 + std::cos(M_PI * progress));
  }

  std::vector<int64_t> DrawRows(int64_t count) {
    std::vector<int64_t> rows;
    for (int64_t i = 0; i < std::min(count, options_.batch_size); ++i) {
      rows.push_back(
          static_cast<int64_t>(random_.Below(static_cast<uint64_t>(count))));
    }
    return rows;
  }

  // Squared error, summed over channels, averaged over the rest.
  absl::StatusOr<Tensor> LossOf(const std::vector<int64_t>& rows,
                                const Tensor& quantized, const Tensor& floats,
                                const Tensor& target,
                                const std::vector<Mask>& masks,
                                const std::vector<SoftRounding>& roundings,
                                Executor* executor) {
    const Tensor index = torch::tensor(rows, torch::kInt64);
    Tensor x = quantized.index_select(0, index);
    if (options_.drop > 0) {
      x = at::where(Keep(x.sizes().vec()).to(torch::kBool), x,
                    floats.index_select(0, index));
    }
    std::vector<Tensor> inputs = {x};
    for (const SoftRounding& rounding : roundings) {
      inputs.push_back(rounding.Soft());
    }
    for (const Mask& mask : masks) {
      std::vector<int64_t> sizes = {x.size(0)};
      sizes.insert(sizes.end(), mask.sizes.begin(), mask.sizes.end());
      inputs.push_back(Keep(sizes));
    }
    CONDENSE_ASSIGN_OR_RETURN(auto y, executor->Run(inputs));
    const Tensor lost =
        (y[0] - target.index_select(0, index).to(y[0].device()));
    return lost.square().sum(1).mean();
  }

  Graph& graph_;
  const Graph plain_;
  const ReconstructOptions options_;
  data::Random random_;
  at::Generator generator_;
  std::map<NodeId, NodeId> quantizers_;
};

}  // namespace

absl::Status Reconstruct(Graph* graph, data::Loader* loader,
                         const ReconstructOptions& options) {
  CONDENSE_ASSIGN_OR_RETURN(const Tensor images,
                            TakeSamples(loader, options.samples));
  if (images.numel() == 0) return absl::OkStatus();
  return Reconstructor(graph, options).Run(images);
}

}  // namespace condense::quantization
