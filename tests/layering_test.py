#!/usr/bin/env python3
"""Holds the walls of ARCHITECTURE.md: who may include whom, and what the
binaries link. Usage: layering_test.py SOURCE_DIR BINARY_DIR"""

import pathlib
import re
import subprocess
import sys

SOURCE = pathlib.Path(sys.argv[1])
BINARY = pathlib.Path(sys.argv[2])

TORCH = r"^(torch|ATen|c10|caffe2)/"
GRPC = r"^grpc|\.grpc\.pb\.h$"
ENGINE = "workers/engine/"
# (files below, includes they must not have, why)
WALLS = [
    ("common/", TORCH + r"|^(server|client|workers)/", "common knows nothing above it"),
    ("server/", TORCH + r"|^(workers|client)/", "the server sees neither LibTorch nor its peers"),
    ("server/core/", GRPC + r"|^server/(rpc|store)/", "core is plain C++"),
    ("server/store/", GRPC + r"|^server/rpc/", "stores know core only"),
    ("client/", TORCH + r"|^(server|workers)/", "the client sees the protos only"),
    ("workers/agent/", TORCH + r"|^workers/engine/|^(server|client)/", "the agent knows nothing of tensors"),
    (ENGINE, GRPC + r"|^(workers/agent|server|client)/|^common/grpc", "the engine knows nothing of gRPC"),
]
# Rooms of the engine, lowest first; a room includes only rooms that it lists.
ROOMS = {
    "graph": [],
    "import": ["graph"],
    "export": ["graph"],
    "runtime": ["graph"],
    "data": [],
    "training": ["runtime", "data", "graph"],
    "quantization": ["training", "data", "runtime", "graph"],
    "distillation": ["training", "data", "runtime", "graph"],
    "pruning": ["training", "data", "runtime", "graph"],
    "evaluation": ["training", "data", "runtime", "graph", "import", "export"],
    "report": ["graph"],
}
# Reads and writes TorchScript with LibTorch itself (decision 5).
TORCHSCRIPT = ["import/torchscript", "export/torchscript"]
for room in TORCHSCRIPT:
    others = [r for r in list(ROOMS) + ["pipeline"] if r not in ("graph", "runtime", room.split("/")[0])]
    WALLS.append((ENGINE + room + "/", "^workers/engine/(" + "|".join(others) + ")/",
                  f"{room} may include graph, runtime"))
for room, allowed in ROOMS.items():
    others = [r for r in list(ROOMS) + ["pipeline"] if r != room and r not in allowed]
    WALLS.append((ENGINE + room + "/(?!torchscript)", "^workers/engine/(" + "|".join(others) + ")/",
                  f"{room} may include {', '.join(allowed) or 'no other room'}"))
    WALLS.append((ENGINE + room + "/", r"^condense/v1/recipe\.pb\.h$", "only pipeline reads the recipe"))
for room in ["graph", "import", "export", "data", "report"]:
    WALLS.append((ENGINE + room + "/(?!torchscript)", TORCH, f"{room} builds without LibTorch"))

LIBRARIES = [
    ("condense-server", r"libtorch|libc10", "the server must not link LibTorch"),
    ("condense", r"libtorch|libc10", "the client must not link LibTorch"),
    ("condense-worker", r"libtorch|libc10", "the agent must not link LibTorch"),
    ("condense-engine", r"libgrpc", "the engine must not link gRPC"),
]


def include_errors():
    for path in sorted(SOURCE.rglob("*")):
        name = path.relative_to(SOURCE).as_posix()
        if path.suffix not in (".cc", ".h") or name.startswith("build"):
            continue
        if name.endswith("_test.cc"):
            continue
        includes = re.findall(r'^\s*#\s*include\s*[<"]([^>"]+)', path.read_text(errors="replace"), re.M)
        for start, forbidden, why in WALLS:
            if not re.match(start, name):
                continue
            for include in includes:
                if re.search(forbidden, include):
                    yield f"{name}: includes {include}: {why}"


def library_errors():
    for binary, forbidden, why in LIBRARIES:
        path = BINARY / "bin" / binary
        if not path.exists():
            yield f"{path} is missing"
            continue
        needed = subprocess.run(["readelf", "-d", path], capture_output=True, text=True, check=True).stdout
        for line in needed.splitlines():
            if "NEEDED" in line and re.search(forbidden, line):
                yield f"{binary}: {line.split()[-1]}: {why}"


def main():
    errors = list(include_errors()) + list(library_errors())
    for error in errors:
        print(error)
    print(f"{len(errors)} walls broken")
    sys.exit(1 if errors else 0)


main()
