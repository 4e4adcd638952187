"""Summarisation as text in, text out: an article under a prompt, and its summary."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lingarith.errors import LingarithError, did_you_mean
from lingarith.text import hub
from lingarith.text.corpora import files_of, known_to_newsroom
from lingarith.text.patterns import SPLITS
from lingarith.text.rows import fingerprint, place, read_rows, text_of

NEWSROOM_SIZES = {"train": 2000, "validation": 64, "test": 128}
"""How many stories a split of the newsroom has unless a limit asks for fewer or more."""


@dataclass(frozen=True)
class TaskExample:
    """One labelled example: what the model reads (``input``) and shall write (``target``).

    ``article`` is the text without its prompt.
    """

    id: str
    input: str
    target: str
    article: str


@dataclass(frozen=True)
class Labelled:
    """The labelled examples of a task in a language, and what they are.

    ``task`` is what a vector trained on them is called (``headlines``, ``xlsum``, ``summaries``);
    ``fingerprint`` is the sha256 (hex) of inputs and targets, so that two splits which hold the
    same examples have the same one.
    """

    task: str
    language: str
    split: str
    source: str
    examples: tuple[TaskExample, ...]
    fingerprint: str


def summaries(
    source: str,
    language: str,
    split: str,
    *,
    text_field: str = "text",
    summary_field: str = "summary",
    prompt: str = "summarize: {text}",
    limit: int | None = None,
    seed: int = 0,
    folder: Path,
    progress: hub.Progress | None = None,
) -> Labelled:
    """Articles and summaries of a language and split (``train``, ``validation``, ``test``).

    ``source`` is ``newsroom``, ``xlsum`` (kept in ``folder`` once it has come from the hub) or a path
    pattern with ``{language}`` and ``{split}``, whose rows have the two fields and may have an ``id``.
    ``limit`` takes that many: the first stories of the newsroom, elsewhere a sample drawn by
    ``seed``, of which a smaller limit takes a part. Rows with a blank text or summary are left out.
    Raises :class:`LingarithError` for an unknown source, language, split or field, a prompt without
    ``{text}``, an id that stands twice, and where no example is left.

    >>> [example] = summaries("newsroom", "pt", "test", limit=1, folder=Path("unused")).examples
    >>> example.id, example.input == f"summarize: {example.article}"
    ('test-0', True)
    """
    _checked(prompt, split, limit)
    known, _, revision = source.partition("@")
    if known == "newsroom":
        rows = list(_newsroom(language, split, limit))
    elif known == "xlsum":
        wanted = hub.xlsum(language, split, revision)
        shard = hub.materialised(wanted, ("id", "text", "summary"), folder, progress=progress)
        rows = list(_from_files((shard,), split, "text", "summary"))
    else:
        paths = files_of(source, ("newsroom", "xlsum"), language=language, split=split)
        rows = list(_from_files(paths, split, text_field, summary_field))
    if not rows:
        raise LingarithError(
            f"{source} holds no example of '{language}' ({split}): every '{text_field}' or '{summary_field}' is blank"
        )
    examples = tuple(TaskExample(id, prompt.replace("{text}", text), summary, text) for id, text, summary in rows)
    examples = _sample(examples, limit, seed)
    contents = fingerprint(text for example in examples for text in (example.input, example.target))
    return Labelled(task_name(source), language, split, source, examples, contents)


def task_name(source: str) -> str:
    """What a vector trained on those labelled examples is called.

    >>> task_name("newsroom"), task_name("xlsum"), task_name("summ/{language}/{split}.jsonl")
    ('headlines', 'xlsum', 'summaries')
    """
    known = source.partition("@")[0]
    return {"newsroom": "headlines", "xlsum": "xlsum"}.get(known, "summaries")


def _checked(prompt: str, split: str, limit: int | None) -> None:
    if "{text}" not in prompt:
        raise LingarithError(f"the prompt '{prompt}' does not say where the article goes; write {{text}} there")
    for name in set(re.findall(r"{(\w+)}", prompt)) - {"text"}:
        raise LingarithError(f"the prompt '{prompt}' holds {{{name}}}, and only {{text}} can be filled in")
    if split not in SPLITS:
        raise LingarithError(f"there is no split '{split}'{did_you_mean(split, SPLITS)}")
    if limit is not None and limit < 1:
        raise LingarithError(f"limit is {limit}; it must be at least 1")


def _newsroom(language: str, split: str, limit: int | None) -> Iterator[tuple[str, str, str]]:
    from lingarith.newsroom.world import story
    from lingarith.newsroom.writer import write

    known_to_newsroom(language)
    for number in range(limit or NEWSROOM_SIZES[split]):
        article = write(story(split, number), language)
        yield f"{split}-{number}", article.text, article.summary


def _from_files(
    paths: tuple[Path, ...], split: str, text_field: str, summary_field: str
) -> Iterator[tuple[str, str, str]]:
    """Triples (id, text, summary); without an ``id`` field the running number names a row."""
    seen: set[str] = set()
    running = 0
    for path in paths:
        for number, row in read_rows(path):
            where = place(path, number)
            text, summary = text_of(row, text_field, where), text_of(row, summary_field, where)
            id = f"{split}-{running}" if row.get("id") is None else str(row["id"])
            running += 1
            if id in seen:
                raise LingarithError(f"{where}: the id '{id}' stands twice; scores are paired by it, so make it unique")
            seen.add(id)
            if text and summary:
                yield id, text, summary


def _sample(examples: tuple[TaskExample, ...], limit: int | None, seed: int) -> tuple[TaskExample, ...]:
    if limit is None or limit >= len(examples):
        return examples
    order = list(range(len(examples)))
    random.Random(seed).shuffle(order)
    return tuple(examples[index] for index in sorted(order[:limit]))
