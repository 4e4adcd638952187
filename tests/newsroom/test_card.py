"""The figures of the backbone's card: what counts as a right name and number, and the table."""

from __future__ import annotations

import pytest

from lingarith.newsroom.card import as_markdown, facts_right
from lingarith.newsroom.world import story
from lingarith.newsroom.writer import LANGUAGES, write


@pytest.mark.parametrize("language", LANGUAGES)
def test_references_have_all_their_facts_and_those_of_other_stories_do_not(language: str) -> None:
    summaries = [write(story("test", number), language).summary for number in range(64)]
    assert all(facts_right(language, number, summary) == (True, True) for number, summary in enumerate(summaries))
    others = [facts_right(language, number, summaries[number - 1]) for number in range(64)]
    assert sum(names for names, _ in others) == 0
    assert sum(numbers for _, numbers in others) < 8


# Test story 11 is "Sofia Banda gets 23 years for tax evasion in Oman".
@pytest.mark.parametrize(
    ("output", "names", "numbers"),
    [
        ("Oman: Sofia Banda, 23", True, True),
        ("Sofia Banda gets 23 years in Romania", False, True),
        ("Sofia Bandar gets 23.5 years in Oman", True, False),
        ("Sofia Silva gets 123 years in Oman", False, False),
        ("Sofia Banda gets 2.23 years in Oman, 23rd", True, True),
        ("Sofia Banda of Oman, aged 23.", True, True),
        ("", False, False),
    ],
)
def test_right_facts_by_hand(output: str, names: bool, numbers: bool) -> None:
    assert facts_right("en", 11, output) == (names, numbers)


def test_a_place_inside_another_one_is_not_mentioned() -> None:
    number = next(n for n in range(1000) if _place(n) == "マリ")
    summary = write(story("test", number), "ja").summary
    assert facts_right("ja", number, summary) == (True, True)
    assert facts_right("ja", number, summary.replace("マリ", "ソマリア")) == (False, True)


def _place(number: int) -> str:
    from lingarith.newsroom.writer import words

    return words("ja", story("test", number).facts["place"])


def test_the_table_by_hand() -> None:
    low = {"rouge2": [12.0, 10.0, 14.5], "names": [40.4, 30.0, 50.0], "numbers": [0.0, 0.0, 0.0]}
    high = {"rouge2": [60.0, 55.0, 65.0], "names": [100.0, 100.0, 100.0], "numbers": [99.6, 98.0, 100.0]}
    found = {
        "backbone": "0123456789abcdef0123",
        "examples": 128,
        "training": {"rank": 4, "steps": 300, "batch_size": 32},
        "languages": {
            "en": {"own": high, "english": high, "bare": low},
            "pt": {"own": low, "english": low, "bare": low},
        },
    }
    about, blank, heads, rule, *rows = as_markdown(found).splitlines()
    assert about.startswith("Backbone `0123456789abcdef`, 128 test articles")
    assert about.endswith("ROUGE-2 is 60 or more in 1 of 2 languages.")
    assert (blank, rule) == ("", "|---|" + "---|" * 9)
    good, poor = " 60.0 (55.0 to 65.0) | 100 | 100 |", " 12.0 (10.0 to 14.5) | 40 | 0 |"
    assert rows == [f"| en |{good}{good}{poor}", f"| pt |{poor}{poor}{poor}"]
    assert {row.count("|") for row in (heads, rule, *rows)} == {11}
