"""How a vector is trained, and how outputs are written; torch is not loaded for it, so that help comes at once."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from ..errors import LingarithError

if TYPE_CHECKING:
    from ..adapters.kinds import Adapter
else:
    Adapter = Any


def _lora() -> Adapter:
    from ..adapters.lora import Lora

    return Lora()


ATTENTION, ALL = PROJECTIONS = ("attention", "all")
WITHIN = "in:"
"""Where the adapter sits: on the Key, Query, Value and output projections, on all linear layers of their blocks, or on
those of these whose paths match the pattern (as of files) that follows ``in:``."""
MOST_ROWS = 2**20
"""Of a batch: with more a step would compute for ever before it fails."""


@dataclass(frozen=True)
class TrainOptions:
    """How a vector is trained. The paper: rank 4, learning rate 2e-4, 5,000 steps.

    ``seed`` sets the order of examples and places of splits, ``init_seed`` where the factors start: one for all vectors
    that are to be added in factor space.
    """

    steps: Annotated[int, "Optimiser steps."] = 5000
    batch_size: Annotated[int, "Examples in a step, over all micro-batches."] = 16
    learning_rate: Annotated[float, "Peak of the learning rate."] = 2e-4
    adapter: Adapter = field(default_factory=_lora)
    projections: Annotated[
        str,
        "Adapted: `attention` (Key, Query, Value, output), `all` linear layers, or a pattern of paths: `in:*.mlp.*`.",
    ] = ATTENTION
    freeze_a: Annotated[bool, "Train LoRA's B alone, from one A: `anchored` sums are exact at that rank."] = False
    warmup: Annotated[float, "Share of the steps in which the learning rate rises from 0."] = 0.05
    weight_decay: Annotated[float, "AdamW's."] = 0.0
    clip: Annotated[float, "Largest norm of the gradient over the whole vector."] = 1.0
    accumulation: Annotated[int, "Micro-batches in a step."] = 1
    max_input: Annotated[int, "Tokens read, at most; plain text is cut into chunks of so many."] = 512
    max_target: Annotated[int, "Tokens of a target in training, at most."] = 128
    seed: int = 0
    init_seed: int = 0
    precision: Annotated[
        str, "Computing in float32 or bfloat16 (autocast); auto is bfloat16 on accelerators that have it."
    ] = "auto"
    activation_checkpointing: Annotated[bool, "Less memory, more time."] = False
    bidirectional_prefix: Annotated[bool, "Decoders read the prefix in both directions."] = False
    checkpoint_every: Annotated[int, "Steps between two checkpoints."] = 100
    validate_every: Annotated[int, "Steps between two validation losses; 0: only at the end."] = 0
    patience: Annotated[
        int, "End after so many validations without a lower loss, with the vector of the lowest; 0: never."
    ] = 0

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "accumulation", "max_input", "max_target", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise LingarithError(f"{name}={getattr(self, name)} must be at least 1")
        if self.batch_size > MOST_ROWS:
            raise LingarithError(
                f"batch_size={self.batch_size} must be at most {MOST_ROWS}: no device holds such a step"
            )
        for name in ("seed", "init_seed", "validate_every", "patience"):
            if getattr(self, name) < 0:
                raise LingarithError(f"{name}={getattr(self, name)} must be 0 or more")
        for name in ("learning_rate", "clip"):
            value = getattr(self, name)
            if not (value > 0 and math.isfinite(value)):
                raise LingarithError(f"{name}={value} must be a positive number")
        if not 0 <= self.warmup <= 1:
            raise LingarithError(f"warmup={self.warmup} is a share of the steps, so it must lie in 0..1")
        if not (self.weight_decay >= 0 and math.isfinite(self.weight_decay)):
            raise LingarithError(f"weight_decay={self.weight_decay} must be 0 or a positive number")
        if self.batch_size % self.accumulation:
            raise LingarithError(
                f"batch_size={self.batch_size} cannot be shared out over accumulation={self.accumulation} micro-batches"
            )
        if self.patience and not self.validate_every:
            raise LingarithError(
                f"patience={self.patience} counts validations, which there are none of; "
                "set validate_every (--validate-every) to a number of steps"
            )
        if self.projections not in PROJECTIONS and self.projections.removeprefix(WITHIN) in ("", self.projections):
            raise LingarithError(
                f"projections={self.projections!r} is no place for an adapter; choose attention, all, or in:PATTERN "
                "with a pattern of paths, such as in:*.mlp.*"
            )
        if self.projections != ATTENTION and self.adapter.facts["kind"] == "full":
            raise LingarithError("full fine-tuning has no adapter, so projections say nothing of it; leave them out")
        if self.freeze_a and self.adapter.facts["kind"] != "lora":
            raise LingarithError("freeze_a leaves LoRA's A as it starts, and another adapter is trained; leave it out")
        if self.precision not in ("auto", "float32", "bfloat16"):
            raise LingarithError(f"precision={self.precision!r} is none of auto, float32, bfloat16")

    @property
    def facts(self) -> dict[str, Any]:
        """What origins and recipes say of them, plain; a choice that there was not always is said where it was made."""
        usual = {"projections": ATTENTION, "freeze_a": False}
        return {key: value for key, value in asdict(self).items() if usual.get(key) != value}

    @property
    def shared(self) -> tuple[Any, ...]:
        """What vectors must have in common to be trained in one pass."""
        return (
            self.adapter, self.projections, self.freeze_a, self.batch_size, self.accumulation, self.precision,
            self.activation_checkpointing, self.bidirectional_prefix,
        )  # fmt: skip

    def rate(self, step: int) -> float:
        """The learning rate of a step (from 0): linear up over the warm-up, then linear down to 0."""
        warm = max(1, round(self.warmup * self.steps))
        left = (self.steps - step) / max(1, self.steps - warm)
        return self.learning_rate * min((step + 1) / warm, left, 1.0)


@dataclass(frozen=True)
class Decoding:
    """How outputs are made: greedy with one beam, else beam search. Deterministic either way.

    Shorter inputs fill the tokens that ``generate_batch`` of the longest take with more rows.
    """

    beams: Annotated[int, "Beams of the search; 1 is greedy."] = 1
    max_input: Annotated[int, "Tokens read, at most."] = 512
    max_output: Annotated[int, "Tokens written, at most."] = 64
    generate_batch: Annotated[int, "Rows of the longest inputs that are written at a time."] = 64

    def __post_init__(self) -> None:
        for name in ("beams", "max_input", "max_output", "generate_batch"):
            if getattr(self, name) < 1:
                raise LingarithError(f"{name}={getattr(self, name)} must be at least 1")
