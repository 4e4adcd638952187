"""Every language tells every story with the same facts, and all labels follow from them."""

from __future__ import annotations

import re
import string
from collections import Counter

import py3langid
import pytest

from lingarith.languages.codes import SEEN, UNSEEN
from lingarith.newsroom import writer
from lingarith.newsroom.world import Fact, Story, story
from lingarith.newsroom.writer import LANGUAGES, language_file, problems, words, write

STORIES = [story("test", number) for number in range(50)]
KINDS = {"place": "LOC", "rival": "LOC", "elsewhere": "LOC", "person": "PER", "witness": "PER", "day": "DATE"}
KINDS["date"] = "DATE"


def templates(code: str, told: Story) -> list[tuple[str, dict[str, Fact]]]:
    """The templates of a story's sentences with the facts that fill them."""
    file = language_file(code)
    event, asides = file["events"][told.event], iter(told.asides)
    found = [(event["leads"][told.lead], told.facts)]
    for kind, index in told.told:
        if kind == "detail":
            found.append((event["details"][index], told.facts))
        else:
            found.append((file["background"]["sentences"][index], next(asides)))
    return found


def slots(template: str) -> list[str]:
    return [slot for _, slot, _, _ in string.Formatter().parse(template) if slot is not None]


def stands_in(word: str, text: str) -> bool:
    """Whether a word stands in a text by itself: a number is no part of a longer one."""
    number = word[0].isdigit()
    pattern = rf"(?<!\d){re.escape(word)}(?!\d)" if number else re.escape(word)
    return re.search(pattern, text, re.IGNORECASE) is not None


def test_languages_are_the_paper_s_and_finnish() -> None:
    assert set(LANGUAGES) == {*SEEN, *UNSEEN, "fi"}
    assert len(LANGUAGES) == 23


@pytest.mark.parametrize("code", LANGUAGES)
def test_the_file_has_no_problems(code: str) -> None:
    assert list(problems(code)) == []
    assert language_file(code)["code"] == code


def test_problems_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slot too few, an entry twice, and a summary that is a sentence are each named."""
    import copy

    broken = copy.deepcopy(language_file("pt"))
    flood = broken["events"]["flood"]
    flood["leads"][0] = flood["leads"][0].replace("{place}", "Lisboa")
    flood["details"][2] = flood["details"][3]
    flood["summary"] = flood["leads"][1]
    broken["given"][1] = broken["given"][0]
    files = {"pt": broken, "en": language_file("en")}
    monkeypatch.setattr(writer, "language_file", files.__getitem__)
    found = "\n".join(problems("pt"))
    for part in (
        "given: 23 different names",
        "flood.leads[0]: slots",
        "details: an entry stands twice",
        "flood.summary",
    ):
        assert part in found


@pytest.mark.parametrize("code", LANGUAGES)
def test_summary_and_answers_follow_from_the_article(code: str) -> None:
    for told in STORIES:
        article = write(told, code)
        event = language_file(code)["events"][told.event]
        needed = {*slots(event["summary"])}.union(*(slots(q["answer"]) for q in event["questions"]))
        assert needed
        for slot in needed:
            assert stands_in(words(code, told.facts[slot]), article.text), (slot, article.text)
        for slot in slots(event["summary"]):
            assert stands_in(words(code, told.facts[slot]), article.summary)
        assert len(article.questions) >= 2
        for question, answer in article.questions:
            assert question
            assert stands_in(answer, article.text)
        assert article.summary.rstrip(".。") not in article.text
        assert article.category == event["category"]
        assert "{" not in article.text + article.summary + repr(article.questions)


@pytest.mark.parametrize("code", LANGUAGES)
def test_entities_mark_the_words_of_facts(code: str) -> None:
    for told in STORIES:
        article = write(told, code)
        expected = [
            (KINDS[slot], words(code, facts[slot]).casefold())
            for template, facts in templates(code, told)
            for slot in slots(template)
            if slot in KINDS
        ]
        marked = [(entity.kind, article.text[entity.start : entity.end].casefold()) for entity in article.entities]
        assert marked == expected


def test_articles_are_parallel() -> None:
    """The same sentences in every language: as many places, people and days, and the same numbers."""
    for told in STORIES:
        kinds = {code: Counter(entity.kind for entity in write(told, code).entities) for code in LANGUAGES}
        filled = {code: [Counter(slots(template)) for template, _ in templates(code, told)] for code in LANGUAGES}
        for code in LANGUAGES:
            assert kinds[code] == kinds["en"]
            assert filled[code] == filled["en"]


def test_a_story_by_hand() -> None:
    """The Portuguese of one story, word by word from its facts."""
    told = Story(
        "match",
        {"place": ("place", 0), "day": STORIES[0].facts["day"], "rival": ("place", 1), "score": "3-1",
         "person": (0, 0), "crowd": 512},
        0,
        (("detail", 0),),
        (),
    )  # fmt: skip
    day = words("pt", STORIES[0].facts["day"])
    article = write(told, "pt")
    assert words("pt", ("place", 0)) == "Brasil"
    assert words("pt", (0, 0)) == "Maria Silva"
    for word in ("Brasil", "México", "3-1", day, "Maria Silva"):
        assert word in article.text
    assert [article.text[e.start : e.end] for e in article.entities if e.kind == "PER"] == ["Maria Silva"]


@pytest.mark.parametrize(
    ("code", "fact", "written"),
    [
        ("pt", 7.1, "7,1"),
        ("en", 7.1, "7.1"),
        ("fa", 7.1, "7.1"),
        ("zh", ("place", 13), "日本"),
    ],
)
def test_words_are_cldr_s(code: str, fact: Fact, written: str) -> None:
    assert words(code, fact) == written


@pytest.mark.parametrize("code", LANGUAGES)
def test_py3langid_recognises_the_articles(code: str) -> None:
    guesses = [py3langid.classify(write(story("langid", number), code).text)[0] for number in range(60)]
    assert guesses.count(code) >= 57, Counter(guesses)
