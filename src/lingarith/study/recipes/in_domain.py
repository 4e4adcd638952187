"""Adapters compared where labels exist (appendix A.1): Table 6, but for full fine-tuning."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .. import studies
from ..records import KRONECKER, LORA, MULTI_KRONECKER, MULTI_LORA, RATES
from .methods import Method, Vectors, alone

FORMS = {
    LORA: (studies.LORA, False),
    MULTI_LORA: (studies.LORA, True),
    KRONECKER: (studies.KRONECKER, False),
    MULTI_KRONECKER: (studies.KRONECKER, True),
}
"""The adapter of each row, and whether it is trained on all sources together."""


def in_domain(v: Vectors, target: str, sources: Sequence[str]) -> Iterator[Method]:
    """LoRA and Kronecker, trained on the target's own labels or on those of all sources; and LoRA's learning rates."""
    for name, (adapter, together) in FORMS.items():
        yield alone(name, v.task(*(sources if together else [target]), adapter=adapter))
    if RATES in v.study.controls:
        swept = {rate: v.task(target, rate=rate, adapter=studies.LORA) for rate in v.study.rates()}
        yield Method(RATES, swept, by="oracle")
