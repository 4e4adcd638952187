"""What foretells loss: known areas and thresholds, and the answer of a run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lingarith.report.interference import FIGURES, auc, balance, drawing, interference, losing, table, threshold
from lingarith.study.records import About, Run


def point(run: str, value: float, loses: bool, weight: float = 0.5) -> dict[str, Any]:
    return {"run": run, "task": "t", "loses": loses} | dict.fromkeys(FIGURES, value) | {"weight": weight}


POINTS = [point("a", 0.9, True), point("a", 0.1, False), point("b", 0.8, True), point("b", 0.3, False)]


def test_the_area_is_the_chance_of_standing_above() -> None:
    assert auc(POINTS, "conflicts") == 1.0
    assert auc([*POINTS, point("a", 0.5, True), point("b", 0.5, False)], "conflicts") == (4 + 1 + 2 + 0.5 + 1) / 9
    # At other weights nothing is compared within.
    pairs = ((0.9, True, 0.5), (0.1, False, 0.5), (0.2, True, 0.8), (0.3, False, 0.8))
    assert auc([point("a", *pair) for pair in pairs], "conflicts", within=True) == 0.5


def test_limits_are_tried_where_they_were_not_chosen() -> None:
    assert threshold(POINTS, "conflicts") == (0.8, 1)
    assert balance(POINTS, "conflicts", 0.8, 1) == (1.0, 1.0)
    assert balance(POINTS, "conflicts", 0.2, -1) == (0.0, 0.5)
    [row] = [row for row in table(POINTS, "run") if row[0] == "conflicts"]
    # Chosen on b (0.8) both of a are told right, chosen on a (0.9) b's losing one is missed.
    assert row[1:6] == ["1.00", "1.00", "≥ 0.80", "50 %", "0 %"]
    assert drawing(POINTS).axes


def test_a_loss_is_two_standard_errors() -> None:
    assert [losing({"gain": -2.1, "error": error})["loses"] for error in (1.0, 1.1, 0.0)] == [True, False, True]
    assert not losing({"gain": 0.0, "error": 0.0})["loses"]


def test_the_answer_of_a_run() -> None:
    about = About("3f", "Loss", "interference", tasks={"summaries": "ROUGE-2"})
    at = [f"summaries/{target}/add//0/{weight:g}" for target in ("pt", "si") for weight in (0.5, 0.8)]
    measured = {
        "kept": dict(zip(at, (0.2, 0.8, 0.3, 0.7), strict=True)),
        "gain": dict(zip(at, (-9.0, 1.0, -8.0, 0.0), strict=True)),
        "error": dict.fromkeys(at, 1.0),
    }
    answer = interference(Run(replace(about, measured=measured)))
    assert answer
    [grid] = answer.grids
    assert grid.rows[0][:6] == ["kept", "0.00", "–", "≤ 0.30", "50 %", "0 %"]  # chosen on one, 0.2 misses 0.3
    assert "4 compositions" in grid.caption
    assert "2 lose" in grid.caption
    assert answer.charts["interference"]().axes
    none = {**measured, "gain": dict.fromkeys(at, 1.0)}
    assert interference(Run(replace(about, measured=none))) is None
    assert interference(Run(about)) is None
