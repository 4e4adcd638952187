"""Stories put into words: one data file for each language, one function for all of them."""

from __future__ import annotations

import string
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import cache, lru_cache
from importlib import resources
from typing import Any

from babel import Locale
from babel.dates import format_skeleton
from babel.numbers import format_decimal

from .world import BACKGROUNDS, CHOICES, DETAILS, EVENTS, LEADS, NAMES, PLACES, Fact, Story

LANGUAGES = tuple("ar bn en ja ko id sw ru te th tr mr gu zh ne pt si so vi yo uk fa fi".split())
"""The paper's 22 languages and Finnish, BCP-47."""
LOCALES = {"zh": "zh_Hans"}


@dataclass(frozen=True)
class Entity:
    """A marked stretch ``text[start:end]`` of an article; ``kind`` is LOC, PER or DATE."""

    start: int
    end: int
    kind: str


@dataclass(frozen=True)
class Article:
    """One story in one language, with all labels that follow from its facts."""

    text: str
    summary: str
    category: str
    questions: tuple[tuple[str, str], ...]
    entities: tuple[Entity, ...]


@cache
def language_file(code: str) -> dict[str, Any]:
    """The parsed data file of a language."""
    path = resources.files(__package__) / "languages" / f"{code}.toml"
    return tomllib.loads(path.read_text(encoding="utf-8"))


@cache
def _locale(code: str) -> Locale:
    return Locale.parse(LOCALES.get(code, code))


@lru_cache(maxsize=None, typed=True)
def words(code: str, fact: Fact) -> str:
    """A fact as it is written in a language: digits and dates as CLDR has them."""
    file = language_file(code)
    match fact:
        case date():
            return str(format_skeleton("MMMMd", fact, locale=_locale(code)))
        case ("place", int(index)):
            return str(_locale(code).territories[PLACES[index]])
        case (str(kind), int(index)):
            return str(file["choices"][kind][index])
        case (int(given), int(family)):
            return str(file["person"].format(given=file["given"][given], family=file["family"][family]))
        case str():  # a score
            return "-".join(words(code, int(goals)) for goals in fact.split("-"))
        case _:
            return format_decimal(fact, locale=_locale(code), numbering_system="latn")


_KINDS = {"place": "LOC", "rival": "LOC", "elsewhere": "LOC", "person": "PER", "witness": "PER", "day": "DATE"}
_KINDS["date"] = "DATE"


@cache
def _parts(template: str) -> tuple[tuple[str, str | None], ...]:
    """What a template consists of: text, and the slot after it, if any."""
    return tuple((literal, slot) for literal, slot, _, _ in string.Formatter().parse(template))


def _fill(code: str, template: str, facts: dict[str, Fact], at: int = 0) -> tuple[str, list[Entity]]:
    """The template with its slots filled, and what is marked in it if it begins at that place of a text."""
    text, entities = "", []
    for literal, slot in _parts(template):
        text += literal
        if slot is not None:
            word = words(code, facts[slot])
            if slot in _KINDS:
                start = at + len(text)
                entities.append(Entity(start, start + len(word), _KINDS[slot]))
            text += word
    return text, entities


def _sentence(code: str, template: str, facts: dict[str, Fact], at: int = 0) -> tuple[str, list[Entity]]:
    text, entities = _fill(code, template, facts, at)
    # A common noun may open the sentence.
    return text[:1].upper() + text[1:], entities


def headline(story: Story, code: str) -> str:
    """The summary of the story's article."""
    return _sentence(code, language_file(code)["events"][story.event]["summary"], story.facts)[0]


def body(story: Story, code: str) -> tuple[str, list[Entity]]:
    """The text of the story's article, and its marked stretches in their order."""
    file = language_file(code)
    event, background, join = file["events"][story.event], file["background"]["sentences"], file["join"]
    asides = iter(story.asides)
    text, entities = _sentence(code, event["leads"][story.lead], story.facts)
    for kind, index in story.told:
        text += join
        if kind == "detail":
            sentence, found = _sentence(code, event["details"][index], story.facts, len(text))
        else:
            sentence, found = _sentence(code, background[index], next(asides), len(text))
        text += sentence
        entities += found
    return text, entities


def write(story: Story, code: str) -> Article:
    """The story told in a language, with all labels; its :func:`body` and :func:`headline` alone take half the time."""
    event = language_file(code)["events"][story.event]
    text, entities = body(story, code)
    return Article(
        text=text,
        summary=headline(story, code),
        category=event["category"],
        questions=tuple(
            (_sentence(code, q["ask"], story.facts)[0], _fill(code, q["answer"], story.facts)[0])
            for q in event["questions"]
        ),
        entities=tuple(entities),
    )


def problems(code: str) -> Iterator[str]:
    """What is wrong with a language's file, one sentence each; nothing for a good one.

    Every template must use the slots of its English twin, so that articles are parallel sentence
    by sentence, and a summary must not be a sentence of the article.
    """
    file, english = language_file(code), language_file("en")

    def slots(template: str) -> Counter[str]:
        return Counter(slot for _, slot, _, _ in string.Formatter().parse(template) if slot is not None)

    def compare(where: str, ours: list[str], theirs: list[str]) -> Iterator[str]:
        if len(ours) != len(theirs):
            yield f"{where}: {len(ours)} entries, English has {len(theirs)}"
        for index, (mine, reference) in enumerate(zip(ours, theirs, strict=False)):
            if slots(mine) != slots(reference):
                yield f"{where}[{index}]: slots {sorted(slots(mine))}, English has {sorted(slots(reference))}: {mine}"
        if len(set(ours)) != len(ours):
            yield f"{where}: an entry stands twice"

    for kind in ("given", "family"):
        if len(set(file[kind])) != NAMES:
            yield f"{kind}: {len(set(file[kind]))} different names, {NAMES} are needed"
    for kind, count in CHOICES.items():
        if len(set(file["choices"][kind])) != count:
            yield f"choices.{kind}: {count} different entries are needed"
    if set(file["events"]) != set(EVENTS):
        yield f"events: {sorted(file['events'])}, needed are {sorted(EVENTS)}"
        return
    for name in EVENTS:
        mine, reference = file["events"][name], english["events"][name]
        assert (len(reference["leads"]), len(reference["details"])) == (LEADS, DETAILS)
        for part in ("leads", "details"):
            yield from compare(f"events.{name}.{part}", mine[part], reference[part])
        for part in ("summary", "category"):
            yield from compare(f"events.{name}.{part}", [mine[part]], [reference[part]])
        for part in ("ask", "answer"):
            ours = [q[part] for q in mine["questions"]]
            yield from compare(f"events.{name}.questions.{part}", ours, [q[part] for q in reference["questions"]])
        if mine["summary"] in (*mine["leads"], *mine["details"]):
            yield f"events.{name}.summary: it is a sentence of the article"
    backgrounds = file["background"]["sentences"]
    assert len(english["background"]["sentences"]) == BACKGROUNDS
    yield from compare("background.sentences", backgrounds, english["background"]["sentences"])
