"""Studies compared, by hand: what counts, gains, marks, intervals, and the sentences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from lingarith.report.comparison import cells, exact, judged, kinds, scores
from lingarith.report.grids import as_markdown, as_text
from lingarith.report.pairs import pairs, pairs_table, pairs_verdict
from lingarith.report.results import results
from lingarith.study.records import METHODS, Choice, Example, Record, Run

TASK = "summaries"
Build = Callable[..., Run]


def records(
    method: str, target: str, values: Sequence[float], weight: float | None = None, **more: Any
) -> list[Record]:
    return [
        Record(target, "test", method, weight, f"test-{k}", "…", float(value), "target", TASK, **more)
        for k, value in enumerate(values)
    ]


def choice(method: str, target: str, weight: float, protocol: str = "oracle", **more: Any) -> Choice:
    return Choice(target, method, protocol, weight, 1.0, "x", [(weight, 1.0)], TASK, **more)


def run(lines: Sequence[Record | Choice], **about: Any) -> Run:
    made = [line for line in lines if isinstance(line, Record)]
    methods = dict.fromkeys(line.equation for line in made)
    usual = {
        "title": "A study", "tasks": {TASK: "ROUGE-2"}, "targets": ["pt", "uk"], "sources": ["en"],
        "methods": {method: METHODS[method] for method in methods}, "reference": "baseline", "tried": ["add"],
        "against": ["scaled"], "protocol": "oracle", "by_source": False,
        "seeds": [0], "table": "", "study": {},
    }  # fmt: skip
    return Run(usual | about, records=made, choices=[line for line in lines if isinstance(line, Choice)])


UP, FLAT = [float(10 + k % 2) for k in range(20)], [float(5 + k % 2) for k in range(20)]


@pytest.fixture
def helped() -> Run:
    """Add gains 5 in both languages; the control gains nothing."""
    lines: list[Record | Choice] = []
    for target in ("pt", "uk"):
        lines += records("baseline", target, FLAT)
        lines += [*records("add", target, UP, 0.9), *records("add", target, FLAT, 1.0), choice("add", target, 0.9)]
        lines += [*records("scaled", target, FLAT, 1.0), choice("scaled", target, 1.0)]
    return run(lines)


def test_gains_marks_and_averages(helped: Run) -> None:
    found = {(c.target, c.method): c for c in cells(helped, draws=1000)}
    add = found["pt", "add"]
    assert (add.n, add.seeds, add.score, add.gain, add.weights) == (20, 1, 10.5, 5.0, (0.9,))
    assert add.gain_low == add.gain_high == 5.0
    assert add.low < 10.5 < add.high
    assert add.p is not None
    assert add.p_holm == 2 * add.p < 0.05  # two languages
    assert add.mark == "*"
    assert found["pt", "scaled"].mark == ""
    assert found["pt", "baseline"].gain is None
    average = found["average", "add"]
    assert (average.n, average.score, average.gain, average.p_holm) == (40, 10.5, 5.0, average.p)


def test_an_average_counts_languages_alike() -> None:
    lines = records("baseline", "pt", [0.0] * 4) + records("baseline", "uk", [10.0] * 2)
    average = cells(run(lines), draws=100)[-1]
    assert (average.target, average.score, average.n) == ("average", 5.0, 6)


def test_the_protocols_weight_counts_and_not_the_oracles() -> None:
    lines = [*records("add", "pt", [1.0] * 3, 0.2), *records("add", "pt", [9.0] * 3, 0.8)]
    made = run([*lines, choice("add", "pt", 0.8), choice("add", "pt", 0.2, "sources")], protocol="sources")
    assert scores(made)[TASK, "pt", "add", ""].tolist() == [[1.0, 1.0, 1.0]]


def test_seeds_are_averaged_and_widen_the_interval() -> None:
    lines: list[Record] = []
    for seed, value in ((0, 4.0), (1, 8.0)):
        lines += records("baseline", "pt", [value] * 5, seed=seed)
    [cell] = cells(run(lines), draws=2000)
    assert (cell.score, cell.seeds, cell.low, cell.high) == (6.0, 2, 4.0, 8.0)


def test_only_examples_that_all_methods_have_count() -> None:
    """A line that was cut off is missing in one method."""
    lines = [*records("baseline", "pt", [1.0, 2.0, 3.0]), *records("scaled", "pt", [1.0, 2.0])]
    assert {m.shape for m in scores(run(lines)).values()} == {(1, 2)}


def test_the_verdict(helped: Run) -> None:
    [finding] = judged(helped, cells(helped, draws=1000), draws=1000)
    assert finding.outcome == "helps"
    assert finding.text == (
        "Add: +5.0 (+5.0 to +5.0, p < 0.001) ROUGE-2 over Baseline, and +5.0 (+5.0 to +5.0, p < 0.001) over the "
        "strongest control (λ · task vector alone): it helps, and more than the control does. "
        "After Holm's correction it is better in pt, uk."
    )


@pytest.mark.parametrize(
    ("ours", "control", "outcome", "sentence"),
    [
        (FLAT, FLAT, "no difference", "no difference that these examples can show"),
        (UP, UP, "helps, not above a control", "it helps, and the control may do as well"),
        ([5 + v for v in FLAT], [6 + v for v in FLAT], "helps, not above a control", "and less than the control does"),
        ([v - 2 for v in FLAT], FLAT, "hurts", "it hurts. After Holm's correction it is worse in pt."),
    ],
)
def test_conclusions(ours: list[float], control: list[float], outcome: str, sentence: str) -> None:
    lines = [*records("baseline", "pt", FLAT), *records("add", "pt", ours), *records("scaled", "pt", control)]
    made = run(lines)
    [finding] = judged(made, cells(made, draws=1000), draws=1000)
    assert finding.outcome == outcome
    assert sentence in finding.text


def test_tables(helped: Run) -> None:
    from rich.console import Console

    found = results(helped)
    grids, said = found.grids, found.said
    matrix, averages = grids
    assert list(matrix.heads) == ["", "Baseline", "Add", "λ·task"]
    assert [list(row) for row in matrix.rows] == [
        ["pt", "5.5", "10.5*", "5.5"], ["uk", "5.5", "10.5*", "5.5"], ["average", "5.5", "10.5*", "5.5"],
    ]  # fmt: skip
    assert averages.rows[1][0:2] == ["Add", "10.5"]
    assert averages.rows[1][3:] == ["+5.0", "+5.0 to +5.0", "< 0.001"]
    text = as_markdown(grids, said)
    assert "| average | 5.5 | 10.5\\* | 5.5 |" in text
    assert "\n- Add: +5.0" in text
    console = Console(width=80, record=True)
    for table in as_text(grids):
        console.print(table)
    assert "10.5*" in console.export_text()


def test_pairs() -> None:
    lines: list[Record | Choice] = []
    for source, gain in (("en", 5.0), ("ru", -1.0)):
        lines += records("baseline", "pt", FLAT, source=source)
        lines += records("add", "pt", [v + gain for v in FLAT], 0.9, source=source)
        lines += [choice("add", "pt", 0.9, source=source)]
        lines += records("scaled", "pt", FLAT, source=source)
    made = run(lines, by_source=True, sources=["en", "ru"], targets=["pt"])
    found = {(pair.source, pair.target): pair for pair in pairs(made, draws=1000)}
    assert found["en", "pt"].change == pytest.approx(100 * 5 / 5.5)
    assert found["en", "pt"].p_holm == 2 * found["en", "pt"].p
    assert [found[s, "pt"].mark for s in ("en", "ru")] == ["*", "†"]
    assert pairs_table(made, list(found.values())) == (["from / to", "pt"], [["en", "+90.9*"], ["ru", "−18.2†"]])
    said = pairs_verdict(made, list(found.values())).splitlines()
    assert said == [
        "Add: significantly better than the task vector alone in 1 of 2 pairs, worse in 1; "
        "+2.0 points on average (from 5.5).",
        "Control: λ · task vector alone: significantly better than the task vector alone in 0 of 2 pairs, worse in 0; "
        "0.0 points on average (from 5.5).",
    ]
    assert results(made).grids[0].heads == ["from / to", "pt"]


def test_exact_match_and_kinds_are_of_the_chosen_weight() -> None:
    """By hand: one of two answers is a reference of its question, the other one is an alternative of another."""
    lines: list[Record | Choice] = [
        Record("pt", "test", "add", 0.9, "a", "In 1775", 50.0, "target", TASK),
        Record("pt", "test", "add", 0.9, "b", "1775", 0.0, "other", TASK),
        Record("pt", "test", "add", 1.0, "b", "50", 100.0, "copied", TASK),
        choice("add", "pt", 0.9),
    ]
    examples = [
        Example("pt", "test", "a", "…", "1775", ("in 1775",), TASK),
        Example("pt", "test", "b", "…", "50", (), TASK),
    ]
    made = replace(run(lines), examples=examples)
    assert exact(made, TASK) == {("pt", "add"): 50.0, ("average", "add"): 50.0}
    assert kinds(made, TASK)["pt"]["add"] == {"target": 0.5, "source": 0, "other": 0.5, "empty": 0, "copied": 0}
