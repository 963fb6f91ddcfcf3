#!/usr/bin/env python3
"""Our QAT step against PyTorch's FX QAT step (python3-torch, python3-torchvision).

Usage: fx_qat_step.py [resnet18|mobilenet_v2] [ROUNDS] [live|folded]

Both train the same architecture on random images (batch 32, 64 x 64, 2 threads): forward, cross-entropy, backward, SGD with
momentum; batch normalisation of ours live (default) or folded. Rounds of a few steps of each in turn; prints one JSON line with
the ratio of the medians.
"""

import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

BINARY = pathlib.Path(os.environ.get("CONDENSE_BINARY_DIR", "build")) / "tests" / "qat_step_benchmark"
STEPS = 4

try:
    import torch
    import torchvision
    from torch.ao.quantization import get_default_qat_qconfig_mapping
    from torch.ao.quantization.quantize_fx import prepare_qat_fx
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)


def fx_model(network):
    model = getattr(torchvision.models, network)(weights=None).train()
    return prepare_qat_fx(model, get_default_qat_qconfig_mapping("fbgemm"), (torch.randn(2, 3, 64, 64),)).train()


def main():
    network = sys.argv[1] if len(sys.argv) > 1 else "resnet18"
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    batch_norm = sys.argv[3] if len(sys.argv) > 3 else "live"
    torch.set_num_threads(2)
    torch.manual_seed(17)
    x, labels = torch.randn(32, 3, 64, 64), torch.randint(0, 1000, (32,))
    model = fx_model(network)
    optimizer = torch.optim.SGD(model.parameters(), 1e-4, momentum=0.9, weight_decay=5e-4)

    def step():
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x), labels).backward()
        optimizer.step()

    for _ in range(2):
        step()
    theirs, ours = [], []
    for _ in range(rounds):
        for _ in range(STEPS):
            start = time.perf_counter()
            step()
            theirs.append(1000 * (time.perf_counter() - start))
        out = subprocess.run([str(BINARY), network, str(STEPS), "32", "64", "2", batch_norm], check=True, capture_output=True, text=True)
        ours.append(json.loads(out.stdout.splitlines()[0])["qat_ms"])
    print(json.dumps({"benchmark": f"qat_step_{network}_against_fx", "torch": torch.__version__,
                      "batch_norm": batch_norm,
                      "fx_ms": round(statistics.median(theirs), 1), "ours_ms": round(statistics.median(ours), 1),
                      "ratio": round(statistics.median(ours) / statistics.median(theirs), 3)}))


if __name__ == "__main__":
    main()
