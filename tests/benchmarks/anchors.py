#!/usr/bin/env python3
"""Anchors: published results on files that a small CPU can train on, one JSON object per line.

usage: anchors.py a4 [SEEDS] [EPOCHS]
  a4  the binary and 2-bit MLP on MNIST (TFC of Xilinx/brevitas, published 93.17, 94.79 and 96.60 % for 1W1A, 1W2A and 2W2A):
      784-64-64-64-10, trained in float and then through its quantizers, EPOCHS each (default 10), with Adam and batches of
      100. Input and hidden layers are quantized; the last layer's weights are not, for its outputs would have as few levels as
      the activations. Activations of 1 bit are {0, s} here, not {-1, 1} (needs CONDENSE_SHARED)
SEEDS: how many, from 1 (default 3). (CONDENSE_SOURCE_DIR, CONDENSE_BINARY_DIR)
"""
import pathlib
import statistics
import subprocess
import sys
import tempfile

from figures import BIN, run_engine, say, shared

# Name, published accuracy in per cent, profile, numerics.
INT4 = "onnxruntime-opset21-int4"
A4 = [
    ("1W1A", 93.17, INT4, "weights: {scheme: binary}, activations: {bits: 1}"),
    ("1W2A", 94.79, INT4, "weights: {scheme: binary}, activations: {bits: 2}"),
    ("2W2A", 96.60, INT4, "weights: {bits: 2}, activations: {bits: 2}"),
]


def a4(seeds, epochs):
    mnist = shared() / "data" / "mnist"
    data = {"train": mnist, "test": mnist}
    for name, published, profile, numerics in A4:
        top1 = []
        for seed in range(1, seeds + 1):
            with tempfile.TemporaryDirectory(prefix="condense-anchor-") as folder:
                model = pathlib.Path(folder, "tfc.onnx")
                subprocess.run([str(BIN.parent / "tests" / "anchor_model"), "tfc", str(model), str(seed)], check=True)
                recipe = f"""
data:
  train: {{source: train}}
  preprocess: {{scale: 0.00392156862745098, color: gray}}
seed: {seed}
compute: {{precision: float32, memory_format: contiguous}}
stages:
  - finetune: {{epochs: {epochs}, batch_size: 100, optimizer: {{adam: {{lr: 0.005}}}}}}
  - quantize: {{mode: qat, epochs: {epochs}, batch_size: 100, optimizer: {{adam: {{lr: 0.005}}}}, {numerics},
               qat: {{batch_norm: live, grids: calibrated}}, overrides: [{{match: head, skip: true}}]}}
"""
                report = run_engine(model, recipe, data, [profile])[profile]
            top1.append(report["compressed"]["metrics"]["top1"])
            say(f"a4 {name}", seed=seed, epochs=epochs, float_top1=report["stages"][0]["metric_after"], top1=top1[-1],
                agreement=report["agreement"]["top1"], max_lsb=report["agreement"].get("max_lsb"))
        say(f"a4 {name} of {seeds} seeds", top1_mean=statistics.mean(top1), top1_min=min(top1), published=published / 100)


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] != "a4":
        sys.exit(__doc__)
    a4(int(sys.argv[2]) if len(sys.argv) > 2 else 3, int(sys.argv[3]) if len(sys.argv) > 3 else 10)
