"""Which languages of a study are near to each other, and which are far."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import cache

from ..errors import LingarithError
from ..languages.codes import known
from ..languages.distances import Uriel
from ..languages.related import PRESETS, Related, preset, related
from .options import LIMITS
from .study import Study


def related_sources(study: Study, target: str, sources: Sequence[str]) -> Related:
    """The sources that are related to the target, by the study's rule; without one by what the paper prints."""
    rule = study.languages.related or PRESETS[0]
    printed = None if rule == LIMITS else preset(rule)
    if printed and target not in printed.sets:
        printed = None  # a source that plays the target
    return related(target, sources, printed)


@cache
def far(one: str, other: str) -> float:
    """The syntactic distance; 0 where URIEL has none."""
    if known(one) is None or known(other) is None:  # which costs no search for near names
        return 0.0
    with suppress(LingarithError):
        return Uriel("syntactic").between(one, other) or 0.0
    return 0.0
