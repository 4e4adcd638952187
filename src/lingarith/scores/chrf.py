"""chrF (Popović, 2015) and BLEU as ``sacrebleu`` computes them (https://github.com/mjpost/sacrebleu)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .answers import best_of


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
    """chrF2 of all outputs together, 0 to 100: n-grams are counted over all of them before they are divided."""
    from sacrebleu.metrics.chrf import CHRF

    return _corpus(CHRF(), outputs, references)


def corpus_bleu(outputs: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """BLEU of all outputs together, 0 to 100, over the words of sacrebleu's tokenizer ``13a``.

    It cuts at spaces and punctuation, so that it tells little of Chinese, Japanese or Thai outputs.
    """
    from sacrebleu.metrics.bleu import BLEU

    return _corpus(BLEU(), outputs, references)


def _corpus(metric: Any, outputs: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    best_of(outputs, references, lambda output, one: 0.0)  # that there are some, for each
    streams = [list(stream) for stream in zip_longest(*references)]  # the first of each, the second or None …
    return float(metric.corpus_score(list(outputs), streams).score)
