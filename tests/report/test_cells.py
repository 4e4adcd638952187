"""Numbers by hand: what counts, gains, marks, intervals, averages, and what stands beside them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lingarith.report.cells import Cell, cells, compared, kinds, scores
from lingarith.study.records import METHODS, About, Choice, Example, Record, Run

TASK = "summaries"
Build = Callable[..., Run]


def records(
    method: str, target: str, values: Sequence[float], weight: float | str | None = None, **more: Any
) -> list[Record]:
    return [
        Record(target, "test", method, weight, f"test-{k}", "…", float(value), "target", TASK, **more)
        for k, value in enumerate(values)
    ]


def choice(method: str, target: str, weight: float | str, protocol: str = "oracle", **more: Any) -> Choice:
    return Choice(target, method, protocol, weight, 1.0, "x", [(weight, 1.0)], TASK, **more)


def made(lines: Sequence[Record | Choice], **about: Any) -> Run:
    own = [line for line in lines if isinstance(line, Record)]
    usual: dict[str, Any] = {
        "tasks": {TASK: "ROUGE-2"}, "targets": ["pt", "uk"], "sources": ["en"], "tried": ["add"], "against": ["scaled"],
        "methods": {r.method: METHODS[r.method].full for r in own}, "protocol": "oracle",
    }  # fmt: skip
    run = About("3f", "A study", "", **usual | about)
    return Run(run, records=own, choices=[line for line in lines if isinstance(line, Choice)])


UP, FLAT = [float(10 + k % 2) for k in range(20)], [float(5 + k % 2) for k in range(20)]


@pytest.fixture
def helped() -> Run:
    """Add gains 5 in both languages; the control gains nothing."""
    lines: list[Record | Choice] = []
    for target in ("pt", "uk"):
        lines += records("baseline", target, FLAT)
        lines += [*records("add", target, UP, 0.9), *records("add", target, FLAT, 1.0), choice("add", target, 0.9)]
        lines += [*records("scaled", target, FLAT, 1.0), choice("scaled", target, 1.0)]
    return made(lines)


def by_place(run: Run, **options: Any) -> dict[tuple[str, str], Cell]:
    return {(c.target, c.method): c for c in cells(run, **options)}


def test_gains_marks_and_averages(helped: Run) -> None:
    found = by_place(helped, draws=1000)
    add = found["pt", "add"]
    assert (add.n, add.seeds, add.score, add.base, add.gain, add.weights) == (20, 1, 10.5, 5.5, 5.0, (0.9,))
    assert add.change == pytest.approx(100 * 5 / 5.5)
    assert add.gain_low == add.gain_high == 5.0
    assert add.low is not None
    assert add.low < 10.5 < add.high
    assert add.p is not None
    assert add.p_holm == 2 * add.p < 0.05  # two languages
    assert add.mark == "*"
    assert found["pt", "scaled"].mark == ""
    assert found["pt", "baseline"].gain is None
    average = found["average", "add"]
    assert (average.n, average.score, average.gain, average.p_holm) == (40, 10.5, 5.0, average.p)


def test_worked_out_by_hand() -> None:
    """Two languages of 4 and 2 examples; Add gains exactly 10 in one and loses exactly 4 in the other."""
    lines: list[Record | Choice] = []
    for target, values, gain in (("pt", [10, 20, 30, 40], 10), ("yo", [50, 60], -4)):
        lines += records("baseline", target, values)
        own = records("add", target, [value + gain for value in values], 0.3)
        lines += [replace(own[0], kind="empty"), *own[1:], choice("add", target, 0.1 + 0.2, "unlabelled")]
    found = by_place(made(lines, targets=["yo", "pt"], protocol="unlabelled"), draws=200)
    assert list(found) == [(t, m) for m in ("baseline", "add") for t in ("yo", "pt", "average")]
    pt = found["pt", "add"]
    assert (pt.n, pt.score, pt.gain, pt.gain_low, pt.gain_high) == (4, 35, 10, 10, 10)
    assert pt.kinds == {"target": 0.75, "source": 0, "other": 0, "empty": 0.25, "copied": 0}
    # all differences have one sign: 2 of 2^4 sign flips are as extreme, and 2 of 2^2
    assert (pt.p, found["yo", "add"].p) == (0.125, 0.5)
    assert (pt.p_holm, found["yo", "add"].p_holm) == (0.25, 0.5)
    average = found["average", "add"]
    assert (average.n, average.score, average.gain) == (6, 43, 3)  # the languages weigh the same, not the examples
    assert (average.gain_low, average.gain_high) == (3, 3)
    assert average.kinds["empty"] == 0.375


def test_the_interval_of_the_average_agrees_with_theory() -> None:
    generator = np.random.default_rng(0)
    lines = [
        r for t, n in (("pt", 400), ("uk", 100)) for r in records("baseline", t, generator.normal(40, 10, n).tolist())
    ]
    average = cells(made(lines), draws=2000)[-1]
    error = 1.96 * np.sqrt(10**2 / 400 + 10**2 / 100) / 2
    assert average.low is not None and average.high is not None  # noqa: PT018
    assert average.high - average.low == pytest.approx(2 * error, rel=0.1)


def test_the_protocols_weight_counts_and_the_oracle_stands_beside_it() -> None:
    lines = [*records("add", "pt", [1.0] * 3, 0.2), *records("add", "pt", [9.0] * 3, 0.8)]
    own = made([*lines, choice("add", "pt", 0.8), choice("add", "pt", 0.2, "sources")], protocol="sources")
    assert scores(own)[TASK, "pt", "add", ""].tolist() == [[1.0, 1.0, 1.0]]
    [cell] = cells(own, draws=10)
    assert (cell.weights, cell.score, cell.oracle_weights, cell.oracle_score) == ((0.2,), 1.0, (0.8,), 9.0)
    [alone] = cells(replace(own, choices=own.choices[:1]), draws=10)
    assert (alone.weights, alone.oracle_weights) == ((0.8,), ())  # what has no other choice than the oracle's
    [oracle] = cells(replace(own, about=replace(own.about, protocol="oracle")), draws=10)
    assert (oracle.score, oracle.oracle_weights, oracle.oracle_score) == (9.0, (), None)


def test_the_best_source_is_a_weight() -> None:
    lines = [
        *records("best", "pt", [1.0] * 3, "en"),
        *records("best", "pt", [2.0] * 3, "ru"),
        choice("best", "pt", "ru"),
    ]
    [cell] = cells(made(lines), draws=10)
    assert (cell.score, cell.weights) == (2.0, ("ru",))


def test_seeds_are_averaged_and_widen_the_interval() -> None:
    lines: list[Record] = []
    for seed, value in ((0, 4.0), (1, 8.0)):
        lines += records("baseline", "pt", [value] * 5, seed=seed)
    [cell] = cells(made(lines), draws=2000)
    assert (cell.score, cell.seeds) == (6.0, 2)
    # The seeds' means have a standard error of 2, and t of one degree of freedom is 12.7 at 97.5 %.
    assert (cell.low, cell.high) == (0, pytest.approx(6 + 25.4, abs=4))  # below 0 there is no score


def test_a_mark_and_its_interval_do_not_contradict_each_other() -> None:
    """One seed gains much, the others next to nothing: their mean over seeds is above 0 in every example."""
    lines: list[Record | Choice] = []
    for seed, gain in enumerate((6.0, 0.1, 0.2)):
        lines += records("baseline", "pt", FLAT, seed=seed)
        lines += [*records("add", "pt", [x + gain for x in FLAT], 0.9, seed=seed), choice("add", "pt", 0.9, seed=seed)]
    add = by_place(made(lines, seeds=[0, 1, 2], targets=["pt"]))["pt", "add"]
    assert add.gain == pytest.approx(2.1)
    assert add.gain_low < 0 < add.gain_high  # type: ignore[operator]
    assert (add.mark, add.p) == ("", pytest.approx(0.39, abs=0.03))  # scipy.stats.ttest_1samp([6, 0.1, 0.2], 0)


def test_only_examples_that_all_methods_have_count() -> None:
    """A line that was cut off is missing in one method."""
    lines = [*records("baseline", "pt", [1.0, 2.0, 3.0]), *records("scaled", "pt", [1.0, 2.0])]
    assert {m.shape for m in scores(made(lines)).values()} == {(1, 2)}


def test_holm_is_over_the_languages_of_one_method(run: Run) -> None:
    found = cells(run, draws=1000)
    for method in ("add", "add_subtract", "uncoupled"):
        family = sorted((c for c in found if c.method == method and c.target != "average"), key=lambda c: c.p or 0)
        assert family[0].p_holm == pytest.approx(min(1, 3 * (family[0].p or 0)))
        assert all((c.p_holm or 0) >= (c.p or 0) for c in family)


def test_signs_of_a_known_run(run: Run) -> None:
    found = by_place(run, draws=1000)
    assert [found[t, m].mark for t, m in (("pt", "add_subtract"), ("fa", "uncoupled"), ("uk", "uncoupled"))] == [
        "*",
        "†",
        "",
    ]


def test_a_gain_over_another_method(helped: Run) -> None:
    found = by_place(helped, draws=1000)
    for target in ("average", "pt"):
        gain, low, high, p = compared(helped, found[target, "add"], found[target, "scaled"], draws=1000)
        assert (gain, low, high) == (5.0, 5.0, 5.0)
        assert p < 0.01


def test_each_source_by_itself() -> None:
    lines: list[Record | Choice] = []
    for source, gain in (("en", 5.0), ("ru", -1.0)):
        lines += records("baseline", "pt", FLAT, source=source)
        lines += records("add", "pt", [v + gain for v in FLAT], 0.9, source=source)
        lines += [choice("add", "pt", 0.9, source=source)]
    found = {(c.source, c.method): c for c in cells(made(lines, by_source=True, sources=["en", "ru"]), draws=1000)}
    assert len(found) == 4
    add = found["en", "add"]
    assert (add.gain, add.base, add.low, add.gain_low) == (5.0, 5.5, None, None)
    assert add.change == pytest.approx(100 * 5 / 5.5)
    assert add.p is not None
    assert add.p_holm == 2 * add.p
    assert [found[source, "add"].mark for source in ("en", "ru")] == ["*", "†"]


def test_kinds_are_of_the_chosen_weight_and_labels_have_none() -> None:
    lines: list[Record | Choice] = [
        *(Record("pt", "test", "add", 0.9, id, "", 50.0, kind, TASK) for id, kind in (("a", "target"), ("b", "other"))),
        Record("pt", "test", "add", 1.0, "b", "50", 100.0, "copied", TASK),
        choice("add", "pt", 0.9),
    ]
    found = cells(made(lines), draws=10)
    assert kinds(found)["pt"]["add"] == {"target": 0.5, "source": 0, "other": 0.5, "empty": 0, "copied": 0}
    labels = [replace(line, kind="") if isinstance(line, Record) else line for line in lines]
    assert kinds(cells(made(labels), draws=10)) == {}


def test_kinds_are_over_sources(make_study: Build) -> None:
    run = make_study(by_source=True)
    mixed = [replace(r, kind="other") if (r.source, r.method) == ("ru", "add_subtract") else r for r in run.records]
    shares = kinds(cells(replace(run, records=mixed), draws=10))["pt"]["add_subtract"]
    assert (shares["target"], shares["other"]) == (0.5, 0.5)


def test_what_stands_beside_a_metric() -> None:
    """By hand: one of two answers is a reference of its question; of the other seed none is."""
    lines: list[Record | Choice] = [
        *(Record("pt", "test", "add", 0.9, id, text, 50.0, "", TASK) for id, text in (("a", "In 1775"), ("b", "1775"))),
        *(Record("pt", "test", "add", 0.9, id, "nothing", 50.0, "", TASK, seed=1) for id in "ab"),
        Record("pt", "test", "add", 1.0, "b", "50", 100.0, "", TASK),
        choice("add", "pt", 0.9),
        choice("add", "pt", 0.9, seed=1),
    ]
    examples = [
        Example("pt", "test", "a", "…", "1775", ("in 1775",), TASK),
        Example("pt", "test", "b", "…", "50", (), TASK),
    ]
    [cell] = cells(replace(made(lines, tasks={TASK: "F1"}), examples=examples), draws=10)
    assert cell.beside == {"Exact match": 25.0}
    assert cells(made(lines), draws=10)[0].beside == {}  # ROUGE-2 has none


def test_texts_that_are_not_kept_have_no_figures_beside_the_metric(make_run):
    """Scores and kinds stand in the lines; what is counted over whole outputs is left out, and is not 0."""
    whole = make_run(n=4, tasks={"summaries": "chrF"})
    bare = replace(
        whole,
        examples=[replace(e, input="", reference="") for e in whole.examples],
        records=[replace(r, output="") for r in whole.records],
    )
    for kept, without in zip(cells(whole, draws=10), cells(bare, draws=10), strict=True):
        assert kept.beside
        assert not without.beside
        assert (without.score, without.kinds, without.right) == (kept.score, kept.kinds, kept.right)
        assert without.among.keys() == ({"chrF"} if kept.among else set())
