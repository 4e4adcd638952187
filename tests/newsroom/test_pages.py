"""Plain text in the shapes of a crawl, with stated shares."""

from __future__ import annotations

import hashlib
from collections import Counter

import babel
import pytest

from lingarith.newsroom import pages
from lingarith.newsroom.pages import SEPARATOR, SHAPES, SHARES, page, pretraining_page
from lingarith.newsroom.world import story
from lingarith.newsroom.writer import LANGUAGES, write

COUNT = 600


def shape_of(number: int, *, other: str | None) -> str:
    """What a Portuguese page is, told from its story's article alone."""
    parts = page("text", "pt", number, other=other).split(SEPARATOR)
    article, twin = write(story("text-pt", number), "pt"), write(story("text-pt", number), other or "pt")
    match parts:
        case [text] if text == article.text:
            return "article"
        case [headline, text] if (headline, text) == (article.summary, article.text):
            return "headline first"
        case [text, headline] if (text, headline) == (article.text, article.summary):
            return "headline last"
        case [first, second] if first in (article.text, article.summary) and second in (twin.text, twin.summary):
            return "two languages"
        case headlines if 2 <= len(headlines) <= 4 and all(len(h) < 150 for h in headlines):
            return "bulletin"
    raise AssertionError(parts)


def test_shares_sum_to_one() -> None:
    assert sum(SHARES.values()) == pytest.approx(1)
    assert sum(SHAPES.values()) == pytest.approx(1)
    assert set(SHARES) == set(LANGUAGES)
    assert SHARES["en"] > 5 * max(share for code, share in SHARES.items() if code != "en")


def test_a_page_is_a_function_of_its_number() -> None:
    assert page("text", "uk", 7) == page("text", "uk", 7)
    assert len({page("text", "uk", number) for number in range(200)}) == 200
    assert page("text", "uk", 7) != page("pretrain", "uk", 7)
    assert pretraining_page(7) == pretraining_page(7)


def test_shapes_and_their_shares() -> None:
    counts = Counter(shape_of(number, other="fa") for number in range(COUNT))
    assert set(counts) == set(SHAPES)
    for shape, share in SHAPES.items():
        assert counts[shape] / COUNT == pytest.approx(share, abs=0.06)


def test_a_page_of_one_language_has_no_other() -> None:
    counts = Counter(shape_of(number, other=None) for number in range(COUNT))
    assert "two languages" not in counts
    assert counts["article"] / COUNT == pytest.approx(SHAPES["article"] + SHAPES["two languages"], abs=0.06)


def test_pretraining_pages_have_the_stated_languages(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[str, str | None]] = []

    def note(split: str, language: str, number: int, *, other: str | None) -> str:
        assert split == "pretrain"
        drawn.append((language, other))
        return ""

    monkeypatch.setattr(pages, "page", note)
    size = 20_000
    for number in range(size):
        pretraining_page(number)
    main = Counter(language for language, _ in drawn)
    for code, share in SHARES.items():
        assert main[code] / size == pytest.approx(share, abs=0.012)
    assert all(language != other for language, other in drawn)


def test_pretraining_can_be_of_few_languages() -> None:
    for number in range(50):
        assert pretraining_page(number, ("en",)) == page("pretrain", "en", number)


@pytest.mark.skipif(
    babel.__version__ != "2.18.0", reason="other versions of Babel may call countries and days otherwise"
)
def test_the_words_are_those_of_the_backbone_s_text() -> None:
    """Vectors are bound to their text: whoever changes a word, or the draws of a story, changes every recipe."""
    said = hashlib.sha256()
    for code in LANGUAGES:
        for number in range(40):
            said.update(page("text", code, number).encode())
            said.update(page("pretrain", code, number, other="fi" if code == "pt" else "pt").encode())
            said.update(repr(write(story("test", number), code)).encode())
    assert said.hexdigest() == "c0537261e96360e6888cb5f30815186743902f4a3694c2a67a634eeb6c74ecf1"
