import time
from itertools import product

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from lingarith.errors import LingarithError
from lingarith.scores import resample
from lingarith.scores.resample import (
    bootstrap_difference,
    bootstrap_interval,
    difference_of_groups,
    group_test,
    holm,
    interval_of_groups,
    paired_test,
)

rng = np.random.default_rng(5)
A = rng.normal(30, 10, 60)
B = A - rng.normal(1.5, 6, 60)


def oracle_p(a, b, **options):
    return scipy.stats.permutation_test(
        (a, b), lambda x, y, axis: np.mean(x - y, axis=axis), permutation_type="samples", vectorized=True, **options
    ).pvalue


def test_interval_agrees_with_scipy():
    oracle = scipy.stats.bootstrap((A,), np.mean, method="percentile", n_resamples=10_000, rng=1).confidence_interval
    np.testing.assert_allclose(bootstrap_interval(A), oracle, atol=0.15)


def test_interval_of_a_difference_is_the_paired_one():
    assert bootstrap_difference(A, B) == bootstrap_interval(A - B)
    low, high = bootstrap_difference(B, A)
    assert low < np.mean(B - A) < high
    assert high - low < np.subtract(*bootstrap_interval(A)[::-1])  # pairing takes the examples' spread out


def test_interval_of_a_constant_is_the_constant_and_levels_nest():
    assert bootstrap_interval([7.0] * 9) == (7.0, 7.0)
    wide, narrow = bootstrap_interval(A, level=0.99), bootstrap_interval(A, level=0.5)
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


def test_seeds_decide():
    assert bootstrap_interval(A, seed=3) == bootstrap_interval(A, seed=3) != bootstrap_interval(A, seed=4)
    assert paired_test(A, B, seed=3) == paired_test(A, B, seed=3)


def test_paired_test_by_hand():
    assert paired_test([1, 2, 3], [0, 0, 0]) == 2 / 8  # only +++ and --- reach a sum of 6
    assert paired_test([1, 1, -1], [0, 0, 0]) == 1.0  # every pattern reaches a sum of 1
    assert paired_test([0.1, 0.7, 0.7, 0.9], [0.0, 0.8, 0.8, 0.8]) == 1.0  # though 0.7 - 0.8 is not quite -0.1
    assert paired_test([5.0, 6.0], [5.0, 6.0]) == 1.0
    assert paired_test(np.ones(100), np.zeros(100), draws=999) == 1 / 1000


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=2, max_size=7))
def test_exact_p_agrees_with_scipy(pairs):
    a, b = np.array(pairs, dtype=float).T
    assert paired_test(a, b) == pytest.approx(oracle_p(a, b))
    assert paired_test(a, b) == paired_test(b, a)


def test_random_p_agrees_with_scipy():
    assert paired_test(A, B) == pytest.approx(oracle_p(A, B, n_resamples=10_000, rng=1), abs=0.01)
    exact = paired_test(A[:12], B[:12])
    assert exact == pytest.approx(oracle_p(A[:12], B[:12]))
    # two examples that are equal on both sides change nothing but the way of counting
    a, b = np.append(A[:12], [1, 1]), np.append(B[:12], [1, 1])
    assert paired_test(a, b) == pytest.approx(exact, abs=0.02)


def test_many_examples_are_drawn_in_blocks():
    many = np.random.default_rng(0).normal(0, 1, 5_000)
    low, high = bootstrap_interval(many, draws=1_000)
    assert high - low == pytest.approx(2 * 1.96 / np.sqrt(5_000), rel=0.15)
    assert 0 < paired_test(many, np.zeros(5_000), draws=1_000) <= 1


def test_very_many_examples_have_the_same_interval_and_p(monkeypatch):
    scores = rng.gamma(2, 10, (3, 6000))
    other = scores + rng.normal(0.2, 12, scores.shape)
    quick = interval_of_groups([scores]), difference_of_groups([scores], [other])
    monkeypatch.setattr(resample, "LARGE", 10**9)
    drawn = interval_of_groups([scores], draws=2000), difference_of_groups([scores], [other], draws=2000)
    spread = scores.std() / 6000**0.5
    assert np.allclose(quick[0], drawn[0], atol=0.15 * spread)
    assert np.allclose(quick[1][:3], drawn[1][:3], atol=0.15 * spread)
    assert quick[1].p == pytest.approx(drawn[1].p, abs=0.04)


def test_a_few_examples_that_count_for_all_are_drawn():
    """Three outputs in ten thousand differ: no normal limit is near."""
    few = np.zeros((1, 10_000))
    few[0, :3] = 100.0
    assert interval_of_groups([few], draws=500)[0] == 0.0
    assert paired_test(few[0], np.zeros(10_000), draws=500) == pytest.approx(0.25, abs=0.08)


def test_one_group_of_one_seed_is_the_plain_bootstrap():
    np.testing.assert_allclose(interval_of_groups([A[None]]), bootstrap_interval(A), atol=0.15)


def test_the_interval_over_groups_agrees_with_theory():
    """Each group counts alike, however many examples it has."""
    groups = [rng.normal(40, 10, (1, n)) for n in (400, 100)]
    low, high = interval_of_groups(groups, draws=4_000)
    error = np.sqrt(sum(g.var() / g.shape[1] for g in groups)) / 2
    assert high - low == pytest.approx(2 * 1.96 * error, rel=0.1)
    assert low < (groups[0].mean() + groups[1].mean()) / 2 < high


@pytest.mark.parametrize("by_seed", [[4.0, 8.0], [1.0, 2.0, 4.5], [-1.0, 3.0, 2.0, 2.5, 4.0]])
def test_where_seeds_alone_decide_it_is_the_t_test_of_their_means(by_seed):
    """Seeds are drawn for all groups together: two groups are no surer than one."""
    group = np.repeat(np.array(by_seed)[:, None], 40, axis=1)
    seeds = np.array(by_seed) + 0.5
    oracle = scipy.stats.ttest_1samp(seeds, 0)
    low, high = oracle.confidence_interval()
    found = difference_of_groups([group, group + 1], [0 * group] * 2, draws=100_000)
    assert found.mean == pytest.approx(seeds.mean())
    assert (found.high - found.low) == pytest.approx(high - low, rel=0.1)
    assert found.p == pytest.approx(oracle.pvalue, rel=0.1)


def test_seeds_that_are_the_same_add_nothing():
    one, three = (A - B - 1)[None], np.repeat((A - B - 1)[None], 3, axis=0)
    assert np.allclose(interval_of_groups([three]), interval_of_groups([one]))
    assert group_test([three]) == pytest.approx(group_test([one]), abs=0.01)


def test_few_examples_are_tested_by_themselves_too():
    """Three examples, all of them better by any seed: drawn they are never worse, though signs of three say little."""
    few = np.array([[3.0, 4.0, 5.0]] * 2)
    assert group_test([few]) == paired_test([3, 4, 5], [0, 0, 0]) == 0.25


@given(st.integers(0, 10**6), st.integers(2, 4), st.floats(0, 3), st.floats(-2, 2))
@settings(max_examples=40, deadline=None)
def test_what_is_significant_has_an_interval_without_zero(seed, seeds, between, shift):
    rng = np.random.default_rng(seed)
    groups = [shift + between * rng.normal(size=(seeds, 1)) + rng.normal(size=(seeds, n)) for n in (20, 30)]
    found = difference_of_groups(groups, [0 * group for group in groups], draws=1_000)
    assert found.low <= found.mean <= found.high
    if found.p < 0.05:
        assert found.low * found.high > 0


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_seeds_alone_are_no_finding(seeds):
    """Of differences that are seeds and nothing else a test at 5 % finds about one in twenty, and not a quarter."""
    rng = np.random.default_rng(seeds)
    found = [group_test([rng.normal(size=(seeds, 1)) + rng.normal(size=(seeds, 30)) / 5], 400) for _ in range(400)]
    assert 0.02 < np.mean(np.array(found) < 0.05) < 0.08


def test_a_difference_by_hand():
    ours, theirs = [np.full((1, 4), 10.0), np.full((1, 2), -4.0)], [np.zeros((1, 4)), np.zeros((1, 2))]
    found = difference_of_groups(ours, theirs, draws=200)
    assert (found.mean, found.low, found.high) == (3, 3, 3)  # the groups weigh the same, not the examples
    # 4 examples of 10 · 6/4 and 2 of −4 · 6/2, whose sum is 36
    flips = [sum(s * v for s, v in zip(p, [15] * 4 + [-12] * 2, strict=True)) for p in product((1, -1), repeat=6)]
    assert found.p == sum(abs(total) >= 36 for total in flips) / 64


def test_holm_by_hand():
    # sorted 0.01, 0.02, 0.03, 0.5; times 4, 3, 2, 1; never falling
    assert holm({"d": 0.5, "a": 0.01, "c": 0.03, "b": 0.02}) == pytest.approx(
        {"d": 0.5, "a": 0.04, "c": 0.06, "b": 0.06}
    )
    assert list(holm({"b": 0.2, "a": 0.1})) == ["b", "a"]
    assert holm({"only": 0.3}) == {"only": 0.3}
    assert holm({"a": 0.9, "b": 0.8}) == {"a": 1.0, "b": 1.0}


@given(st.dictionaries(st.text(max_size=2), st.floats(0, 1), min_size=1, max_size=8))
def test_holm_keeps_the_order_and_never_lowers(p_values):
    adjusted = holm(p_values)
    assert all(p_values[name] <= adjusted[name] <= 1 for name in p_values)
    ranked = sorted(p_values, key=lambda name: p_values[name])
    assert [adjusted[name] for name in ranked] == sorted(adjusted.values())


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: bootstrap_interval([]), "at least one"),
        (lambda: bootstrap_interval([[1.0]]), "shape"),
        (lambda: bootstrap_interval([1.0, float("nan")]), "score 1 is nan"),
        (lambda: bootstrap_interval([1.0], level=95), "level"),
        (lambda: bootstrap_interval([1.0], draws=0), "draws"),
        (lambda: bootstrap_difference([1.0], [1.0, 2.0]), "1 and 2 scores"),
        (lambda: paired_test([], []), "at least one"),
        (lambda: paired_test([1.0, 2.0], [1.0]), "2 and 1 scores"),
        (lambda: holm({}), "at least one"),
        (lambda: holm({"pt": 1.5}), "p-value of pt is 1.5"),
        (lambda: holm({"pt": float("nan")}), "p-value of pt is nan"),
    ],
)
def test_bad_input(call, sentence):
    with pytest.raises(LingarithError, match=sentence):
        call()


def test_quick_enough_to_be_called_per_language():
    a, b = np.random.default_rng(0).normal(size=(2, 200))
    start = time.process_time()
    bootstrap_difference(a, b)
    paired_test(a, b)
    assert time.process_time() - start < 2  # 0.1 s on an idle core; the margin is for shared ones
