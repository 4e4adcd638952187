"""What a backbone is: its parts, and what a step of training takes here at several lengths."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..model import memory
from ..model.backbone import Backbone
from ..model.options import TrainOptions
from ..progress import Progress, quiet
from ..text.corpora import PlainText
from .forecast import seconds_per_step
from .jobs import Job

SENTENCE = "The council said on Monday that the new bridge over the river would open in May. "
LENGTHS = (64, 128, 256)
BATCH = 8


@dataclass(frozen=True)
class Step:
    """A step of a LoRA vector of rank 4 at a length of ``tokens``: seconds, and the most bytes in use meanwhile."""

    tokens: int
    seconds: float
    peak: int


def parts(backbone: Backbone) -> dict[str, int]:
    """Parameters by part, each counted once: embeddings, an output layer of its own, attention, other layers, rest."""
    model: Any = backbone.model
    seen: set[int] = set()

    def count(modules: Sequence[Any]) -> int:
        total = 0
        for module in modules:
            for parameter in module.parameters() if module is not None else ():
                if id(parameter) not in seen:
                    seen.add(id(parameter))
                    total += parameter.numel()
        return total

    return {
        "embeddings": count([model.get_input_embeddings()]),
        "output layer": count([model.get_output_embeddings()]),  # 0 where it is tied
        "attention projections": count([*backbone.projections.values()]),
        "other linear layers": count([*backbone.linears.values()]),
        "rest": count([model]),
    }


def steps(backbone: Backbone, lengths: Sequence[int] = LENGTHS, progress: Progress = quiet) -> Iterator[Step]:
    """The time and memory of a step of :data:`BATCH` chunks of plain text, for each length."""
    options = TrainOptions(steps=1, batch_size=BATCH)
    for length in lengths:
        count = BATCH * length * 8
        text = PlainText("en", "anatomy", "anatomy", [SENTENCE * (count // 16 + 1)], "anatomy")
        job = Job(text, replace(options, max_input=length))
        what = f"timing a step of {length} tokens"
        memory.reset_peak(backbone.device)
        seconds = seconds_per_step(job, backbone, lambda done, total, what=what: progress(what, done, total))  # type: ignore[misc]
        yield Step(length, round(seconds, 3), memory.peak(backbone.device))
