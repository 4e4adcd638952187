"""Which languages are related, by each rule."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lingarith.errors import LingarithError
from lingarith.languages.codes import SEEN, UNSEEN
from lingarith.languages.distances import Table, Uriel
from lingarith.languages.related import Limits, Nearest, preset, related


def table(name: str = "syntactic", **distances: float | None) -> Table:
    """Distances to Portuguese."""
    return Table(name, {frozenset(("pt", code)): value for code, value in distances.items()}, "a test")


NEAR = table(en=0.5, ru=0.69, ja=0.7, te=None)
WHERE = table("geographic", en=0.1, ru=0.4, ja=0.2, te=0.1)


def test_limits() -> None:
    found = related("pt", ["te", "ja", "ru", "en"], distances=[NEAR, WHERE])
    assert found.chosen == ("en",)
    assert found.rule == "syntactic < 0.7 and geographic < 0.3"
    assert found.measures == ("syntactic (a test)", "geographic (a test)")
    assert [(each.language, each.chosen, each.why) for each in found.candidates] == [
        ("en", True, "syntactic < 0.7, geographic < 0.3"),
        ("ru", False, "geographic ≥ 0.3"),
        ("ja", False, "syntactic ≥ 0.7"),
        ("te", False, "syntactic not known"),
    ]
    assert found.candidates[3].distances == {"syntactic": None, "geographic": 0.1}
    assert not found.note


def test_either_limit() -> None:
    found = related("pt", ["en", "ru", "ja", "te"], Limits(either=True), distances=[NEAR, WHERE])
    assert found.chosen == ("en", "ru", "ja", "te")
    assert found.rule == "syntactic < 0.7 or geographic < 0.3"
    assert found.candidates[1].why == "syntactic < 0.7"
    assert related("pt", ["ru"], Limits({"geographic": 0.3}, either=True), distances=[NEAR, WHERE]).note


def test_nothing_is_near_enough() -> None:
    found = related("pt", ["ja", "ru"], Limits({"syntactic": 0.1}), distances=[NEAR])
    assert found.chosen == ("ru",)
    assert found.note == "no source meets the rule; ru is taken, the nearest by syntactic (0.69)"
    assert found.candidates[0].why == "the nearest, but syntactic ≥ 0.1"
    with pytest.raises(LingarithError, match=r"no source meets 'syntactic < 0\.7' for pt, and no syntactic distance"):
        related("pt", ["te"], Limits({"syntactic": 0.7}), distances=[NEAR])


@pytest.mark.parametrize("limit", [float("nan"), float("inf"), -1.0, 0.0])
def test_limits_that_are_none(limit: float) -> None:
    with pytest.raises(LingarithError, match=f"the limit {limit:g} on 'syntactic' must be a positive number"):
        Limits({"geographic": 0.3, "syntactic": limit})


def test_the_nearest() -> None:
    found = related("pt", ["te", "ja", "ru", "en"], Nearest(2), distances=[NEAR])
    assert found.chosen == ("en", "ru")
    assert [each.why for each in found.candidates] == ["number 1", "number 2", "number 3", "syntactic not known"]
    assert related("pt", ["te", "ja"], Nearest(9), distances=[NEAR]).chosen == ("ja",)
    assert related("pt", ["te", "ja", "en"], Nearest(1), distances=[WHERE]).chosen == ("te",)


def test_the_preset_is_the_printed_table() -> None:
    printed = preset("paper-table5")
    assert list(printed.sets) == list(UNSEEN)
    for target in UNSEEN:
        found = related(target, SEEN, printed)
        assert set(found.chosen) == set(printed.sets[target])
        assert not found.note
    assert printed.sets["ne"] == ["te", "ja", "tr", "ko", "ru", "bn"]
    assert related("pt", ["ja", "ko"], printed).note.startswith("no source meets the rule; ko is taken")
    assert (
        related("por_Latn", ["eng", "rus", "ko"], printed).chosen == related("pt", ["en", "ru", "ko"], printed).chosen
    )
    with pytest.raises(LingarithError, match="paper-table5 has no target 'en'"):
        related("en", ["ru"], printed)
    with pytest.raises(LingarithError, match="no preset 'table5'; did you mean paper-table5"):
        preset("table5")


def test_nepali_is_as_in_the_paper_by_its_own_limits() -> None:
    assert related("ne", SEEN).chosen == tuple(preset("paper-table5").sets["ne"])


def test_names_and_codes_are_alike() -> None:
    assert related("Portuguese", ["eng", "English", "ru"]) == related("pt", ["en", "ru"])


@pytest.mark.parametrize(
    ("sources", "sentence"),
    [
        ([], "there are no languages among which to look for relatives of pt"),
        (["en", "por"], "pt is the target and no source of its own"),
        (["en", "xyzzy"], "no language is called 'xyzzy'"),
        (["en", "bn"], "a test has no pair pt and bn"),
    ],
)
def test_sources_that_cannot_be(sources: list[str], sentence: str) -> None:
    with pytest.raises(LingarithError) as problem:
        related("pt", sources, Nearest(1), distances=[NEAR])
    assert sentence in str(problem.value)


def test_rules_that_cannot_be() -> None:
    with pytest.raises(LingarithError, match="the nearest 0 languages are none"):
        Nearest(0)
    with pytest.raises(LingarithError, match="a limit on 'geographic' and no such distances"):
        related("pt", ["en"], distances=[NEAR])


@settings(deadline=None, max_examples=25)
@given(
    st.lists(st.sampled_from(SEEN), min_size=1, unique=True),
    st.sampled_from(UNSEEN),
    st.floats(0, 1.1, exclude_min=True),
    st.booleans(),
)
def test_laws(sources: list[str], target: str, limit: float, either: bool) -> None:
    """Never empty, nearest first, independent of the order of the sources, monotone in the limit."""
    found = related(target, sources, Limits({"syntactic": limit, "geographic": 0.3}, either))
    distances = [each.distances["syntactic"] for each in found.candidates]
    assert found.chosen
    assert distances == sorted(distances)
    assert set(found.chosen) <= {each.language for each in found.candidates} == set(sources)
    assert related(target, sources[::-1], Limits({"syntactic": limit, "geographic": 0.3}, either)) == found
    wider = related(target, sources, Limits({"syntactic": limit + 0.1, "geographic": 0.3}, either))
    assert set(found.chosen) <= set(wider.chosen) or found.note


def test_a_measure_of_every_kind_serves() -> None:
    pairs = {frozenset(pair): 0.1 for pair in combinations(("pt", "en", "ru"), 2)}
    found = related("pt", ["en", "ru"], Nearest(1), distances=[Uriel("genetic"), Table("mine", pairs, "a test")])
    assert found.chosen == ("ru",)
    assert found.candidates[0].distances["mine"] == 0.1
