"""Facts of stories: a pure function of split and number, with names kept for the test alone."""

from __future__ import annotations

from collections import Counter
from datetime import date

import pytest

from lingarith.newsroom.world import (
    BACKGROUNDS,
    DETAILS,
    EVENTS,
    LEADS,
    NAMES,
    PLACES,
    TEST_ONLY_NAMES,
    TEST_ONLY_PLACES,
    Story,
    story,
)
from lingarith.newsroom.writer import write

SPLITS = {"train": 2000, "validation": 64, "test": 500, "text-pt": 500, "pretrain-pt": 500, "copying": 192}


@pytest.fixture(scope="module")
def stories() -> dict[str, list[Story]]:
    return {split: [story(split, number) for number in range(size)] for split, size in SPLITS.items()}


def used(story: Story) -> tuple[set[int], set[int], set[int]]:
    """The places, given names and family names of a story."""
    places, given, family = set(), set(), set()
    for facts in (story.facts, *story.asides):
        for slot, fact in facts.items():
            if isinstance(fact, tuple) and fact[0] == "place":
                places.add(int(fact[1]))
            elif slot in ("person", "witness"):
                assert isinstance(fact, tuple)
                given.add(int(fact[0]))
                family.add(int(fact[1]))
    return places, given, family


def test_a_story_is_a_function_of_split_and_number() -> None:
    assert story("train", 3) == story("train", 3)
    assert len({repr(story("train", number)) for number in range(200)}) == 200
    assert story("train", 3) != story("test", 3)


def test_no_story_is_in_two_splits(stories: dict[str, list[Story]]) -> None:
    """Neither with the same facts nor with the same words."""
    facts = {split: {repr((one.event, one.facts)) for one in told} for split, told in stories.items()}
    texts = {split: {write(one, "en").text for one in told} for split, told in stories.items()}
    for sets in (facts, texts):
        for split in sets:
            for other in sets:
                assert split == other or not sets[split] & sets[other]


def test_some_places_and_people_occur_in_the_test_alone(stories: dict[str, list[Story]]) -> None:
    seen = {
        split: [set().union(*kind) for kind in zip(*map(used, told), strict=True)] for split, told in stories.items()
    }
    everything = [set(range(len(PLACES))), set(range(NAMES)), set(range(NAMES))]
    held_out = [
        set(range(len(PLACES) - TEST_ONLY_PLACES, len(PLACES))),
        *[set(range(NAMES - TEST_ONLY_NAMES, NAMES))] * 2,
    ]
    assert seen["test"] == everything
    assert seen["train"] == [whole - kept for whole, kept in zip(everything, held_out, strict=True)]
    for split in ("validation", "text-pt", "pretrain-pt", "copying"):
        assert not any(got & kept for got, kept in zip(seen[split], held_out, strict=True))


def test_what_a_story_is_made_of(stories: dict[str, list[Story]]) -> None:
    for one in stories["train"]:
        assert set(one.facts) == set(EVENTS[one.event])
        assert 0 <= one.lead < LEADS
        kinds = Counter(kind for kind, _ in one.told)
        assert 2 <= kinds["detail"] <= 3
        assert kinds["background"] == len(one.asides) in (1, 2)
        assert {("detail", 0), ("detail", 1)} <= set(one.told)
        assert len(set(one.told)) == len(one.told)
        assert all(index < (DETAILS if kind == "detail" else BACKGROUNDS) for kind, index in one.told)
        places = [fact for facts in (one.facts, *one.asides) for fact in facts.values() if "place" in repr(fact)]
        assert len(set(places)) == len(places)
        assert all(isinstance(aside["date"], date) for aside in one.asides)


def test_every_event_and_every_way_of_telling_it_occurs(stories: dict[str, list[Story]]) -> None:
    told = stories["train"]
    assert {(one.event, one.lead) for one in told} == {(event, lead) for event in EVENTS for lead in range(LEADS)}
    assert {part for one in told for part in one.told} == {
        *(("detail", index) for index in range(DETAILS)),
        *(("background", index) for index in range(BACKGROUNDS)),
    }
