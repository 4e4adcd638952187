"""How well a model predicts text, in bits per UTF-8 byte: a figure that no tokenizer changes.

What is predicted are the tokens of the text itself, without the end that training puts behind them: a backbone that
never saw such ends would seem to learn a language by learning these.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch

from ..text.corpora import PlainText
from ..text.labelled import Labelled
from .backbone import Backbone
from .batches import Item, PrefixItems, collate
from .inputs import framed_inputs
from .losses import token_losses

CHUNKS = 64
"""How many chunks of a text are predicted, evenly taken from all of it."""
ROWS = 8
"""How many are predicted at a time."""


def bits_per_byte(backbone: Backbone, text: PlainText, length: int) -> float:
    """Bits per byte of plain text under whatever update is attached, in chunks of at most ``length`` tokens.

    Decoders predict all of a chunk but its first token, encoder-decoders its second half from its first. The mean
    over these tokens, log2, is multiplied by the tokens per UTF-8 byte (of NFC) of the whole text. Raises
    :class:`LingarithError` where the text has no chunk of two tokens.
    """
    chunks = PrefixItems(backbone, text, length).chunks
    items: list[Item] = []
    for number in range(0, len(chunks), max(1, len(chunks) // CHUNKS))[:CHUNKS]:
        chunk = chunks[number]
        cut = len(chunk) // 2 if backbone.encoder_decoder else 1
        items.append((backbone.framed(chunk[:cut]), [*backbone.beginning, *chunk[cut:]]))
    bits, tokens = sum(_bits(backbone, items)), sum(len(target) for _, target in items)
    return bits / tokens * int(chunks.ends[-1]) / sum(len(document.encode()) for document in text.documents)


def reference_bits(
    backbone: Backbone, data: Labelled, max_input: int, watch: Callable[[int], None] | None = None
) -> list[float]:
    """Bits per byte of each example's target, read behind its input: (N,); ``watch`` hears how many are done."""
    inputs = framed_inputs(backbone, [example.asked for example in data.examples], max_input)
    targets = backbone.encode([example.target for example in data.examples])
    items = [(source, [*backbone.beginning, *target]) for source, target in zip(inputs, targets, strict=True)]
    bits = _bits(backbone, items, watch)
    return [each / len(example.target.encode()) for each, example in zip(bits, data.examples, strict=True)]


def _bits(backbone: Backbone, items: Sequence[Item], watch: Callable[[int], None] | None = None) -> list[float]:
    """Bits that the target of each item takes: (N,)."""
    bits: list[float] = []
    for start in range(0, len(items), ROWS):
        batch = collate(backbone, items[start : start + ROWS])
        with torch.no_grad():
            losses, _ = token_losses(backbone, batch)  # T
        bits += [row.double().sum().item() / math.log(2) for row in losses.split(batch.counts)]
        if watch:
            watch(len(bits))
    return bits
