"""Labelled examples: what every task is made of, however it is called and wherever it comes from."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import LingarithError, did_you_mean
from ..patterns import SPLITS
from ..rows import Row, fingerprint, place, read_rows

NEWSROOM_SIZES = {"train": 2000, "validation": 64, "test": 128}
"""How many stories a split of the newsroom has unless a limit asks for fewer or more."""


@dataclass(frozen=True)
class TaskExample:
    """One labelled example: what the model reads (``input``) and shall write (``target``).

    ``article`` is the text without its prompt; ``alternatives`` are targets that are right as well.
    """

    id: str
    input: str
    target: str
    article: str
    alternatives: tuple[str, ...] = ()

    @property
    def references(self) -> tuple[str, ...]:
        """Every right target: the one that is trained on, then the others."""
        return (self.target, *self.alternatives)


@dataclass(frozen=True)
class Labelled:
    """The labelled examples of a task in a language, and what they are.

    ``task`` is what a vector trained on them is called (``xlsum``, ``tydiqa``, ``summaries``);
    ``fingerprint`` is the sha256 (hex) of inputs and references, so that two splits which hold the
    same examples have the same one.
    """

    task: str
    language: str
    split: str
    source: str
    examples: tuple[TaskExample, ...]
    fingerprint: str


def labelled(
    task: str,
    language: str,
    split: str,
    source: str,
    examples: Sequence[TaskExample],
    *,
    limit: int | None,
    seed: int,
) -> Labelled:
    """The examples with their fingerprint; above ``limit`` a sample drawn by ``seed``, in their order.

    A smaller limit takes a part of the sample of a larger one.
    """
    if limit is not None and limit < len(examples):
        order = list(range(len(examples)))
        random.Random(seed).shuffle(order)
        examples = [examples[index] for index in sorted(order[:limit])]
    # A lone target is hashed as it is, so the fingerprint of a task without alternatives is that of input and target.
    contents = fingerprint(text for one in examples for text in (one.input, "\0".join(one.references)))
    return Labelled(task, language, split, source, tuple(examples), contents)


def check_request(prompt: str, slots: Mapping[str, str], split: str, limit: int | None) -> None:
    """Raise :class:`LingarithError` unless the prompt holds these slots alone, and split and limit can be.

    ``slots`` says in a word what each stands for: ``{"text": "article"}``.
    """
    for slot, meaning in slots.items():
        if f"{{{slot}}}" not in prompt:
            raise LingarithError(f"the prompt '{prompt}' does not say where the {meaning} goes; write {{{slot}}} there")
    for name in set(re.findall(r"{(\w+)}", prompt)) - set(slots):
        known = " and ".join(f"{{{slot}}}" for slot in slots)
        raise LingarithError(f"the prompt '{prompt}' holds {{{name}}}, and only {known} can be filled in")
    if split not in SPLITS:
        raise LingarithError(f"there is no split '{split}'{did_you_mean(split, SPLITS)}")
    if limit is not None and limit < 1:
        raise LingarithError(f"limit is {limit}; it must be at least 1")


def filled(prompt: str, **texts: str) -> str:
    """The prompt with each ``{slot}`` replaced by its text; braces within a text stay as they are.

    >>> filled("question: {question} context: {context}", question="What is {context}?", context="Braces.")
    'question: What is {context}? context: Braces.'
    """
    return re.sub(r"{(\w+)}", lambda slot: texts[slot[1]], prompt)


def identified_rows(paths: Iterable[Path], split: str) -> Iterator[tuple[str, str, Row]]:
    """Triples (id, place for errors, row); without a field ``id`` the running number names a row.

    Raises :class:`LingarithError` for a file that cannot be read and an id that stands twice.
    """
    seen: set[str] = set()
    for path in paths:
        for number, row in read_rows(path):
            where = place(path, number)
            id = f"{split}-{len(seen)}" if row.get("id") is None else str(row["id"])
            if id in seen:
                raise LingarithError(f"{where}: the id '{id}' stands twice; scores are paired by it, so make it unique")
            seen.add(id)
            yield id, where, row
