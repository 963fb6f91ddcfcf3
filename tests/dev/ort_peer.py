#!/usr/bin/env python3
"""ONNX Runtime from PyPI (scripts/dev-tools puts it into .dev-tools/python) beside our artifacts; one JSON object per line.

usage: ort_peer.py latency|quantizer [SAMPLES [MODEL]]
  latency    our int8 artifacts against the float models they come from, in ONNX Runtime with one thread, batch 1, in turn
  quantizer  its static quantizer on resnet20, resnet56, vit and mobilefacenet (or MODEL alone), prepared as
             tests/benchmarks/ptq_benchmark does: 256 of the CIFAR-10 training images (all 200 faces) to calibrate on, SAMPLES
             (600; 10000 is all) test images, and the seconds it takes

Exits 77 (skipped) where a package or CONDENSE_SHARED is not there.
(CONDENSE_SOURCE_DIR, CONDENSE_BINARY_DIR)
"""
import io
import os
import pathlib
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "benchmarks"))
from figures import BIN, DIGITS, IMAGENET, PROFILE, SKIPPED, SOURCE, face_folders, run_engine, say, shared  # noqa: E402

try:
    import numpy as np
    import onnx
    import onnxruntime as ort
    from onnxruntime import quantization
    from PIL import Image
except ImportError as error:
    python = SOURCE / ".dev-tools" / "python" / "bin" / "python"
    if python.exists() and pathlib.Path(sys.executable).parent != python.parent:
        os.execv(python, [str(python), *sys.argv])
    print(f"skipped: {error} (scripts/dev-tools)")
    sys.exit(SKIPPED)

ort.set_default_logger_severity(3)
SEED = 17
# Mean and standard deviation.
NORMS = {"imagenet": (np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])),
         "cifar": (np.float32([0.4914, 0.4822, 0.4465]), np.float32([0.2023, 0.1994, 0.2010]))}


def session(model):
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


def conv_net(path, channels=64, size=32):
    """Five convolutions with ReLU, and a classifier."""
    random = np.random.default_rng(SEED)
    tensors, nodes, value, width = [], [], "x", 3
    for i in range(5):
        tensors.append(onnx.numpy_helper.from_array(
            (random.standard_normal((channels, width, 3, 3)) * (2 / (9 * width)) ** .5).astype(np.float32), f"w{i}"))
        tensors.append(onnx.numpy_helper.from_array(np.zeros(channels, np.float32), f"b{i}"))
        nodes.append(onnx.helper.make_node("Conv", [value, f"w{i}", f"b{i}"], [f"c{i}"], f"conv{i}", pads=[1] * 4))
        nodes.append(onnx.helper.make_node("Relu", [f"c{i}"], [f"r{i}"], f"relu{i}"))
        value, width = f"r{i}", channels
    tensors.append(onnx.numpy_helper.from_array(random.standard_normal((channels, 10)).astype(np.float32), "w"))
    nodes.append(onnx.helper.make_node("GlobalAveragePool", [value], ["g"], "pool"))
    nodes.append(onnx.helper.make_node("Flatten", ["g"], ["f"], "flatten"))
    nodes.append(onnx.helper.make_node("MatMul", ["f", "w"], ["y"], "classifier"))
    info = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(nodes, "conv_net", [info("x", 1, ["N", 3, size, size])], [info("y", 1, ["N", 10])], tensors)
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8), path)


def artifact(model, data, preprocess, out):
    """The file that a whole PTQ job makes."""
    recipe = (f"data: {{calibration: {{source: train, samples: 128}}, eval: {{source: test, samples: 128}}, "
              f"preprocess: {{{preprocess}}}}}\nstages: [quantize: {{mode: ptq}}]\n")
    run_engine(model, recipe, data, [PROFILE], keep=out)
    return out / PROFILE / "model.onnx"


def latency():
    cifar = shared() / "data" / "cifar10-jpg" / "cifar10_test_jpg.tar.xz"
    with tempfile.TemporaryDirectory(prefix="condense-latency-") as folder, face_folders(shared() / "data") as orl:
        net = pathlib.Path(folder, "conv_net.onnx")
        conv_net(net)
        models = shared() / "models"
        digits = {"train": DIGITS / "data" / "train", "test": DIGITS / "data" / "test"}
        face = "resize: [112, 112], scale: 0.0078125, mean: [0.99609375], color: rgb"
        gray = "scale: 0.00416666666666667, mean: [0.305], std: [0.376], color: gray"
        for name, model, data, preprocess, shape in (
                ("conv_net_5x64", net, {"train": cifar, "test": cifar}, IMAGENET, (3, 32, 32)),
                ("derived_resnet20", models / "derived_resnet20_cifar10_op13.onnx", {"train": cifar, "test": cifar}, IMAGENET,
                 (3, 32, 32)),
                ("mobilefacenet", models / "mobilefacenet_op18.onnx", {"train": orl, "test": orl}, face, (3, 112, 112)),
                ("digits", DIGITS / "model.onnx", digits, gray, (1, 8, 8))):
            ours = artifact(model, data, preprocess, pathlib.Path(folder, name))
            x = np.random.default_rng(SEED).standard_normal((1, *shape)).astype(np.float32)
            sides = [session(ours), session(model)]
            times = [[], []]
            for step in range(220):
                for side, taken in zip(sides, times):
                    start = time.perf_counter()
                    side.run(None, {side.get_inputs()[0].name: x})
                    if step >= 20:
                        taken.append(time.perf_counter() - start)
            ms = [1000 * statistics.median(taken) for taken in times]
            say("int8_latency", model=name, int8_ms=ms[0], float_ms=ms[1], ratio=ms[0] / ms[1])


def cifar_images(part, count, norm):
    """Images, and the numbers of their classes."""
    archive = shared() / "data" / "cifar10-jpg" / f"cifar10_{part}_jpg.tar.xz"
    mean, std = NORMS[norm]
    images, labels = [], []
    with tarfile.open(archive) as tar:
        names = sorted(m.name for m in tar.getmembers() if m.name.endswith(".jpg"))
        chosen = {names[i] for i in np.random.default_rng(SEED).choice(len(names), min(count, len(names)), replace=False)}
        classes = sorted({name.split("/")[-2] for name in names})
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.name in chosen:
                pixels = np.asarray(Image.open(io.BytesIO(tar.extractfile(member).read())).convert("RGB"), np.float32)
                images.append(((pixels / 255 - mean) / std).transpose(2, 0, 1))
                labels.append(classes.index(member.name.split("/")[-2]))
    return np.stack(images).astype(np.float32), np.array(labels)


def face_images():
    images = []
    with tarfile.open(shared() / "data" / "orl_faces" / "orl_faces_s1-s20.tar.xz") as tar:
        for member in tar:
            if member.name.endswith(".pgm"):
                image = Image.open(io.BytesIO(tar.extractfile(member).read())).convert("RGB").resize((112, 112), Image.BILINEAR)
                images.append(((np.asarray(image, np.float32) - 127.5) / 128).transpose(2, 0, 1))
    return np.stack(images).astype(np.float32)


class Reader(quantization.CalibrationDataReader):
    def __init__(self, name, images):
        self.rest = iter([{name: image[None]} for image in images])

    def get_next(self):
        return next(self.rest, None)


def outputs(model, images):
    side = session(model)
    info = side.get_inputs()[0]
    batch = 1 if isinstance(info.shape[0], int) else 50
    return np.concatenate([side.run(None, {info.name: images[i:i + batch]})[0] for i in range(0, len(images), batch)])


# Name, file, and how its images are prepared.
CASES = [("resnet20", "derived_resnet20_cifar10_op13.onnx", "imagenet"),
         ("resnet56", "derived_resnet56_cifar10_scripted.pt", "imagenet"),
         ("vit", "cifar10_vit_pgd_2_3_16_op9.onnx", "cifar"),
         ("mobilefacenet", "mobilefacenet_op18.onnx", "faces")]


def images_of(norm, samples):
    """Images to calibrate on and to test with, and the labels of the latter."""
    if norm == "faces":
        faces_ = face_images()
        return faces_, faces_, None
    return (cifar_images("train", 256, norm)[0], *cifar_images("test", samples, norm))


def as_onnx(file, folder):
    """The model as an ONNX file that the quantizer takes: it wants opset 11 and more, and no TorchScript."""
    path = pathlib.Path(folder, "model.onnx")
    subprocess.run([str(BIN / "condense-engine"), "convert", str(shared() / "models" / file), "--to", "onnx", "--opset", "17",
                    "--out", str(path)], check=True, capture_output=True)
    return path


def quantizer(samples, only):
    methods = {"min_max": quantization.CalibrationMethod.MinMax, "percentile": quantization.CalibrationMethod.Percentile}
    for name, file, norm in CASES:
        if only not in ("", name):
            continue
        calibration, test, labels = images_of(norm, samples)
        with tempfile.TemporaryDirectory(prefix="condense-peer-") as folder:
            model = pathlib.Path(folder, "prepared.onnx")
            direct = name in ("resnet20", "mobilefacenet")
            source = shared() / "models" / file if direct else as_onnx(file, folder)
            quantization.shape_inference.quant_pre_process(str(source), str(model), skip_symbolic_shape=True)
            floats = outputs(model, test)
            for method, per_channel in (("min_max", False), ("min_max", True), ("percentile", True)):
                out = pathlib.Path(folder, "int8.onnx")
                start = time.perf_counter()
                quantization.quantize_static(
                    str(model), str(out), Reader(session(model).get_inputs()[0].name, calibration),
                    per_channel=per_channel, calibrate_method=methods[method], activation_type=quantization.QuantType.QUInt8,
                    weight_type=quantization.QuantType.QInt8)
                seconds = time.perf_counter() - start
                integers = outputs(out, test)
                cosine = (floats * integers).sum(1) / np.linalg.norm(floats, axis=1) / np.linalg.norm(integers, axis=1)
                accuracy = {} if labels is None else {"float_top1": float((floats.argmax(1) == labels).mean()),
                                                      "top1": float((integers.argmax(1) == labels).mean())}
                say("onnxruntime_quantizer", model=name, method=method, per_channel=per_channel, images=len(test),
                    sqnr_db=float(10 * np.log10((floats ** 2).sum() / ((floats - integers) ** 2).sum())),
                    agreement=float((floats.argmax(1) == integers.argmax(1)).mean()), cosine_mean=float(cosine.mean()),
                    cosine_min=float(cosine.min()), seconds=seconds, **accuracy)


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in ("latency", "quantizer"):
        sys.exit(__doc__)
    if sys.argv[1] == "latency":
        latency()
    else:
        quantizer(int(sys.argv[2]) if len(sys.argv) > 2 else 600, sys.argv[3] if len(sys.argv) > 3 else "")
