"""Adapters from what a run has chosen: one folder for each target, as PEFT loads it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..adapters.lora import Lora
from ..disk.files import inside
from ..errors import LingarithError, did_you_mean
from ..formats.gguf import elsewhere
from ..formats.lokr import write_lokr
from ..formats.peft import write_peft
from ..formats.serving import RANKS, write_serving
from ..vectors.composition import Composition
from .grams import vectors_of
from .lab import Lab
from .options import FULL, KRONECKER
from .recipes import TABLES, places
from .records import BASELINE, Choice, adapter_folder
from .study import Study
from .weights import hand_over as best_of

FORMATS = PEFT, SERVING = ("peft", "serving")


def hand_over(
    lab: Lab, lines: Sequence[Any], protocol: str, out: Path, command: str = "", format: str = PEFT
) -> dict[str, str]:
    """Write the adapter of each target into ``out/<target>``; which method's it is, by target.

    Of several tasks the folder is ``out/<task>-<target>``; of several seeds the first counts. In the format
    ``serving`` ``out`` is what vLLM's resolver of folders looks into.
    """
    study, handed = lab.study, {}
    write: Any = write_serving if format == SERVING else write_lokr if kronecker_size(study) else write_peft
    for place in places(lab):
        if place.seed != study.vectors.seeds[0]:
            continue
        key = (place.task, place.target, place.seed, protocol)
        choices = [
            line
            for line in lines
            if isinstance(line, Choice)
            and (line.task, line.target, line.seed, line.protocol) == key
            and line.method in TABLES[study.table].tried
        ]
        choice, task = best_of(choices), study.tasks[place.task].task
        name = choice.method if choice else BASELINE
        [tried] = [method.tried for method in place.methods if method.name == name]
        combination = tried[choice.weight] if choice else next(iter(tried.values()))
        folder = adapter_folder(study.tasks, place.task, place.target)
        write(
            Composition(combination, vectors_of(lab, [combination], study.sums.value), study.sums.value),
            inside(out, folder),
            base_model=elsewhere(lab.backbone.facts)[0],
            task_type="SEQ_2_SEQ_LM" if lab.backbone.encoder_decoder else "CAUSAL_LM",
            origin={
                "expression": lab.said(combination),
                "parents": {lab.orders[part].stored: lab.content(part) for part in combination.names},
                "backbone": lab.backbone.facts,
                "prompt": lab.asked(place.task).task.prompt,
                "task": place.task,
                "language": place.target,
                "writes": task.writes,
                "command": command,
            },
        )
        handed[folder] = name
    return handed


def kronecker_size(study: Study) -> tuple[int, ...] | None:
    """(m, n) of the Kronecker products that are handed over, as PEFT's LoKr; None for LoRA."""
    space = study.sums.value
    if space.rank is not None:
        return space.kronecker
    adapter: Any = study.vectors.of(study.vectors.kind)
    return (adapter.m, adapter.n) if study.vectors.kind == KRONECKER else None


def check_handed_over(study: Study, format: str = PEFT) -> None:
    """Raise :class:`LingarithError` unless PEFT, or a server, can hold what a study would hand over."""
    if format not in FORMATS:
        raise LingarithError(f"no format named {format!r}{did_you_mean(format, FORMATS)}")
    if study.vectors.kind == FULL:
        raise LingarithError("full fine-tuning leaves no adapter to hand over; choose lora or kronecker")
    size, space = kronecker_size(study), study.sums.value
    if size and (size[0] != size[1] or (space.name == "delta" and space.rank != 1)):
        raise LingarithError(
            f"PEFT holds one Kronecker product with m = n in a projection, not a sum in {space} with m = {size[0]} and "
            f"n = {size[1]}; choose m = n and space 'factors', or cut the sum to LoRA (--space delta --rank-out 8)"
        )
    if format == SERVING:
        _check_served(study, size)


def _check_served(study: Study, size: tuple[int, ...] | None) -> None:
    space, adapter = study.sums.value, study.vectors.of(study.vectors.kind)
    if size or (not space.rank and not isinstance(adapter, Lora)):
        raise LingarithError("servers take LoRA alone; choose lora, or cut the sum to it (--space delta --rank-out 8)")
    if isinstance(adapter, Lora):
        vectors = 2 * len(study.languages.sources) + 1 if space.name == "delta" else 1
        rank = space.rank or adapter.rank * vectors
        if rank > RANKS[-1]:
            raise LingarithError(
                f"the sum would have rank {rank}, and servers take {RANKS[-1]} at most; cut it (--space delta "
                "--rank-out 64)"
            )
