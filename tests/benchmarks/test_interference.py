"""What foretells loss: known areas and thresholds, and the points of a run on a tiny backbone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.interference import FIGURES, auc, balance, drawing, measured, points_of, table, threshold
from lingarith.model.backbone import Backbone
from lingarith.store.store import Store
from lingarith.study.lab import Lab
from lingarith.study.recipes import place_of
from lingarith.study.run import run
from lingarith.study.study import Study, study_of

SMALL: dict[str, Any] = {
    "rank": 2, "steps": 3, "batch_size": 4, "learning_rate": 0.5, "max_input": 24, "max_target": 8, "max_output": 6,
    "train_limit": 8, "validation_limit": 4, "test_limit": 4, "characters": 3000, "targets": ("pt",),
    "weights": (0.0, 0.5), "betas": (0.5,), "controls": ("scaled",),
}  # fmt: skip


def point(run: str, value: float, loses: bool, weight: float = 0.5) -> dict[str, Any]:
    return {"run": run, "task": "t", "loses": loses} | dict.fromkeys(FIGURES, value) | {"weight": weight}


POINTS = [point("a", 0.9, True), point("a", 0.1, False), point("b", 0.8, True), point("b", 0.3, False)]


def test_the_area_is_the_chance_of_standing_above() -> None:
    assert auc(POINTS, "conflicts") == (1.0, 4)
    assert auc([*POINTS, point("a", 0.5, True), point("b", 0.5, False)], "conflicts") == (
        (4 + 1 + 2 + 0.5 + 1) / 9 + 0,
        9,
    )
    # At other weights nothing is compared within.
    mixed = [
        point("a", 0.9, True, 0.5),
        point("a", 0.1, False, 0.5),
        point("a", 0.2, True, 0.8),
        point("a", 0.3, False, 0.8),
    ]
    assert auc(mixed, "conflicts", within=True) == (0.5, 2)


def test_thresholds_are_tried_where_they_were_not_chosen() -> None:
    assert threshold(POINTS, "conflicts") == (0.8, 1)
    assert balance(POINTS, "conflicts", 0.8, 1) == (1.0, 1.0)
    assert balance(POINTS, "conflicts", 0.2, -1) == (0.0, 0.5)
    [row] = [row for row in table(POINTS) if row[0] == "conflicts"]
    assert row[1:6] == ["1.00", "1.00", "≥ 0.80", "50%", "0%"] or row[1:4] == ["1.00", "1.00", "≥ 0.80"]
    assert drawing(POINTS).axes


def test_points_of_a_run(tiny_backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lingarith.model.loading import load

    backbone: Backbone = load(str(tiny_backbone))
    store = Store(tmp_path / "store")
    study: Callable[[], Study] = lambda: study_of("small", "table1", SMALL | {"backbone": str(tiny_backbone)})  # noqa: E731
    lab = Lab(study(), store, given=backbone)
    run(lab, tmp_path / "run")
    points = list(points_of(tmp_path / "run", str(tmp_path / "store")))
    # At λ = 0 nothing of the task is left, and at λ = 1 nothing else.
    assert [(p["method"], p["weight"]) for p in points] == [("add", 0.5), ("add_subtract", 0.5), ("uncoupled", 0.5)]
    assert all({*FIGURES, "gain", "error"} <= p.keys() for p in points)
    method = next(m for m in place_of(lab, "summaries", "pt", 0).methods if m.name == "uncoupled")
    figures = measured(lab, method, method.tried[0.5])
    assert figures
    assert figures["norm"] == pytest.approx(
        ((figures["away"] or 0) ** 2 + 2 * (figures["kept"] or 0) - 1) ** 0.5, rel=1e-4
    )
