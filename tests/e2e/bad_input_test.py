#!/usr/bin/env python3
"""What users get for mistakes: each is answered with a code, a place and a hint.

Usage: bad_input_test.py [TestClass[.test]]   (CONDENSE_SOURCE_DIR, CONDENSE_BINARY_DIR)
"""
import gzip
import json
import pathlib
import struct
import subprocess
import unittest
import zlib

from stack import BIN, DIGITS, PROFILE, Stack

PTQ = "stages: [quantize: {mode: ptq}]\n"
GRAY = "data: {preprocess: {scale: 0.00416666666666667, color: gray}}\n"


def png(width, height):
    """A gray PNG, all black."""
    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))
    rows = b"".join(b"\0" + bytes(width) for _ in range(height))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)) +
            chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def idx(folder, size, labels):
    """An IDX data set of black images."""
    folder.mkdir(parents=True)
    count = len(labels)
    (folder / "images-idx3-ubyte").write_bytes(struct.pack(">BBBBIII", 0, 0, 8, 3, count, size, size) +
                                               bytes(count * size * size))
    (folder / "labels-idx1-ubyte").write_bytes(struct.pack(">BBBBI", 0, 0, 8, 1, count) + bytes(labels))
    return folder


def with_operator(model, old, new):
    """The model's bytes with one operator renamed to another of equal length."""
    data = (DIGITS / "model.onnx").read_bytes()
    assert len(old) == len(new) and old in data
    model.write_bytes(data.replace(old, new))
    return model


class BadInputTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.stack = Stack()
        cls.addClassCleanup(cls.stack.close)
        cls.stack.add_worker("w1")
        cls.folder = cls.stack.folder

    def refused(self, recipe, *more, **keywords):
        """Submits what the server must refuse at once: exit code 2, and the error."""
        done = self.stack.submit(recipe, *more, check=False, **keywords)
        self.assertEqual(done.returncode, 2, done.stdout + done.stderr)
        return json.loads(done.stderr)["error"]

    def failed(self, recipe, *more, **keywords):
        """Submits what the engine must find: exit code 4, and the job's error."""
        done = self.stack.submit(recipe, "--wait", *more, check=False, **keywords)
        self.assertEqual(done.returncode, 4, done.stdout + done.stderr)
        job = json.loads(done.stdout.splitlines()[-1])
        self.assertEqual(job["state"], "FAILED")
        self.assertEqual(len(job["attempts"]), 1, "the job's own fault is not tried again")
        return job["error"]

    # --- the recipe's text, found by the server --------------------------------
    def test_an_unknown_key(self):
        error = self.refused("version: 1\nstages:\n  - quantise: {mode: ptq}\n")
        self.assertEqual((error["reason"], int(error["line"]), int(error["column"])), ("UNKNOWN_KEY", 3, 5))
        self.assertEqual((error["field"], error["nearest"]), ("stages[0].quantise", "quantize"))

    def test_a_duplicate_key(self):
        text = str(self.refused("seed: 1\nseed: 2\n" + PTQ))
        self.assertIn("DUPLICATE_KEY", text)

    def test_a_wrong_type(self):
        self.assertIn("WRONG_TYPE", str(self.refused("seed: many\n" + PTQ)))

    def test_a_value_out_of_range(self):
        text = str(self.refused("stages: [prune: {target: {macs: 1.5}}]\n"))
        self.assertIn("OUT_OF_RANGE", text)
        self.assertIn("stages[0].prune.target.macs", text)

    def test_an_unknown_profile(self):
        text = str(self.refused(PTQ, profiles=("onnxruntime-cpu-x86-vmni",)))
        self.assertIn("UNKNOWN_PROFILE", text)
        self.assertIn("onnxruntime-cpu-x86-vnni", text)

    # --- what needs the model or the data, found by the engine ------------------
    def test_a_pattern_without_a_match(self):
        error = self.failed("data: {preprocess: {color: gray}}\nstages:\n  - quantize:\n      mode: ptq\n"
                            "      overrides: [{match: clasifier, skip: true}]\n")
        self.assertEqual((error["code"], error["reason"]), ("INVALID_ARGUMENT", "PATTERN_WITHOUT_MATCH"))
        self.assertEqual(int(error["line"]), 5)
        self.assertEqual(error["nearest"], "classifier")
        self.assertEqual(error["phase"], "PREFLIGHT")

    def test_a_file_that_is_no_model(self):
        path = self.folder / "no.onnx"
        path.write_text("this is no model")
        self.assertEqual(self.failed(PTQ, model=path)["reason"], "NOT_A_MODEL")

    def test_operators_that_are_missing_are_named_at_once(self):
        path = with_operator(self.folder / "op.onnx", b"Relu", b"Rely")
        error = self.failed(PTQ, model=path)
        self.assertEqual(error["reason"], "UNSUPPORTED_OPERATOR")
        self.assertIn("Rely", error["message"])
        for node in ("stem.relu", "pointwise.relu", "block.relu"):
            self.assertIn(node, error["message"])

    def test_data_of_another_shape(self):
        data = idx(self.folder / "large", 9, [0, 1, 2, 3])
        error = self.failed(GRAY + PTQ, data={"train": data, "test": data})
        self.assertEqual(error["reason"], "DATA_SHAPE_MISMATCH")
        self.assertIn("9", error["message"])

    def test_labels_out_of_range(self):
        data = idx(self.folder / "labels", 8, [0, 1, 2, 10])
        error = self.failed(GRAY + PTQ, data={"train": data, "test": data})
        self.assertEqual(error["reason"], "LABEL_OUT_OF_RANGE")

    def test_a_corrupt_image(self):
        folder = self.folder / "images"
        for label in range(10):
            (folder / str(label)).mkdir(parents=True)
            (folder / str(label) / "a.png").write_bytes(png(8, 8))
        (folder / "7" / "broken.png").write_bytes(png(8, 8)[:45])
        error = self.failed(GRAY + PTQ, data={"train": folder, "test": folder})
        self.assertEqual(error["reason"], "CORRUPT_IMAGE")
        self.assertIn("7/broken.png", error["message"])

    def test_an_empty_folder(self):
        folder = self.folder / "empty"
        folder.mkdir()
        done = self.stack.submit(PTQ, data={"train": folder}, check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("EMPTY_FOLDER", done.stderr + done.stdout)

    def test_data_that_is_not_there(self):
        error = self.failed("stages: [finetune: {epochs: 1}]\n", data={"tain": DIGITS / "data" / "train"})
        self.assertEqual(error["reason"], "DATA_MISSING")
        self.assertEqual(error["nearest"], "tain")
        self.assertIn("--data train=", error["hint"])

    def test_a_loss_that_is_not_a_number(self):
        error = self.failed(GRAY + "stages: [finetune: {epochs: 3, optimizer: {sgd: {lr: 100}}}]\n")
        # Gradients leave the numbers one step before the loss does.
        self.assertIn(error["reason"], ("NAN_LOSS", "NAN_GRADIENT"))
        self.assertIn("learning rate", error["hint"])

    def test_a_target_that_the_frozen_layers_do_not_allow(self):
        error = self.failed(GRAY + "stages: [prune: {target: {macs: 0.3}, overrides: [{match: 'block.*'}]}]\n")
        self.assertEqual(error["reason"], "TARGET_UNREACHABLE")
        self.assertIn("block.1", error["hint"])

    def test_a_gate_that_cannot_be_measured(self):
        error = self.failed(GRAY + PTQ + "gates: {max_accuracy_drop: 0.01}\n",
                            data={"train": DIGITS / "data" / "train"})
        self.assertEqual(error["reason"], "DATA_MISSING")
        self.assertEqual(error["field"], "gates.max_accuracy_drop")

    def test_numerics_that_the_profile_lacks(self):
        error = self.failed(GRAY + "stages: [quantize: {mode: ptq, weights: {bits: 8}}]\n",
                            profiles=("onnxruntime-cpu-x86-avx2",))
        self.assertEqual(error["reason"], "PROFILE_CANNOT")

    # --- names and addresses ----------------------------------------------------
    def test_an_unknown_job(self):
        done = self.stack.condense("get", "j-none", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("NOT_FOUND", done.stderr)

    def test_a_server_that_is_not_there(self):
        done = subprocess.run([str(BIN / "condense"), "--server", "127.0.0.1:1", "list"],
                              capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 6)
        self.assertIn("SERVER_UNREACHABLE", done.stderr)

    def test_a_port_in_use(self):
        used = self.stack.server.address["grpc"]
        for name, flags in (("condense-server", ["--data-dir", self.folder / "other", "--listen", used,
                                                 "--metrics-listen", "127.0.0.1:0"]),
                            ("condense-worker", ["--server", used, "--work-dir", self.folder / "w9",
                                                 "--metrics-listen", self.stack.server.address["metrics"]])):
            done = subprocess.run([str(BIN / name), *map(str, flags)], capture_output=True, text=True, timeout=60)
            self.assertEqual(done.returncode, 1, name)
            self.assertEqual(len(done.stderr.strip().splitlines()), 1, done.stderr)
            self.assertIn("CANNOT_LISTEN", done.stderr)

    def test_a_folder_that_cannot_be_written(self):
        blocked = self.folder / "file"
        blocked.write_text("")
        done = subprocess.run([str(BIN / "condense-worker"), "--server", "127.0.0.1:1", "--work-dir",
                               str(blocked / "w"), "--metrics-listen", "127.0.0.1:0"],
                              capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 1)
        self.assertIn("FOLDER_NOT_WRITABLE", done.stderr)

    def test_wrong_usage_of_the_servers(self):
        for name in ("condense-server", "condense-worker", "condense-engine"):
            done = subprocess.run([str(BIN / name), "--nonsense"], capture_output=True, text=True, timeout=60)
            self.assertEqual(done.returncode, 2, name)

    def test_a_profile_or_engine_job_that_cannot_be_read_ends_with_2(self):
        folder = self.folder / "alone"
        folder.mkdir()
        (folder / "job.yaml").write_text("model: m.onnx\nrecipe: {stages: [{quantize: {mode: ptq}}]}\nprofiles: [x]\n")
        done = subprocess.run([str(BIN / "condense-engine"), "run", str(folder)], capture_output=True, text=True,
                              timeout=60)
        self.assertEqual(done.returncode, 2)
        self.assertIn("UNKNOWN_PROFILE", done.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
