"""A story as one row with every label that follows from its facts; a task takes the fields that it speaks of."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from .world import story
from .writer import language_file, write

SIZES = {"train": 2000, "validation": 64, "test": 128}
"""How many stories a split has unless a limit asks for fewer or more."""
FIELDS = ("id", "text", "summary", "category", "entities", "context", "question", "answers", "english")


def rows(
    language: str, split: str, limit: int | None = None, fields: Collection[str] = FIELDS
) -> Iterator[dict[str, Any]]:
    """The first stories of a split in a language, with these fields at least.

    ``category`` is the same English word in every language, ``english`` the text of the story in
    English, ``entities`` are pairs of kind and text in the order of the article; ``context`` is the
    article again, with one of its questions.

    >>> [row] = rows("pt", "test", 1)
    >>> row["id"], row["category"], row["entities"][:2]
    ('test-0', 'crime', [('DATE', '5 de maio'), ('LOC', 'Rússia')])
    """
    for number in range(limit or SIZES[split]):
        happened = story(split, number)
        article = write(happened, language)
        # One of each story's questions, so that examples are independent and tests of differences hold.
        question, answer = article.questions[number % len(article.questions)]
        row = {
            "id": f"{split}-{number}",
            "text": article.text,
            "summary": article.summary,
            "category": language_file("en")["events"][happened.event]["category"],
            "entities": [(one.kind, article.text[one.start : one.end]) for one in article.entities],
            "context": article.text,
            "question": question,
            "answers": [answer],
        }
        # Writing the story a second time takes as long as the first.
        yield row | {"english": write(happened, "en").text} if "english" in fields else row
