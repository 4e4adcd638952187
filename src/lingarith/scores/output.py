"""What kind of text came out: the right language, the source's, another, nothing, or a copy."""

from __future__ import annotations

import math
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable
from difflib import SequenceMatcher
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING

from ..disk.kept import kept
from ..errors import LingarithError, did_you_mean
from ..languages.codes import spoken
from ..unicode import visible

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

KINDS = ("target", "source", "other", "empty", "copied")

COPIED_PART = 0.8  # of the output, in one stretch of the article
COPIED_COLUMNS = 30  # at least; shorter stretches are shared by chance: names, dates, set phrases


def kind_of_output(
    output: str,
    article: str,
    target: str,
    sources: Collection[str],
    candidates: Collection[str] | None = None,
) -> str:
    """One of KINDS; the first that holds, in this order.

    - ``empty``: no letter and no digit.
    - ``copied``: at least 80 % of the output is one contiguous stretch of the article, and that
      stretch is at least 30 columns wide (an East Asian wide character counts two). Runs of
      whitespace count as one space; case counts.
    - ``target``, ``source``: ``language_of`` the output is the target's, or one of the sources'.
    - ``other``: everything else, and what has no language, such as a number alone.

    Languages are codes of any kind, whatever the script (``zh-Hans`` is ``zh``, ``iw`` is ``he``). A
    target that is not :func:`recognisable` is never recognised.
    """
    output, article = (" ".join(visible(text).split()) for text in (output, article))
    if not any(character.isalnum() for character in output):
        return "empty"
    if _is_copied(output, article):
        return "copied"
    language = language_of(output, candidates)
    if language and spoken(language) == spoken(target):
        return "target"
    sources = [sources] if isinstance(sources, str) else sources
    return "source" if language and spoken(language) in set(map(spoken, sources)) else "other"


def language_of(text: str, candidates: Collection[str] | None = None) -> str | None:
    """The language of a text by py3langid, as its code (``pt``), or None where nothing tells.

    Neighbours are told apart poorly in a headline (``zh`` from ``wuu`` and ``yue``, ``id`` from
    ``ms``): with ``candidates`` only those languages are considered, which is surer and blinder.

    Raises LingarithError for a candidate that py3langid does not know, and for candidates without one.

    >>> language_of("O presidente visitou a cidade depois das eleições.")
    'pt'
    """
    if candidates is None:
        allowed = {*known_languages(), _NO_LANGUAGE}
    else:
        for code in sorted(candidates):
            if not recognisable(code):
                raise LingarithError(
                    f"py3langid does not know the language {code!r}{did_you_mean(code, known_languages())}"
                )
        allowed = {label for code in candidates for label in _labels()[spoken(code)]}
        if not allowed:
            raise LingarithError("there is no candidate language; give at least one, or None for all")
    language, score = next(pair for pair in _identifier().rank(text) if pair[0] in allowed)
    return None if language == _NO_LANGUAGE or score <= _NO_FEATURE else language


@cache
def known_languages() -> frozenset[str]:
    """The codes that ``language_of`` can return; kept, since py3langid takes most of a second to be loaded."""
    known = kept("py3langid", {"version": version("py3langid")}, lambda: sorted(_identifier().labels))
    return frozenset(known) - {_NO_LANGUAGE}


def recognisable(language: str) -> bool:
    """Whether outputs in a language can be told to be in it.

    >>> recognisable("zh-Hans"), recognisable("iw"), recognisable("ceb")
    (True, True, False)
    """
    return spoken(language) in _labels()


def shares(kinds: Iterable[str]) -> dict[str, float]:
    """The share of each of KINDS, in that order; 0 to 1, with sum 1.

    Raises LingarithError for no kind at all and for one that is not in KINDS.

    >>> shares(["target", "target", "source", "copied"])
    {'target': 0.5, 'source': 0.25, 'other': 0.0, 'empty': 0.0, 'copied': 0.25}
    """
    counts = Counter(kinds)
    for kind in counts.keys() - set(KINDS):
        raise LingarithError(f"no kind of output is named {kind!r}{did_you_mean(kind, KINDS)}")
    if not counts:
        raise LingarithError("there is no output to take shares of; give at least one")
    return {kind: counts[kind] / counts.total() for kind in KINDS}


def copied(output: str, article: str) -> float:
    """The share of an output, 0 to 1, that its longest stretch in common with the article is; 0 of an empty one.

    >>> copied("A bridge opened in Chad", "On Monday a bridge opened in Mali")
    0.782608695652174
    """
    output, article = (" ".join(visible(text).split()) for text in (output, article))
    matcher = SequenceMatcher(None, article, output, autojunk=False)
    return matcher.find_longest_match().size / max(1, len(output))


def _is_copied(output: str, article: str) -> bool:
    length = math.ceil(COPIED_PART * len(output))
    stretches = (output[start : start + length] for start in range(len(output) - length + 1))
    return any(_columns(stretch) >= COPIED_COLUMNS and stretch in article for stretch in stretches)


def _columns(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


@cache
def _labels() -> dict[str, set[str]]:
    """The codes that py3langid has for each language; two of Norwegian."""
    found: dict[str, set[str]] = {}
    for label in known_languages():
        found.setdefault(spoken(label), set()).add(label)
    return found


_NO_LANGUAGE = "zxx"  # py3langid's class for digits, codes and the like
_NO_FEATURE = -1e38  # it gives every language the lowest float32 when it finds nothing it knows


@cache
def _identifier() -> LanguageIdentifier:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    # An identifier of our own: the package's is shared, and others may restrict its languages.
    return LanguageIdentifier.from_model_file(MODEL_FILE)
