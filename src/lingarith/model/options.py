"""How a vector is trained."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from ..adapters.dense import Full
from ..adapters.kronecker import Kronecker
from ..adapters.lora import Lora
from ..errors import LingarithError

Adapter = Lora | Kronecker | Full


@dataclass(frozen=True)
class TrainOptions:
    """How a vector is trained. The paper: rank 4, learning rate 2e-4, 5,000 steps."""

    steps: int = 5000
    batch_size: int = 16
    """Examples in a step, over all micro-batches."""
    learning_rate: float = 2e-4
    adapter: Adapter = field(default_factory=Lora)
    warmup: float = 0.05
    """Share of the steps in which the rate rises from 0."""
    weight_decay: float = 0.0
    clip: float = 1.0
    """Largest norm of the gradient over the whole vector."""
    accumulation: int = 1
    """Micro-batches in a step."""
    max_input: int = 512
    max_target: int = 128
    """Tokens. Plain text is cut into chunks of ``max_input``."""
    seed: int = 0
    """Order of examples and places of splits."""
    init_seed: int = 0
    """Where the factors start; one for all vectors that are to be added in factor space."""
    precision: str = "auto"
    """float32 or bfloat16 (autocast); auto is bfloat16 on accelerators that have it."""
    activation_checkpointing: bool = False
    bidirectional_prefix: bool = False
    checkpoint_every: int = 100
    validate_every: int = 0
    """0: only at the end."""
    patience: int = 0
    """Validations in a row without a lower loss after which training ends, and the vector is that of the lowest;
    0: it does not end before its steps, and the vector is the last."""

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "accumulation", "max_input", "max_target", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise LingarithError(f"{name}={getattr(self, name)} must be at least 1")
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
        if self.precision not in ("auto", "float32", "bfloat16"):
            raise LingarithError(f"precision={self.precision!r} is none of auto, float32, bfloat16")

    @property
    def shared(self) -> tuple[Any, ...]:
        """What vectors must have in common to be trained in one pass."""
        return (
            self.adapter, self.batch_size, self.accumulation, self.precision,
            self.activation_checkpointing, self.bidirectional_prefix,
        )  # fmt: skip

    def rate(self, step: int) -> float:
        """The learning rate of a step (from 0): linear up over the warm-up, then linear down to 0."""
        warm = max(1, round(self.warmup * self.steps))
        left = (self.steps - step) / max(1, self.steps - warm)
        return self.learning_rate * min((step + 1) / warm, left, 1.0)
