#!/usr/bin/env python3
"""A real engine is killed at random steps; what comes out in the end is the file of a run that nobody touched.

Usage: kill_test.py KILLS [SEED]   (CONDENSE_SOURCE_DIR, CONDENSE_BINARY_DIR)
"""
import hashlib
import json
import pathlib
import random
import subprocess
import sys
import tempfile

from stack import BIN, DIGITS, PROFILE

RECIPE = """
data:
  train: {source: train, samples: 512, augment: [random_crop: {padding: 1}]}
  eval: {source: test, samples: 128}
  calibration: {source: train, samples: 128}
  preprocess: {scale: 0.00416666666666667, mean: [0.305], std: [0.376], color: gray}
stages:
  - prune: {target: {macs: 0.6}, schedule: {iterative: {steps: 2, epochs_between: 1}}}
  - finetune: {epochs: 4, batch_size: 16, optimizer: {sgd: {lr: 0.02, momentum: 0.9, nesterov: true, weight_decay: 5.0e-4}},
               accumulate: 3, clip_norm: 2, ema: {decay: 0.95}, label_smoothing: 0.05, early_stop: {patience: 20},
               lr_schedule: one_cycle, kd: [soft_response: {temperature: 4, lambda: 0.5}]}
  - quantize: {mode: qat, epochs: 2, batch_size: 16, optimizer: {adamw: {lr: 0.0005}}, ema: {decay: 0.9},
               lr_shape: {warmup_epochs: 0.5}}
seed: 23
"""


class Run:
    """Engines on one job folder, one after the other."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        (folder / "recipe.yaml").write_text(RECIPE)
        (folder / "job.json").write_text(json.dumps({
            "model": str(DIGITS / "model.onnx"), "recipe": "recipe.yaml", "profiles": [PROFILE], "threads": 1,
            "data": {"train": str(DIGITS / "data/train"), "test": str(DIGITS / "data/test")},
            "checkpoint_interval_seconds": 0.02}))
        self.resumed = 0

    def engine(self, kill_after_checkpoints=None, steps=0):
        """Runs to the end; or until so many checkpoints and then so many more lines were seen, then kills it."""
        checkpoints = lines = 0
        with subprocess.Popen([BIN / "condense-engine", "run", self.folder], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True) as child:
            output = []
            for line in child.stdout:
                output.append(line)
                self.resumed += "goes on from the checkpoint" in line
                checkpoints += '"checkpoint"' in line
                if kill_after_checkpoints is not None and checkpoints >= kill_after_checkpoints:
                    lines += 1
                    if lines > steps:
                        child.kill()
                        break
            child.stdout.close()
        return child.returncode, "".join(output[-5:])

    def digest(self):
        return hashlib.sha256((self.folder / "artifacts" / PROFILE / "model.onnx").read_bytes()).hexdigest()


def main():
    kills = int(sys.argv[1])
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 17
    draw = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="condense-kill-") as folder:
        whole = Run(pathlib.Path(folder) / "whole")
        code, output = whole.engine()
        assert code == 0, output
        parts = Run(pathlib.Path(folder) / "parts")
        killed = 0
        while killed < kills:
            code, output = parts.engine(draw.randint(1, 3), draw.randint(0, 4))
            if code == 0:
                break
            assert code == -9, output
            killed += 1
        code, output = parts.engine()
        assert code == 0, output
        assert killed > 0 and parts.resumed > 0, "no engine was killed in the middle"
        assert parts.digest() == whole.digest(), f"another file after {killed} kills (seed {seed})"
        print(f"the same file after {killed} kills, {parts.resumed} times from a checkpoint (seed {seed})")


main()
