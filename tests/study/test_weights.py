"""Which weights are tried, which is best, and which method is handed over: known answers by hand."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lingarith.study import weights
from lingarith.study.records import ADD, ADD_SUBTRACT, BEST, RATES, UNCOUPLED, Choice
from lingarith.study.weights import Curve, best, grid, hand_over, neutral


@pytest.mark.parametrize("method", [ADD, ADD_SUBTRACT, UNCOUPLED])
@pytest.mark.parametrize("space", ["factors", "anchored", "delta"])
def test_the_grid_is_the_paper_s_with_both_ends(method: str, space: str) -> None:
    tried = grid(method, space)
    assert {k / 10 for k in range(11)} <= set(tried)
    assert list(tried) == sorted(set(tried))
    assert (tried[0], tried[-1]) == (0.0, 1.0)
    steps = [b - a for a, b in pairwise(tried)]
    finer = space == "factors" and method != UNCOUPLED
    assert (max(steps[-5:]) < 0.03) == finer
    assert all(step == pytest.approx(0.1) for step in steps[:9])


@pytest.mark.parametrize(
    ("method", "curve", "expected"),
    [
        (ADD, [(0.0, 1.0), (0.5, 3.0), (1.0, 2.0)], (0.5, 3.0)),
        (ADD, [(0.0, 3.0), (0.5, 3.0), (1.0, 3.0)], (1.0, 3.0)),
        (ADD_SUBTRACT, [(0.2, 3.0), (0.8, 3.0), (1.0, 2.0)], (0.8, 3.0)),
        (UNCOUPLED, [(0.0, 3.0), (0.5, 3.0), (1.0, 3.0)], (0.0, 3.0)),
        (UNCOUPLED, [(0.0, 2.0), (0.3, 3.0), (1.0, 3.0)], (0.3, 3.0)),
        (RATES, [(0.1, 3.0), (0.9, 3.0), (1.0, 3.0)], (0.1, 3.0)),
        (BEST, [("ru", 2.0), ("en", 3.0), ("ar", 3.0)], ("en", 3.0)),
    ],
)
def test_best_by_hand(method: str, curve: Curve, expected: tuple[float, float]) -> None:
    assert best(method, curve) == expected


@given(
    values=st.lists(st.integers(0, 3), min_size=2, max_size=12),
    method=st.sampled_from([ADD, UNCOUPLED]),
    data=st.data(),
)
def test_best_does_not_depend_on_the_order(values: list[int], method: str, data: st.DataObject) -> None:
    curve: list[tuple[float, float]] = [(k / (len(values) - 1), float(value)) for k, value in enumerate(values)]
    weight, value = best(method, curve)
    assert isinstance(weight, float)
    assert value == max(values)
    assert all(abs(w - neutral(method)) >= abs(weight - neutral(method)) for w, v in curve if v == value)
    assert best(method, data.draw(st.permutations(curve))) == (weight, value)


def made(method: str, weight: float, value: float, alone: float = 10.0) -> Choice:
    points: Curve = sorted({neutral(method): alone, weight: value}.items())
    return Choice("pt", method, "oracle", weight, value, "", points)


@pytest.mark.parametrize(
    ("choices", "expected"),
    [
        ([made(ADD, 0.9, 12.0), made(ADD_SUBTRACT, 0.8, 11.0), made(UNCOUPLED, 0.4, 9.0)], ADD),
        ([made(ADD, 0.9, 11.0), made(ADD_SUBTRACT, 0.8, 11.5), made(UNCOUPLED, 0.4, 13.0)], UNCOUPLED),
        ([made(ADD, 0.9, 9.0), made(ADD_SUBTRACT, 0.8, 8.0), made(UNCOUPLED, 0.4, 9.9)], None),
        ([made(ADD, 0.9, 10.0), made(ADD_SUBTRACT, 0.8, 10.0), made(UNCOUPLED, 0.4, 10.0)], None),
        ([made(ADD, 0.9, 0.0, 0.0), made(UNCOUPLED, 0.4, 0.0, 0.0)], None),
        ([made(ADD, 0.9, 12.0, 11.0), made(UNCOUPLED, 0.4, 11.9, 10.0)], UNCOUPLED),  # by gain: races differ
        ([], None),
    ],
)
def test_hand_over_by_hand(choices: list[Choice], expected: str | None) -> None:
    """The best composition, if it is above the task vector alone, which is handed over otherwise."""
    chosen = hand_over(choices)
    assert (chosen and chosen.method) == expected


def test_all_protocols_are_documented() -> None:
    assert all(f"``{protocol}``" in (weights.__doc__ or "") for protocol in weights.PROTOCOLS)
