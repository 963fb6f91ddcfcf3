#include "workers/engine/pipeline/run_state.h"

#include "common/error.h"
#include "gtest/gtest.h"
#include "workers/engine/graph/text.h"
#include "workers/engine/pipeline/layer_table.h"

namespace condense::pipeline {
namespace {

using graph::Graph;
using graph::Tensor;

// A linear layer behind a quantizer of its weight.
Graph Quantized() {
  Graph graph;
  const auto x = graph.AddInput("x", graph::DType::kFloat32,
                                graph::Shape{graph::Dim::Symbol("N"), 2});
  const auto w = graph.AddConstant(
      "w", Tensor::Of<float>({2, 2}, std::vector<float>{1, 0, 0.5f, -1}));
  const auto scale = graph.AddConstant(
      "s", Tensor::Of<float>({2}, std::vector<float>{1 / 127.0f, 1 / 127.0f}));
  const auto zero = graph.AddConstant(
      "z", Tensor::Of<int32_t>({2}, std::vector<int32_t>{0, 0}));
  const auto q =
      graph.AddNode("FakeQuantize", "w.quantize", {w, scale, zero}, {"wq"},
                    {{"axis", int64_t{0}},
                     {"qmin", int64_t{-127}},
                     {"qmax", int64_t{127}},
                     {"dtype", std::string("int8")},
                     {"role", std::string("weight")}},
                    "condense");
  graph.AddOutput(
      graph
          .node(graph.AddNode("Gemm", "fc", {x, graph.node(q).outputs[0]},
                              {"y"}, {{"transB", int64_t{1}}}))
          .outputs[0]);
  return graph;
}

TEST(RunStateTest, ACheckpointGivesEverythingBack) {
  RunState state;
  state.task = 3;
  state.steps = 41;
  state.graph = Quantized();
  state.shared = Quantized();
  state.finished["p"] = Quantized();
  state.frozen["prune/fc"] = "because";
  state.weight_snr_db["p/fc"] = 31.5;
  state.baseline =
      training::Measurement{{{"top1", 0.9}, {"loss", 0.25}}, "top1", 10};
  state.curves["loss"] = {{1, 2.5}, {2, 1.5}};
  state.warnings = {"careful"};
  state.compute = {runtime::Precision::kBfloat16, /*channels_last=*/true};
  state.rows.push_back({{.name = "prune",
                         .steps = 4,
                         .metric_before = 0.0,
                         .ended = "time budget",
                         .cut = true},
                        "p"});
  state.training = TrainingState{{1, 2, 3}, {{"w", torch::ones({2})}}};
  state.synthetic["u"] = torch::full({3}, 7);
  state.elapsed_seconds = 12.5;
  const auto graphs = GraphsOf(state);
  ASSERT_TRUE(graphs.ok()) << graphs.status();
  const auto back = FromCheckpoint(ToCheckpoint(state, *graphs));
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->task, 3u);
  EXPECT_EQ(back->steps, 41);
  EXPECT_EQ(back->elapsed_seconds, 12.5);
  EXPECT_EQ(back->rows[0].stage.ended, "time budget");
  EXPECT_TRUE(back->rows[0].stage.cut);
  EXPECT_EQ(graph::ToText(back->graph),
            graph::ToText(*Normalized(state.graph)));
  EXPECT_EQ(back->finished.count("p"), 1u);
  EXPECT_EQ(back->frozen, state.frozen);
  EXPECT_EQ(back->weight_snr_db, state.weight_snr_db);
  EXPECT_EQ(back->baseline->metrics, state.baseline->metrics);
  EXPECT_EQ(back->baseline->main_value(), 0.9);
  EXPECT_EQ(back->baseline->samples, 10);
  EXPECT_FALSE(back->current.has_value());
  EXPECT_EQ(back->curves, state.curves);
  EXPECT_EQ(back->warnings, state.warnings);
  EXPECT_EQ(back->compute.precision, runtime::Precision::kBfloat16);
  EXPECT_TRUE(back->compute.channels_last);
  EXPECT_EQ(back->rows[0].profile, "p");
  // Zero is a value; absent is absent.
  EXPECT_EQ(back->rows[0].stage.metric_before, 0.0);
  EXPECT_FALSE(back->rows[0].stage.metric_after.has_value());
  EXPECT_EQ(back->training->position.step, 3);
  EXPECT_TRUE(torch::equal(back->training->tensors.at("w"), torch::ones({2})));
  EXPECT_EQ(back->training->tensors.size(), 1u);
  EXPECT_TRUE(torch::equal(back->synthetic.at("u"), torch::full({3}, 7)));
}

TEST(RunStateTest, NormalizingTwiceIsNormalizingOnce) {
  const auto once = Normalized(Quantized());
  ASSERT_TRUE(once.ok()) << once.status();
  EXPECT_EQ(graph::ToText(*Normalized(*once)), graph::ToText(*once));
}

TEST(RunStateTest, ACheckpointWithAPartMissingIsCorrupt) {
  RunState state;
  state.graph = Quantized();
  training::Checkpoint checkpoint = ToCheckpoint(state, *GraphsOf(state));
  checkpoint.blobs["state.json"] = "{\"task\": \"no number\"}";
  EXPECT_EQ(ErrorReason(FromCheckpoint(checkpoint).status()),
            "CHECKPOINT_CORRUPT");
  checkpoint.blobs.erase("graph");
  EXPECT_EQ(ErrorReason(FromCheckpoint(checkpoint).status()),
            "CHECKPOINT_CORRUPT");
}

TEST(LayerTableTest, DescribesAQuantizedLayer) {
  const std::map<std::string, std::string> frozen = {
      {"prune/fc", "it makes an output"},
      {"quantize/other/fc", "not of this profile"}};
  const auto layers = LayerTable(Quantized(), Quantized(), frozen, {}, "p");
  ASSERT_EQ(layers.size(), 1u);
  EXPECT_EQ(layers[0].name, "fc");
  EXPECT_EQ(layers[0].bits_weight, 8);
  EXPECT_FALSE(layers[0].bits_activation.has_value());
  EXPECT_EQ(layers[0].granularity, "channel");
  EXPECT_EQ(layers[0].channels_before, 2);
  EXPECT_EQ(layers[0].channels_after, 2);
  EXPECT_EQ(layers[0].sparsity, 0.25);
  EXPECT_EQ(layers[0].size_bytes, 4);
  // 0.5 is 63.5 steps: half a step is lost, of 1 + 0.25 + 1 in power:
  // 10 log10(2.25 / (0.5 / 127)^2) = 51.62 dB.
  EXPECT_NEAR(*layers[0].snr_db, 51.62, 0.05);
  EXPECT_EQ(layers[0].frozen_reason, "pruning: it makes an output");
  // What was measured when it was rounded stands above that.
  const auto known = LayerTable(Quantized(), Quantized(), frozen,
                                {{"p/fc", 30}, {"other/fc", 20}}, "p");
  EXPECT_EQ(known[0].snr_db, 30);
}

}  // namespace
}  // namespace condense::pipeline
