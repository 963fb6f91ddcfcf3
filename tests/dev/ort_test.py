#!/usr/bin/env python3
"""Compares ONNX Runtime with our own runs of the same files.

  artifacts  the digits example, both profiles: the exported file in ONNX Runtime
             against the in-training simulation on all 360 evaluation images
  forms      the digits example, quantized in every form in which weights and
             activations can be stored: ONNX Runtime and our own run of each file
             give the same classes
  models     every model of CONDENSE_SHARED, written in opset 13, 17 and 21:
             outputs agree to 1e-5 of the greatest
  operators  what came with opsets 18 to 21, one file per case
  storage    weights in 4 to 16 bits, in blocks, as codebooks, sparse, external

Exits 77 (skipped) without .dev-tools/onnxruntime (scripts/dev-tools) or node.
(CONDENSE_SOURCE_DIR, CONDENSE_BINARY_DIR)
"""
import array
import gzip
import json
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile

SOURCE = pathlib.Path(os.environ["CONDENSE_SOURCE_DIR"])
ENGINE = pathlib.Path(os.environ["CONDENSE_BINARY_DIR"]) / "bin" / "condense-engine"
DIGITS = SOURCE / "examples" / "digits"
SKIPPED = 77


def skip(why):
    print(f"skipped: {why}")
    sys.exit(SKIPPED)


def write_npy(path, shape, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({', '.join(map(str, shape))}, ), }}"
    header += " " * (63 - (10 + len(header)) % 64) + "\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() +
                     array.array("f", values).tobytes())


def read_npy(path):
    data = path.read_bytes()
    values = array.array("f")
    values.frombytes(data[10 + struct.unpack("<H", data[8:10])[0]:])
    return values


def infer(model, inputs, out):
    subprocess.run([str(ENGINE), "infer", str(model), "--input-dir", str(inputs), "--output-dir", str(out)], check=True)
    return read_npy(out / "output_0.npy")


def ort(model, inputs, out):
    subprocess.run(["node", str(SOURCE / "tests" / "dev" / "ort_infer.js"), str(model), str(inputs), str(out)],
                   check=True)
    return read_npy(out / "output_0.npy")


def classes(values, count):
    width = len(values) // count
    return [max(range(width), key=lambda k, row=row: values[row * width + k]) for row in range(count)]


def artifacts(work):
    pixels = gzip.decompress((DIGITS / "data/test/digits-images-idx3-ubyte.gz").read_bytes())[16:]
    labels = gzip.decompress((DIGITS / "data/test/digits-labels-idx1-ubyte.gz").read_bytes())[8:]
    count = len(labels)
    # As the recipe's preprocess has it.
    write_npy(work / "in" / "input_0.npy", (count, 1, 8, 8),
              [(p * 0.00416666666666667 - 0.305) / 0.376 for p in pixels])
    profiles = ["onnxruntime-cpu-x86-vnni", "onnxruntime-cpu-x86-avx2"]
    (work / "job.json").write_text(json.dumps({
        "model": str(DIGITS / "model.onnx"), "recipe": str(DIGITS / "prune_distil_qat.yaml"), "profiles": profiles,
        "data": {"train": str(DIGITS / "data/train"), "test": str(DIGITS / "data/test")}}))
    subprocess.run([str(ENGINE), "run", str(work)], check=True, stdout=subprocess.DEVNULL)
    for profile in profiles:
        folder = work / "artifacts" / profile
        report = json.loads((folder / "report.json").read_text())
        theirs = ort(folder / "model.onnx", work / "in", work / profile / "ort")
        # QuantizeLinear and DequantizeLinear in float arithmetic: the simulation.
        ours = infer(folder / "model.onnx", work / "in", work / profile / "engine")
        logits = next(t for t in json.loads((folder / "tensors.json").read_text())["tensors"]
                      if t["name"].startswith("logits"))
        same = sum(a == b for a, b in zip(classes(theirs, count), classes(ours, count))) / count
        top1 = sum(a == b for a, b in zip(classes(theirs, count), labels)) / count
        lsb = max(abs(a - b) for a, b in zip(theirs, ours)) / logits["scale"][0]
        print(json.dumps({"profile": profile, "agreement_top1": same, "ort_top1": top1,
                          "report_top1": report["compressed"]["metrics"]["top1"], "logits_lsb": round(lsb, 3),
                          "samples": count}))
        assert same >= 0.995, "the file does not do what the simulation did"
        assert abs(top1 - report["compressed"]["metrics"]["top1"]) <= 0.005, "the report's accuracy is another"


FORMS = [
    ("vnni", "mode: ptq, weights: {bits: 16}"),
    ("vnni", "mode: ptq, overrides: [{match: 'block.*', bits: 16}]"),
    ("vnni", "mode: ptq, weights: {scheme: affine}, activations: {scheme: float}"),
    ("vnni", "mode: ptq, weights: {scheme: affine, bits: 16}, activations: {scheme: float}"),
    ("vnni", "mode: ptq, weights: {scheme: float}"),
    ("int4", "mode: ptq, weights: {bits: 16}"),
    ("int4", "mode: ptq, weights: {bits: 8}"),
    ("int4", "mode: ptq, mixed_precision: {target: {size_bytes: 90000}}"),
    ("int4", "mode: ptq, activations: {bits: 4}"),
    ("int4", "mode: ptq, weights: {granularity: block}"),
    ("int4", "mode: ptq, weights: {granularity: block, block_size: 16, bits: 2}"),
    ("int4", "mode: ptq, weights: {scheme: affine}"),
    ("int4", "mode: ptq, weights: {scheme: affine, granularity: block}"),
    ("int4", "mode: ptq, activations: {bits: 16}"),
    ("int4", "mode: ptq, activations: {bits: 16, scheme: symmetric}, weights: {bits: 16}"),
    ("int4", "mode: ptq, weights: {scheme: float}, activations: {bits: 16}"),
]


def forms(work):
    profiles = {"vnni": "onnxruntime-cpu-x86-vnni", "int4": "onnxruntime-opset21-int4"}
    pixels = gzip.decompress((DIGITS / "data/test/digits-images-idx3-ubyte.gz").read_bytes())[16:]
    count = len(pixels) // 64
    write_npy(work / "in" / "input_0.npy", (count, 1, 8, 8), [(p * 0.00416666666666667 - 0.305) / 0.376 for p in pixels])
    for i, (name, stage) in enumerate(FORMS):
        job = work / str(i)
        job.mkdir()
        (job / "recipe.yaml").write_text(
            "data: {calibration: {source: train, samples: 128}, preprocess: {scale: 0.00416666666666667, mean: [0.305], "
            f"std: [0.376], color: gray}}}}\nstages: [quantize: {{{stage}}}]\n")
        (job / "job.json").write_text(json.dumps({
            "model": str(DIGITS / "model.onnx"), "recipe": "recipe.yaml", "profiles": [profiles[name]],
            "data": {"train": str(DIGITS / "data/train"), "test": str(DIGITS / "data/test")}}))
        subprocess.run([str(ENGINE), "run", str(job)], check=True, stdout=subprocess.DEVNULL)
        model = job / "artifacts" / profiles[name] / "model.onnx"
        theirs, ours = ort(model, work / "in", job / "ort"), infer(model, work / "in", job / "engine")
        same = sum(a == b for a, b in zip(classes(theirs, count), classes(ours, count))) / count
        print(json.dumps({"profile": name, "quantize": stage, "size_bytes": model.stat().st_size, "agreement_top1": same,
                          "max_abs": max(abs(a - b) for a, b in zip(theirs, ours)), "samples": count}))
        assert same >= 0.995, "ONNX Runtime does something else"


def compare(work, what, tolerance, *arguments, level="all"):
    """Files that ort_files writes, by ort_compare.js: none may differ by more."""
    tool = pathlib.Path(os.environ["CONDENSE_BINARY_DIR"]) / "tests" / "ort_files"
    subprocess.run([str(tool), str(work), what, *arguments], check=True)
    subprocess.run(["node", str(SOURCE / "tests" / "dev" / "ort_compare.js"), str(work), str(tolerance), level],
                   check=True)


def models(work):
    shared = pathlib.Path(os.environ.get("CONDENSE_SHARED", SOURCE.parent / "shared"))
    if not (shared / "MANIFEST.tsv").exists():
        skip("the folder of real models (CONDENSE_SHARED) is not here")
    compare(work, "models", 1e-5, str(shared))


def operators(work):
    compare(work, "operators", 1e-5)


def storage(work):
    # Its fused products of 4-bit blocks round the input to 8 bits: not what the
    # file says.
    compare(work, "storage", 1e-5, level="basic")


if __name__ == "__main__":
    if not (SOURCE / ".dev-tools" / "onnxruntime" / "node_modules").exists() or not shutil.which("node"):
        skip("ONNX Runtime is not here; scripts/dev-tools installs it")
    with tempfile.TemporaryDirectory(prefix="condense-ort-") as folder:
        {"artifacts": artifacts, "forms": forms, "models": models, "operators": operators, "storage": storage}[sys.argv[1]](pathlib.Path(folder))
