"""``lingarith inspect`` on the store of three vectors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lingarith.adapters.merging import MERGINGS

Command = Callable[..., Any]
EQUATION_2 = "0.6*headlines[en] + 0.4*(news[pt] - news[en])"


def test_a_table(command: Command, trained: Path) -> None:
    done = command("inspect", EQUATION_2, "--store", trained)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(EQUATION_2)
    for expected in (
        "factors",
        "anchored",
        "delta",
        "peft-linear",
        "headlines[en]",
        "Signs differ",
        "Lost by the best",
    ):
        assert expected in done.out, expected
    assert len(command("inspect", EQUATION_2, "--store", trained, "--per-module").out) > len(done.out)


def test_the_same_for_a_program(command: Command, trained: Path) -> None:
    told = command("inspect", EQUATION_2, "--store", trained, "--rank-out", 2, "--json").json
    assert told["expression"] == EQUATION_2
    results = told["total"]["results"]
    assert list(results) == ["factors", "anchored", "delta", "peft-linear", "delta, rank 2"]
    assert results["delta"]["cosine"] == pytest.approx(1)
    assert len(told["projections"]) == 24
    assert told["total"]["drift"]["news[pt]"]["drift"] > 0
    (only,) = command("inspect", EQUATION_2, "--store", trained, "--space", "factors", "--json").json["total"][
        "results"
    ]
    assert only == "factors"


def test_ways_to_merge(command: Command, trained: Path) -> None:
    told = command("inspect", EQUATION_2, "--store", trained, "--methods", "--json").json["total"]["results"]
    assert list(told)[:2] == ["delta", "delta, keepnorm"]
    shown = {space.partition(":")[0].removeprefix("delta, ") for space in told}
    assert shown == {"delta", *MERGINGS} - {"sum", "regmean"}  # for which these vectors lack Gram matrices
    assert 0.9 < told["delta, keepnorm"]["cosine"] < 1  # 1 in each projection, whose norms change apart
    done = command("inspect", EQUATION_2, "--store", trained, "--methods")
    assert "delta, ties " in done.out
    assert "Residual headlines[en] news[pt] news[en]" in done.out
    assert max(map(len, done.out.splitlines())) <= 80
    (only,) = command("inspect", EQUATION_2, "--store", trained, "--method", "iso", "--json").json["total"]["results"]
    assert only == "delta, iso:mean=rank"


def test_a_page(command: Command, trained: Path, tmp_path: Path) -> None:
    page = tmp_path / "new" / "inspection.html"
    done = command("inspect", EQUATION_2, "--store", trained, "--page", page)
    assert f"heat maps in {page}" in done.out
    assert "decoder cross" in page.read_text(encoding="utf-8")


def test_mistakes(fails: Callable[..., str], trained: Path, tmp_path: Path) -> None:
    assert "the combination is 0" in fails("inspect", "news[en] - news[en]", "--store", trained)
    assert "did you mean news[pt]" in fails("inspect", "news[pl]", "--store", trained)
    assert "did you mean factors" in fails("inspect", "news[pt]", "--store", trained, "--space", "factor")
    assert "needs space 'delta'" in fails(
        "inspect", "news[pt]", "--store", trained, "--space", "factors", "--rank-out", 2
    )
    assert "rank 5 is too high: the exact sum has rank 4" in fails(
        "inspect", "news[pt]", "--store", trained, "--rank-out", 5
    )
    assert "no store at" in fails("inspect", "news[pt]", "--store", tmp_path / "nowhere")
