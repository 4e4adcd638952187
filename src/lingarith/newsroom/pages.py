"""Plain text as a crawl of news sites would hold it: no labels, but pages of several shapes.

Used twice: to pretrain the backbone (split "pretrain") and as the unlabelled text of language
vectors (split "text"). Neither shares a story with the labelled splits.
"""

from __future__ import annotations

import random

from .world import story
from .writer import LANGUAGES, body, headline

SEPARATOR = " | "
"""Between a page's parts, as in the title bar of a browser."""
SHAPES = {"article": 0.25, "headline first": 0.2, "headline last": 0.25, "bulletin": 0.15, "two languages": 0.15}
"""What share of the pages has which shape."""
SHARES = (
    {"en": 0.36}
    | dict.fromkeys("ar bn id ja ko ru sw te th tr".split(), 0.036)
    | dict.fromkeys("mr gu zh ne pt si so vi yo uk fa".split(), 0.024)
    | {"fi": 0.016}
)
"""What share of the pretraining pages is (mainly) in which language; they sum to 1."""


def page(split: str, language: str, number: int, *, other: str | None = None) -> str:
    """The page of that number in a language; ``other`` is the second language of a bilingual one.

    Without ``other`` a page is monolingual: what would have been bilingual is an article.
    """
    rng = random.Random(f"page/{split}/{language}/{number}")
    shape = rng.choices(list(SHAPES), list(SHAPES.values()))[0]
    if shape == "bulletin":
        stories = (story(f"{split}-{language}-bulletin", 8 * number + k) for k in range(rng.randint(2, 4)))
        return SEPARATOR.join(headline(one, language) for one in stories)
    told = story(f"{split}-{language}", number)
    (text, _), summary = body(told, language), headline(told, language)
    match shape:
        case "headline first":
            return summary + SEPARATOR + text
        case "headline last":
            return text + SEPARATOR + summary
        case "two languages" if other:
            (twin, _), twins_summary = body(told, other), headline(told, other)
            if rng.random() < 0.5:
                return summary + SEPARATOR + twins_summary
            return text + SEPARATOR + (twins_summary if rng.random() < 0.5 else twin)
        case _:
            return text


def pretraining_page(number: int, languages: tuple[str, ...] = LANGUAGES) -> str:
    """The page of that number of the pretraining text, over all languages by :data:`SHARES`."""
    rng = random.Random(f"pretraining/{number}")
    shares = [SHARES[code] for code in languages]
    language = rng.choices(languages, shares)[0]
    other = rng.choices(languages, shares)[0]
    return page("pretrain", language, number, other=other if other != language else None)
