"""``plan``: a table, JSON and a study file from the shipped records."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from lingarith.study.study import read_study

Command = Callable[..., Any]
Fails = Callable[..., str]


def test_plan(command: Command, tmp_path: Path) -> None:
    out = tmp_path / "next.toml"
    shown = command("plan", "pt", "Yoruba", "--budget", 10, "--sources", "en,id", "--out", out)
    assert shown.code == 0, shown.err
    assert "task[en]" in shown.out
    assert "Stop after" in shown.out
    assert set(read_study(str(out)).languages.targets) <= {"pt", "yo"}
    found = command("plan", "pt", "--budget", 10, "--sources", "en", "--json").json
    assert found["steps"][0]["vectors"] == ["task[en]"]
    assert found["hours"] > 0
    assert found["runs"]


def test_what_cannot_be_planned(fails: Fails, tmp_path: Path) -> None:
    for budget in (0, -1, "nan", "1e400"):
        assert "give a finite number above 0" in fails("plan", "pt", "--budget", budget)
    assert "the records know no gain or cost of 'recipes'" in fails("plan", "pt", "--budget", 1, "--task", "recipes")
    assert "is no run folder" in fails("plan", "pt", "--budget", 1, "--run", tmp_path)
