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
RANGES: dict[str, tuple[int, int]] = {
    "percent": (51, 89),
    "years": (3, 29),
    **dict.fromkeys(("dead", "seats", "witnesses", "villages", "number"), (11, 99)),
    **dict.fromkeys(("length", "cost", "amount", "people", "homes", "crowd"), (101, 999)),
}
"""The least and the largest of each whole number."""

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
    names = NAMES - (0 if everywhere else TEST_ONLY_NAMES)
    bits = rng.getrandbits

    def below(count: int) -> int:
        """Uniform on 0 … count − 1: the numbers of ``randrange``, in half its time."""
        size = count.bit_length()
        while (drawn := bits(size)) >= count:
            pass
        return drawn

    def fact(slot: str) -> Fact:
        if slot in RANGES:
            least, most = RANGES[slot]
            return least + below(most - least + 1)
        match slot:
            case "place" | "rival" | "elsewhere":
                return ("place", places.pop(below(len(places))))  # no country stands twice in a story
            case "person" | "witness":
                return (below(names), below(names))
            case "day" | "date":
                return date(2024, 1 + below(12), 1 + below(28))
            case "magnitude":
                return (50 + below(30)) / 10
            case "score":
                return f"{2 + below(4)}-{below(2)}"
            case _:
                return (slot, below(CHOICES[slot]))

    event = tuple(EVENTS)[below(len(EVENTS))]
    facts = {slot: fact(slot) for slot in EVENTS[event]}
    # Details 0 and 1 carry the facts that summaries and questions need (in every language file);
    # sports and floods keep theirs in the lead and detail 0.
    details = [0, 1, *rng.sample([2, 3], below(2))]
    rng.shuffle(details)
    told = [("detail", index) for index in details]
    for index in rng.sample(range(BACKGROUNDS), 1 + below(2)):
        told.insert(below(len(told) + 1), ("background", index))
    slots = ("elsewhere", "number", "witness", "date")
    asides = [{slot: fact(slot) for slot in slots} for kind, _ in told if kind == "background"]
    return Story(event, facts, below(LEADS), tuple(told), tuple(asides))
