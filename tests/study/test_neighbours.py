"""Which languages of a study are near, and which are far."""

from collections.abc import Callable

from lingarith.study.neighbours import far, related_sources
from lingarith.study.study import Study


def test_a_source_that_plays_the_target_is_judged_by_distances(study: Callable[..., Study]) -> None:
    """The paper prints no row for it."""
    one = study("table2", related="paper-table5", sources=("en", "ru", "ja"))
    assert related_sources(one, "pt", ("en", "ru", "ja")).rule == "paper-table5"
    assert related_sources(one, "en", ("ru", "ja")).rule == "syntactic < 0.7 and geographic < 0.3"
    assert related_sources(study("table2", sources=("en",)), "pt", ("en",)).rule == "paper-table5"
    by_distance = related_sources(study("table2", related="uriel"), "pt", ("en",))
    assert by_distance.rule == "syntactic < 0.7 and geographic < 0.3"


def test_how_far_languages_are() -> None:
    assert 0 < far("pt", "en") < far("pt", "ja")
    assert far("pt", "no-such-language") == 0
