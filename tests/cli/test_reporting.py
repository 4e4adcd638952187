"""``lingarith report`` from the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lingarith.study.records import About, Choice, Example, Record
from lingarith.study.run_folder import RunFolder

Command = Callable[..., Any]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of `adapt`, with four examples."""
    about = About(
        "3f2a", "By hand", "adapt", tasks={"summaries": "ROUGE-2"}, targets=["pt"], sources=["en"], tried=["add"],
        methods={"baseline": "Baseline", "add": "Add"}, protocol="oracle", handed_over={"pt": "add"},
    )  # fmt: skip
    folder = RunFolder(tmp_path / "made")
    folder.open(about)
    for k in range(4):
        own = [
            Record("pt", "test", m, w, str(k), "Sismo", s, "target", "summaries")
            for m, w, s in (("baseline", None, 3.0), ("add", 0.9, 4.0))
        ]
        folder.add([Example("pt", "test", str(k), "Um sismo.", "Sismo", task="summaries"), *own])
    curve: list[tuple[float | str, float]] = [(0.9, 4.0), (1.0, 3.0)]
    folder.add([Choice("pt", "add", "oracle", 0.9, 4.0, "0.9*a[en] + 0.1*b[pt]", curve, "summaries")])
    return folder.path


def test_into_the_runs_folder(command: Command, run: Path) -> None:
    done = command("report", run)
    assert done.code == 0, done.err
    assert f"report: {run / 'report.html'}" in done.out
    assert "pt: Add (λ = 0.9) scores 4.0 ROUGE-2" in done.out
    assert {"report.html", "table.md", "table.tex", "table.csv"} <= {path.name for path in run.iterdir()}


def test_for_a_program(command: Command, run: Path, tmp_path: Path) -> None:
    told = command("report", run, "--out", tmp_path / "out", "--json").json
    assert told["runs"][0]["title"] == "By hand"
    assert told["tables"][0]["rows"][0][:2] == ["pt", "Baseline"]
    assert all(Path(path).exists() for path in told["files"])
    assert not (run / "report.html").exists()


def test_records_that_are_cut_off(fails: Callable[..., str], run: Path) -> None:
    path = run / "records.jsonl"
    path.write_bytes(path.read_bytes()[:-5])
    assert fails("report", run) == f"{path}, line 8: cut off; run the command again that made it"
    assert not (run / "report.html").exists()


def test_no_run(fails: Callable[..., str], tmp_path: Path) -> None:
    assert fails("report", tmp_path).startswith(f"{tmp_path}/run.json does not exist; {tmp_path} is no run folder")
