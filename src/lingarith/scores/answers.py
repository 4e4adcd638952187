"""F1 and exact match of answers, as SQuAD and the gold passages of TyDi QA are scored.

Source: SQuAD's ``evaluate-v1.1.py`` (Rajpurkar et al., 2016), to which TyDi QA refers for its gold
passages (https://github.com/google-research-datasets/tydiqa/tree/master/gold_passage_baseline).

Words are what stands between spaces. Thai, Japanese and Chinese write none: there an answer is one
word, and F1 is 0 or 100 like exact match, apart from spaces that happen to stand in it. TyDi QA left
Thai and Japanese out of the gold passages for this reason. Punctuation is that of ASCII: "、" or "؟"
stays part of a word. The English articles are taken out in every language, so Portuguese loses its
"a" too.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from ..errors import LingarithError

ARTICLES = re.compile(r"\b(?:a|an|the)\b")
NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalised(text: str) -> str:
    """Lower case, without ASCII punctuation, without a, an and the, with single spaces.

    >>> normalised("The  Steam-Engine, a history.")
    'steamengine history'
    """
    return " ".join(ARTICLES.sub(" ", text.lower().translate(NO_PUNCTUATION)).split())


def f1(outputs: Sequence[str], references: Sequence[Sequence[str]]) -> NDArray[np.float64]:
    """The word overlap of each output with the best of its references: (N,), 0 to 100.

    The harmonic mean of precision and recall over normalised words, each counted as often as it
    stands. Where normalisation leaves nothing, as of the answer "A", it is 0, even for the same words.

    Raises LingarithError when nothing is given, the lengths differ or an output has no reference.

    >>> f1(["in the year 1775", "50"], [["1775", "year 1775"], ["50"]])
    array([ 80., 100.])
    """
    return best_of(outputs, references, lambda output, answer: _overlap(normalised(output), normalised(answer)))


def exact_match(outputs: Sequence[str], references: Sequence[Sequence[str]]) -> NDArray[np.float64]:
    """100 where an output and one of its references are the same when normalised, else 0: (N,).

    Raises LingarithError when nothing is given, the lengths differ or an output has no reference.

    >>> exact_match(["The 1770s.", "1775"], [["1775", "1770s"], ["in 1775"]])
    array([100.,   0.])
    """
    return best_of(outputs, references, lambda output, answer: float(normalised(output) == normalised(answer)))


def best_of(
    outputs: Sequence[str], references: Sequence[Sequence[str]], score: Callable[[str, str], float]
) -> NDArray[np.float64]:
    """The score (0 to 1) of each output with the best of its references, times 100: (N,).

    Raises LingarithError when nothing is given, the lengths differ or an output has no reference.
    """
    if len(outputs) != len(references):
        raise LingarithError(
            f"there are {len(outputs)} outputs and references for {len(references)}; give some for each output"
        )
    if not outputs:
        raise LingarithError("there is no output to score; give at least one")
    for number, answers in enumerate(references):
        if isinstance(answers, str) or not answers:
            raise LingarithError(
                f"the references of output {number} are {answers!r}; give a list of one answer or more"
            )
    return np.array(
        [
            100.0 * max(score(output, answer) for answer in answers)
            for output, answers in zip(outputs, references, strict=True)
        ]
    )


def _overlap(output: str, reference: str) -> float:
    ours, theirs = Counter(output.split()), Counter(reference.split())
    shared = (ours & theirs).total()
    return 2 * shared / (ours.total() + theirs.total()) if shared else 0.0
