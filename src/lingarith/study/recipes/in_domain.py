"""Adapters and full fine-tuning compared where labels exist (appendix A.1): Table 6."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .. import studies
from ..records import FULL, KRONECKER, LORA, MULTI_KRONECKER, MULTI_LORA, RATES
from .methods import Method, Vectors, alone

FORMS = {
    LORA: (studies.LORA, False),
    MULTI_LORA: (studies.LORA, True),
    KRONECKER: (studies.KRONECKER, False),
    MULTI_KRONECKER: (studies.KRONECKER, True),
}
"""The adapter of each row, and whether it is trained on all sources together."""


def in_domain(v: Vectors, target: str, sources: Sequence[str]) -> Iterator[Method]:
    """LoRA and Kronecker, trained on the target's own labels or on those of all sources; full fine-tuning on
    its own, unless the study has no learning rate for it; and LoRA's learning rates."""
    for name, (adapter, together) in FORMS.items():
        yield alone(name, v.task(*(sources if together else [target]), adapter=adapter))
    if v.study.full_rate:
        yield alone(FULL, v.task(target, adapter=studies.FULL))
    if RATES in v.study.controls:
        swept = {rate: v.task(target, rate=rate, adapter=studies.LORA) for rate in v.study.rates()}
        yield Method(RATES, swept, by="oracle")
