"""The same small study by each runner: seconds that `--dry-run` foretells, and seconds that it takes.

    python benchmarks/runners.py --workers 2 --steps 40 --out runners.json

Each run is a command with a store of its own. What the same command takes when nothing is left to do
(starting, planning, the report) is taken off; the start of the workers is not, and stands beside it.
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
from typing import Any

from lingarith.study.runners.units import cores

COMMAND = [sys.executable, "-c", "from lingarith.cli.main import main; main()"]
START = "from lingarith.study.lab import Lab; from lingarith.model.loading import load; load()"
WAYS = {
    "here": [],
    "processes": ["--workers", "{workers}"],
    "ray": ["--workers", "{workers}"],
    "slurm": ["--workers", "{workers}", "--slurm", "cluster=local"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--languages", nargs="+", default=["en", "pt", "yo", "uk"])
    parser.add_argument("--steps", type=int, default=40, help="of each language vector")
    parser.add_argument("--runners", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    study = ["vectors", "--targets", ",".join(given.languages), "--steps", str(given.steps)]
    start = timed([sys.executable, "-c", START])[0]
    rows = {}
    for name in given.runners:
        way = ["--runner", name, *(word.format(workers=given.workers) for word in WAYS[name])]
        with tempfile.TemporaryDirectory() as folder:
            words = [*COMMAND, "run", *study, *way, "--store", f"{folder}/store", "--out", f"{folder}/run", "--json"]
            told = json.loads(timed([*words, "--dry-run"])[1])
            first, again = timed([*words, "--together", "1"])[0], timed([*words, "--together", "1"])[0]
        rows[name] = {"estimated": told["until_done"], "device_time": told["seconds"], "measured": first - again}
    count = min(given.workers, cores())
    print(f"{len(given.languages)} vectors of {given.steps} steps, {given.workers} workers, {count} at a time.")
    print(f"{cores()} processors; a worker needs {start:.1f} s to start.\n")
    print("| Runner | Estimated | Measured | Measured / estimated |\n|---|---:|---:|---:|")
    for name, row in rows.items():
        ratio = row["measured"] / row["estimated"]
        print(f"| `{name}` | {row['estimated']:.0f} s | {row['measured']:.0f} s | {ratio:.2f} |")
    if given.out:
        facts: dict[str, Any] = {"workers": given.workers, "at_a_time": count, "start": start, "runners": rows}
        given.out.write_text(json.dumps(facts, indent=1))


def timed(words: list[str]) -> tuple[float, str]:
    """Seconds that a command took, and what it said."""
    began = time.perf_counter()
    offline = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}
    done = subprocess.run(words, env=os.environ | offline, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)}: {done.stderr}")
    return time.perf_counter() - began, done.stdout


if __name__ == "__main__":
    main()
