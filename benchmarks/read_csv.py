"""How fast fer2013.csv is read, against the usual way, on one core, in one run.

    python benchmarks/read_csv.py path/to/fer2013.csv [--rounds 3]

The usual way is that of the published systems: pandas reads the table, then each row's text of
pixels is split and made an array. Neither side uses a cache; the file is read once before, so that
both find it in memory. Sides alternate, the best round of each counts. Processor time is printed
beside wall time: where another program uses the machine, compare that.
"""

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from fercore.data import fer2013


def usual_way(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels as system A's code makes them."""
    table = pd.read_csv(path)
    images = []
    for pixels in table["pixels"]:
        images.append(np.array(pixels.split(" "), dtype="float32").reshape(48, 48))
    return np.array(images), table["emotion"].to_numpy()


def ours(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels as `fercore` reads them, every row checked."""
    return fer2013.read_csv(path)[:2]


def timed(
    read: Callable[[Path], tuple[np.ndarray, np.ndarray]], path: Path
) -> tuple[float, float, tuple]:
    """Wall and processor seconds, and what was read."""
    wall, processor = time.perf_counter(), time.process_time()
    result = read(path)
    return time.perf_counter() - wall, time.process_time() - processor, result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("csv", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    megabytes = len(options.csv.read_bytes()) / 1e6
    best = {}
    for _ in range(options.rounds):
        results = []
        for name, read in (("usual way", usual_way), ("fercore", ours)):
            wall, processor, result = timed(read, options.csv)
            known = best.get(name, (np.inf, np.inf))
            best[name] = min(known[0], wall), min(known[1], processor)
            results.append(result)
        same = all((first == second).all() for first, second in zip(*results, strict=True))
    size = f"{megabytes:.0f} MB, {len(results[0][1]):,} faces"
    print(f"{options.csv.name}, {size}, one core; same arrays: {same}")
    for name, (wall, processor) in best.items():
        print(f"{name:10} {wall:7.2f} s wall  {processor:7.2f} s processor")
    wall, processor = (best["usual way"][k] / best["fercore"][k] for k in (0, 1))
    print(f"ratio      {wall:7.1f} x wall  {processor:7.1f} x processor")


if __name__ == "__main__":
    main()
