import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lingarith.algebra import add, add_subtract, add_subtract_related, average, parse, uncoupled, vector
from lingarith.errors import LingarithError

task, target, source = vector("xlsum[en]"), vector("mc4[pt]"), vector("mc4[en]")
share = st.integers(0, 100).map(lambda n: n / 100)


@given(share)
def test_equations_as_the_paper_writes_them(lam):
    rest = 1 - lam
    assert add(task, target, lam) == parse(f"{lam}*xlsum[en] + {rest}*mc4[pt]")
    assert add_subtract(task, target, source, lam) == parse(f"{lam}*xlsum[en] + {rest}*(mc4[pt] - mc4[en])")
    assert uncoupled(task, target, source, lam, alpha=0.5) == parse(f"0.5*xlsum[en] + {lam}*(mc4[pt] - mc4[en])")


@given(share)
def test_laws(lam):
    assert add_subtract(task, target, target, lam) == lam * task
    assert add(task, task, lam) == task
    assert add_subtract_related([task], target, [source], lam) == add_subtract(task, target, source, lam)
    assert uncoupled(task, target, source, 1 - lam, alpha=lam) == add_subtract(task, target, source, lam)


def test_ends_of_the_range():
    assert add(task, target, 1) == add_subtract(task, target, source, 1) == uncoupled(task, target, source, 0) == task
    assert add(task, target, 0) == target
    assert add_subtract(task, target, source, 0) == target - source


@given(st.integers(1, 30))
def test_average_of_equal_vectors_is_the_vector(count):
    assert average([task] * count) == task


def test_averages_by_hand():
    assert str(average(["a", "b", "c", "d"])) == "0.25*(a + b + c + d)"
    by_hand = "0.4*(x[ar] + x[ru]) + 0.2*m[fa] - 0.1*m[ar] - 0.1*m[ru]"
    assert add_subtract_related(["x[ar]", "x[ru]"], "m[fa]", ["m[ar]", "m[ru]"], 0.8) == parse(by_hand)


@pytest.mark.parametrize("lam", [-0.1, 1.1, math.nan, math.inf])
def test_lambda_outside_its_range(lam):
    for equation in (
        lambda: add(task, target, lam),
        lambda: add_subtract(task, target, source, lam),
        lambda: add_subtract_related([task], target, [source], lam),
    ):
        with pytest.raises(LingarithError, match=r"lambda is .* \[0, 1\]"):
            equation()


@pytest.mark.parametrize("weight", [-0.1, math.nan, math.inf])
def test_weights_of_the_uncoupled_form(weight):
    with pytest.raises(LingarithError, match="beta is"):
        uncoupled(task, target, source, weight)
    with pytest.raises(LingarithError, match="alpha is"):
        uncoupled(task, target, source, 0.5, alpha=weight)


def test_lists_that_do_not_fit():
    with pytest.raises(LingarithError, match="at least one"):
        average([])
    with pytest.raises(LingarithError, match="list"):
        average("xlsum[en]")
    with pytest.raises(LingarithError, match="2 task vectors and 1 language"):
        add_subtract_related(["a", "b"], "c", ["d"], 0.5)
