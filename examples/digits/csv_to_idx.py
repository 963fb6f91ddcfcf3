#!/usr/bin/env python3
"""Writes data/train and data/test (IDX, gzip) from digits.csv.gz as scikit-learn
ships it: 1,797 rows of 64 pixels (0 to 16) and a label. Rows 1 to 1,437 train,
the last 360 test. Pixels are multiplied by 15, so that 0 to 240 fill a byte.

usage: csv_to_idx.py digits.csv.gz OUT_FOLDER
"""
import csv
import gzip
import pathlib
import struct
import sys

TRAIN_ROWS = 1437


def write_idx(path, dims, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    header = struct.pack(">BBBB", 0, 0, 8, len(dims)) + struct.pack(f">{len(dims)}I", *dims)
    with open(path, "wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as out:
        out.write(header + bytes(values))


def main(source, folder):
    with gzip.open(source, "rt") as text:
        rows = [[int(float(v)) for v in row] for row in csv.reader(text)]
    assert len(rows) == 1797 and all(len(row) == 65 for row in rows)
    for name, part in (("train", rows[:TRAIN_ROWS]), ("test", rows[TRAIN_ROWS:])):
        images = [15 * v for row in part for v in row[:64]]
        write_idx(pathlib.Path(folder, name, "digits-images-idx3-ubyte.gz"), [len(part), 8, 8], images)
        write_idx(pathlib.Path(folder, name, "digits-labels-idx1-ubyte.gz"), [len(part)], [row[64] for row in part])


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
