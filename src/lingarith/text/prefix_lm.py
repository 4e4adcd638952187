"""The objective of language vectors: a chunk of text, cut in two; the first half is read, the rest written.

>>> ids = [11, 12, 13, 14, 15]                # a chunk of plain text, tokenised; EOS is 1
>>> prefix, target = prefix_lm(ids, split=2, eos=1)
>>> prefix, target
([11, 12], [13, 14, 15, 1])
>>> encoder_decoder(prefix, target)           # input ids and labels
([11, 12], [13, 14, 15, 1])
>>> decoder_only(prefix, target)              # one sequence; no loss where the label is -100
([11, 12, 13, 14, 15, 1], [-100, -100, 13, 14, 15, 1])
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from ..errors import LingarithError

NO_LOSS = -100
"""The label of a token that is read, not predicted; what cross-entropy in torch ignores."""


class Uniform(Protocol):
    """A source of numbers drawn uniformly from [0, 1), such as Python's or numpy's generator."""

    def random(self) -> float: ...


def prefix_lm(ids: Sequence[int], split: int, eos: int) -> tuple[list[int], list[int]]:
    """The prefix ``ids[:split]`` and the target ``ids[split:]`` with EOS at its end; no sentinels.

    ``split`` lies in [1, len(ids) − 1], so that neither is empty (ValueError otherwise). Source:
    T5's ``prefix_lm`` (Raffel et al., 2020).
    """
    if not 1 <= split < len(ids):
        raise ValueError(f"split {split} is outside [1, {len(ids) - 1}]")
    return list(ids[:split]), [*ids[split:], eos]


def encoder_decoder(
    source: Sequence[int], target: Sequence[int], *, eos: int | None = None
) -> tuple[list[int], list[int]]:
    """Input ids and labels. ``eos`` ends the input where the tokenizer ends inputs so (T5 does).

    >>> encoder_decoder([11, 12], [13, 1], eos=1)
    ([11, 12, 1], [13, 1])
    """
    return [*source, *([] if eos is None else [eos])], list(target)


def decoder_only(
    source: Sequence[int], target: Sequence[int], *, bos: int | None = None
) -> tuple[list[int], list[int]]:
    """Input ids and labels of equal length, with :data:`NO_LOSS` on the source.

    Label and token stand at one position; causal models of transformers shift them by themselves.

    >>> decoder_only([11, 12], [13, 1], bos=2)
    ([2, 11, 12, 13, 1], [-100, -100, -100, 13, 1])
    """
    read = [*([] if bos is None else [bos]), *source]
    return [*read, *target], [*[NO_LOSS] * len(read), *target]


def chunks(documents_ids: Iterable[Sequence[int]], length: int) -> list[list[int]]:
    """Tokenised documents cut into chunks of 2 to ``length`` tokens; no chunk spans two documents.

    A rest of one token is dropped, since it cannot be cut in two. Raises :class:`LingarithError`
    if ``length`` is below 2.

    >>> chunks([[1, 2, 3, 4, 5], [6, 7], [8]], length=2)
    [[1, 2], [3, 4], [6, 7]]
    """
    if length < 2:
        raise LingarithError(
            f"chunks of {length} tokens cannot be cut into prefix and target; use a length of 2 or more"
        )
    cut = (list(ids[start : start + length]) for ids in documents_ids for start in range(0, len(ids), length))
    return [chunk for chunk in cut if len(chunk) > 1]


def split_position(length: int, rng: Uniform) -> int:
    """Where to cut a chunk of ``length`` tokens: uniform on 1 … length − 1 (ValueError below 2)."""
    if length < 2:
        raise ValueError(f"a chunk of {length} tokens has no place to be cut")
    return 1 + int(rng.random() * (length - 1))
