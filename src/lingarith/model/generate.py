"""Outputs of a backbone for many inputs, whatever update is on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from ..errors import LingarithError
from .backbone import Backbone


@dataclass(frozen=True)
class Decoding:
    """How outputs are made: greedy with one beam, else beam search. Deterministic either way."""

    beams: int = 1
    max_input: int = 512
    max_output: int = 64
    """Tokens."""
    batch_size: int = 64

    def __post_init__(self) -> None:
        for name in ("beams", "max_input", "max_output", "batch_size"):
            if getattr(self, name) < 1:
                raise LingarithError(f"{name}={getattr(self, name)} must be at least 1")


def generate(
    backbone: Backbone, inputs: Sequence[str], decoding: Decoding, *, watch: Callable[[int], None] | None = None
) -> list[str]:
    """One output for each input, in their order.

    Batches hold inputs of similar length. Put the update on first:
    ``with backbone.using(update): generate(backbone, …)``.
    """
    tokenizer = backbone.tokenizer
    # A decoder goes on where the input ends, so its padding lies on the left.
    side = "right" if backbone.encoder_decoder else "left"
    encoded = [backbone.framed(ids, decoding.max_input) for ids in backbone.encode(inputs)]
    if not all(encoded):
        raise LingarithError(
            f"input {encoded.index([]) + 1} is empty, so there is nothing to go on from; give some text"
        )
    order = sorted(range(len(inputs)), key=lambda k: (len(encoded[k]), k))
    outputs = [""] * len(inputs)
    for start in range(0, len(order), decoding.batch_size):
        rows = order[start : start + decoding.batch_size]
        batch = tokenizer.pad({"input_ids": [encoded[k] for k in rows]}, padding_side=side, return_tensors="pt")
        with torch.inference_mode():
            made = backbone.model.generate(  # type: ignore[operator]
                input_ids=batch["input_ids"].to(backbone.device),
                attention_mask=batch["attention_mask"].to(backbone.device),
                do_sample=False,
                num_beams=decoding.beams,
                max_new_tokens=decoding.max_output,
                pad_token_id=tokenizer.pad_token_id,
                eos_token_id=backbone.eos,
            )
        if not backbone.encoder_decoder:
            made = made[:, batch["input_ids"].shape[1] :]
        for k, text in zip(rows, tokenizer.batch_decode(made, skip_special_tokens=True), strict=True):
            outputs[k] = text.strip()
        if watch:
            watch(min(start + decoding.batch_size, len(order)))
    return outputs
