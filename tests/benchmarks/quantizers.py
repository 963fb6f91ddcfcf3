#!/usr/bin/env python3
"""What each way of quantizing costs: whole jobs on a real model, one JSON object per line.

usage: quantizers.py digits|resnet20 [SEEDS [NAME [IMAGES [KEYS]]]]
  digits    examples/digits, trained through its quantizers for 3 epochs (incremental: after each share but the last)
  resnet20  derived_resnet20 on CIFAR-10 JPEGs (needs CONDENSE_SHARED): IMAGES training images (16000), batch 64, so 250 steps
            (incremental: a third of them after each share but the last); 2,000 test images for the accuracy
Row "float finetuned" trains as long without quantizers: the model gains from that alone.
Rows "synthetic" get the test data alone, and train for as many steps on 512 images that they make; of ResNet-20 at half the rate, with
the average of the weights, shifted, mirrored and mixed.
Each line: top1 and loss (cross-entropy, finer) of the float model and of the artifact, agreement of the
artifact's integers with the simulation, file size.
SEEDS: how many, from 1 (default 1), or FIRST-LAST. NAME: the row "ptq NAME", "qat NAME" or "incremental NAME"; where no row is called
so, all with it in the name. KEYS: more for the stages that train, like "clip_norm: 1". (CONDENSE_SOURCE_DIR, CONDENSE_BINARY_DIR)
"""
import re
import sys

from figures import DIGITS, IMAGENET, PROFILE, require, run_engine, say, shared

INT4 = "onnxruntime-opset21-int4"

# Beside levels that are equally far apart.
TABLES = ["symmetric", "lq", "lut"]


def mixed(mean, sensitivity="kl"):
    return (f"mixed_precision: {{sensitivity: {sensitivity}, bits: [2, 3, 4, 5, 6, 8], "
            f"target: {{mean_bits: {mean}}}}}")


# Name, profile, and what stands in the quantize stage.
PTQ = [
    ("w8a8", PROFILE, ""),
    ("w8a8 power_of_two", PROFILE, "weights: {scheme: power_of_two}, activations: {scheme: power_of_two}"),
    ("w4a8", PROFILE, "weights: {bits: 4}"),
    ("w4a8 int4 file", INT4, "weights: {bits: 4}"),
    ("w8a8 int4 file", INT4, "weights: {bits: 8}"),
    *((f"w4a8 or w8a8 mixed, {size} bytes", INT4, f"mixed_precision: {{bits: [4, 8], target: {{size_bytes: {size}}}}}")
      for size in (220000, 260000, 300000)),
    ("w4 alone, int4 file", INT4, "weights: {bits: 4}, activations: {scheme: float}"),
    ("log2 w4a8", PROFILE, "weights: {scheme: log2}"),
    ("w4 alone, affine", INT4, "weights: {bits: 4, scheme: affine}, activations: {scheme: float}"),
    ("w4 alone, blocks of 32", INT4, "weights: {bits: 4, granularity: block}"),
    ("w4 alone, blocks of 16", INT4, "weights: {bits: 4, granularity: block, block_size: 16}"),
    ("w4 alone, affine blocks of 32", INT4, "weights: {bits: 4, scheme: affine, granularity: block}"),
    ("w3 alone", INT4, "weights: {bits: 3}, activations: {scheme: float}"),
    ("w3 alone, blocks of 32", INT4, "weights: {bits: 3, granularity: block}"),
    ("w4a8 affine, int4 file", INT4, "weights: {bits: 4, scheme: affine}"),
    ("w8 alone", PROFILE, "activations: {scheme: float}"),
    ("w16 alone", PROFILE, "weights: {bits: 16}"),
    ("a8 alone", PROFILE, "weights: {scheme: float}"),
    ("a4 alone", PROFILE, "weights: {scheme: float}, activations: {bits: 4}"),
    ("w4a16, int4 file", INT4, "weights: {bits: 4}, activations: {bits: 16}"),
    *((f"{scheme} w{bits}a8", PROFILE, f"weights: {{scheme: {scheme}, bits: {bits}}}")
      for bits in (2, 3, 4) for scheme in [*TABLES, "mrbiq"]),
    ("w3a8", PROFILE, "weights: {bits: 3}"),
    ("w4a8 mixed, kl", PROFILE, mixed(4)),
    ("w4a8 mixed, hessian", PROFILE, mixed(4, "hessian")),
    ("w3a8 mixed, kl", PROFILE, mixed(3)),
    ("w3a8 mixed, hessian", PROFILE, mixed(3, "hessian")),
]
QAT = [
    ("w8a8 following", PROFILE, "qat: {grids: following}"),
    ("w8a8 calibrated", PROFILE, "qat: {grids: calibrated}"),
    ("w8a8 folded batch norm", PROFILE, "qat: {batch_norm: folded}"),
    ("w4a4 following", PROFILE, "weights: {bits: 4}, activations: {bits: 4}, qat: {grids: following}"),
    ("w4a4 calibrated", PROFILE, "weights: {bits: 4}, activations: {bits: 4}, qat: {grids: calibrated}"),
    ("w4a4 lsq", PROFILE, "weights: {bits: 4}, activations: {bits: 4}, qat: {grids: lsq}"),
    ("w4a4 pact", PROFILE, "weights: {bits: 4}, activations: {bits: 4}, qat: {grids: pact}"),
    ("w4a4 folded batch norm", PROFILE, "weights: {bits: 4}, activations: {bits: 4}, qat: {batch_norm: folded}"),
    ("w2a8", PROFILE, "weights: {bits: 2}"),
    ("w2a8 lsq", PROFILE, "weights: {bits: 2}, qat: {grids: lsq}"),
    ("w2a8 lsq folded", PROFILE, "weights: {bits: 2}, qat: {grids: lsq, batch_norm: folded}"),
    ("w3a8 lsq", PROFILE, "weights: {bits: 3}, qat: {grids: lsq}"),
    ("w2 alone, int4 file", INT4, "weights: {bits: 2}, activations: {scheme: float}"),
    ("w2 alone, blocks of 32", INT4, "weights: {bits: 2, granularity: block}"),
    ("w2a8 affine, int4 file", INT4, "weights: {bits: 2, scheme: affine}"),
    ("log2 w4a8", PROFILE, "weights: {scheme: log2}"),
    *((f"{scheme} w{bits}a8", PROFILE, f"weights: {{scheme: {scheme}, bits: {bits}}}")
      for bits in (2, 3) for scheme in TABLES),
    ("ternary, int4 file", INT4, "weights: {scheme: ternary}"),
    ("binary, int4 file", INT4, "weights: {scheme: binary}"),
    ("w4a8", PROFILE, "weights: {bits: 4}"),
    ("w4a8 mixed, kl", PROFILE, mixed(4)),
    ("w3a8", PROFILE, "weights: {bits: 3}"),
    ("w3a8 mixed, kl", PROFILE, mixed(3)),
    ("w3a8 mixed, hessian", PROFILE, mixed(3, "hessian")),
]
# As many steps at once and in blocks.
BLOCKS = [(f"{name}, {how}", PROFILE, f"{settings}, {more}")
          for name, settings in (("w2a8 lsq", "weights: {bits: 2}, qat: {grids: lsq}"),
                                 ("w2a8", "weights: {bits: 2}"),
                                 ("w2a4 lsq", "weights: {bits: 2}, activations: {bits: 4}, qat: {grids: lsq}"),
                                 ("w3a8 mixed", mixed(3)))
          for how, more in (("6 epochs", "epochs: 6"), ("3 blocks of 2", "epochs: 2, blocks: {count: 3}"),
                            ("3 blocks of 2, forward", "epochs: 2, blocks: {count: 3, order: forward}"),
                            ("3 blocks of 2, sensitive first",
                             "epochs: 2, blocks: {count: 3, order: sensitive_first}"))]
INCREMENTAL = [
    ("w5a8", PROFILE, "weights: {bits: 5}"),
    ("w5a8 power_of_two", PROFILE, "weights: {bits: 5, scheme: power_of_two}"),
    ("log2 w4a8", PROFILE, "weights: {scheme: log2}"),
    ("w3a8", PROFILE, "weights: {bits: 3}"),
]
# What QAT learns from, and what it costs to have less.
QAT_DATA = [
    (f"{name} {what}", PROFILE, f"{numerics}, qat_data: {what}")
    for name, numerics in (("w8a8", "weights: {bits: 8}"), ("w4a4", "weights: {bits: 4}, activations: {bits: 4}"))
    for what in ("labeled", "unlabeled", "synthetic")
]
# Fewer bits per colour channel, without and with training.
COLOR_BITS = (8, 4, 3, 2, 1)


def digits():
    data = {"train": DIGITS / "data" / "train", "test": DIGITS / "data" / "test"}
    config = ("train: {source: train}, calibration: {source: train, samples: 256}, "
              "preprocess: {scale: 0.00416666666666667, mean: [0.305], std: [0.376], color: gray}")
    return DIGITS / "model.onnx", data, config, "epochs: 3, optimizer: {sgd: {lr: 0.005}}"


def resnet20(images):
    folder = shared() / "data" / "cifar10-jpg"
    data = {"train": folder / "cifar10_train_jpg.tar.xz", "test": folder / "cifar10_test_jpg.tar.xz"}
    config = (f"train: {{source: train, samples: {images}, augment: [horizontal_flip]}}, eval: {{source: test, samples: 2000}}, "
              f"calibration: {{source: train, samples: 256}}, preprocess: {{resize: [32, 32], {IMAGENET}}}")
    return (shared() / "models" / "derived_resnet20_cifar10_op13.onnx", data, config,
            "epochs: 1, batch_size: 64, optimizer: {sgd: {lr: 0.002}}")


def without_data(config, data, training):
    """The same number of steps on 512 images that the job makes itself; the digits have 1437, ResNet-20 gets 16,000."""
    config = re.sub(r"samples: \d+, augment", "augment", config)
    config = config.replace("train: {source: train", "train: {source: none, samples: 512")
    config = config.replace("calibration: {source: train", "calibration: {source: none")
    config = config.replace("augment: [horizontal_flip]", "augment: [horizontal_flip, random_crop: {padding: 4}, mixup: {alpha: 0.4}]")
    training = training.replace("epochs: 3", "epochs: 8").replace("epochs: 1,", "epochs: 31,")
    training = training.replace("lr: 0.002}}", "lr: 0.001}}, ema: {decay: 0.98}")
    return config, {"test": data["test"]}, training


def fewer(config):
    """A third of the training images, where their number is said."""
    return re.sub(r"samples: (\d+), augment", lambda found: f"samples: {int(found[1]) // 3}, augment", config)


def rows_of(config):
    """Mode, name, profile, what stands in the stage, and the data."""
    rows = [("float", "finetuned", PROFILE, "", config)]
    rows += [("ptq", *row, config) for row in PTQ] + [("qat", *row, config) for row in QAT + BLOCKS + QAT_DATA]
    rows += [("incremental", *row, fewer(config)) for row in INCREMENTAL]
    for bits in COLOR_BITS:
        reduced = config.replace("preprocess: {", f"preprocess: {{color_bits: {bits}, ")
        rows += [(mode, f"color_bits {bits}", PROFILE, "", reduced) for mode in ("ptq", "qat")]
    return rows


def main(what, seeds, only, images, keys):
    model, data, config, training = digits() if what == "digits" else resnet20(images)
    training += f", {keys}" if keys else ""
    rows = rows_of(config)
    exact = any(only == f"{mode} {name}" for mode, name, *_ in rows)
    for mode, name, profile, settings, config in rows:
        if only != f"{mode} {name}" if exact else only not in f"{mode} {name}":
            continue
        used = (config, data, training) if "synthetic" not in name else without_data(config, data, training)
        report_row(what, mode, name, profile, settings, seeds, model_of(what, mode, model), *used)


def model_of(what, mode, model):
    """The ONNX file of ResNet-20 has its batch normalisation folded, the TorchScript file, to be trained, has it still."""
    trains = what == "resnet20" and mode != "ptq"
    return shared() / "models" / "derived_resnet20_cifar10_scripted.pt" if trains else model


def report_row(what, mode, name, profile, settings, seeds, model, config, data, training):
    for seed in seeds:
        # A row may say how long it trains.
        how = "" if mode == "ptq" else re.sub(r"epochs: \d+, ", "", training) if "epochs: " in settings else training
        stage = ", ".join(part for part in (f"mode: {mode}", settings, how) if part)
        kind, stage = ("finetune", how) if mode == "float" else ("quantize", stage)
        recipe = f"data: {{{config}}}\nseed: {seed}\nstages: [{kind}: {{{stage}}}]\n"
        report = run_engine(model, recipe, data, [profile])[profile]
        say(f"{mode} {name}", model=what, seed=seed, float_top1=report["baseline"]["metrics"]["top1"],
            top1=report["compressed"]["metrics"]["top1"], float_loss=report["baseline"]["metrics"]["loss"],
            loss=report["compressed"]["metrics"]["loss"], agreement=report["agreement"]["top1"],
            max_lsb=report["agreement"].get("max_lsb"), size_bytes=report["compressed"]["size_bytes"])
        require(report["agreement"]["top1"] >= 0.99, f"agreement of {name}")


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in ("digits", "resnet20"):
        sys.exit(__doc__)
    first, _, last = (sys.argv[2] if len(sys.argv) > 2 else "1").rpartition("-")
    main(sys.argv[1], range(int(first or 1), int(last) + 1), sys.argv[3] if len(sys.argv) > 3 else "",
         int(sys.argv[4]) if len(sys.argv) > 4 else 16000, sys.argv[5] if len(sys.argv) > 5 else "")
