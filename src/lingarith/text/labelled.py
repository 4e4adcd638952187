"""Labelled examples: what every task is made of, however it is called and wherever it comes from."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import LingarithError
from .rows import Row, fingerprint, place, read_rows, text_of


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

    ``task`` is what a vector trained on them is called (``xlsum``, ``headlines``, ``summaries``);
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


def filled(prompt: str, **texts: str) -> str:
    """The prompt with each ``{slot}`` replaced by its text; braces within a text stay as they are.

    >>> filled("question: {question} context: {context}", question="What is {context}?", context="Braces.")
    'question: What is {context}? context: Braces.'
    """
    return re.sub(r"{(\w+)}", lambda slot: texts[slot[1]], prompt)


def identified_rows(paths: Iterable[Path], split: str, key: str = "id") -> Iterator[tuple[str, str, Row]]:
    """Triples (id, place for errors, row); without the field ``key`` the running number names a row.

    Raises :class:`LingarithError` for a file that cannot be read and an id that stands twice.
    """
    seen: set[str] = set()
    for path in paths:
        for number, row in read_rows(path):
            where = place(path, number)
            id = f"{split}-{len(seen)}" if row.get(key) is None else str(row[key])
            if id in seen:
                raise LingarithError(f"{where}: the id '{id}' stands twice; scores are paired by it, so make it unique")
            seen.add(id)
            yield id, where, row


def texts_of(row: Row, field: str, where: str) -> tuple[str, ...]:
    """The texts of a row's field that are all right, each once, stripped and in their order; none for a blank text.

    The field is one string, a list of strings or of ``{"text": …}``, or the same column by column
    (``{"text": […]}``, as Parquet has SQuAD's answers). Raises :class:`LingarithError` if it is
    missing, something else, or a list without any text; ``where`` names the row there.

    >>> texts_of({"answers": [{"text": "50"}, {"text": "fifty "}, {"text": "50"}]}, "answers", "line 1")
    ('50', 'fifty')
    >>> texts_of({"summary": " "}, "summary", "line 1")
    ()
    """
    value = row.get(field)
    if isinstance(value, dict):
        value = value.get("text")
    if not isinstance(value, list):
        return tuple(filter(None, [text_of(row, field, where)]))
    each = (one if isinstance(one, dict) else {"text": one} for one in value)
    texts = tuple(dict.fromkeys(filter(None, (text_of(one, "text", f"{where}, '{field}'") for one in each))))
    if not texts:
        raise LingarithError(f"{where}: the field '{field}' is a list without any text; leave such rows out")
    return texts
