"""compose, inspect and export at the shapes of large models, against a bare copy of the same bytes.

    python benchmarks/large.py --shapes 7b 70b --vectors 3 50 --rounds 3 --out large.json

LoRA of rank 4 on q, k, v and o with random numbers, in a store. Each command runs in a fork of a process that has the
libraries loaded, and after it a bare copy: all adapters' bytes read, written to one file, and synced. Counted are the
clock, the seconds of the processor, and the most memory that the fork held, libraries included; a ratio is the median
over the turns. ``compose`` writes the exact sum for PEFT and says its norm, ``export`` writes its best rank 8.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any

import torch
from load import measured, typed

from lingarith.adapters.lora import Lora, LoraTerm
from lingarith.store.store import Store
from lingarith.vectors.outline import FlatTensors
from lingarith.vectors.vector import Vector, content_hash

SHAPES = {"7b": (32, 4096, 4096), "70b": (80, 8192, 1024)}
"""Layers, width, and how wide keys and values are."""
MEGABYTE = 2**20
LOADED = ("lingarith.formats.gguf", "lingarith.formats.peft", "lingarith.report.inspected")


def fill(store: Store, shape: str, count: int) -> None:
    """Vectors that were trained from one start, by their origin."""
    layers, width, keys = SHAPES[shape]
    sides = {"q": (width, width), "k": (keys, width), "v": (keys, width), "o": (width, width)}
    sizes = {f"model.layers.{k}.self_attn.{side}_proj": size for k in range(layers) for side, size in sides.items()}
    start = Lora(4).init(sizes, 0)
    begun = content_hash(FlatTensors({path: (term,) for path, term in start.items()}))
    for k in range(count):
        chance = torch.Generator().manual_seed(k)
        terms = {
            path: (LoraTerm(a + 0.01 * torch.randn(a.shape, generator=chance), torch.randn(b.shape, generator=chance)),)
            for path, (a, b) in start.items()
        }
        origin = {
            "kind": "language", "backbone": {"name": "large", "revision": None, "fingerprint": "ab" * 32},
            "adapter": {"kind": "lora", "rank": 4}, "init_seed": 0, "init_hash": begun, "seed": k, "steps": 3,
        }  # fmt: skip
        store.put(Vector(f"x{k}", terms, 1.0, origin))


def copy(store: Path, out: Path) -> None:
    """The bytes of all vectors, read and written again."""
    with open(out, "wb") as target:
        for source in sorted(store.glob("objects/*/*.safetensors")):
            with open(source, "rb") as file:
                shutil.copyfileobj(file, target, MEGABYTE)
        target.flush()
        os.fsync(target.fileno())


def resident() -> float:
    """Megabytes that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / MEGABYTE


def compared(shape: str, count: int, commands: list[str], rounds: int, place: Path) -> list[dict[str, Any]]:
    """A row for each command."""
    store = Store(place / "store")
    with torch.no_grad():
        if measured(lambda: fill(store, shape, count)):  # in a fork, so that its memory is not ours
            bytes_held = sum(file.stat().st_size for file in store.folder.glob("objects/*/*.safetensors"))
    weights = [0.6] + [(0.4 if k % 2 else -0.4) / max(1, count // 4) for k in range(1, count)]
    total = " + ".join(f"{weight:g}*x{k}" for k, weight in enumerate(weights)).replace("+ -", "- ")
    out, found = place / "out", []
    ways: dict[str, Callable[[], None]] = {
        "compose": typed("compose", total, "--space", "delta", "--out", out, "--store", store.folder),
        "inspect": typed("inspect", total, "--store", store.folder),
        "export": typed("export", total, "--space", "delta", "--rank-out", "8", "--out", out, "--store", store.folder),
    }
    for what in commands:
        turns = []
        for _ in range(rounds):
            turns.append((measured(ways[what]), measured(lambda: copy(store.folder, place / "copied"))))
            (place / "copied").unlink()
            shutil.rmtree(out, ignore_errors=True)
        row = {"shape": shape, "vectors": count, "bytes": bytes_held, "command": what}
        for clock in ("clock", "processor"):
            row |= {
                clock: median(ours[clock] for ours, _ in turns),
                f"copy_{clock}": median(c[clock] for _, c in turns),
            }
            ratios = sorted(round(ours[clock] / bare[clock], 2) for ours, bare in turns)
            row |= {f"{clock}_ratio": median(ratios), f"{clock}_ratios": ratios}
        found.append(row | {"megabytes": resident() + max(ours["megabytes"] for ours, _ in turns)})
        print(
            f"{shape:<4} {count:>3} {what:<8} {bytes_held / 1e6:>6,.0f} MB  {row['clock']:>7.2f} s, a copy "
            f"{row['copy_clock']:>6.2f} s: {row['clock_ratio']:>6.2f} {row['clock_ratios']};  processor "
            f"{row['processor']:>7.2f} s, {row['copy_processor']:>6.2f} s: {row['processor_ratio']:>6.2f};  "
            f"{found[-1]['megabytes']:>5.0f} MB",
            flush=True,
        )
    return found


def main() -> None:
    """Print a line for each command; write the same facts as JSON."""
    parser = argparse.ArgumentParser(description="commands at the shapes of large models, against a bare copy")
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--vectors", nargs="+", type=int, default=[3, 50])
    parser.add_argument("--only", nargs="+", choices=["compose", "inspect", "export"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="a JSON file")
    asked, found = parser.parse_args(), []
    torch.set_num_threads(1)
    for module in LOADED:
        import_module(module)
    for shape in asked.shapes:
        for count in asked.vectors:
            with tempfile.TemporaryDirectory(prefix="large-") as place:
                only = asked.only or ["compose", "export", "inspect"]
                found += compared(shape, count, only, asked.rounds, Path(place))
    if asked.out:
        asked.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
