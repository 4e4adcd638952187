"""The paper's equations 1 to 4 (arXiv 2311.09344), and one beyond it.

Every argument that stands for a vector is a Combination or the text of one (``"xlsum[en]"``).
All functions raise LingarithError for text that is no combination and for weights out of range.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..errors import LingarithError
from .combination import Combination, added, parse


def add(task_source: Combination | str, language_target: Combination | str, lam: float) -> Combination:
    """Equation 1, "Language and Task (Add)": λ·θ_task;S + (1−λ)·θ_LM;T, with λ in [0, 1].

    >>> str(add("xlsum[en]", "mc4[pt]", 0.6))
    '0.6*xlsum[en] + 0.4*mc4[pt]'
    """
    return _share(lam) * _combination(task_source) + added((1, -lam)) * _combination(language_target)


def add_subtract(
    task_source: Combination | str, language_target: Combination | str, language_source: Combination | str, lam: float
) -> Combination:
    """Equation 2, "Language and Task (Add and Subtract)": λ·θ_task;S + (1−λ)·(θ_LM;T − θ_LM;S), λ in [0, 1].

    >>> str(add_subtract("xlsum[en]", "mc4[pt]", "mc4[en]", 0.6))
    '0.6*xlsum[en] + 0.4*(mc4[pt] - mc4[en])'
    """
    away = _combination(language_target) - _combination(language_source)
    return _share(lam) * _combination(task_source) + added((1, -lam)) * away


def average(tasks: Sequence[Combination | str]) -> Combination:
    """Equation 3, "Task-only (Add all)" or "(Add related)": (1/L)·Σᵢ θ_task;Sᵢ over the L tasks given.

    Raises LingarithError when none is given.

    >>> str(average(["xlsum[ar]", "xlsum[bn]"]))
    '0.5*(xlsum[ar] + xlsum[bn])'
    """
    if isinstance(tasks, str) or not tasks:
        raise LingarithError(f"an average is over a list of at least one vector, not over {tasks!r}")
    return sum((_combination(task) for task in tasks), Combination()) / len(tasks)


def add_subtract_related(
    tasks: Sequence[Combination | str],
    language_target: Combination | str,
    language_sources: Sequence[Combination | str],
    lam: float,
) -> Combination:
    """Equation 4, "Language and Task (Add and Subtract related)": λ·θ′_task + (1−λ)·(θ_LM;T − θ′_LM).

    θ′ are averages over the same L related languages, λ is in [0, 1]. Raises LingarithError when
    the two lists differ in length or are empty.

    >>> str(add_subtract_related(["xlsum[ar]", "xlsum[ru]"], "mc4[fa]", ["mc4[ar]", "mc4[ru]"], 0.8))
    '0.4*(xlsum[ar] + xlsum[ru]) + 0.2*mc4[fa] - 0.1*(mc4[ar] + mc4[ru])'
    """
    if len(tasks) != len(language_sources):
        raise LingarithError(
            f"equation 4 averages over the same related languages twice, but there are {len(tasks)} task vectors "
            f"and {len(language_sources)} language vectors; give one of each per language"
        )
    return add_subtract(average(tasks), language_target, average(language_sources), lam)


def uncoupled(
    task_source: Combination | str,
    language_target: Combination | str,
    language_source: Combination | str,
    beta: float,
    alpha: float = 1.0,
) -> Combination:
    """Not in the paper: α·θ_task;S + β·(θ_LM;T − θ_LM;S), which keeps the task whole while language is added.

    Raises LingarithError unless both weights are finite and at least 0.

    >>> str(uncoupled("xlsum[en]", "mc4[pt]", "mc4[en]", 0.4))
    'xlsum[en] + 0.4*(mc4[pt] - mc4[en])'
    """
    for name, weight in (("alpha", alpha), ("beta", beta)):
        if not (math.isfinite(weight) and weight >= 0):
            raise LingarithError(f"{name} is {weight}; it must be a finite number of at least 0")
    away = _combination(language_target) - _combination(language_source)
    return alpha * _combination(task_source) + beta * away


def _combination(vector: Combination | str) -> Combination:
    return parse(vector) if isinstance(vector, str) else vector


def _share(lam: float) -> float:
    if not 0 <= lam <= 1:
        raise LingarithError(f"lambda is {lam}; it must lie in [0, 1]")
    return lam
