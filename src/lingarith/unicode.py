"""One text has one form: how its letters are encoded, what is blank, and what of it nobody sees.

Unicode writes many a letter in two ways: as one character, or as a letter and its marks (Vietnamese, Yoruba, jamo of
Hangul). Tokenizers keep, split or drop the marks, each its own way. So every text is put into Normalization Form C
where it comes in (https://www.unicode.org/reports/tr15/), and no number depends on which of the ways it came in. That
form changes no letter for another: full-width digits, ligatures and ² stay.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

FORM: Final = "NFC"
"""What origins of vectors call it."""
_SHAPELESS = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f"
    "\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
"""Default_Ignorable_Code_Point: soft hyphen, zero-width space and joiners, marks of direction, BOM, variation selectors
and other characters that have no shape (https://www.unicode.org/reports/tr44/#Default_Ignorable_Code_Point)."""
SHAPELESS = re.compile(f"[{_SHAPELESS}]")
INK = re.compile(rf"[^\s\x00-\x1f\x7f-\x9f\u2800{_SHAPELESS}]")
"""What leaves something on paper; U+2800 is Braille's blank."""
PRESENTATION = re.compile("[\ufb50-\ufdff\ufe70-\ufefc]+")
"""Arabic letters by their shape within a word, as old fonts and PDF files have them."""


def composed(text: str) -> str:
    """The text in the one form.

    >>> composed("Tie\u0302\u0301ng") == "Ti\u1ebfng", composed("\u1112\u1161\u11ab") == "\ud55c"
    (True, True)
    """
    return unicodedata.normalize(FORM, text)


def blank(text: str) -> bool:
    """Whether there is nothing to see.

    >>> blank("\\ufeff \u200b\u00ad\u00a0"), blank("\u0640")
    (True, False)
    """
    return INK.search(text) is None


def visible(text: str) -> str:
    """What scores compare: the text without characters that have no shape, Arabic letters as letters.

    So a soft hyphen, or a joiner between two Persian letters, makes no output worse. White space stays as it is.

    >>> visible("co\u00adop\u200b"), visible("\ufee3\ufe8e") == "\u0645\u0627"
    ('coop', True)
    """
    plain = SHAPELESS.sub("", text)
    return composed(PRESENTATION.sub(lambda found: unicodedata.normalize("NFKC", found[0]), plain))
