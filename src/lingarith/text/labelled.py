"""Labelled examples: what every task is made of, however it is called and wherever it comes from."""

from __future__ import annotations

import random
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import LingarithError
from ..unicode import blank, composed
from .rows import Row, fingerprint, place, read_rows, text_of


@dataclass(frozen=True)
class Asked:
    """What the model reads, and where in it texts stand (characters, from and to) that may be cut if it is too long.

    Without ``slots`` all of it is such a text.
    """

    text: str
    slots: tuple[tuple[int, int], ...] = ()

    @property
    def text_last(self) -> bool:
        """Whether its one text stands last, so that to cut the text is to cut the end."""
        return len(self.slots) < 2 and all(end == len(self.text) for _, end in self.slots)


@dataclass(frozen=True)
class TaskExample:
    """One labelled example: what the model reads (``input``) and shall write (``target``).

    ``article`` is the text without its prompt; ``alternatives`` are targets that are right as well; ``slots`` are
    the places of texts in the input (:class:`Asked`), which follow from the prompt.
    """

    id: str
    input: str
    target: str
    article: str
    alternatives: tuple[str, ...] = ()
    slots: tuple[tuple[int, int], ...] = field(default=(), compare=False)

    @property
    def asked(self) -> Asked:
        """The input, with the places of what may be cut in it."""
        return Asked(self.input, self.slots)

    @property
    def references(self) -> tuple[str, ...]:
        """Every right target: the one that is trained on, then the others."""
        return (self.target, *self.alternatives)


@dataclass(frozen=True)
class Labelled:
    """The labelled examples of a task in a language, and what they are.

    ``task`` is what a vector trained on them is called (``xlsum``, ``headlines``, ``summaries``);
    ``fingerprint`` is the sha256 (hex) of inputs and references, so that two splits which hold the
    same examples have the same one; ``prompt`` is what the inputs were filled into.
    """

    task: str
    language: str
    split: str
    source: str
    examples: tuple[TaskExample, ...]
    fingerprint: str
    prompt: str = ""


def labelled(
    task: str,
    language: str,
    split: str,
    source: str,
    examples: Sequence[TaskExample],
    *,
    limit: int | None,
    seed: int,
    prompt: str = "",
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
    return Labelled(task, language, split, source, tuple(examples), contents, prompt)


def filled(prompt: str, texts: Mapping[str, str], **words: str) -> Asked:
    """The prompt with each ``{slot}`` replaced by its text, or one of the ``words``, which belong to the prompt.

    Braces within a text stay as they are.

    >>> filled("{name}: {question} context: {context}", {"question": "What is {name}?", "context": "Braces."}, name="q")
    Asked(text='q: What is {name}? context: Braces.', slots=((3, 18), (28, 35)))
    """
    text, slots = "", []
    for number, piece in enumerate(re.split(r"{(\w+)}", prompt)):
        start = len(text)
        text = composed(text + ({**words, **texts}[piece] if number % 2 else piece))
        if number % 2 and piece in texts:
            slots.append((start, len(text)))
    return Asked(text, tuple(slots))


def identified_rows(
    paths: Iterable[Path], split: str, key: str = "id", *, fields: Collection[str] | None = None, paired: bool = True
) -> Iterator[tuple[str, str, Row]]:
    """Triples (id, place for errors, row); without an id in the field ``key`` the running number names a row.

    ``fields`` are those that are needed (:func:`.rows.read_rows`). Where scores or sentences are ``paired``
    by ids, none is another's: one that another file has too gets the file's number before it, and one that
    stands twice in a file raises :class:`LingarithError`, as a file does that cannot be read.
    """
    seen: dict[str, int] = {}
    count = 0
    for shard, path in enumerate(paths):
        for number, row in read_rows(path, None if fields is None else {key, *fields}):
            where, given = place(path, number), own_id(row, key)
            id = given or f"{split}-{count}"
            count += 1
            if paired:
                if given and seen.get(id) == shard:
                    raise LingarithError(
                        f"{where}: the id '{id}' stands twice; scores are paired by it, so make it unique"
                    )
                while id in seen:
                    id = f"{shard}-{id}"
                seen[id] = shard if given else NO_SHARD
            yield id, where, row


NO_SHARD = -1
"""For ids that no file has."""


def own_id(row: Row, key: str = "id") -> str:
    """The id that a row itself has, as text; empty where it has none or a blank one.

    >>> own_id({"id": 7}), own_id({"id": " "}), own_id({"id": None}), own_id({"id": float("nan")})
    ('7', '', '', '')
    """
    value = row.get(key)
    if value is None or value != value:  # pandas writes NaN where there is none
        return ""
    return "" if blank(str(value)) else composed(str(value)).strip()


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
