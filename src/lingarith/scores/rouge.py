"""ROUGE-2 (Lin, 2004) as the package ``rouge_score`` computes it, over tokens of any language."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import LingarithError

if TYPE_CHECKING:
    from sentencepiece import SentencePieceProcessor


class Tokenizer(Protocol):
    """What cuts a text into tokens; tokenizers of transformers fit as they are."""

    def tokenize(self, text: str) -> list[str]:
        """The tokens of a text, in order."""
        ...


@dataclass(frozen=True)
class CallableTokenizer:
    """A tokenizer from a function."""

    function: Callable[[str], list[str]]

    def tokenize(self, text: str) -> list[str]:
        """The tokens of a text, in order."""
        return self.function(text)


class SentencePieceTokenizer:
    """The pieces of a SentencePiece ``.model`` file; ``sha256`` (hex) says which file it was.

    Raises LingarithError when the file is missing or is no SentencePiece model.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            content = self.path.read_bytes()
        except OSError as error:
            raise LingarithError(
                f"cannot read the SentencePiece model {self.path}: {error.strerror or error}; give an existing file"
            ) from error
        self.sha256 = hashlib.sha256(content).hexdigest()
        self._processor = _processor(content, self.path)

    def tokenize(self, text: str) -> list[str]:
        """The pieces of a text, in order."""
        return list(self._processor.encode(text, out_type=str))


def _processor(content: bytes, path: Path) -> SentencePieceProcessor:
    from sentencepiece import SentencePieceProcessor

    try:
        if not content:  # the library takes nothing as "load later"
            raise ValueError("the file is empty")
        return SentencePieceProcessor(model_proto=content)
    except (RuntimeError, ValueError) as error:
        raise LingarithError(f"{path} is not a SentencePiece model; give a file made by SentencePiece") from error


def rouge2(
    predictions: Sequence[str], references: Sequence[str], tokenizer: Tokenizer | None = None
) -> NDArray[np.float64]:
    """The F-measure of bigram overlap of each prediction with its reference: (N,), 0 to 100.

    Without a tokenizer the English one of ``rouge_score`` is used, lower-casing and without a
    stemmer. It keeps only a-z and 0-9, so that two identical Persian texts score 0: give a
    tokenizer for every other language. A text of one token has no bigram and scores 0.

    Raises LingarithError when nothing is given or the lengths differ.

    >>> rouge2(["the cat sat"], ["the cat slept"])
    array([50.])
    """
    if len(predictions) != len(references):
        raise LingarithError(
            f"there are {len(predictions)} predictions and {len(references)} references; give one of each per example"
        )
    if not predictions:
        raise LingarithError("there is no prediction to score; give at least one")
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rouge2"], use_stemmer=False, tokenizer=tokenizer)
    pairs = zip(references, predictions, strict=True)
    return np.array([100.0 * scorer.score(reference, prediction)["rouge2"].fmeasure for reference, prediction in pairs])
