"""Methods without arithmetic between languages that a gain is held against, beside the controls.

=========== ============================================================================================================
``joint``   one adapter on the sources' labels and the target's plain text, mixed: as many steps as task and language
            vector have together, and as many examples of each as these see
``named``   the task vector alone, trained and tested with a prompt that names the language (``named_prompt``)
``averaged`` the average of the task vector's runs with several seeds: the study's, or three from its own on; all begin
            where that of the study's seed does, and differ in the order of their examples
``linear``  the task vector alone, on all linear layers of the blocks and not on attention's projections only
``few:k``   the task vector (of several sources that of all their labels) trained on for ``few_steps`` on k labels of
            the target: from its train split or, where there is none, its validation split; never its test split
=========== ============================================================================================================
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random

from ..algebra import Combination, average
from ..errors import LingarithError
from ..model.options import ALL
from ..text.labelled import Labelled
from ..text.rows import fingerprint
from .jobs import Job
from .lab import Lab
from .orders import Order
from .study import NAMED_TASK

RUNS = 3
"""Of how many seeds ``averaged`` takes the task vectors, where the study has one."""
JOINT_NOTE = (
    "joint: one adapter on labels and plain text in one mixture, {} steps: of its examples {} in {} are labelled, the "
    "others plain text of the target (prefix-LM), as many of each as task and language vector see."
)
NAMED_NOTE = "named: the task vector is trained and tested with the prompt {!r}."
AVERAGED_NOTE = "averaged: the average of the task vectors of the seeds {}, which begin at one place."
FEW_NOTE = "few: the task vector is trained on for {} steps on k labels of the target, so it is not zero-shot."


def joint(lab: Lab, task: str, seed: int, sources: Sequence[str], target: str) -> Combination:
    """The vector that is trained on labels of the sources and plain text of the target together."""
    study = lab.study
    options, own = study.training(seed, labels=True), study.training(seed, labels=False)
    steps = options.steps + own.steps
    base = f"{lab.task_name(task)}_joint"
    lab.notes[JOINT_NOTE.format(steps, options.steps, steps)] = None

    def job() -> Job:
        data = lab.labels(task, sources[0] if len(sources) == 1 else sources, "train")
        mixed = (lab.plain(target), own.steps)
        return Job(replace(data, task=base), replace(options, steps=steps, patience=0), mixed=mixed, label=target)

    return lab.ordered(base, target, options, Order(f"{base}[{target}]", tuple(sources), job))


def named(lab: Lab, task: str, seed: int, sources: Sequence[str]) -> Combination:
    """The task vectors of a prompt that names the language, averaged over the sources."""
    asked = f"{task}{NAMED_TASK}"
    lab.notes[NAMED_NOTE.format(lab.asked(asked).task.prompt)] = None
    return average([lab.task(asked, seed, source) for source in sources])


def averaged(lab: Lab, task: str, seed: int, sources: Sequence[str]) -> Combination:
    """The average of the task vectors of several seeds, and of the sources."""
    given = lab.study.vectors.seeds
    seeds = given if len(given) > 1 else range(seed, seed + RUNS)
    lab.notes[AVERAGED_NOTE.format(", ".join(map(str, seeds)))] = None
    return average([lab.task(task, each, source, start=seed) for each in seeds for source in sources])


def linear(lab: Lab, task: str, seed: int, sources: Sequence[str]) -> Combination:
    """The task vectors on all linear layers, averaged over the sources."""
    return average([lab.task(task, seed, source, projections=ALL) for source in sources])


def few(lab: Lab, task: str, seed: int, sources: Sequence[str], target: str, count: int) -> Combination:
    """The task vector of the sources, trained on with ``count`` labels of the target.

    Raises :class:`LingarithError` where the target has fewer labels beside its test split.
    """
    study = lab.study
    [start] = lab.task(task, seed, *sources).names
    options = replace(study.training(seed, labels=True), steps=study.vectors.few_steps, patience=0)
    base = f"{lab.task_name(task)}_few{count}"
    lab.notes[FEW_NOTE.format(options.steps)] = None

    def job() -> Job:
        return Job(drawn(lab, task, seed, target, count, base), options, start=lab.job(start))

    order = Order(f"{base}[{target}]", tuple(dict.fromkeys([*sources, target])), job, after=start)
    return lab.ordered(base, target, options, order)


def drawn(lab: Lab, task: str, seed: int, target: str, count: int, name: str) -> Labelled:
    """``count`` labelled examples of the target, drawn by the seed; fewer are a part of more."""
    split = next((split for split in ("train", "validation") if lab.has_labels(task, target, split)), None)
    data = lab.labels(task, target, split) if split else None
    there = len(data.examples) if data else 0
    if data is None or there < count:
        raise LingarithError(
            f"few:{count} needs {count} labelled examples of {target} beside its test split, and there are {there}; "
            "take a smaller number, or leave it out of 'controls'"
        )
    numbers = Random(f"{seed}/{target}").sample(range(there), there)[:count]
    examples = tuple(data.examples[number] for number in sorted(numbers))
    contents = fingerprint(text for one in examples for text in (one.input, *one.references))
    return replace(data, task=name, examples=examples, fingerprint=contents)
