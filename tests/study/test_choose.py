"""Which weight is chosen, and which adapter is handed over: known answers by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from math import exp
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lingarith.algebra import Combination, parse
from lingarith.errors import LingarithError
from lingarith.study import choose
from lingarith.study.choose import Terms, best, choice, grid, halved, hand_over, labelled, played, unlabelled
from lingarith.study.evaluate import Outcome
from lingarith.study.records import ADD, ADD_SUBTRACT, BASELINE, UNCOUPLED, Choice
from lingarith.text.tasks.labelled import Labelled, TaskExample

TERMS = Terms(("t[en]",), ("l[en]",), "l[pt]")
TWO = Terms(("t[en]", "t[ru]"), ("l[en]", "l[ru]"), "l[pt]")


@dataclass
class FakeBench:
    """Scores that are a function of the expression's coefficients."""

    score: Callable[[Mapping[str, float]], float]
    kind: Callable[[Mapping[str, float]], str] = lambda weights: "target"
    space: str = "delta"
    asked: list[tuple[str, str, Combination]] = field(default_factory=list)

    def outcomes_of(
        self, expressions: Sequence[Combination], data: Labelled, watch: Any = None
    ) -> Iterator[list[Outcome]]:
        for expression in expressions:
            self.asked.append((data.language, data.split, expression))
            weights = expression.weights
            yield [Outcome(e.id, "", self.score(weights), self.kind(weights)) for e in data.examples]


def data(language: str = "pt", split: str = "validation") -> Labelled:
    examples = tuple(TaskExample(f"{split}-{k}", "i", "t", "a") for k in range(2))
    return Labelled("t", language, split, "here", examples, "f")


# ---------------------------------------------------------------- the weights that are tried


@pytest.mark.parametrize("equation", [ADD, ADD_SUBTRACT, UNCOUPLED])
@pytest.mark.parametrize("space", ["factors", "anchored", "delta"])
def test_the_grid_is_the_paper_s_with_both_ends(equation: str, space: str) -> None:
    weights = grid(equation, space)
    assert {k / 10 for k in range(11)} <= set(weights)
    assert list(weights) == sorted(set(weights))
    assert (weights[0], weights[-1]) == (0.0, 1.0)
    steps = [b - a for a, b in pairwise(weights)]
    finer = space == "factors" and equation != UNCOUPLED
    assert (max(steps[-5:]) < 0.03) == finer
    assert all(step == pytest.approx(0.1) for step in steps[:9])


# ---------------------------------------------------------------- the equations


@pytest.mark.parametrize(
    ("equation", "weight", "text"),
    [
        (BASELINE, None, "t[en]"),
        (ADD, 0.9, "0.9*t[en] + 0.1*l[pt]"),
        (ADD_SUBTRACT, 0.9, "0.9*t[en] + 0.1*(l[pt] - l[en])"),
        (UNCOUPLED, 0.4, "t[en] + 0.4*(l[pt] - l[en])"),
        (ADD, 1.0, "t[en]"),
        (ADD_SUBTRACT, 1.0, "t[en]"),
        (UNCOUPLED, 0.0, "t[en]"),
        (ADD, 0.0, "l[pt]"),
    ],
)
def test_terms_by_hand(equation: str, weight: float | None, text: str) -> None:
    assert TERMS.at(equation, weight) == parse(text)


def test_several_sources_are_averaged() -> None:
    assert TWO.at(ADD_SUBTRACT, 0.8) == parse("0.4*(t[en] + t[ru]) + 0.2*l[pt] - 0.1*(l[en] + l[ru])")
    assert TWO.at(BASELINE, None) == parse("0.5*(t[en] + t[ru])")


@pytest.mark.parametrize("weight", [-0.1, 1.1, float("nan")])
@pytest.mark.parametrize("equation", [ADD, ADD_SUBTRACT])
def test_lambda_outside_0_to_1_is_an_error(equation: str, weight: float) -> None:
    with pytest.raises(LingarithError, match=r"lambda is .*; it must lie in \[0, 1\]"):
        TERMS.at(equation, weight)


def test_an_unknown_equation_is_an_error() -> None:
    with pytest.raises(LingarithError, match="no equation named 'ad'; did you mean add"):
        TERMS.at("ad", 0.5)


# ---------------------------------------------------------------- the best weight


@pytest.mark.parametrize(
    ("equation", "curve", "expected"),
    [
        (ADD, [(0.0, 1.0), (0.5, 3.0), (1.0, 2.0)], (0.5, 3.0)),
        (ADD, [(0.0, 3.0), (0.5, 3.0), (1.0, 3.0)], (1.0, 3.0)),
        (ADD_SUBTRACT, [(0.2, 3.0), (0.8, 3.0), (1.0, 2.0)], (0.8, 3.0)),
        (UNCOUPLED, [(0.0, 3.0), (0.5, 3.0), (1.0, 3.0)], (0.0, 3.0)),
        (UNCOUPLED, [(0.0, 2.0), (0.3, 3.0), (1.0, 3.0)], (0.3, 3.0)),
    ],
)
def test_best_by_hand(equation: str, curve: choose.Curve, expected: tuple[float, float]) -> None:
    assert best(equation, curve) == expected


@given(
    values=st.lists(st.integers(0, 3), min_size=2, max_size=12),
    equation=st.sampled_from([ADD, UNCOUPLED]),
    data=st.data(),
)
def test_best_does_not_depend_on_the_order(values: list[int], equation: str, data: st.DataObject) -> None:
    curve = [(k / (len(values) - 1), float(value)) for k, value in enumerate(values)]
    weight, value = best(equation, curve)
    assert value == max(values)
    neutral = choose.NEUTRAL[equation]
    assert all(abs(w - neutral) >= abs(weight - neutral) for w, v in curve if v == value)
    assert best(equation, data.draw(st.permutations(curve))) == (weight, value)


# ---------------------------------------------------------------- the protocols


def test_the_oracle_averages_validation_scores() -> None:
    bench = FakeBench(lambda weights: 100 * weights.get("l[pt]", 0.0))
    kept: list[float] = []
    curve = labelled(bench, [(TERMS, data())], ADD, keep=lambda weight, outcomes: kept.append(weight))  # type: ignore[arg-type]
    assert curve == [(k / 10, pytest.approx(100 - 10 * k)) for k in range(11)]
    assert kept == [weight for weight, _ in curve]
    assert {(language, split) for language, split, _ in bench.asked} == {("pt", "validation")}


def test_the_oracle_refuses_a_test_split() -> None:
    bench = FakeBench(lambda weights: 0.0)
    with pytest.raises(LingarithError, match="never chosen on a test split"):
        labelled(bench, [(TERMS, data(split="test"))], ADD)  # type: ignore[arg-type]
    assert bench.asked == []


def test_sources_let_each_source_play_the_target() -> None:
    """On en the played target's vector l[en] scores, on ru l[ru] does twice as much: the mean is 1.5 as much."""
    bench = FakeBench(lambda weights: 10 * weights.get("l[en]", 0.0) + 20 * weights.get("l[ru]", 0.0))
    curve = labelled(bench, played(TWO, [data("en"), data("ru")]), ADD)  # type: ignore[arg-type]
    assert curve == [(k / 10, pytest.approx(1.5 * (10 - k))) for k in range(11)]
    needed = {
        language: {name for asked, _, e in bench.asked if asked == language for name in e.names}
        for language in ("en", "ru")
    }
    assert needed == {"en": {"t[ru]", "l[en]"}, "ru": {"t[en]", "l[ru]"}}


def test_sources_need_two_and_refuse_a_test_split() -> None:
    bench = FakeBench(lambda weights: 0.0)
    with pytest.raises(LingarithError, match="needs two or more"):
        played(TERMS, [data("en")])
    with pytest.raises(LingarithError, match="never chosen on a test split"):
        labelled(bench, played(TWO, [data("en"), data("ru", "test")]), ADD)  # type: ignore[arg-type]


def test_halving_tries_some_on_few_examples_and_few_on_more() -> None:
    """The score rises with the language's weight, so the race ends at λ = 0, held against λ = 1."""
    bench = FakeBench(lambda weights: 100 * weights.get("l[pt]", 0.0))
    many = replace(data(), examples=tuple(TaskExample(f"v{k}", "i", "t", "a") for k in range(64)))
    found = halved(bench, [(TERMS, many)], ADD)  # type: ignore[arg-type]
    assert [weight for weight, _, _ in found.points] == [0.0, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0]
    assert found.finalists == [0.0, 1.0]
    made = choice("pt", TERMS, "oracle", ADD, found)
    assert (made.weight, made.value) == (0.0, pytest.approx(100.0))
    assert made.seen[0] == made.seen[-1] == max(made.seen)
    assert min(made.seen) == 6
    assert hand_over([made]) == ADD


def test_halving_over_sources_takes_the_same_examples_of_each_and_no_test_split() -> None:
    bench = FakeBench(lambda weights: 10 * weights.get("l[en]", 0.0) + 20 * weights.get("l[ru]", 0.0))
    plays = played(TWO, [data("en"), data("ru")])
    found = halved(bench, plays, ADD)  # type: ignore[arg-type]
    assert found.points[0] == (0.0, pytest.approx(15.0), 4)  # two of each, which is all
    few = replace(plays[0][1], examples=plays[0][1].examples[:1])
    found = halved(bench, [(plays[0][0], few), plays[1]], ADD)  # type: ignore[arg-type]
    assert found.points[0] == (0.0, pytest.approx(15.0), 3)  # each source counts alike, as in the grid
    with pytest.raises(LingarithError, match="never chosen on a test split"):
        halved(bench, [(TERMS, data("pt", "test"))], ADD)  # type: ignore[arg-type]


def test_unlabelled_is_the_share_in_the_language_times_the_probability(monkeypatch: pytest.MonkeyPatch) -> None:
    class Still:
        def using(self, update: object) -> Still:
            return self

        def __enter__(self) -> None: ...

        def __exit__(self, *_: object) -> None: ...

    bench = FakeBench(lambda weights: 99.0, lambda weights: "target" if "l[pt]" in weights else "source")
    bench.backbone, bench.update = Still(), lambda expression: None  # type: ignore[attr-defined]
    monkeypatch.setattr(choose, "mean_loss", lambda *_, **__: 2.0)
    probes = replace(data(), split="unlabelled")

    def curve(language: str) -> choose.Curve:
        text = SimpleNamespace(text=SimpleNamespace(language=language))
        return unlabelled(bench, TERMS, ADD, probes, text, None)  # type: ignore[arg-type]

    certain = pytest.approx(100 * exp(-2.0), abs=1e-4)
    assert dict(curve("pt"))[1.0] == 0.0
    assert dict(curve("pt"))[0.5] == certain
    assert best(ADD, curve("pt"))[0] == 0.9
    assert [value for _, value in curve("ceb")] == [certain] * len(
        curve("ceb")
    )  # of which nothing can be told to be in it


# ---------------------------------------------------------------- what is handed over


def made(equation: str, weight: float, value: float, alone: float = 10.0) -> Choice:
    points = {choose.NEUTRAL[equation]: alone, weight: value}
    return choice("pt", TERMS, "oracle", equation, sorted(points.items()))


@pytest.mark.parametrize(
    ("choices", "expected"),
    [
        ([made(ADD, 0.9, 12.0), made(ADD_SUBTRACT, 0.8, 11.0), made(UNCOUPLED, 0.4, 9.0)], ADD),
        ([made(ADD, 0.9, 11.0), made(ADD_SUBTRACT, 0.8, 11.5), made(UNCOUPLED, 0.4, 13.0)], UNCOUPLED),
        ([made(ADD, 0.9, 9.0), made(ADD_SUBTRACT, 0.8, 8.0), made(UNCOUPLED, 0.4, 9.9)], BASELINE),
        ([made(ADD, 0.9, 10.0), made(ADD_SUBTRACT, 0.8, 10.0), made(UNCOUPLED, 0.4, 10.0)], BASELINE),
        ([made(ADD, 0.9, 0.0, 0.0), made(UNCOUPLED, 0.4, 0.0, 0.0)], BASELINE),
    ],
)
def test_hand_over_by_hand(choices: list[Choice], expected: str) -> None:
    """The best composition, if it is above the task vector alone."""
    assert hand_over(choices) == expected


def test_a_choice_says_what_it_is() -> None:
    one = made(ADD_SUBTRACT, 0.8, 11.0)
    assert (one.weight, one.value, one.curve) == (0.8, 11.0, [(0.8, 11.0), (1.0, 10.0)])
    assert parse(one.expression) == parse("0.8*t[en] + 0.2*(l[pt] - l[en])")


def test_all_protocols_are_documented() -> None:
    assert all(f"``{protocol}``" in (choose.__doc__ or "") for protocol in choose.PROTOCOLS)
