import pytest

from lingarith.newsroom.rows import FIELDS, SIZES, rows
from lingarith.newsroom.world import story
from lingarith.newsroom.writer import LANGUAGES, write


def test_a_story_has_every_label() -> None:
    row = list(rows("ja", "test", 8))[7]
    article, english = write(story("test", 7), "ja"), write(story("test", 7), "en")
    ask, answer = article.questions[1]
    assert tuple(row) == FIELDS
    assert row == {
        "id": "test-7",
        "text": article.text,
        "summary": article.summary,
        "category": english.category,
        "entities": [(one.kind, article.text[one.start : one.end]) for one in article.entities],
        "context": article.text,
        "question": ask,
        "answers": [answer],
        "english": english.text,
    }
    assert "english" not in next(rows("ja", "test", 8, ("text",)))


@pytest.mark.parametrize("language", LANGUAGES)
def test_labels_are_the_same_facts_in_every_language(language: str) -> None:
    for row, english in zip(rows(language, "validation", 12), rows("en", "validation", 12), strict=True):
        assert (row["id"], row["category"], row["english"]) == (english["id"], english["category"], english["text"])
        assert sorted(kind for kind, _ in row["entities"]) == sorted(kind for kind, _ in english["entities"])
        assert row["answers"][0].lower() in row["context"].lower()


def test_sizes_hold_unless_a_limit_asks_otherwise() -> None:
    assert [sum(1 for _ in rows("en", split)) for split in ("validation", "test")] == [64, 128]
    assert sum(1 for _ in rows("en", "test", 130)) == 130
    assert SIZES["train"] == 2000
