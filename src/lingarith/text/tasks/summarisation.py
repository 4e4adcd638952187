"""Summarisation as text in, text out: an article under a prompt, and its summary."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ...errors import LingarithError
from .. import hub
from ..corpora import files_of, known_to_newsroom
from ..rows import text_of
from .labelled import NEWSROOM_SIZES, Labelled, TaskExample, check_request, filled, identified_rows, labelled


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
    check_request(prompt, {"text": "article"}, split, limit)
    known, _, revision = source.partition("@")
    if known == "newsroom":
        found = _newsroom(language, split, limit)
    elif known == "xlsum":
        wanted = hub.xlsum(language, split, revision)
        shard = hub.materialised(wanted, ("id", "text", "summary"), folder, progress=progress)
        found = _from_files((shard,), split, "text", "summary")
    else:
        paths = files_of(source, ("newsroom", "xlsum"), language=language, split=split)
        found = _from_files(paths, split, text_field, summary_field)
    examples = [TaskExample(id, filled(prompt, text=text), summary, text) for id, text, summary in found]
    if not examples:
        raise LingarithError(
            f"{source} holds no example of '{language}' ({split}): every '{text_field}' or '{summary_field}' is blank"
        )
    return labelled(task_name(source), language, split, source, examples, limit=limit, seed=seed)


def task_name(source: str) -> str:
    """What a vector trained on those labelled examples is called.

    >>> task_name("newsroom"), task_name("xlsum"), task_name("summ/{language}/{split}.jsonl")
    ('headlines', 'xlsum', 'summaries')
    """
    known = source.partition("@")[0]
    return {"newsroom": "headlines", "xlsum": "xlsum"}.get(known, "summaries")


def _newsroom(language: str, split: str, limit: int | None) -> Iterator[tuple[str, str, str]]:
    from ...newsroom.world import story
    from ...newsroom.writer import write

    known_to_newsroom(language)
    for number in range(limit or NEWSROOM_SIZES[split]):
        article = write(story(split, number), language)
        yield f"{split}-{number}", article.text, article.summary


def _from_files(
    paths: tuple[Path, ...], split: str, text_field: str, summary_field: str
) -> Iterator[tuple[str, str, str]]:
    """Triples (id, text, summary)."""
    for id, where, row in identified_rows(paths, split):
        text, summary = text_of(row, text_field, where), text_of(row, summary_field, where)
        if text and summary:
            yield id, text, summary
