"""A training step by the number of threads, with and without another process that computes.

    python benchmarks/threads.py --beside 0 1 --out threads.json

Seconds of a step of a task vector on the newsroom's backbone (16 rows), the median of several: with one thread and
with as many as there are cores, which wait for each other by spinning, as OpenMP's do by default, or asleep, as the
command has it. Each is measured in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from statistics import median

WAYS = {"spinning": {}, "asleep": {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "0"}}


def step() -> float:
    """Seconds of a step, in this process."""
    from real_step import training

    from lingarith.model.loading import load
    from lingarith.model.memory import prepare
    from lingarith.model.train import train

    prepare()
    moments: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        one = training(16, 6, Path(folder))
        for _ in train(load(device="cpu"), [one], watch=lambda *_: moments.append(time.perf_counter())):
            pass
    return median(later - earlier for earlier, later in pairwise(moments[:-1]))


def measured(threads: int, way: str) -> float:
    """The same in a process of its own with so many threads."""
    usual = {name: value for name, value in os.environ.items() if name not in WAYS["asleep"]}
    there = usual | {"OMP_NUM_THREADS": str(threads), **WAYS[way]}
    done = subprocess.run(
        [sys.executable, __file__, "--measure"], env=there, capture_output=True, text=True, check=True
    )
    return float(done.stdout.split()[-1])


def main() -> None:
    """Print a line for each situation; write the same facts as JSON."""
    parser = argparse.ArgumentParser(description="a training step by the number of threads")
    parser.add_argument("--beside", nargs="+", type=int, default=[0, 1], help="other processes that compute")
    parser.add_argument("--out", type=Path, help="a JSON file")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.measure:
        print(step())
        return
    results, cores = [], len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for count in asked.beside:
        others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
        try:
            for threads, way in [(1, "asleep"), *((cores, way) for way in WAYS)]:
                load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
                one = {"beside": count, "threads": threads, "waiting": way, "load": load}
                results.append(one | {"seconds": round(measured(threads, way), 3)})
                print(*(f"{key} {value}" for key, value in results[-1].items()), sep="  ", flush=True)
        finally:
            for other in others:
                other.kill()
                other.wait()
    if asked.out:
        asked.out.write_text(json.dumps({"cores": cores, "results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
