"""Languages by their BCP-47 code, and the paper's two sets."""

from __future__ import annotations

from babel import Locale, UnknownLocaleError

SEEN = tuple("ar bn en ja ko id sw ru te th tr".split())
"""Languages with summaries to train on (XL-Sum-seen in the paper)."""
UNSEEN = tuple("mr gu zh ne pt si so vi yo uk fa".split())
"""Languages that are evaluated without labels (XL-Sum-unseen)."""


def language_name(code: str) -> str:
    """The English name, or the code itself where CLDR has none.

    >>> language_name("pt"), language_name("zh-Hans"), language_name("qaa")
    ('Portuguese', 'Chinese (Simplified)', 'qaa')
    """
    try:
        return Locale.parse(code, sep="-").get_display_name("en") or code
    except (ValueError, UnknownLocaleError):
        return code


RIGHT_TO_LEFT = {"ar", "dv", "fa", "he", "ku-Arab", "ckb", "ps", "sd", "ug", "ur", "yi"}
"""Languages, or languages in a script, that are written from right to left."""


def right_to_left(code: str) -> bool:
    """Whether the language is written from right to left.

    >>> right_to_left("fa"), right_to_left("pt")
    (True, False)
    """
    return code in RIGHT_TO_LEFT or code.split("-")[0] in RIGHT_TO_LEFT
