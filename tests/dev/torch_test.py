#!/usr/bin/env python3
"""Loads TorchScript files that condense writes in plain PyTorch: the outputs are
those of the ONNX file that they were made from, for another batch too, and the
state dict has the model's names.

Exits 77 (skipped) where no Python here has torch (apt-get install python3-torch)
or CONDENSE_SHARED is not there. (CONDENSE_SOURCE_DIR, CONDENSE_BINARY_DIR)
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

SYSTEM_PYTHON = "/usr/bin/python3"
SKIPPED = 77
MODELS = {"derived_resnet20_cifar10_op13": (3, 32, 32), "mobilefacenet_op18": (3, 112, 112),
          "cifar10_vit_pgd_2_3_16_op9": (3, 32, 32)}


def main():
    try:
        import numpy
        import torch
    except ImportError:
        if os.path.exists(SYSTEM_PYTHON) and os.path.realpath(sys.executable) != os.path.realpath(SYSTEM_PYTHON):
            os.execv(SYSTEM_PYTHON, [SYSTEM_PYTHON, *sys.argv])
        print("skipped: PyTorch is not here")
        sys.exit(SKIPPED)
    source = pathlib.Path(os.environ["CONDENSE_SOURCE_DIR"])
    shared = pathlib.Path(os.environ.get("CONDENSE_SHARED", source.parent / "shared"))
    if not (shared / "MANIFEST.tsv").exists():
        print("skipped: the folder of real models (CONDENSE_SHARED) is not here")
        sys.exit(SKIPPED)
    engine = pathlib.Path(os.environ["CONDENSE_BINARY_DIR"]) / "bin" / "condense-engine"
    with tempfile.TemporaryDirectory(prefix="condense-torch-") as folder:
        work = pathlib.Path(folder)
        for name, shape in MODELS.items():
            onnx, script = shared / "models" / f"{name}.onnx", work / f"{name}.pt"
            subprocess.run([str(engine), "convert", str(onnx), "--to", "torchscript", "--out", str(script)], check=True)
            module = torch.jit.load(str(script))
            x = numpy.random.RandomState(3).randn(5, *shape).astype("f4")
            (work / name / "in").mkdir(parents=True)
            numpy.save(work / name / "in" / "input_0.npy", x)
            subprocess.run([str(engine), "infer", str(onnx), "--input-dir", str(work / name / "in"), "--output-dir",
                            str(work / name / "out")], check=True)
            ours = numpy.load(work / name / "out" / "output_0.npy")
            with torch.no_grad():
                theirs = module(torch.from_numpy(x)).numpy()
            state = module.state_dict()
            weights = sum(t.numel() * t.element_size() for t in state.values())
            row = {"model": name, "relative_difference": float(abs(ours - theirs).max() / abs(ours).max()),
                   "tensors": len(state), "bytes_beside_weights": script.stat().st_size - weights}
            print(json.dumps(row))
            assert row["relative_difference"] <= 1e-5, name
            assert state, "the file has no parameters"
            # 64 bytes of alignment and a directory entry for each, and the program.
            assert row["bytes_beside_weights"] < 1000 * len(state) + 200000, name


if __name__ == "__main__":
    main()
