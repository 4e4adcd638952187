"""How cost grows with the work: a training step by rows, length and vectors in a pass; stores; studies; reports.

    python benchmarks/growth.py --only rows length vectors store study --out growth.json

Seconds of the processor (the machine may have other work) at three sizes or more, and the exponent that fits them best:
the slope of a line through their logarithms, 1 where cost grows as the work does. A step is of the newsroom's backbone,
8 rows of 64 tokens and one vector where nothing else is said; a study is the dry run of language vectors, 20 for each
seed, after a first one that timed a step. Stores and reports are those of :mod:`load`.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import linear_regression
from typing import Any

import torch
from load import measured, of_store, run_folder, typed
from together import in_passes

from lingarith.adapters.lora import Lora
from lingarith.languages.codes import SEEN, UNSEEN
from lingarith.model.batches import TaskItems
from lingarith.model.loading import load
from lingarith.model.members import Training
from lingarith.model.options import TrainOptions

SIZES = {
    "rows": (4, 16, 64),
    "length": (32, 128, 512),
    "vectors": (1, 4, 16),
    "store": (100, 1000, 10_000),
    "study": (100, 1000, 10_000),
    "records": (10_000, 100_000, 1_000_000),
}
LANGUAGES = list(dict.fromkeys([*SEEN, *UNSEEN]))[:20]


def step(rows: int = 8, length: int = 64, vectors: int = 1) -> float:
    """Seconds of a training step."""
    on, generator = load(device="cpu"), torch.Generator().manual_seed(0)
    drawn = torch.randint(2, 10_000, (4 * rows, length), generator=generator).tolist()
    items = TaskItems([(row[: length // 2], row[length // 2 :]) for row in drawn])
    options = TrainOptions(steps=4, batch_size=rows, adapter=Lora(4), checkpoint_every=10**9)
    with tempfile.TemporaryDirectory() as folder:
        some = [Training(f"x{k}", items, options, Path(folder) / str(k)) for k in range(vectors)]
        return in_passes(on, some, vectors, range(1, 3), time.process_time) / 2


def seconds(what: str, size: int, place: Path) -> Iterator[tuple[str, float, float]]:
    """What is measured, its seconds of the processor, and the megabytes beyond what the libraries take."""
    if what in ("rows", "length", "vectors"):
        yield f"a training step, {what}", step(**{what: size}), math.nan
        return
    works: list[tuple[str, Callable[[], Any]]]
    if what == "store":
        works = [pair for pair in of_store(place, size, 500) if pair[0] in ("vectors list", "vectors verify")]
    elif what == "study":
        seeds = ",".join(map(str, range(size // len(LANGUAGES))))
        words = ("run", "vectors", "--targets", ",".join(LANGUAGES), "--seeds", seeds, "--dry-run")
        works = [("a dry run", typed(*words, "--store", place / "empty", "--out", place / "run"))]
        measured(works[0][1])
    else:
        run_folder(place / str(size), size)
        works = [("report", typed("report", place / str(size), "--out", place / "report"))]
    for name, work in works:
        found = measured(work)
        yield name, found["processor"], found["megabytes"]


def exponent(points: list[tuple[int, float]]) -> float:
    """The slope of the line through the logarithms.

    >>> round(exponent([(1, 2.0), (10, 20.0), (100, 200.0)]), 6)
    1.0
    """
    return linear_regression(*([math.log(value) for value in side] for side in zip(*points, strict=True))).slope


def main() -> None:
    """Print a line for each measurement and the exponents; write the same facts as JSON."""
    parser = argparse.ArgumentParser(description="how cost grows with the work")
    parser.add_argument("--only", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--sizes", nargs="+", type=int, help="others, of all that is named")
    parser.add_argument("--out", type=Path, help="a JSON file")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[str, list[tuple[int, float]]] = {}
    for what in asked.only:
        for size in asked.sizes or SIZES[what]:
            with tempfile.TemporaryDirectory() as folder:
                os.environ["LINGARITH_CACHE"] = f"{folder}/cache"
                for name, spent, megabytes in seconds(what, size, Path(folder)):
                    found.setdefault(name, []).append((size, round(spent, 3)))
                    print(f"{name:<26} {size:>9,}  {spent:>8.2f} s  {megabytes:>6.0f} MB", flush=True)
    slopes = {name: round(exponent(points), 2) for name, points in found.items()}
    print(*(f"{name:<26} exponent {slope}" for name, slope in slopes.items()), sep="\n")
    if asked.out:
        results = [{"what": name, "points": points, "exponent": slopes[name]} for name, points in found.items()]
        asked.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
