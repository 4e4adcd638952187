"""Facts of invented news stories, the same for every language.

A :class:`Story` says what happened and in which order it is told; :mod:`.writer` puts it into
words. It is a pure function of its split and number, so splits never share a story, and the
story ``("test", 7)`` is told in Portuguese and in Thai with the same facts.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import date

Fact = int | float | str | date | tuple[str, int] | tuple[int, int]
"""A number, a score, a day, ``(kind of thing, index)`` or ``(given name, family name)`` indices."""

PLACES = tuple(
    "BR MX PE CL AR CO CU EC BO PY UY VE CA JP CN IN ID VN TH NP BD PK IR IQ TR EG MA DZ TN LY SN "
    "GH NG KE TZ UG ET SO ML ZA ZM AO FR ES PT IT DE PL UA RU FI SE NO GR "
    "MY LK LA KH JO OM RW MG NA BG RO HU".split()
)
"""ISO 3166 codes of the countries; Babel knows their names in every language."""
NAMES = 24
"""How many given and how many family names every language file lists."""
TEST_ONLY_PLACES = 12
TEST_ONLY_NAMES = 3
"""The last so many places and names appear in stories of the test split only."""

CHOICES = {"goods": 4, "cause": 4, "crime": 4, "disease": 4}

EVENTS: dict[str, tuple[str, ...]] = {
    "earthquake": ("place", "day", "dead", "magnitude", "homes", "person"),
    "election": ("place", "day", "person", "percent", "seats"),
    "match": ("place", "day", "rival", "score", "person", "crowd"),
    "exports": ("place", "day", "goods", "amount", "percent", "person"),
    "flood": ("place", "day", "people", "cause", "dead", "person"),
    "bridge": ("place", "day", "length", "cost", "person"),
    "court": ("place", "day", "person", "years", "crime", "witnesses"),
    "vaccination": ("place", "day", "disease", "villages", "people", "person"),
}
"""The kinds of event and the facts that each has."""

LEADS, DETAILS, BACKGROUNDS = 2, 4, 16


@dataclass(frozen=True)
class Story:
    """One event and how it is told.

    ``told`` lists the body after the lead: ``("detail", index)`` or ``("background", index)``;
    ``asides`` holds the facts of the background sentences, one mapping for each in order.
    """

    event: str
    facts: dict[str, Fact]
    lead: int
    told: tuple[tuple[str, int], ...]
    asides: tuple[dict[str, Fact], ...]


def story(split: str, number: int) -> Story:
    """The story of that number in that split ("test" alone may use the held-out names)."""
    rng = random.Random(f"newsroom/{split}/{number}")
    everywhere = split == "test"
    places = list(range(len(PLACES) - (0 if everywhere else TEST_ONLY_PLACES)))
    names = list(range(NAMES - (0 if everywhere else TEST_ONLY_NAMES)))

    def fact(slot: str, used: set[int]) -> Fact:
        match slot:
            case "place" | "rival" | "elsewhere":
                free = [place for place in places if place not in used]
                place = rng.choice(free)
                used.add(place)
                return ("place", place)
            case "person" | "witness":
                return (rng.choice(names), rng.choice(names))
            case "day" | "date":
                return date(2024, rng.randint(1, 12), rng.randint(1, 28))
            case "magnitude":
                return rng.randint(50, 79) / 10
            case "score":
                return f"{rng.randint(2, 5)}-{rng.randint(0, 1)}"
            case "percent":
                return rng.randint(51, 89)
            case "years":
                return rng.randint(3, 29)
            case "dead" | "seats" | "witnesses" | "villages" | "number":
                return rng.randint(11, 99)
            case "length" | "cost" | "amount" | "people" | "homes" | "crowd":
                return rng.randint(101, 999)
            case _:
                return (slot, rng.randrange(CHOICES[slot]))

    event = rng.choice(list(EVENTS))
    used: set[int] = set()
    facts = {slot: fact(slot, used) for slot in EVENTS[event]}
    # Details 0 and 1 carry the facts that summaries and questions need (in every language file);
    # sports and floods keep theirs in the lead and detail 0.
    details = [0, 1, *rng.sample([2, 3], rng.randint(0, 1))]
    rng.shuffle(details)
    told = [("detail", index) for index in details]
    asides = []
    for index in rng.sample(range(BACKGROUNDS), rng.randint(1, 2)):
        told.insert(rng.randint(0, len(told)), ("background", index))
    for kind, _ in told:
        if kind == "background":
            asides.append({slot: fact(slot, used) for slot in ("elsewhere", "number", "witness", "date")})
    return Story(event, facts, rng.randrange(LEADS), tuple(told), tuple(asides))
