#!/usr/bin/env python3
"""Anchors: published results on files that a small CPU can train on, one JSON object per line.

usage: anchors.py a4|a4_grids|a6 [SEEDS] [EPOCHS]
  a4        the binary and 2-bit MLP on MNIST (TFC of Xilinx/brevitas, published 93.17, 94.79 and 96.60 % for 1W1A, 1W2A and
            2W2A): 784-64-64-64-10, trained in float and then through its quantizers, EPOCHS each (default 10), with Adam and
            batches of 100, on the 60,000 training images; top1 on the 10,000 test images. As there, the weights of all four
            layers and the inputs of all four are quantized, and what the last puts out is not (here it has 8 bits). Rows
            "last layer in float" leave its weights. Activations of 1 bit are {0, s} here, not {-1, 1}; the loss is
            cross-entropy, not the squared hinge
  a4_grids  what chose grids and learning rate: each pair trained on the first 50,000 training images, top1 on the other 10,000;
            one seed
  a6        ResNet-20 on CIFAR-10 JPEGs: finetuned in float for two epochs of 16,000 training images, then W4A4 with learned steps
            for EPOCHS (default 3), all layers, and with the first and the last one in 8 bits as is usual; 2,000 test images
SEEDS: how many, from 1 (default 3). Needs CONDENSE_SHARED. (CONDENSE_SOURCE_DIR, CONDENSE_BINARY_DIR)
"""
import contextlib
import gzip
import pathlib
import statistics
import subprocess
import sys
import tempfile

from figures import BIN, IMAGENET, PROFILE, run_engine, say, shared

INT4 = "onnxruntime-opset21-int4"
# Name, published accuracy in per cent, numerics; grids and learning rate that a4_grids found.
A4 = [
    ("1W1A", 93.17, "weights: {scheme: binary}, activations: {bits: 1}", "calibrated", 0.02),
    ("1W2A", 94.79, "weights: {scheme: binary}, activations: {bits: 2}", "lsq", 0.005),
    ("2W2A", 96.60, "weights: {bits: 2}, activations: {bits: 2}", "lsq", 0.005),
]
GRIDS = ("following", "calibrated", "lsq", "pact")
RATES = (0.005, 0.02)


def train_tfc(data, seed, epochs, numerics, grids, rate, more=""):
    """The report of one job."""
    norm = "folded" if grids == "lsq" else "live"
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
  - quantize: {{mode: qat, epochs: {epochs}, batch_size: 100, optimizer: {{adam: {{lr: {rate}}}}}, {numerics},
               qat: {{batch_norm: {norm}, grids: {grids}}}{more}}}
"""
        return run_engine(model, recipe, data, [INT4])[INT4]


def a4(seeds, epochs):
    mnist = shared() / "data" / "mnist"
    for name, published, numerics, grids, rate in A4:
        for variant, more in (("", ""), (", last layer in float", ", overrides: [{match: head, skip: true}]")):
            top1 = []
            for seed in range(1, seeds + 1):
                report = train_tfc({"train": mnist, "test": mnist}, seed, epochs, numerics, grids, rate, more)
                top1.append(report["compressed"]["metrics"]["top1"])
                say(f"a4 {name}{variant}", seed=seed, epochs=epochs, grids=grids, lr=rate,
                    float_top1=report["stages"][0]["metric_after"], top1=top1[-1],
                    agreement=report["agreement"]["top1"], max_lsb=report["agreement"].get("max_lsb"))
            say(f"a4 {name}{variant} of {seeds} seeds", top1_mean=statistics.mean(top1), top1_min=min(top1),
                published=published / 100)


@contextlib.contextmanager
def training_files_apart():
    """Folders with the first 50,000 of the training images and with the rest."""
    with tempfile.TemporaryDirectory(prefix="condense-mnist-") as folder:
        parts = {"train": slice(0, 50000), "test": slice(50000, 60000)}
        for kind, head, size in (("images-idx3", 16, 784), ("labels-idx1", 8, 1)):
            data = gzip.decompress((shared() / "data" / "mnist" / f"train-{kind}-ubyte.gz").read_bytes())
            for part, rows in parts.items():
                count = rows.stop - rows.start
                path = pathlib.Path(folder, part, f"{part}-{kind}-ubyte")
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(data[:4] + count.to_bytes(4, "big") + data[8:head] +
                                 data[head + rows.start * size:head + rows.stop * size])
        yield {part: pathlib.Path(folder, part) for part in parts}


def a4_grids(epochs):
    with training_files_apart() as data:
        for name, _, numerics, _, _ in A4:
            found = {}
            for grids in GRIDS:
                for rate in RATES:
                    report = train_tfc(data, 1, epochs, numerics, grids, rate)
                    found[grids, rate] = report["compressed"]["metrics"]["top1"]
                    say(f"a4_grids {name}", grids=grids, lr=rate, epochs=epochs, top1=found[grids, rate])
            best = max(found, key=found.get)
            say(f"a4_grids {name} best", grids=best[0], lr=best[1], top1=found[best])


def a6(seeds, epochs):
    folder = shared() / "data" / "cifar10-jpg"
    data = {"train": folder / "cifar10_train_jpg.tar.xz", "test": folder / "cifar10_test_jpg.tar.xz"}
    ends = "overrides: [{match: Conv, bits: 8}, {match: Gemm, bits: 8}]"
    for name, more in (("W4A4", ""), ("W4A4, first and last layer W8", f", {ends}")):
        lost = []
        for seed in range(1, seeds + 1):
            recipe = f"""
data:
  train: {{source: train, samples: 16000, augment: [horizontal_flip]}}
  eval: {{source: test, samples: 2000}}
  calibration: {{source: train, samples: 256}}
  preprocess: {{resize: [32, 32], {IMAGENET}}}
seed: {seed}
stages:
  - finetune: {{epochs: 2, batch_size: 64, optimizer: {{sgd: {{lr: 0.02, momentum: 0.9}}}}}}
  - quantize: {{mode: qat, weights: {{bits: 4}}, activations: {{bits: 4}}, qat: {{grids: lsq}}, epochs: {epochs}, batch_size: 64,
               optimizer: {{sgd: {{lr: 0.01, momentum: 0.9}}}}{more}}}
"""
            report = run_engine(shared() / "models" / "derived_resnet20_cifar10_scripted.pt", recipe, data, [PROFILE])[PROFILE]
            floats, top1 = report["stages"][0]["metric_after"], report["compressed"]["metrics"]["top1"]
            lost.append(floats - top1)
            say(f"a6 {name}", seed=seed, float_top1=report["baseline"]["metrics"]["top1"], finetuned_top1=floats, top1=top1)
        say(f"a6 {name} of {seeds} seeds", lost_mean=statistics.mean(lost), lost_worst=max(lost))


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in ("a4", "a4_grids", "a6"):
        sys.exit(__doc__)
    used_seeds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    used_epochs = int(sys.argv[3]) if len(sys.argv) > 3 else 3 if sys.argv[1] == "a6" else 10
    if sys.argv[1] == "a4":
        a4(used_seeds, used_epochs)
    elif sys.argv[1] == "a6":
        a6(used_seeds, used_epochs)
    else:
        a4_grids(used_epochs)
