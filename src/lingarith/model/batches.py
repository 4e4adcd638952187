"""From text to tensors: which examples a step sees, and how they are padded.

The examples of a step are a pure function of (seed, step), so a resumed run needs no memory of
the order. Examples of similar length share a batch: little is padding.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ..errors import LingarithError
from ..text.corpora import PlainText
from ..text.labelled import Labelled
from ..text.prefix_lm import NO_LOSS, decoder_only, prefix_lm, split_position
from .backbone import Backbone
from .chunks import Chunks, tokenised
from .inputs import framed_inputs

Item = tuple[list[int], list[int]]
"""Token numbers of an input and of the output that is to follow it (with EOS)."""

PASS, LAUNCHED = {"cpu": 200}, 1000
"""What a pass costs beside its positions, in positions: measured on a processor for models of 5 to 30 million
parameters; accelerators, which wait for each launch, are taken to need more."""
FULL = {"cpu": 1000}
"""Positions beyond which groups that share a pass gain no time, but cost memory: measured as above. Accelerators
have no such limit here; how many vectors they take at a time is tried."""
POOL = 128  # batches that share one draw of examples, sorted by length; a power of 2


class TrainingData(Hashable, Protocol):
    """Examples by number; ``draw`` is the position in the endless stream of examples."""

    def __len__(self) -> int: ...

    def item(self, index: int, seed: int, draw: int) -> Item:
        """The example as it is seen at that draw."""
        ...


@dataclass(frozen=True, eq=False)
class TaskItems:
    """Labelled examples, the same at every draw."""

    items: Sequence[Item]

    def __len__(self) -> int:
        return len(self.items)

    def item(self, index: int, seed: int, draw: int) -> Item:
        return self.items[index]


@dataclass(frozen=True, eq=False)
class PrefixItems:
    """Chunks of plain text, each split anew at every draw (T5's ``prefix_lm``).

    The text is tokenised when its chunks are first asked for, and kept in ``folder`` if there is one.
    Raises :class:`LingarithError` then when no chunk has the two tokens that a split needs.
    """

    backbone: Backbone
    text: PlainText
    length: int
    """Tokens of a chunk, at most."""
    folder: Path | None = None

    @cached_property
    def chunks(self) -> Chunks:
        """All of them, by number."""
        self.backbone.must_hold_chunks(self.length)
        chunks = tokenised(self.backbone, self.text.documents, self.length, self.folder)
        if not len(chunks):
            raise LingarithError(
                f"the plain text of {self.text.language} ({self.text.source}) has no document of two tokens or more"
            )
        return chunks

    def __len__(self) -> int:
        return len(self.chunks)

    def item(self, index: int, seed: int, draw: int) -> Item:
        chunk = self.chunks[index]
        split = split_position(len(chunk), np.random.default_rng((seed, draw)))
        prefix, target = prefix_lm(chunk, split, self.backbone.eos)
        return self.backbone.framed(prefix), [*self.backbone.beginning, *target]


@dataclass(frozen=True, eq=False)
class MixedItems:
    """Examples of several kinds in one stream: of each so many in an epoch, in turn as often as it takes."""

    parts: Sequence[TrainingData]
    counts: Sequence[int]

    def __len__(self) -> int:
        return sum(self.counts) if all(map(len, self.parts)) else 0

    def item(self, index: int, seed: int, draw: int) -> Item:
        part = 0
        while index >= self.counts[part]:
            index -= self.counts[part]
            part += 1
        return self.parts[part].item(index % len(self.parts[part]), seed, draw)


def task_items(backbone: Backbone, data: Labelled, *, max_input: int, max_target: int) -> TaskItems:
    """Labelled examples as token numbers, each side cut to its maximum (special tokens included)."""
    backbone.must_hold(max_input, max_target, "--max-target")
    inputs = framed_inputs(backbone, [example.asked for example in data.examples], max_input)
    targets = backbone.encode([example.target for example in data.examples])
    return TaskItems(
        [
            (source, [*[*backbone.beginning, *target][: max_target - 1], backbone.eos])
            for source, target in zip(inputs, targets, strict=True)
        ]
    )


class Stream:
    """The batches of one training: every example once in each epoch, neighbours in length together."""

    def __init__(self, data: TrainingData, seed: int, size: int) -> None:
        self._data, self._seed, self._size = data, seed, size
        self._pool: tuple[int, list[list[Item]]] = (-1, [])

    def at(self, step: int) -> list[Item]:
        """The examples of a step."""
        number, place = divmod(step, POOL)
        if self._pool[0] != number:
            items = []
            for draw in range(number * POOL * self._size, (number + 1) * POOL * self._size):
                epoch, turn = divmod(draw, len(self._data))
                example = int(_epoch_order(self._seed, epoch, len(self._data))[turn])
                items.append(self._data.item(example, self._seed, draw))
            self._pool = (number, _neighbours(items, self._size))
        # Neighbours in the pool are alike in length: in its order, long texts would come one after another.
        turn = int(np.random.default_rng((self._seed, number)).permutation(POOL)[place])
        return self._pool[1][turn]


def _neighbours(items: list[Item], size: int) -> list[list[Item]]:
    """Batches of items alike in both lengths: halved again and again by the side that differs most."""
    if len(items) == size:  # reached, since there are a power of 2 times as many
        return [items]
    orders = [sorted(items, key=lambda item, s=side: (len(item[s]), len(item[1 - s]))) for side in (0, 1)]  # type: ignore[misc]
    ordered = orders[max((0, 1), key=lambda s: len(orders[s][-1][s]) - len(orders[s][0][s]))]
    half = len(items) // 2
    return _neighbours(ordered[:half], size) + _neighbours(ordered[half:], size)


@lru_cache(maxsize=16)
def _epoch_order(seed: int, epoch: int, count: int) -> np.ndarray:
    return np.random.default_rng((seed, epoch, count)).permutation(count)


@dataclass(frozen=True)
class Batch:
    """Model inputs (rows × length) and ``labels`` with −100 where there is no loss.

    ``taught`` numbers the positions that have a loss, row after row, and ``counts`` says how many
    each row has; ``tokens`` counts what is no padding, on both sides.
    """

    inputs: dict[str, Tensor]
    labels: Tensor
    taught: Tensor
    counts: list[int]
    tokens: int

    @property
    def size(self) -> int:
        """Positions computed, padding included."""
        wide = self.inputs["input_ids"].numel()
        return wide + (self.inputs["decoder_input_ids"].numel() if "decoder_input_ids" in self.inputs else 0)


def collate(backbone: Backbone, items: Sequence[Item], *, bidirectional_prefix: bool = False) -> Batch:
    """Items padded on the right, in memory: whoever computes with them brings them to the device.

    Encoder-decoder: the encoder reads the input, the decoder is taught the output. Decoder-only:
    one sequence, loss on the output alone; the mask is causal, or lets the input see itself whole.
    That mask is additive in float: a boolean one leaks the future under eager attention.
    """
    pad = backbone.tokenizer.pad_token_id
    tokens = sum(len(source) + len(target) for source, target in items)
    if backbone.encoder_decoder:
        ids, mask = _padded([source for source, _ in items], pad)
        labels, label_mask = _padded([target for _, target in items], pad)
        labels[label_mask == 0] = NO_LOSS
        # labels shifted right behind the start token
        decoder = backbone.model.prepare_decoder_input_ids_from_labels(labels)  # type: ignore[operator]
        inputs = {"input_ids": ids, "attention_mask": mask, "decoder_input_ids": decoder}
    else:
        rows = [decoder_only(source, target) for source, target in items]
        ids, mask = _padded([row for row, _ in rows], pad)
        labels, _ = _padded([label for _, label in rows], NO_LOSS)
        # position i is taught token i+1
        labels = torch.cat([labels[:, 1:], torch.full_like(labels[:, :1], NO_LOSS)], dim=1)
        if bidirectional_prefix:
            if backbone.model.config.model_type == "bloom":  # type: ignore[union-attr]
                raise LingarithError(
                    f"{backbone.name} takes positions from its mask, so an input cannot see itself whole there; "
                    "leave bidirectional_prefix off"
                )
            mask = prefix_mask(mask, [len(source) for source, _ in items], next(backbone.model.parameters()).dtype)
        inputs = {"input_ids": ids, "attention_mask": mask}
    taught = labels != NO_LOSS  # rows × length
    return Batch(inputs, labels, taught.flatten().nonzero().squeeze(1), taught.sum(1).tolist(), tokens)


def alike(backbone: Backbone, groups: Sequence[Sequence[Item]]) -> list[list[int]]:
    """Which groups of rows share a pass, by their numbers: those of like lengths, so that little is padding.

    A pass more costs about as much as :data:`PASS` positions of padding; in the order of their lengths
    the groups are cut where that costs least. Several share a pass of up to :data:`FULL` positions.
    """
    widths = [_widths(backbone, items) for items in groups]
    order = sorted(range(len(groups)), key=lambda k: (widths[k][0] - widths[k][-1], *widths[k]))
    price, full = PASS.get(backbone.device.type, LAUNCHED), FULL.get(backbone.device.type, math.inf)
    # least[n]: what the first n groups in that order cost at best, and where their last pass begins.
    least = [(0, 0)]
    for end in range(1, len(order) + 1):
        rows, widest = 0, [0] * len(widths[0])
        costs: list[tuple[int, int]] = []
        for start in range(end - 1, -1, -1):  # the last pass takes one group more each time
            k = order[start]
            rows, widest = rows + len(groups[k]), list(map(max, widest, widths[k]))
            if costs and rows * sum(widest) > full:
                break
            costs.append((least[start][0] + price + rows * sum(widest), start))
        least.append(min(costs))
    passes, end = [], len(order)
    while end:
        start = least[end][1]
        passes.append(sorted(order[start:end]))
        end = start
    return sorted(passes)


def _widths(backbone: Backbone, items: Sequence[Item]) -> tuple[int, ...]:
    """What rows are padded to: input and output, or both in one."""
    if backbone.encoder_decoder:
        return max(len(source) for source, _ in items), max(len(target) for _, target in items)
    return (max(len(source) + len(target) for source, target in items),)


def positions(backbone: Backbone, items: Sequence[Item]) -> int:
    """How many positions the items take when they are padded by themselves."""
    return len(items) * sum(_widths(backbone, items))


def prefix_mask(real: Tensor, prefixes: Sequence[int], dtype: torch.dtype) -> Tensor:
    """Additive mask (rows × 1 × length × length): 0 where a position may look, else the lowest number.

    A position sees all of its row's prefix and, beyond it, what lies before; never padding.
    """
    length = real.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool).tril()  # from × to
    prefix = torch.arange(length)[None, :] < torch.tensor(prefixes)[:, None]  # rows × to
    allowed = (causal[None] | prefix[:, None, :]) & (real[:, None, :] == 1)  # rows × from × to
    allowed |= torch.eye(length, dtype=torch.bool)  # a padded row must look somewhere, or it is NaN
    mask = torch.zeros(allowed.shape, dtype=dtype).masked_fill(~allowed, torch.finfo(dtype).min)
    return mask[:, None]


def _padded(rows: Sequence[list[int]], pad: int) -> tuple[Tensor, Tensor]:
    """Rows filled up on the right, and 1 where there is a token, 0 where not; both rows × length."""
    width = max(map(len, rows))
    ids = torch.tensor([row + [pad] * (width - len(row)) for row in rows])
    mask = torch.arange(width) < torch.tensor([len(row) for row in rows])[:, None]
    return ids, mask.long()
