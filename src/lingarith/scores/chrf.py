"""chrF (Popović, 2015) and BLEU as ``sacrebleu`` computes them (https://github.com/mjpost/sacrebleu)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import zip_longest
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .answers import best_of

KEPT = 250_000
"""Characters of references whose n-grams are kept for the next method; a character takes up to a kilobyte."""


def chrf(outputs: Sequence[str], references: Sequence[Sequence[str]]) -> NDArray[np.float64]:
    """chrF2 of each output with the best of its references: (N,), 0 to 100.

    Character n-grams up to six, spaces left out, recall twice as important as precision.
    Raises LingarithError when nothing is given, the lengths differ or an output has no reference.

    >>> chrf(["the cat sat", ""], [["the cat sat"], ["a dog"]])
    array([100.,   0.])
    """
    from sacrebleu.metrics.chrf import CHRF

    metric = CHRF()
    return best_of(outputs, references, lambda output, one: metric.sentence_score(output, [one]).score / 100)


def corpus_chrf(outputs: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """chrF2 of all outputs together, 0 to 100: n-grams are counted over all of them before they are divided.

    Those of references are counted once for several methods that are held against the same ones in a row.
    """
    streams = _streams(outputs, references)
    many = sum(len(one) for some in references for one in some) > KEPT
    metric = _against(streams) if many else _kept_against(streams)
    return float(metric.corpus_score(list(outputs), None).score)


def corpus_bleu(outputs: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """BLEU of all outputs together, 0 to 100, over the words of sacrebleu's tokenizer ``13a``.

    It cuts at spaces and punctuation, so that it tells little of Chinese, Japanese or Thai outputs.
    """
    from sacrebleu.metrics.bleu import BLEU

    return float(BLEU().corpus_score(list(outputs), _streams(outputs, references)).score)


def _streams(outputs: Sequence[str], references: Sequence[Sequence[str]]) -> Any:
    """References as sacrebleu takes them: the first of each output, the second or None …"""
    best_of(outputs, references, lambda output, one: 0.0)  # that there are some, for each
    return tuple(zip_longest(*references))


def _against(streams: Any) -> Any:
    """A chrF that has counted the n-grams of its references."""
    from sacrebleu.metrics.chrf import CHRF

    return CHRF(references=streams)


_kept_against = lru_cache(maxsize=2)(_against)
"""Those of the last two: the references of all outputs, and of the ones in the right language."""
