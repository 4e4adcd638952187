"""Accuracy and macro-F1 of labels, which a model writes out as text."""

from __future__ import annotations

import string
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..unicode import composed
from .answers import best_of


def label(text: str) -> str:
    """A label as it is compared: case folded, single spaces, no punctuation around it, Unicode's NFC.

    >>> label(" Science/ Technology. ")
    'science/ technology'
    """
    plain = composed(text).casefold()
    return " ".join(plain.strip(string.punctuation + string.whitespace).split())


def accuracy(outputs: Sequence[str], references: Sequence[Sequence[str]]) -> NDArray[np.float64]:
    """100 where an output is one of its references, as :func:`label` compares them, else 0: (N,).

    Raises LingarithError when nothing is given, the lengths differ or an output has no reference.

    >>> accuracy(["Sports.", "I think travel"], [["sports"], ["travel"]])
    array([100.,   0.])
    """
    return best_of(outputs, references, lambda output, reference: float(label(output) == label(reference)))


def macro_f1(outputs: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """The mean over the labels of the references of each one's F1, 0 to 100.

    The label of an example is the reference that the output equals, else its first. What is no label
    of any reference is a miss, and no class of its own. Raises LingarithError as :func:`accuracy` does.

    >>> macro_f1(["a", "a", "?", "b"], [["a"], ["b"], ["b"], ["b"]])
    58.333...
    """
    right = accuracy(outputs, references) == 100
    given = [label(output) for output in outputs]
    gold = [one if hit else label(some[0]) for one, some, hit in zip(given, references, right, strict=True)]
    hits, found, there = (
        Counter(one for one, hit in zip(gold, right, strict=True) if hit),
        Counter(given),
        Counter(gold),
    )
    return 100 * sum(2 * hits[one] / (found[one] + there[one]) for one in there) / len(there)
