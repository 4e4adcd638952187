"""How long an adaptation will take: a few steps of each kind are run, the rest is multiplied out."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from ..model.backbone import Backbone
from ..model.generate import Decoding, generate
from ..model.train import train
from ..store.store import Store
from ..text.corpora import PlainText
from ..text.tasks.labelled import Labelled
from . import choose
from .halving import race
from .ingredients import Job, Progress, have
from .plan import Plan
from .weigh import COMPOSED

TRIED_STEPS, TRIED_EXAMPLES = 3, 8


@dataclass(frozen=True)
class Stage:
    """A part of the work. ``seconds`` is an estimate, 0 for what is there already."""

    what: str
    amount: str
    done: bool
    seconds: float


def estimate(plan: Plan, backbone: Backbone, store: Store, progress: Progress | None = None) -> list[Stage]:
    """The stages of a plan in their order: vectors, choosing weights, testing; ``progress`` hears of what is timed."""

    def watch(what: str, done: int, total: int) -> None:
        if progress:
            progress(f"timing {what}", done, total)

    stages, rates = [], {}
    for job in plan.jobs:
        done = have(job, backbone, store)
        if not done and type(job.data) not in rates:
            rates[type(job.data)] = seconds_per_step(
                job, backbone, partial(watch, f"a step of {job.name}", total=1 + TRIED_STEPS)
            )
        seconds = 0.0 if done else rates[type(job.data)] * job.options.steps
        stages.append(Stage(f"train {job.name}", f"{job.options.steps} steps", done, seconds))
    options = plan.options
    grids = [choose.grid(equation, options.space.name) for equation in COMPOSED]
    weights = sum(map(len, grids))
    text = plan.languages[plan.targets[0]].data
    assert isinstance(text, PlainText)
    articles = next(iter(plan.validation.values()), None) or choose.probe_articles(text, options.prompt)
    size = options.decoding.batch_size
    rate = seconds_per_output(articles, options.decoding, backbone, partial(watch, "an output", total=size))
    for target in plan.targets:
        tried = [target] if target in plan.validation else []
        tried += plan.sources[target] if plan.protocol == "sources" else []
        outputs = sum(_outputs(options.search, grids, len(plan.validation[one].examples)) for one in tried)
        if plan.protocol == "unlabelled":
            outputs += weights * choose.PROBE
        stages.append(
            Stage(f"choose λ and β for {target}", f"{outputs} outputs, {weights} compositions", False, rate * outputs)
        )
        if target in plan.test:
            tested = (1 + len(COMPOSED)) * len(plan.test[target].examples)
            stages.append(Stage(f"test {target}", f"{tested} outputs", False, rate * tested))
    return stages


def _outputs(search: str, grids: Sequence[Sequence[float]], examples: int) -> int:
    """How many outputs a search needs; a race, where none is surely better than another before its end."""
    if search == choose.GRID:
        return examples * sum(map(len, grids))

    def even(some: Sequence[float], count: int) -> list[list[float]]:
        return [[0.0] * count] * len(some)

    return sum(seen for weights in grids for *_, seen in race(weights, choose.ALONE, examples, even).points)


def seconds_per_step(job: Job, backbone: Backbone, watch: Callable[[int], None] = lambda _: None) -> float:
    """How long a step of training takes here; ``watch`` hears how many were tried."""
    # The first step pays for warming up, so the others are what counts.
    options = replace(job.options, steps=1 + TRIED_STEPS, patience=0)
    moments: list[float] = []

    def timed(_: int, step: int, loss: float) -> None:
        moments.append(time.perf_counter())
        watch(step)

    with tempfile.TemporaryDirectory() as folder:
        training = replace(job, options=options, validation=None).training(backbone, Path(folder))
        for _ in train(backbone, [training], watch=timed):
            pass
    return (moments[-1] - moments[0]) / TRIED_STEPS


def seconds_per_output(
    data: Labelled, decoding: Decoding, backbone: Backbone, watch: Callable[[int], None] = lambda _: None
) -> float:
    """How long an output takes here, in a batch; ``watch`` hears how many are there."""
    size = min(TRIED_EXAMPLES, len(data.examples))
    inputs = [example.input for example in data.examples[:size]]
    # Batches cost less by the example than single ones, up to the size of a batch.
    inputs = (inputs * decoding.batch_size)[: decoding.batch_size]
    began = time.perf_counter()
    generate(backbone, inputs, decoding, watch=watch)
    return (time.perf_counter() - began) / len(inputs)
