"""A whole study: Table 1 on the newsroom by ``lingarith run``, against a plain script of PEFT and transformers.

    python benchmarks/study.py --targets pt yo --steps 30 --threads 1 --out study.json

Each side is one fresh process, ours first, then :mod:`plain_script`; counted is all of it, from the
start of Python to the table. Ours has no controls, and the uncoupled form at β = 0 alone, which is the
baseline over again and costs nothing. The tables stand side by side, since a faster study that finds
something else would be worth nothing. Ours also estimates the time, makes the report and tells what language each
output is in. It reads its data while it plans, which counts as rest; the script reads them while it trains.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import mean
from typing import Any
from unittest.mock import patch

from runners import timed

ROWS = ("baseline", "add", "add_subtract")
PHASES = ("training", "validation", "test")
CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}
Table = dict[str, dict[str, dict[str, Any]]]
"""By target and row: ``weight``, ``score`` and ``curve``."""


def main() -> None:
    """Print the tables, the seconds and their ratio; write the same facts as JSON."""
    parser = argparse.ArgumentParser(description="a whole study: lingarith against PEFT and transformers")
    parser.add_argument("--targets", nargs="+", help="all eleven without it")
    parser.add_argument("--steps", type=int, help="of every training; without it, as the study has them")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--clock", choices=CLOCKS, default="wall", help="cpu: of the processor, beside other programs")
    parser.add_argument("--out", type=Path, help="a JSON file")
    parser.add_argument("--command", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.command:
        command(given.out, given.command, CLOCKS[given.clock])
        return
    os.environ.update(OMP_NUM_THREADS=str(given.threads), MKL_NUM_THREADS=str(given.threads))
    with tempfile.TemporaryDirectory() as folder:
        sides = {"lingarith": ours(given, Path(folder)), "plain script": theirs(given, Path(folder))}
    (mine, seconds), (other, peer) = ((side["table"], side["seconds"]) for side in sides.values())
    print(f"{'':<18}{'lingarith':>10} {'λ':<6}{'plain script':>13} {'λ':<6}")
    for target in mine:
        for row in ROWS:
            cells = [f"{side[target][row]['score']:>10.2f} {_weight(side[target][row]):<6}" for side in (mine, other)]
            print(f"{target:<5}{row:<13}{cells[0]}   {cells[1]}")
    difference, where = max(
        (abs(rows[row]["score"] - other[target][row]["score"]), f"{target}, {row}")
        for target, rows in mine.items()
        for row in ROWS
    )
    print(f"\nlargest difference: {difference:.2g} ROUGE-2 ({where})\n")
    print(f"{'seconds':<18}{'lingarith':>10} {'plain script':>13} {'ratio':>6}")
    for phase in (*PHASES, "rest", "all"):
        print(f"{phase:<18}{seconds[phase]:>10.1f} {peer[phase]:>13.1f} {peer[phase] / seconds[phase]:>6.2f}")
    if given.out:
        facts = {"targets": given.targets, "steps": given.steps, "threads": given.threads, "sides": sides}
        facts |= {"ratio": peer["all"] / seconds["all"], "largest_difference": difference}
        given.out.write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n")


def ours(given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The study by ``lingarith run``: its table, and the seconds of each phase."""
    changes = ["controls=[]", "betas=[0]"]
    changes += [f"targets={','.join(given.targets)}"] if given.targets else []
    changes += [f"steps={given.steps}"] if given.steps else []
    words = ["run", "table1", "--store", str(folder / "store"), "--out", str(folder / "run")]
    words += [word for change in changes for word in ("--set", change)]
    spent = folder / "ours.json"
    seconds = _seconds([sys.executable, __file__, "--out", str(spent), "--clock", given.clock, "--command", *words])
    from lingarith.study.run_folder import read_run

    run = read_run(folder / "run")
    table: Table = {target: {} for target in run.about.targets}
    for target, rows in table.items():
        for row in ROWS:
            scores = [r.score for r in run.records if (r.target, r.method) == (target, row)]
            rows[row] = {"weight": None, "score": mean(scores)}
            for chosen in run.choices:
                if (chosen.target, chosen.method) == (target, row):
                    rows[row] |= {"weight": chosen.weight, "curve": chosen.curve}
    return {"table": table, "seconds": _whole(json.loads(spent.read_text()), seconds)}


def theirs(given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The same by the plain script."""
    told = folder / "plain.json"
    words = [sys.executable, str(Path(__file__).with_name("plain_script.py")), "--out", str(told)]
    words += ["--targets", *given.targets] if given.targets else []
    words += ["--steps", str(given.steps)] if given.steps else []
    seconds = _seconds([*words, "--clock", given.clock])
    found = json.loads(told.read_text())
    return {"table": found["table"], "seconds": _whole(found["seconds"], seconds)}


def command(spent: Path, words: list[str], clock: Callable[[], float]) -> None:
    """The command ``lingarith`` with these words, in this process; the seconds of each phase into a file."""
    from lingarith.cli import main as cli
    from lingarith.study import jobs, lab, outputs

    seconds: dict[str, float] = dict.fromkeys(PHASES, 0.0)
    train, make = jobs.obtain_all, outputs.Stored._make

    def trained(*given: Any, **how: Any) -> Any:
        began = clock()
        try:
            return train(*given, **how)
        finally:
            seconds["training"] += clock() - began

    def made(self: outputs.Stored, wanted: outputs.Wanted, *given: Any) -> None:
        before, began = seconds["training"], clock()
        make(self, wanted, *given)
        seconds[wanted.data.split] += clock() - began - (seconds["training"] - before)

    sys.argv = ["lingarith", *words]
    try:
        with patch.object(lab, "obtain_all", trained), patch.object(outputs.Stored, "_make", made):
            cli.main()
    finally:
        spent.write_text(json.dumps(seconds))


def _seconds(words: list[str]) -> float:
    """What a command takes by the clock that its words name."""
    before = _of_children()
    seconds, _ = timed(words)
    return _of_children() - before if words[words.index("--clock") + 1] == "cpu" else seconds


def _of_children() -> float:
    """Processor seconds of the commands that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _whole(spent: dict[str, float], seconds: float) -> dict[str, float]:
    """Seconds of each phase, of what is left, and of all."""
    return {phase: spent[phase] for phase in PHASES} | {"rest": seconds - sum(spent.values()), "all": seconds}


def _weight(row: dict[str, Any]) -> str:
    return "" if row["weight"] is None else f"{row['weight']:g}"


if __name__ == "__main__":
    main()
