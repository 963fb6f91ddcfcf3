#!/usr/bin/env python3
"""Two engine processes train one job together: the losses are those of one process on the same batches.

(CONDENSE_SOURCE_DIR, CONDENSE_BINARY_DIR)
"""
import json
import os
import pathlib
import signal
import subprocess
import tempfile
import unittest

from stack import BIN, DIGITS, PROFILE, children, wait_for

RECIPE = """
data:
  train: {source: train, samples: 512, augment: [random_crop: {padding: 1}]}
  eval: {source: test, samples: 64}
  preprocess: {scale: 0.00416666666666667, mean: [0.305], std: [0.376], color: gray}
stages:
  - finetune: {epochs: EPOCHS, batch_size: 32, optimizer: {sgd: {lr: 0.02, momentum: 0.9}}, ema: {decay: 0.9},
               clip_norm: 5, early_stop: {patience: 100}, kd: [soft_response: {temperature: 4, lambda: 0.5}]}
seed: 5
"""
SYNTHETIC = """
data:
  train: {samples: 64}
  eval: {source: test, samples: 64}
  preprocess: {scale: 0.00416666666666667, mean: [0.305], std: [0.376], color: gray}
stages: [quantize: {mode: qat, weights: {bits: 4}, qat_data: synthetic, qat: {grids: calibrated}, epochs: 4, batch_size: 32}]
seed: 5
"""


class RanksTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="condense-ranks-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def job(self, name, epochs=2, batch=32, recipe=RECIPE):
        folder = self.folder / name
        folder.mkdir()
        (folder / "recipe.yaml").write_text(
            recipe.replace("EPOCHS", str(epochs)).replace("batch_size: 32", f"batch_size: {batch}"))
        (folder / "job.json").write_text(json.dumps({
            "model": str(DIGITS / "model.onnx"), "recipe": "recipe.yaml", "profiles": [PROFILE], "threads": 1,
            "data": {"train": str(DIGITS / "data/train"), "test": str(DIGITS / "data/test")},
            "checkpoint_interval_seconds": 0.05}))
        return folder

    def run_engine(self, folder, *flags):
        done = subprocess.run([BIN / "condense-engine", "run", folder, *flags], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, timeout=300)
        lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        return done, lines

    @staticmethod
    def curve(lines, name):
        metrics = [line["metric"] for line in lines if line.get("type") == "metric"]
        return [(int(m["step"]), float(m["value"])) for m in metrics if m["name"] == name and "step" in m]

    def assert_same_curve(self, one, two, name, tolerance):
        a, b = self.curve(one, name), self.curve(two, name)
        self.assertGreater(len(a), 1)
        self.assertEqual([s for s, _ in a], [s for s, _ in b])
        for (step, x), (_, y) in zip(a, b):
            self.assertAlmostEqual(x, y, delta=tolerance * max(1, abs(x)), msg=f"{name} at step {step}")

    def test_two_ranks_have_the_losses_of_one_with_the_whole_batch(self):
        done, one = self.run_engine(self.job("one"))
        self.assertEqual(done.returncode, 0, done.stderr)
        done, two = self.run_engine(self.job("two"), "--ranks", "2")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(len(self.curve(one, "loss")), 32)
        self.assert_same_curve(one, two, "loss", 1e-5)
        self.assert_same_curve(one, two, "grad_norm", 1e-3)
        report = json.loads((self.folder / "two" / "artifacts" / PROFILE / "report.json").read_text())
        self.assertEqual(report["stages"][0]["steps"], 32)
        self.assertFalse((self.folder / "two" / "checkpoints").exists())
        self.assertEqual(list((self.folder / "two").glob(".ranks-*")), [])

    def test_ranks_train_on_the_same_synthetic_images(self):
        done, one = self.run_engine(self.job("one", recipe=SYNTHETIC))
        self.assertEqual(done.returncode, 0, done.stderr)
        done, two = self.run_engine(self.job("two", recipe=SYNTHETIC), "--ranks", "2")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(len(self.curve(one, "loss")), 8)
        self.assert_same_curve(one, two, "loss", 1e-4)

    def test_a_batch_that_does_not_divide_is_refused(self):
        done, _ = self.run_engine(self.job("odd", batch=33), "--ranks", "2")
        self.assertEqual(done.returncode, 4)
        self.assertIn("BATCH_NOT_DIVISIBLE", done.stderr)

    def test_a_rank_that_dies_ends_the_job_and_it_goes_on_later(self):
        folder = self.job("killed", epochs=200)
        with subprocess.Popen([BIN / "condense-engine", "run", folder, "--ranks", "2"], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True) as engine:
            for line in engine.stdout:
                if '"checkpoint"' in line:
                    break
            other = wait_for("the other rank", lambda: children(engine.pid))[0]
            os.kill(other, signal.SIGKILL)
            _, errors = engine.communicate(timeout=120)
        self.assertEqual(engine.returncode, 4, errors)
        self.assertIn("RANK_LOST", errors)
        self.assertNotEqual(list((folder / "checkpoints").glob("*.ckpt")), [])
        (folder / "recipe.yaml").write_text(RECIPE.replace("EPOCHS", "200"))
        with subprocess.Popen([BIN / "condense-engine", "run", folder, "--ranks", "2"], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True) as engine:
            text = ""
            for line in engine.stdout:
                text += line
                if '"loss"' in line:
                    break
            engine.send_signal(signal.SIGTERM)
            _, errors = engine.communicate(timeout=120)
        self.assertIn("goes on from the checkpoint", text)
        self.assertEqual(engine.returncode, 5, errors)


if __name__ == "__main__":
    unittest.main(verbosity=2)
