"""Tables that need no model."""

from __future__ import annotations

from collections.abc import Callable

from lingarith.study.lab import Lab
from lingarith.study.listings import related_languages, sizes


def test_related_languages_beside_the_papers(lab: Callable[..., Lab]) -> None:
    made = related_languages(lab("table5", sources=("ar", "en", "ru", "tr"), targets=("pt", "so")))
    assert made.rows[0] == ["pt", "en ru ar tr", "en ru ar", "+tr"]
    assert made.rows[1][0] == "so"


def test_where_no_source_is_near_or_the_paper_has_no_row(lab: Callable[..., Lab]) -> None:
    made = related_languages(lab("table5", sources=("en", "ja"), targets=("si", "de")))
    assert made.rows[0][1] == "ja"
    assert made.rows[1][2:] == ["", ""]
    assert "si: no source meets the rule; ja is taken, the nearest by syntactic" in made.caption


def test_sizes(lab: Callable[..., Lab]) -> None:
    made = sizes(lab("table7", train_limit=5, validation_limit=3, test_limit=2, characters=1000))
    assert [row[:5] for row in made.rows] == [["English", "en", "5", "3", "2"], ["Portuguese", "pt", "5", "3", "2"]]
    assert [row[5] for row in made.rows] == ["1,000", "1,000"]
    assert made.caption == "Labels: newsroom. Plain text: newsroom."


def test_sizes_of_what_is_not_there(lab: Callable[..., Lab]) -> None:
    made = sizes(lab("table7", targets=("xx",), train_limit=5, labels="nowhere/{language}/{split}.csv"))
    assert made.rows[-1][1:] == ["xx", "–", "–", "–", "–"]
