"""Races of weights: laws that hold for any scores, and what is saved."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lingarith.study.halving import Race, race

GRID = [k / 10 for k in range(11)] + [0.92, 0.94, 0.96, 0.98]


@given(st.integers(0, 1000), st.integers(1, 70), st.lists(st.sampled_from(GRID), unique=True, min_size=1))
def test_a_race_is_fair(seed: int, examples: int, weights: list[float]) -> None:
    """All in a round see the same first examples, none sees more than there are, and the neutral weight stays."""
    weights = sorted({*weights, 1.0})
    scores = {weight: random.Random(f"{seed} {weight}").choices(range(101), k=examples) for weight in weights}

    def first(some: Sequence[float], count: int) -> list[list[int]]:
        return [scores[weight][:count] for weight in some]

    found = race(weights, 1.0, examples, first)
    assert {1.0, *found.finalists} <= {weight for weight, _, _ in found.points} <= set(weights)
    assert 1.0 in found.finalists
    assert all(mean == pytest.approx(sum(scores[w][:n]) / n) for w, mean, n in found.points)
    most = max(n for _, _, n in found.points)
    assert most <= examples
    assert all(n == most for weight, _, n in found.points if weight in found.finalists)
    assert found == race(weights, 1.0, examples, first)


def test_where_one_is_always_best_it_wins_at_a_fraction_of_the_cost() -> None:
    def scores(weights: Sequence[float], count: int) -> list[list[float]]:
        return [[100 - 100 * abs(weight - 0.4) + k % 3 for k in range(count)] for weight in weights]

    found = race(sorted(GRID), 1.0, 128, scores)
    assert found.finalists == [0.4, 1.0]
    assert sum(n for _, _, n in found.points) < 128 * len(GRID) / 4


def test_what_cannot_be_told_apart_is_tried_on_all() -> None:
    noise = random.Random(0)
    draws = {weight: [noise.gauss(50, 10) for _ in range(64)] for weight in GRID}
    found: Race = race(sorted(GRID), 1.0, 64, lambda some, count: [draws[weight][:count] for weight in some])
    assert max(n for _, _, n in found.points) == 64


def test_one_weight_needs_no_race() -> None:
    assert race([1.0], 1.0, 64, lambda _, count: [[5.0] * count]) == Race([(1.0, 5.0, 6)], [1.0])
    assert race([1.0], 1.0, 3, lambda _, count: [[5.0] * count]) == Race([(1.0, 5.0, 3)], [1.0])


def test_few_examples_are_seen_by_all_weights() -> None:
    found = race(sorted(GRID), 1.0, 4, lambda some, count: [[weight] * count for weight in some])
    assert [seen for *_, seen in found.points] == [4] * len(GRID)


@given(st.sampled_from(sorted(GRID)), st.sampled_from([16, 32, 64, 128]))
def test_the_top_of_a_curve_without_noise_is_found(top: float, examples: int) -> None:
    """Of a curve that falls on both sides, or near 1, where the grid is fine, a weight beside it."""
    found = race(
        sorted(GRID),
        1.0,
        examples,
        lambda some, count: [[-100 * abs(w - top) + k % 3 for k in range(count)] for w in some],
    )
    best = max(found.points, key=lambda point: (point[0] in found.finalists, point[1]))
    assert best[0] == pytest.approx(top, abs=0.04 if top > 0.9 else 1e-9)
    assert sum(seen for *_, seen in found.points) < examples * len(GRID) / 3
