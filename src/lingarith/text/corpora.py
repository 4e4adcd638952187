"""Plain text, from which language vectors are trained: the newsroom, the hub, or files."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lingarith.errors import LingarithError, MissingData, did_you_mean
from lingarith.text import hub
from lingarith.text.patterns import matching_files
from lingarith.text.rows import fingerprint, place, read_rows, text_of

NEWSROOM_PAGES = 4000
"""How many pages of plain text the newsroom has of a language."""
HUB: dict[str, Callable[[str, str], hub.HubFiles]] = {"mc4": hub.mc4, "fineweb2": hub.fineweb2}
"""The names of plain text on the hub; ``mc4@<commit>`` takes a stated revision."""


@dataclass(frozen=True)
class PlainText:
    """Documents of one language.

    ``source`` is as the user gave it; ``name`` is what a vector trained on it is called (``news``,
    ``mc4``, ``fineweb2``, else ``text``); ``fingerprint`` is the sha256 (hex) of the documents.
    """

    language: str
    source: str
    name: str
    documents: Sequence[str]
    fingerprint: str


def plain_text(
    source: str,
    language: str,
    *,
    field: str = "text",
    limit_characters: int = 2_000_000,
    folder: Path,
    progress: hub.Progress | None = None,
) -> PlainText:
    """The first ``limit_characters`` of a language's documents (the last one is cut there).

    ``source`` is ``newsroom``, ``mc4``, ``fineweb2`` or a path pattern with ``{language}``; ``field``
    is where rows of files hold the text. Text from the hub is kept in ``folder`` and not asked for
    twice; ``progress`` hears of it while it comes. Raises :class:`LingarithError` for an unknown
    source, language or field, and where no text is left.
    """
    if limit_characters < 1:
        raise LingarithError(f"limit_characters is {limit_characters}; it must be at least 1")
    known, _, revision = source.partition("@")
    if known == "newsroom":
        documents = _newsroom(language)
    elif known in HUB:
        wanted = HUB[known](language, revision)
        shard = hub.materialised(wanted, ("text",), folder, limit_characters=limit_characters, progress=progress)
        documents = _from_files((shard,), "text")
    else:
        documents = _from_files(files_of(source, ("newsroom", *HUB), language=language), field)
    taken = tuple(_until(documents, limit_characters))
    if not taken:
        raise LingarithError(f"{source} holds no text of '{language}': every '{field}' is blank")
    return PlainText(language, source, text_name(source), taken, fingerprint(taken))


def text_name(source: str) -> str:
    """What a vector trained on that plain text is called.

    >>> text_name("newsroom"), text_name("mc4"), text_name("plain/{language}.txt")
    ('news', 'mc4', 'text')
    """
    known = source.partition("@")[0]
    return "news" if known == "newsroom" else known if known in HUB else "text"


def files_of(source: str, names: Sequence[str], *, language: str, split: str | None = None) -> tuple[Path, ...]:
    """The files of a path pattern; a bare word that is no file is taken for a misspelt one of ``names``."""
    if re.fullmatch(r"[\w-]+", source) and not Path(source).exists():
        known = did_you_mean(source, names)
        path = "" if known.endswith("?") else "; or give a path such as data/{language}.jsonl.gz"
        raise LingarithError(f"there is no source '{source}'{known}{path}")
    return matching_files(source, language=language, split=split)


def known_to_newsroom(language: str) -> None:
    """Raise :class:`LingarithError` if the newsroom does not write that language."""
    from lingarith.newsroom.writer import LANGUAGES

    if language not in LANGUAGES:
        raise MissingData(f"the newsroom does not write '{language}'{did_you_mean(language, LANGUAGES)}")


def _newsroom(language: str) -> Iterator[str]:
    from lingarith.newsroom.pages import page

    known_to_newsroom(language)
    return (page("text", language, number) for number in range(NEWSROOM_PAGES))


def _from_files(paths: Sequence[Path], field: str) -> Iterator[str]:
    for path in paths:
        for number, row in read_rows(path):
            yield text_of(row, field, place(path, number))


def _until(documents: Iterator[str], limit_characters: int) -> Iterator[str]:
    left = limit_characters
    for document in documents:
        if document:
            yield document[:left]
            left -= len(document)
        if left <= 0:
            return
