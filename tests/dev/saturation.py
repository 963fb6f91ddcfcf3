#!/usr/bin/env python3
"""What 8- and 7-bit weights give on a processor without VNNI, where two products of uint8 and int8 are added up in 16 bits
that saturate (vpmaddubsw): anchor A9. One JSON object per line.

usage: saturation.py [SAMPLES]
ResNet-20 after training for both x86 profiles; SAMPLES (300) CIFAR-10 test images go through each file in exact integers and in
saturating ones, the channels of a window's place side by side as ONNX Runtime's kernels have them. The exact ones are held
against ONNX Runtime.

Exits 77 (skipped) where a package (scripts/dev-tools) or CONDENSE_SHARED is not there.
(CONDENSE_SOURCE_DIR, CONDENSE_BINARY_DIR)
"""
import pathlib
import sys
import tempfile

import ort_peer  # Goes on in .dev-tools/python where its packages are there alone.
import numpy as np
import onnx
from figures import IMAGENET, require, run_engine, say, shared

PROFILES = {"onnxruntime-cpu-x86-vnni": 8, "onnxruntime-cpu-x86-avx2": 7}
INT16 = 32767


class File:
    """A QDQ file run node by node; products are those of its integers."""

    def __init__(self, path, saturates):
        self.graph = onnx.load(path).graph
        self.constants = {t.name: onnx.numpy_helper.to_array(t) for t in self.graph.initializer}
        self.producers = {out: node for node in self.graph.node for out in node.output}
        self.saturates = saturates
        self.pairs = self.saturated = 0

    def run(self, x):
        self.values = {self.graph.input[0].name: x}
        for node in self.graph.node:
            inputs = [self.value(name) if name else None for name in node.input]
            attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
            self.values[node.output[0]] = getattr(self, node.op_type)(node, inputs, attributes)
        return self.values[self.graph.output[0].name]

    def value(self, name):
        return self.constants[name] if name in self.constants else self.values[name]

    def integers(self, name):
        """Integers, scale and zero point that a DequantizeLinear made `name` of."""
        node = self.producers[name]
        zero = self.value(node.input[2]).astype(np.int32) if len(node.input) > 2 else np.int32(0)
        return self.value(node.input[0]).astype(np.int32), self.value(node.input[1]), zero

    def products(self, x, w):
        """[rows, k] of uint8 times [k, outputs] of int8."""
        exact = np.matmul(x.astype(np.float64), w.astype(np.float64))
        if not self.saturates:
            return exact
        x, w = np.pad(x, ((0, 0), (0, x.shape[1] % 2))), np.pad(w, ((0, w.shape[0] % 2), (0, 0)))
        for k in range(0, x.shape[1], 2):
            # Products of other pairs fit.
            if 255 * np.abs(w[k:k + 2]).sum(0).max() <= INT16:
                continue
            sums = np.outer(x[:, k], w[k]) + np.outer(x[:, k + 1], w[k + 1])
            over = sums - np.clip(sums, -INT16 - 1, INT16)
            self.saturated += int(np.count_nonzero(over))
            exact -= over
        self.pairs += x.shape[0] * x.shape[1] // 2 * w.shape[1]
        return exact

    def linear(self, node, x, w, s_w, columns):
        """`columns` of the quantized input times the rows of w, with bias, dequantized."""
        _, s_x, zero = self.integers(node.input[0])
        bias = self.integers(node.input[2])[0]
        sums = self.products(columns, w.T) - float(zero) * w.sum(1) + bias
        return (sums * (np.float64(s_x) * s_w.reshape(-1))).astype(np.float32)

    def Conv(self, node, _, attributes):
        x, _, zero = self.integers(node.input[0])
        w, s_w, _ = self.integers(node.input[1])
        require(attributes.get("group", 1) == 1, "a convolution with groups")
        (top, left, bottom, right), (down, across) = attributes["pads"], attributes["strides"]
        x = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=int(zero))
        windows = np.lib.stride_tricks.sliding_window_view(x, w.shape[2:], (2, 3))[:, :, ::down, ::across]
        n, _, height, width = windows.shape[:4]
        # Places of the window outside, channels inside.
        columns = windows.transpose(0, 2, 3, 4, 5, 1).reshape(n * height * width, -1)
        rows = w.transpose(0, 2, 3, 1).reshape(w.shape[0], -1)
        return self.linear(node, x, rows, s_w, columns).reshape(n, height, width, -1).transpose(0, 3, 1, 2)

    def Gemm(self, node, _, attributes):
        x = self.integers(node.input[0])[0]
        w, s_w, _ = self.integers(node.input[1])
        return self.linear(node, x, w if attributes.get("transB", 0) else w.T, s_w, x)

    def QuantizeLinear(self, node, inputs, _):
        x, scale, zero = inputs
        info = np.iinfo(zero.dtype)
        return np.clip(np.rint(x / scale) + zero, info.min, info.max).astype(zero.dtype)

    def DequantizeLinear(self, node, inputs, attributes):
        q, scale = inputs[0].astype(np.int32), inputs[1]
        zero = inputs[2].astype(np.int32) if len(inputs) > 2 else 0
        if scale.ndim == 1 and q.ndim > 1:
            shape = [1] * q.ndim
            shape[attributes.get("axis", 1)] = -1
            scale, zero = scale.reshape(shape), np.reshape(zero, shape) if np.ndim(zero) else zero
        return ((q - zero) * scale).astype(np.float32)

    def Pad(self, node, inputs, _):
        half = len(inputs[1]) // 2
        fill = float(inputs[2]) if len(inputs) > 2 and inputs[2] is not None else 0
        return np.pad(inputs[0], list(zip(inputs[1][:half], inputs[1][half:])), constant_values=fill)

    def Slice(self, node, inputs, _):
        x, starts, ends, axes, steps = inputs
        index = [slice(None)] * x.ndim
        for start, end, axis, step in zip(starts, ends, axes, steps):
            index[axis] = slice(int(start), int(min(end, x.shape[axis])), int(step))
        return x[tuple(index)]

    def Mul(self, node, inputs, _):
        return inputs[0] * inputs[1]

    def Add(self, node, inputs, _):
        return inputs[0] + inputs[1]

    def Relu(self, node, inputs, _):
        return np.maximum(inputs[0], 0)

    def GlobalAveragePool(self, node, inputs, _):
        return inputs[0].mean((2, 3), keepdims=True)

    def Flatten(self, node, inputs, _):
        return inputs[0].reshape(len(inputs[0]), -1)


def run(file, images):
    return np.concatenate([file.run(images[i:i + 10]) for i in range(0, len(images), 10)])


def main(samples):
    images, labels = ort_peer.cifar_images("test", samples, "imagenet")
    folder = shared() / "data" / "cifar10-jpg"
    data = {"train": folder / "cifar10_train_jpg.tar.xz", "test": folder / "cifar10_test_jpg.tar.xz"}
    recipe = (f"data: {{eval: {{source: test, samples: 64}}, calibration: {{source: train, samples: 256}}, "
              f"preprocess: {{resize: [32, 32], {IMAGENET}}}}}\nstages: [quantize: {{mode: ptq}}]\n")
    with tempfile.TemporaryDirectory(prefix="condense-saturation-") as out:
        out = pathlib.Path(out, "artifacts")
        run_engine(shared() / "models" / "derived_resnet20_cifar10_op13.onnx", recipe, data, list(PROFILES), keep=out)
        for profile, bits in PROFILES.items():
            path = out / profile / "model.onnx"
            saturating = File(path, True)
            exact, saturated = run(File(path, False), images), run(saturating, images)
            peer = ort_peer.outputs(path, images)
            noise = ((exact - saturated) ** 2).sum()
            say("saturation", profile=profile, weight_bits=bits, images=len(images),
                exact_top1=float((exact.argmax(1) == labels).mean()), saturating_top1=float((saturated.argmax(1) == labels).mean()),
                agreement=float((exact.argmax(1) == saturated.argmax(1)).mean()),
                saturated_pairs=saturating.saturated / saturating.pairs,
                sqnr_db=float(10 * np.log10((exact ** 2).sum() / noise)) if noise else None,
                agreement_onnxruntime=float((exact.argmax(1) == peer.argmax(1)).mean()))
            require((exact.argmax(1) == peer.argmax(1)).mean() >= 0.99, f"ONNX Runtime's classes with {bits} bits")
            if bits == 7:
                require(saturating.saturated == 0, "7-bit weights that saturate")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 300)
