"""What all runners have in common: units of work, dealt out in shares to workers that do a share in a row.

A unit is idempotent: what is in the store already is left as it is. Nothing but a text (JSON) goes to a worker and a
sentence comes back: what units make lies in the store, which all workers reach. How far they are is told by the store
too. Vectors are one wave of work and tests the next, since those need these.
"""

from __future__ import annotations

import heapq
import json
import os
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path

import torch

from ...errors import DO_LESS, LingarithError, out_of_memory
from ...store.store import Store
from ..forecast import Forecast
from ..jobs import steps_done
from ..lab import Lab
from ..lines import name_vectors, tested
from ..outputs import Stored
from ..place import Method, Place
from ..recipes import place_of, rows
from ..study import study_of
from ..tracking import Tracker

TRAIN, TEST = "train", "test"


@dataclass(frozen=True)
class Unit:
    """Work that a worker does by itself: ``what`` is the name of a vector to train, or task, target, seed, method and
    source of what is to be chosen and tested."""

    kind: str
    what: tuple[str, ...]


Share = Sequence[Unit]


@dataclass
class Work:
    """What is left of a study, for a runner. ``together`` vectors share a pass of training (measured without it)."""

    lab: Lab
    forecast: Forecast
    protocol: str
    together: int | None = None
    _trained: dict[str, float] = field(default_factory=dict, init=False)

    @cached_property
    def training(self) -> list[Unit]:
        """The vectors that the store lacks; those that can share a pass stand together."""
        names = sorted(self.forecast.untrained, key=lambda name: str(self.lab.job(name).options))
        return [Unit(TRAIN, (name,)) for name in names]

    @cached_property
    def testing(self) -> list[Unit]:
        """Every method for every target."""
        return [
            Unit(TEST, (place.task, place.target, str(place.seed), method.name, method.source))
            for place, method in self._rows
        ]

    @cached_property
    def _rows(self) -> list[tuple[Place, Method]]:
        return list(rows(self.lab))

    def seconds_of(self, share: Share) -> float:
        """About how long a share takes."""
        return sum(self._seconds[unit] for unit in share)

    @cached_property
    def _seconds(self) -> dict[Unit, float]:
        """Of what is left: the outputs that lack are taken to be as many in every part of a test."""
        outputs = [self.forecast.outputs_of(method) for _, method in self._rows]
        each = self.forecast.writing / max(1, sum(outputs))
        seconds = {unit: self.forecast.training(*unit.what) for unit in self.training}
        return seconds | {unit: each * count for unit, count in zip(self.testing, outputs, strict=True)}

    def waves(self, workers: int) -> list[list[Share]]:
        """The work in shares: a wave needs nothing but those before it."""
        waves: list[list[Share]] = []
        for later in (False, True):  # what goes on from a vector comes after it
            units = [unit for unit in self.training if bool(self.lab.orders[unit.what[0]].after) == later]
            size = self.together or max(1, -(-len(units) // workers))
            waves.append([units[at : at + size] for at in range(0, len(units), size)])
        longest = sorted(self.testing, key=lambda unit: -self._seconds[unit])
        tests: list[Share] = [[unit] for unit in longest]
        return [wave for wave in (*waves, tests) if wave]

    def seconds(self, workers: int) -> float:
        """How long all takes if whoever is free takes the next share."""
        return sum(span([self.seconds_of(share) for share in wave], workers) for wave in self.waves(workers))

    def order(self, share: Share) -> str:
        """A share as a text for :func:`perform_order`."""
        study, store = self.lab.study, self.lab.store
        return json.dumps(
            {
                "study": [study.name, study.table, dict(study.keys)],
                "store": store.remote.url if store.remote else str(store.folder.resolve()),
                "folder": str(Path.cwd()),
                "recipes": self.lab.recipes,
                "protocol": self.protocol,
                "track": self.lab.track and self.lab.track.name,
                "together": self.together,
                "units": [[unit.kind, unit.what] for unit in share],
            },
            default=str,
        )

    def tell(self, done: Iterable[Share], running: Iterable[Share]) -> None:
        """Say how much is done: shares that are, and what the checkpoints of running ones hold."""
        ended = [unit for share in done for unit in share]
        seconds = self.seconds_of(ended)
        for unit in (unit for share in running for unit in share if unit.kind == TRAIN):
            [name] = unit.what
            part = steps_done(self.lab.store, self.lab.recipe(name)) / self.lab.job(name).options.steps
            self._trained[name] = max(part, self._trained.get(name, 0.0))
            seconds += self._trained[name] * self._seconds[unit]
        total = self.seconds_of([*self.training, *self.testing])
        self.lab.progress(f"{self.lab.study.name} (seconds of work)", round(seconds), max(1, round(total)))


class Runner:
    """A way to do the work of a study: by so many ``workers``, on this machine or ``elsewhere``."""

    workers = 1
    elsewhere = False

    def estimate(self, work: Work) -> float:
        """About how many seconds it takes. Workers on this machine's CPUs share them."""
        return work.seconds(self.workers if self.elsewhere else min(self.workers, torch.cuda.device_count() or cores()))

    def run(self, work: Work) -> None:
        """Do all of it. Raises :class:`LingarithError` where something cannot be done."""
        raise NotImplementedError


def span(lengths: Sequence[float], workers: int) -> float:
    """How long ``workers`` need for parts of these lengths if whoever is free takes the next, in seconds.

    >>> span([3.0, 2.0, 2.0], 2)
    4.0
    """
    free = [0.0] * max(1, workers)
    for length in lengths:
        heapq.heappush(free, heapq.heappop(free) + length)
    return max(free)


def cores() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def check(sentences: Collection[str]) -> None:
    """Raise :class:`LingarithError` for what a worker answered, if anything was wrong."""
    for sentence in sentences:
        if sentence:
            raise LingarithError(sentence)


# ---------------------------------------------------------------- in a worker


def perform(lab: Lab, unit: Unit, protocol: str, title: str = "") -> None:
    """Choose and test what a unit says; what is in the store already is left as it is. ``title`` is for progress."""
    task, target, seed, name, source = unit.what
    place = place_of(lab, task, target, int(seed))
    for method in place.methods:
        if (method.name, method.source) == (name, source):
            list(tested(Stored(lab, title), place, method, protocol))


def perform_order(text: str) -> str:
    """Do a share; the sentence about what is wrong, or nothing when all went well."""
    order = json.loads(text)
    os.chdir(order["folder"])  # paths in keys may be relative
    try:
        lab = _opened(json.dumps([order["study"], order["store"], order["protocol"], order["track"]]))
        lab.recipes |= order["recipes"]
        units = [Unit(kind, tuple(what)) for kind, what in order["units"]]
        if names := [name for unit in units if unit.kind == TRAIN for name in unit.what]:
            lab.vectors(names, order["together"])
        for unit in units:
            if unit.kind == TEST:
                perform(lab, unit, order["protocol"])
    except LingarithError as mistake:
        return str(mistake)
    except (RuntimeError, MemoryError) as problem:
        if not out_of_memory(problem):
            raise
        return DO_LESS
    return ""


@lru_cache(1)
def _opened(text: str) -> Lab:
    """The worker's one lab: its backbone is loaded once, and every vector of the study has its name."""
    from ...model.memory import prepare

    prepare()
    (name, table, keys), store, protocol, track = json.loads(text)
    lab = Lab(study_of(name, table, keys), Store.at(store), track=Tracker(track) if track else None)
    name_vectors(lab, protocol)
    return lab
