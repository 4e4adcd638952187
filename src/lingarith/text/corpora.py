"""Plain text, from which language vectors are trained: the newsroom, the hub, or files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from ..errors import LingarithError, MissingData, did_you_mean
from ..languages.codes import counterpart
from . import hub
from .patterns import matching_files
from .rows import fingerprint, place, read_rows, text_of

NEWSROOM_PAGES = 4000
"""How many pages of plain text the newsroom has of a language."""
LEAST_HELD_OUT, HELD_OUT = 8, 64
"""How many documents are held out from the training of language vectors: fewer would tell little."""
LAST = 10
"""Where so few are left over, the last one of so many documents is held out, and not trained on."""
HUB = ("mc4", "fineweb2")
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
    is where rows of files hold the text. Where too little text comes after that to be held out, the last tenth of the
    documents (at most :data:`HELD_OUT`) is left for it, if these are enough. Text from the hub is kept in ``folder``
    and not asked for twice; ``progress`` hears of it while it comes. Raises :class:`LingarithError` for an unknown
    source, language or field, and where no text is left.
    """
    if limit_characters < 1:
        raise LingarithError(f"limit_characters is {limit_characters}; it must be at least 1")
    documents = _documents(source, language, field, limit_characters, folder, progress)
    taken = tuple(_until(documents, limit_characters))
    if not _newsroom_has(source) and len(taken) >= LAST * LEAST_HELD_OUT:
        taken, _ = _parts(taken, documents)
    if not taken:
        raise LingarithError(f"{source} holds no text of '{language}': every '{field}' is blank")
    return PlainText(language, source, text_name(source), taken, fingerprint(taken))


def held_out(
    source: str,
    language: str,
    *,
    field: str = "text",
    limit_characters: int = 2_000_000,
    folder: Path,
    progress: hub.Progress | None = None,
) -> PlainText:
    """Up to :data:`HELD_OUT` documents that :func:`plain_text` of the same arguments leaves over.

    They come after its last one, and none is equal to one of those; the newsroom writes some that are
    never trained on. Raises :class:`MissingData` where fewer than :data:`LEAST_HELD_OUT` are left over,
    else as :func:`plain_text` does.
    """
    if _newsroom_has(source):
        left = tuple(_newsroom(language, range(NEWSROOM_PAGES, NEWSROOM_PAGES + HELD_OUT)))
    else:
        documents = _documents(source, language, field, limit_characters, folder, progress)
        _, left = _parts(tuple(_until(documents, limit_characters)), documents)
    if len(left) < LEAST_HELD_OUT:
        raise MissingData(
            f"{source} holds {len(left)} documents of '{language}' beyond {limit_characters:,} characters"
        )
    return PlainText(language, source, text_name(source), left, fingerprint(left))


def _newsroom_has(source: str) -> bool:
    return source.partition("@")[0] == "newsroom"


def _parts(taken: tuple[str, ...], beyond: Iterator[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The documents that are trained on, and those that are held out."""
    left = _unlike(taken, beyond)
    if len(left) < LEAST_HELD_OUT:
        end = len(taken) - min(HELD_OUT, len(taken) // LAST)
        last = _unlike(taken[:end], (*taken[end:], *left))
        if len(last) >= LEAST_HELD_OUT:
            return taken[:end], last
    return taken, left


def _unlike(known: Sequence[str], documents: Iterable[str]) -> tuple[str, ...]:
    """The first documents that are none of those that are known, nor blank."""
    trained = set(known)
    return tuple(islice((document for document in documents if document and document not in trained), HELD_OUT))


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


def newsroom_code(language: str) -> str:
    """What the newsroom calls a language. Raises :class:`MissingData` if it does not write that."""
    from ..newsroom.writer import LANGUAGES

    if found := counterpart(language, LANGUAGES):
        return found
    raise MissingData(f"the newsroom does not write '{language}'{did_you_mean(language, LANGUAGES)}")


def _documents(
    source: str, language: str, field: str, limit_characters: int, folder: Path, progress: hub.Progress | None
) -> Iterator[str]:
    """All documents of a language, of the hub those of the limit and a tenth more, to be held out; some are blank."""
    known, _, revision = source.partition("@")
    if known == "newsroom":
        return _newsroom(language, range(NEWSROOM_PAGES))
    if known in HUB:
        fetched = limit_characters + limit_characters // 10
        wanted = hub.files(known, language, revision=revision)
        shard = hub.materialised(wanted, ("text",), folder, limit_characters=fetched, progress=progress)
        return _from_files((shard,), "text")
    return _from_files(files_of(source, ("newsroom", *HUB), language=language), field)


def _newsroom(language: str, numbers: range) -> Iterator[str]:
    from ..newsroom.archive import texts

    return texts(newsroom_code(language), numbers)


def _from_files(paths: Sequence[Path], field: str) -> Iterator[str]:
    for path in paths:
        for number, row in read_rows(path, (field,)):
            yield text_of(row, field, place(path, number))


def _until(documents: Iterator[str], limit_characters: int) -> Iterator[str]:
    left = limit_characters
    for document in documents:
        if document:
            yield document[:left]
            left -= len(document)
        if left <= 0:
            return
