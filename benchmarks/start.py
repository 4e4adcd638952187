"""How long commands take that compute nothing: seconds of the processor, which other work on the machine disturbs less.

    python benchmarks/start.py --rounds 5 --out start.json

Each is a process of its own, and they take turns; counted is the median. ``import peft`` stands beside them as a
peer's, and with ``--mergekit PYTHON``, that of an environment with mergekit, what mergekit takes to start (its package
is empty; ``mergekit.merge`` is what merges). The dry run of Table 1 is of a store with nothing in it, after a first one
that has timed a few steps.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

COMMANDS = {
    "import lingarith": ["-c", "import lingarith"],
    "lingarith --version": ["-m", "lingarith", "--version"],
    "lingarith --help": ["-m", "lingarith", "--help"],
    "lingarith vectors list": ["-m", "lingarith", "vectors", "list", "--store", "store"],
    "lingarith run table1 --dry-run": ["-m", "lingarith", "run", "table1", "--dry-run", "--store", "store"],
    "import torch": ["-c", "import torch"],
    "import peft": ["-c", "import peft"],
}
MERGEKIT = {
    "import mergekit": ["-c", "import mergekit"],
    "import mergekit.merge": ["-c", "import mergekit.merge"],
    "mergekit-yaml --help": ["-m", "mergekit.scripts.run_yaml", "--help"],
}


def processor() -> float:
    """Seconds of the processor that ended children took."""
    times = os.times()
    return times.children_user + times.children_system


def main() -> None:
    """Print a line for each command; write the same facts as JSON."""
    parser = argparse.ArgumentParser(description="seconds until commands that compute nothing are done")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=COMMANDS, default=list(COMMANDS))
    parser.add_argument("--mergekit", metavar="PYTHON", help="of an environment with mergekit")
    parser.add_argument("--out", type=Path, help="a JSON file")
    asked = parser.parse_args()
    words = {name: [sys.executable, *COMMANDS[name]] for name in asked.only}
    if asked.mergekit:
        words |= {name: [asked.mergekit, *what] for name, what in MERGEKIT.items()}
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in words}
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "store").mkdir()
        for number in range(asked.rounds + 1):
            for name, command in words.items():
                began, clock = processor(), time.perf_counter()
                subprocess.run(command, cwd=folder, capture_output=True, check=True)
                if number:  # the first one fills caches
                    found[name].append((processor() - began, time.perf_counter() - clock))
    results = {name: [round(median(side), 2) for side in zip(*some, strict=True)] for name, some in found.items()}
    for name, (seconds, wall) in results.items():
        least, most = (end(one for one, _ in found[name]) for end in (min, max))
        spread = f"({least:.2f} to {most:.2f})"
        print(f"{name:<32} {seconds:>6.2f} s of the processor {spread:<16} {wall:>7.2f} s by the clock")
    if asked.out:
        asked.out.write_text(json.dumps({"rounds": asked.rounds, "results": results, "turns": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
