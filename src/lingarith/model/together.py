"""How many vectors to train in one pass: as many as fit in memory, and no more than make it quicker."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from .backbone import Backbone
from .batches import Stream
from .members import Training
from .memory import available, peak, reset_peak, used
from .parallel import processes
from .train import groups, train

TRIED = 3
"""Passes that are timed, after one that warms up."""
WORTH = 10
"""Trying is to take no more than about this part of the work."""
GAIN = 1.1
"""More vectors in a pass must be so much quicker: clocks are not exact, and few are easier to reproduce."""
MARGIN = 0.8
"""The share of the memory that is there which a pass may take."""


@dataclass(frozen=True)
class Trial:
    """What a few passes with so many vectors took. ``bytes`` is what they needed beside the backbone."""

    together: int
    tokens_per_second: float
    bytes: int


def best(trials: Sequence[Trial]) -> int:
    """The quickest of the trials; fewer vectors in a pass unless more are clearly quicker.

    >>> best([Trial(1, 100.0, 0), Trial(2, 105.0, 0), Trial(4, 120.0, 0), Trial(8, 121.0, 0)])
    4
    """
    chosen = trials[0]
    for trial in trials[1:]:
        if trial.tokens_per_second > GAIN * chosen.tokens_per_second:
            chosen = trial
    return chosen.together


def best_together(backbone: Backbone, trainings: Sequence[Training]) -> int:
    """How many of the trainings share a pass best here: tried, unless there is too little to do for that."""
    largest = max(groups([training.options for training in trainings]), key=len, default=[])
    alike = [trainings[position] for position in largest]
    steps = sum(training.options.steps for training in alike)
    alone = processes().size == 1  # clocks of several would not agree
    if not alone or len(alike) < 2 or steps < WORTH * (1 + TRIED) * 3:
        return 1
    return best(trials(backbone, alike, most=steps // (WORTH * (1 + TRIED))))


def trials(backbone: Backbone, trainings: Sequence[Training], *, most: int) -> list[Trial]:
    """One vector in a pass, then two, four …, while memory allows, it gets quicker, and ``most`` are not exceeded.

    ``most`` limits the vectors of all trials taken together.
    """
    base, free = used(backbone.device), available(backbone.device)
    measured: list[Trial] = []
    count = 1
    while True:
        reset_peak(backbone.device)
        try:
            rate = _tokens_per_second(backbone, trainings[:count])
        except torch.OutOfMemoryError:
            if not measured:
                raise
            return measured
        measured.append(Trial(count, rate, max(0, peak(backbone.device) - base)))
        following = min(2 * count, len(trainings))
        fits = measured[-1].bytes * following / count < MARGIN * free
        slower = len(measured) > 1 and rate < measured[-2].tokens_per_second
        if following == count or not fits or slower or sum(t.together for t in measured) + following > most:
            return measured
        count = following


class _Enough(Exception):
    """The passes that were to be timed are done."""


def _tokens_per_second(backbone: Backbone, trainings: Sequence[Training]) -> float:
    moments: dict[int, float] = {}

    def watch(position: int, step: int, loss: float) -> None:
        moments[step] = time.perf_counter()
        if step > TRIED and position == len(trainings) - 1:
            raise _Enough

    with tempfile.TemporaryDirectory() as folder, suppress(_Enough):
        fresh = [
            replace(
                training, folder=Path(folder) / str(k), validation=None, saved=None, logged=None,
                options=replace(
                    training.options, steps=max(training.options.steps, TRIED + 2), checkpoint_every=10**9, patience=0
                ),
            )
            for k, training in enumerate(trainings)
        ]  # fmt: skip
        for _ in train(backbone, fresh, together=len(fresh), watch=watch):
            pass
    streams = [Stream(t.data, t.options.seed, t.options.batch_size) for t in trainings]
    items = [item for stream in streams for step in range(1, TRIED + 1) for item in stream.at(step)]
    return sum(len(source) + len(target) for source, target in items) / (moments[TRIED + 1] - moments[1])
