"""What a model has rows for: tokens in its embedding, and positions where these are learned or tabled."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from torch import nn
from transformers import PreTrainedTokenizerBase

from ..errors import LingarithError
from .projections import text_model


def must_have_rows(model: Any, tokenizer: PreTrainedTokenizerBase, used: Collection[int], name: str) -> int | None:
    """Raise :class:`LingarithError` unless the embedding has a row for each token, or for all that text is made of.

    Returns None, or the number of rows where special tokens that nobody uses have none (Gemma 3's of 1 billion
    parameters has none for the token that stands for an image). ``used`` are those that stand around each text.
    """
    rows = int(model.get_input_embeddings().weight.shape[0])
    beyond = {index: piece for piece, index in tokenizer.get_vocab().items() if index >= rows}
    if not beyond:
        return None
    added = tokenizer.added_tokens_decoder
    for index, piece in sorted(beyond.items()):
        if index in used or index not in added or not added[index].special:
            raise LingarithError(
                f"the tokenizer of {name} has a token {piece!r} with the number {index}, and the model {rows} rows; "
                "take the tokenizer that belongs to it, or save the model after resize_token_embeddings"
            )
    return rows


def positions(model: Any) -> tuple[int | None, int | None]:
    """For how many tokens of an input and of an output there are positions; None where any number will do.

    A decoder-only model has one table for both, which is the first. Positions that are relative, rotary or
    computed anew for longer inputs (T5, Llama, BLOOM, XGLM) have no table.
    """
    if model.config.is_encoder_decoder:
        return _table(model.get_encoder()), _table(model.get_decoder())
    return _table(text_model(model)), None


def _table(part: nn.Module) -> int | None:
    """How many tokens the tables of positions of a part have rows for."""
    found = [
        module.num_embeddings - int(getattr(module, "offset", 0))  # BART and OPT leave out the first two
        for path, module in part.named_modules()
        if isinstance(module, nn.Embedding) and "position" in path.rpartition(".")[2]
    ]
    return min(found, default=None)
