#!/usr/bin/env python3
"""ONNX Runtime from PyPI (scripts/dev-tools puts it into .dev-tools/python) beside our artifacts; one JSON object per line.

usage: ort_peer.py latency|quantizer [SAMPLES]
  latency    our int8 artifacts against the float models they come from, in ONNX Runtime with one thread, batch 1, in turn
  quantizer  its static quantizer on derived_resnet20 and MobileFaceNet, with the images that tests/benchmarks/ptq_benchmark
             calibrates on (256 of the training files; all 200 faces), SAMPLES (600) test images, and the seconds it takes

Exits 77 (skipped) where a package or CONDENSE_SHARED is not there.
(CONDENSE_SOURCE_DIR, CONDENSE_BINARY_DIR)
"""
import io
import os
import pathlib
import statistics
import sys
import tarfile
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "benchmarks"))
from figures import DIGITS, IMAGENET, PROFILE, SKIPPED, SOURCE, faces, run_engine, say, shared  # noqa: E402

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
MEAN, STD = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])


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
    with tempfile.TemporaryDirectory(prefix="condense-latency-") as folder, faces(shared() / "data") as orl:
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


def cifar_images(archive, count):
    images = []
    with tarfile.open(archive) as tar:
        names = sorted(m.name for m in tar.getmembers() if m.name.endswith(".jpg"))
        chosen = {names[i] for i in np.random.default_rng(SEED).choice(len(names), count, replace=False)}
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.name in chosen:
                pixels = np.asarray(Image.open(io.BytesIO(tar.extractfile(member).read())).convert("RGB"), np.float32)
                images.append(((pixels / 255 - MEAN) / STD).transpose(2, 0, 1))
    return np.stack(images).astype(np.float32)


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
    name = side.get_inputs()[0].name
    return np.concatenate([side.run(None, {name: image[None]})[0] for image in images])


def quantizer(samples):
    cifar = shared() / "data" / "cifar10-jpg"
    orl = face_images()
    cases = (("derived_resnet20", "derived_resnet20_cifar10_op13.onnx", cifar_images(cifar / "cifar10_train_jpg.tar.xz", 256),
              cifar_images(cifar / "cifar10_test_jpg.tar.xz", samples)),
             ("mobilefacenet", "mobilefacenet_op18.onnx", orl, orl))
    methods = {"min_max": quantization.CalibrationMethod.MinMax, "percentile": quantization.CalibrationMethod.Percentile}
    with tempfile.TemporaryDirectory(prefix="condense-peer-") as folder:
        for name, file, calibration, test in cases:
            model = pathlib.Path(folder, "prepared.onnx")
            quantization.shape_inference.quant_pre_process(str(shared() / "models" / file), str(model), skip_symbolic_shape=True)
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
                say("onnxruntime_quantizer", model=name, method=method, per_channel=per_channel, images=len(test),
                    sqnr_db=float(10 * np.log10((floats ** 2).sum() / ((floats - integers) ** 2).sum())),
                    agreement=float((floats.argmax(1) == integers.argmax(1)).mean()), cosine_mean=float(cosine.mean()),
                    cosine_min=float(cosine.min()), seconds=seconds)


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in ("latency", "quantizer"):
        sys.exit(__doc__)
    if sys.argv[1] == "latency":
        latency()
    else:
        quantizer(int(sys.argv[2]) if len(sys.argv) > 2 else 600)
