"""Answers about mixtures from runs with known results: gains, errors of cuts, costs, barriers."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import pytest

from lingarith.report.answers import answer_of
from lingarith.report.figures import pictures
from lingarith.report.mixtures import bits
from lingarith.study.records import About, Choice, Example, Ingredient, Record, Run

TASK = "summaries"
TARGETS = ("si", "yo")


def made(table: str, scores: Mapping[str, float], **facts: Any) -> Run:
    """A run whose methods score so much on average, with noise of one example in common."""
    drawn = random.Random(0)
    examples = [Example(t, "test", f"{t}{k}", "", "", task=TASK) for t in TARGETS for k in range(16)]
    noise = [drawn.gauss(0, 3) for _ in examples]
    records = [
        Record(e.target, "test", method, None, e.id, "", round(score + common + drawn.gauss(0, 1), 3), "target", TASK)
        for method, score in scores.items()
        for e, common in zip(examples, noise, strict=True)
    ]
    usual: dict[str, Any] = {
        "identity": table, "title": table, "table": table, "tasks": {TASK: "ROUGE-2"}, "targets": [*TARGETS],
        "sources": ["en"], "methods": dict.fromkeys(scores, ""), "adapter": {"kind": "lora", "rank": 4},
        "study": {"language_steps": 100, "characters": 1000},
    }  # fmt: skip
    return Run(
        About(**usual | {k: v for k, v in facts.items() if k != "lines"}), examples, records, **facts.get("lines", {})
    )


def vector(code: str, steps: int, rank: int, documents: int, seconds: float, learnt: float) -> Ingredient:
    origin = {
        "kind": "language", "language": code, "adapter": {"kind": "lora", "rank": rank}, "steps": steps,
        "data": {"documents": documents}, "dose": {"before": 2.0, "after": 2.0 + learnt},
    }  # fmt: skip
    return Ingredient(f"news[{code}]", f"{code}{steps}{rank}{documents}", seconds, 1, 1, steps, origin)


def test_mixed_has_gains_and_errors(tmp_path: Any) -> None:
    scores = {"baseline": 40.0, "LoRA 4": 45.0, "LoRA 4 + Kron 48×32": 43.0, "LoRA 4 + Kron 48×32 (rank 8)": 39.0}
    cut = "LoRA 4 + Kron 48×32 (rank 8)"
    choices = [
        Choice(t, cut, "oracle", 0.5, 1.0, "", [], TASK, error=e) for t, e in zip(TARGETS, (0.4, 0.6), strict=True)
    ]
    run = made("mixed", scores, lines={"choices": choices})
    for choice in choices:
        run.records[:] = [
            r if (r.target, r.method) != (choice.target, cut) else Record(**{**_fields(r), "weight": 0.5})
            for r in run.records
        ]
    answer = answer_of(run)
    assert answer
    [grid] = answer.grids
    by_sum = {row[0]: row for row in grid.rows}
    assert by_sum["Baseline"][2:] == ["", "", "", ""]
    assert 4 < float(by_sum["LoRA 4"][2]) < 6
    assert by_sum[cut][-1] == "50 %"
    assert by_sum["LoRA 4"][-1] == ""
    assert [path.suffix for path in pictures(answer.charts, tmp_path)] == [".svg", ".png"]


def _fields(record: Record) -> dict[str, Any]:
    return {name: getattr(record, name) for name in Record.__slots__}


def test_cost_says_where_a_vector_pays(tmp_path: Any) -> None:
    scores = {
        "baseline": 40.0, "add": 46.0, "language_steps=25": 45.0, "characters=100": 42.0, "rank=1": 42.0,
        "scaled": 42.0, "random": 42.0,
    }  # fmt: skip
    vectors = [
        one
        for code in TARGETS
        for one in (
            vector(code, 100, 4, 9, 30.0, -0.2), vector(code, 25, 4, 9, 8.0, -0.1), vector(code, 100, 4, 1, 29.0, 0.1),
            vector(code, 100, 1, 9, 28.0, -0.15),
        )
    ]  # fmt: skip
    run = made("cost", scores, lines={"ingredients": vectors})
    answer = answer_of(run)
    assert answer
    [grid, _] = answer.grids
    facts = {row[0]: row[1:3] for row in grid.rows}
    assert facts == {
        "as the study has it": ["30.0", "20.0"], "language_steps=25": ["8.0", "10.0"],
        "characters=100": ["29.0", "−10.0"], "rank=1": ["28.0", "15.0"], "Random vector": ["", "–"],
    }  # fmt: skip
    assert "Break-even: language_steps=25, the cheapest" in grid.caption
    level = answer_of(made("cost", dict.fromkeys(scores, 40.0), lines={"ingredients": vectors}))
    assert level
    assert "Break-even: none" in level.grids[0].caption
    assert pictures(answer.charts, tmp_path)


def test_addition_compares_equal_sums(tmp_path: Any) -> None:
    equation, cut = "LoRA 4, Eq. 1, delta", "LoRA 4, Eq. 1, delta, rank 4"
    scores = {
        "baseline": 40.0, "scaled": 44.0, equation: 45.0, cut: 45.0, "LoRA 8 frozen, task": 30.0,
        "LoRA 8 frozen, Eq. 1, delta": 40.0, "language on task, Eq. 1, delta": 50.0,
    }  # fmt: skip
    curve: Any = [(0.5, 10.0), (1.0, 20.0)]
    choices = [Choice(t, cut, "oracle", 1.0, 20.0, "", curve, TASK, error=0.5) for t in TARGETS]
    run = made("addition", scores, lines={"choices": choices}, space="delta")
    run.records[:] = [r if r.method != cut else Record(**{**_fields(r), "weight": 1.0}) for r in run.records]
    answer = answer_of(run)
    assert answer
    [grid, tried] = answer.grids
    rows = {tuple(row[:3]): row[3:] for row in grid.rows}
    assert rows["LoRA 4", "task", ""][1:] == ["", "", "", "", ""]
    assert rows["LoRA 4", "λ · task alone", ""][2] == ""
    gains = {kind: rows[kind, "Eq. 1", "delta"][2] for kind in ("LoRA 4", "LoRA 8 frozen", "language on task")}
    assert gains["LoRA 4"] == ""
    assert (-6, 4) < (float(gains["LoRA 8 frozen"].replace("−", "-")), float(gains["language on task"])) < (-4, 6)
    assert -11 < float(rows["LoRA 8 frozen", "task", ""][2].replace("−", "-")) < -9
    assert tried.rows == [["LoRA 4", "Eq. 1", "delta, rank 4", "10.0", "20.0"]]
    assert [path.suffix for path in pictures(answer.charts, tmp_path)] == [".svg", ".png"]


def test_linearity_measures_barriers(tmp_path: Any) -> None:
    def choice(method: str, losses: Mapping[float, float]) -> Choice:
        curve: Any = [(w, 100 * 2**-loss) for w, loss in losses.items()]
        return Choice("si", method, "oracle", 1.0, 1.0, "", curve, TASK)

    over = choice("language, one start, delta", {0.0: 4.0, 0.5: 5.0, 1.0: 2.0})
    below = choice("language, one start, factors", {0.0: 2.0, 0.5: 1.0, 1.0: 2.0})
    assert bits(over) == pytest.approx({0.0: 4.0, 0.5: 5.0, 1.0: 2.0})
    run = made("linearity", {"baseline": 40.0}, lines={"choices": [over, below]}, targets=["si"])
    answer = answer_of(run)
    assert answer
    [grid] = answer.grids
    assert [row[3:] for row in grid.rows] == [
        ["delta", "2.000", "4.000", "2.000", "1.000", ""],
        ["factors", "2.000", "2.000", "0.000", "", "−1.000 at 0.5"],
    ]
    assert [*answer.charts] == ["linearity-si"]
    assert pictures(answer.charts, tmp_path)


@pytest.mark.parametrize("table", ["mixed", "cost", "addition", "linearity"])
def test_too_little_to_answer(table: str) -> None:
    assert answer_of(made(table, {"baseline": 40.0})) is None
