"""The card counts names and numbers that are right."""

from __future__ import annotations

import pytest

from lingarith.newsroom.world import story
from lingarith.newsroom.writer import LANGUAGES, write
from tools.card import facts_right


@pytest.mark.parametrize("code", LANGUAGES)
def test_references_are_right_and_other_headlines_wrong(code: str) -> None:
    for number in range(30):
        assert facts_right(code, number, write(story("test", number), code).summary) == (True, True)
        assert facts_right(code, number, "") != (True, True)
