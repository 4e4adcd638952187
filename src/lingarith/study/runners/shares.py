"""What all runners have in common: steps are dealt out in shares, and a worker does a share in a row.

Nothing but a text (JSON) goes to a worker and a sentence comes back: what steps make lies in the
store, which all workers reach. How far they are is told by the store too.
"""

from __future__ import annotations

import heapq
import json
import os
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Protocol

import torch

from ...errors import DO_LESS, LingarithError
from ..actions import Workshop, generating_alike
from ..ingredients import steps_done
from ..steps import Step

Share = Sequence[Step]
Seconds = Callable[[Step], float]


@dataclass(frozen=True)
class Todo:
    """What is left of a study: its steps in an order in which they can be performed.

    ``seconds`` tells about how long a step takes, ``told`` hears how many seconds of work are done,
    and ``together`` vectors share a pass of training (measured without it).
    """

    steps: Sequence[Step]
    seconds: Seconds
    shop: Workshop
    told: Callable[[float], None] = lambda _: None
    together: int | None = None
    _trained: dict[str, float] = field(default_factory=dict, init=False)

    def tell(self, done: Iterable[Share], running: Iterable[Share]) -> None:
        """Say how much is done: shares that are, and what the checkpoints of running ones hold."""
        for step in (step for share in running for step in share if step.function == "train"):
            count = steps_done(self.shop.store, step.arguments["recipe"])
            self._trained[step.key] = max(count / step.amount, self._trained.get(step.key, 0.0))
        whole = [step for share in done for step in share]
        keys = {step.key for step in whole}
        parts = [self._trained.get(s.key, 0.0) * self.seconds(s) for s in self.steps if s.key not in keys]
        self.told(sum(map(self.seconds, whole)) + sum(parts))


class Runner(Protocol):
    """A way to do the steps of a study."""

    @property
    def workers(self) -> int:
        """How many shares are done at a time."""

    def estimate(self, todo: Todo) -> float:
        """About how many seconds it will take until all is done."""

    def run(self, todo: Todo) -> None:
        """Do all steps, each once, after those that it needs.

        Raises :class:`LingarithError` for the first step that cannot be done; what is done stays, and
        no worker goes on.
        """


def shares(steps: Sequence[Step], workers: int, together: int | None) -> list[Share]:
    """Steps for several workers: of trainings an equal part each, or ``together`` in a share; of compositions that
    write for the same data as many as can stand beside each other; the others singly. In order."""
    # Those with equal options can share a pass.
    training = sorted((s for s in steps if s.function == "train"), key=lambda s: json.dumps(s.arguments["options"]))
    size = together or max(1, -(-len(training) // workers))
    others = [[step] for step in steps if step.function not in ("train", "outputs")]
    dealt = [*(training[at : at + size] for at in range(0, len(training), size)), *generating_alike(steps), *others]
    return [dealt[k] for k in TopologicalSorter(dict(enumerate(needs(dealt)))).static_order()]


def needs(dealt: Sequence[Share]) -> list[set[int]]:
    """For each share the positions of those which come before it."""
    owner = {step.key: k for k, share in enumerate(dealt) for step in share}
    return [{owner[n] for step in share for n in step.needs if n in owner} - {k} for k, share in enumerate(dealt)]


def order(dealt: Sequence[Share]) -> TopologicalSorter[int]:
    """The positions of shares as they become ready."""
    sorter = TopologicalSorter(dict(enumerate(needs(dealt))))
    sorter.prepare()
    return sorter


def span(dealt: Sequence[Share], workers: int, seconds: Seconds) -> float:
    """How long ``workers`` need if whoever is free takes the first share that is ready, in seconds."""
    now, running, waiting, sorter = 0.0, list[tuple[float, int]](), deque[int](), order(dealt)
    while sorter.is_active():
        waiting.extend(sorter.get_ready())
        while waiting and len(running) < workers:
            k = waiting.popleft()
            heapq.heappush(running, (now + sum(map(seconds, dealt[k])), k))
        now, k = heapq.heappop(running)
        sorter.done(k)
    return now


def cores() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def at_a_time(workers: int) -> int:
    """How many of the workers on this machine can go on at a time: those on CPUs share them."""
    return min(workers, torch.cuda.device_count() or cores())


# ---------------------------------------------------------------- in a worker


def order_of(share: Share, todo: Todo) -> str:
    """A share as a text for :func:`perform_order`."""
    store = todo.shop.store
    return json.dumps(
        {
            "steps": [[step.function, step.arguments] for step in share],
            "store": store.place if store.remote else str(store.folder.resolve()),
            "folder": str(Path.cwd()),
            "together": todo.together,
        }
    )


def perform_order(text: str) -> str:
    """Do a share; the sentence about what is wrong, or nothing when all went well."""
    told = json.loads(text)
    os.chdir(told["folder"])  # paths in arguments may be relative
    shop, share = _opened(told["store"]), [Step(function, arguments) for function, arguments in told["steps"]]
    try:
        shop.perform_all(share, together=told["together"])
    except LingarithError as mistake:
        return str(mistake)
    except torch.OutOfMemoryError:
        return DO_LESS
    return ""


@lru_cache(1)
def _opened(store: str) -> Workshop:
    """The worker's one workshop: its backbone is loaded once."""
    from transformers.utils import logging

    from ...model.memory import keep_memory

    keep_memory()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    return Workshop(store)


def check(sentences: Collection[str]) -> None:
    """Raise :class:`LingarithError` for what a worker answered, if anything was wrong."""
    for sentence in sentences:
        if sentence:
            raise LingarithError(sentence)
