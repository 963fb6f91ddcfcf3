// TorchScript programs, each run by LibTorch itself and by us.

#include "workers/engine/import/torchscript/importer.h"

#include <torch/script.h>

#include <sstream>

#include "common/error.h"
#include "gtest/gtest.h"
#include "workers/engine/runtime/executor.h"

namespace condense::torchscript_import {
namespace {

torch::jit::Module ModuleOf(const std::string& body) {
  torch::jit::Module module("Model");
  torch::manual_seed(5);
  module.register_parameter("w", torch::randn({4, 4}), false);
  module.register_parameter("k", torch::randn({6, 4, 3, 3}), false);
  module.register_parameter("v", torch::rand({4}), false);
  module.define("def forward(self, x):\n" + body + "\n");
  return module;
}

std::string Saved(const torch::jit::Module& module) {
  std::ostringstream stream;
  module.save(stream);
  return stream.str();
}

void ExpectSame(const std::string& body, const torch::Tensor& x) {
  SCOPED_TRACE(body);
  torch::jit::Module module = ModuleOf(body);
  ImportOptions options;
  options.input_shapes = {graph::Shape(x.sizes().begin(), x.sizes().end())};
  const auto graph = ImportTorchScript(Saved(module), options);
  ASSERT_TRUE(graph.ok()) << graph.status();
  auto executor = runtime::Executor::Create(*graph);
  ASSERT_TRUE(executor.ok()) << executor.status();
  const torch::NoGradGuard no_grad;
  const torch::Tensor want = module.forward({x}).toTensor();
  const torch::Tensor got = (*executor)->Forward({x})[0];
  ASSERT_EQ(got.sizes(), want.sizes());
  EXPECT_TRUE(torch::allclose(got.to(torch::kFloat32), want.to(torch::kFloat32),
                              1e-4, 1e-5));
}

std::string ReasonOf(const std::string& body, const torch::Tensor& x) {
  ImportOptions options;
  options.input_shapes = {graph::Shape(x.sizes().begin(), x.sizes().end())};
  return std::string(
      ErrorReason(ImportTorchScript(Saved(ModuleOf(body)), options).status()));
}

TEST(TorchScriptTest, OperatorsOfMatrices) {
  const torch::Tensor x = torch::randn({2, 4});
  for (const char* body : {
           "  return torch.matmul(x, self.w) + 2.0 * x - self.v",
           "  return torch.softmax(x / 2, -1) * torch.sigmoid(x)",
           "  return torch.cat([x, x.relu()], 1).clamp(-1.0, 0.5)",
           "  return torch.where(x > 0, x, -x).sum([1], True)",
           "  return x.view([x.size(0), 2, -1]).transpose(1, 2).flatten(1)",
           "  a, b = torch.chunk(x, 2, 1)\n  return a * b",
           "  return torch.addmm(self.v, x, self.w, beta=0.5, alpha=2.0)",
           "  return torch.stack([x[:, 1:3], x[:, ::2]], 1).mean([1])",
           "  return x.std(1, True) + x.var(1, False, True)",
           "  return torch.roll(x, [1], [1]) + torch.flip(x, [1])",
           "  return torch.masked_fill(x, x < 0, 3.0).exp().log()",
           "  return x.unsqueeze(-1).expand([-1, -1, 3]).sum(2)",
           "  return torch.layer_norm(x, [4], self.v, None)",
           "  return torch.rsub(x, 1.0) // 0.3 + torch.remainder(x, 0.7)",
           "  return torch.topk(x, 2, 1)[0] + torch.max(x, 1, True)[0]",
           "  return torch.repeat_interleave(x.new_zeros([2, 4]), 1) * 0 + "
           "x.flatten(0)",
       }) {
    ExpectSame(body, x);
  }
}

TEST(TorchScriptTest, OperatorsOfImages) {
  const torch::Tensor x = torch::randn({2, 4, 8, 8});
  for (const char* body : {
           "  return torch.conv2d(x, self.k, None, [2, 1], [1, 0])",
           "  return torch.max_pool2d(x, [3, 3], [2, 2], [1, 1], [1, 1], True)",
           "  return torch.avg_pool2d(x, [2, 2]).mean([2, 3])",
           "  return torch.adaptive_avg_pool2d(x, [2, 4])",
           "  return torch.prelu(x, self.v) + torch.hardswish(x)",
           "  return torch.group_norm(x, 2, self.v, self.v)",
           "  return torch.pixel_shuffle(x, 2)",
           "  return torch.constant_pad_nd(x, [1, 2, 0, 1], 0.5)",
           "  return torch.batch_norm(x, self.v, None, self.v, self.v, False, "
           "0.1, 1e-5, False)",
           "  return torch.upsample_bilinear2d(x, [5, 11], False)",
           "  return torch.upsample_nearest2d(x, [16, 16])",
       }) {
    ExpectSame(body, x);
  }
}

TEST(TorchScriptTest, ControlFlowOnSizesAndConstantsIsResolved) {
  const torch::Tensor x = torch::randn({2, 4});
  ExpectSame(
      "  y = x\n  for i in range(x.size(1)):\n    if i % 2 == 0:\n"
      "      y = y + float(i)\n    else:\n      y = y * 2\n  return y",
      x);
  ExpectSame(
      "  parts = [x]\n  while len(parts) < 3:\n    parts.append(parts[-1] * "
      "2)\n"
      "  return torch.cat(parts, 1)",
      x);
  ExpectSame("  assert x.dim() == 2, 'rank'\n  return x * 1", x);
}

TEST(TorchScriptTest, InPlaceOperatorsChangeWhatSharesTheName) {
  ExpectSame("  y = x * 2\n  z = y\n  y.add_(1.0)\n  return z + y",
             torch::randn({2, 4}));
}

TEST(TorchScriptTest, ParametersKeepTheirNames) {
  ImportOptions options;
  options.input_shapes = {graph::Shape{2, 4, 8, 8}};
  const auto graph = ImportTorchScript(
      Saved(ModuleOf("  return torch.conv2d(x, self.k)")), options);
  ASSERT_TRUE(graph.ok()) << graph.status();
  EXPECT_TRUE(graph->IsConstant(graph->FindValue("k")));
  EXPECT_EQ((*graph->value(graph->inputs()[0]).shape)[0].symbol, "N");
}

TEST(TorchScriptTest, TheFirstLayerTellsTheShapeAlsoBehindABranch) {
  const auto graph = ImportTorchScript(
      Saved(ModuleOf("  if x.dim() == 2:\n    y = x * 2\n  else:\n    y = x\n"
                     "  return torch.linear(y, self.w)")));
  ASSERT_TRUE(graph.ok()) << graph.status();
  EXPECT_EQ(graph::ShapeText(graph->value(graph->inputs()[0]).shape), "[N, 4]");
}

TEST(TorchScriptTest, HalfPrecisionBecomesFloat32) {
  torch::jit::Module module = ModuleOf("  return torch.matmul(x, self.w)");
  module.to(torch::kFloat16);
  ImportOptions options;
  options.input_shapes = {graph::Shape{2, 4}};
  options.input_dtypes = {graph::DType::kFloat16};
  const auto graph = ImportTorchScript(Saved(module), options);
  ASSERT_TRUE(graph.ok()) << graph.status();
  const graph::ValueId w = graph->FindValue("w");
  ASSERT_NE(w, graph::kNoValue);
  EXPECT_EQ(graph->value(w).dtype, graph::DType::kFloat32);
  EXPECT_EQ(graph->value(graph->inputs()[0]).dtype, graph::DType::kFloat32);
}

TEST(TorchScriptTest, WhatCannotBeReadIsATypedError) {
  const torch::Tensor x = torch::randn({2, 4});
  EXPECT_EQ(ReasonOf("  if bool(x.sum() > 0):\n    return x\n  return -x", x),
            "DATA_DEPENDENT_CONTROL_FLOW");
  EXPECT_EQ(ReasonOf("  return torch.erfinv(x)", x), "UNSUPPORTED_OPERATOR");
  EXPECT_EQ(ReasonOf("  assert x.dim() == 3, 'no'\n  return x", x),
            "MODEL_RAISES");
  EXPECT_EQ(ErrorReason(ImportTorchScript("PK\x03\x04 nonsense").status()),
            "NOT_A_MODEL");
}

TEST(TorchScriptTest, ProgramsThatReachOutOfTensorsAreNotRun) {
  const torch::Tensor x = torch::randn({2, 4});
  EXPECT_EQ(
      ReasonOf("  return x + torch.from_file('/etc/passwd', False, 4)", x),
      "UNSAFE_OPERATOR");
  EXPECT_EQ(ReasonOf("  torch.save(x, 'file')\n  return x", x),
            "UNSAFE_OPERATOR");
}

TEST(TorchScriptTest, LoopsEnd) {
  const torch::Tensor x = torch::randn({2, 4});
  EXPECT_EQ(ReasonOf("  while True:\n    x = x + 1\n  return x", x),
            "DATA_DEPENDENT_CONTROL_FLOW");
  EXPECT_EQ(ReasonOf("  k = 0\n  for i in range(1000):\n"
                     "    for j in range(1000):\n      k = k + i * j\n"
                     "  return x + k",
                     x),
            "DATA_DEPENDENT_CONTROL_FLOW");
  // Without a shape the importer tries sizes by running the program.
  EXPECT_EQ(ErrorReason(ImportTorchScript(
                            Saved(ModuleOf("  while True:\n    x = x + 1\n"
                                           "  return torch.conv2d(x, self.k)")))
                            .status()),
            "DATA_DEPENDENT_CONTROL_FLOW");
}

}  // namespace
}  // namespace condense::torchscript_import
