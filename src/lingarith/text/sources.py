"""Where the rows of tasks come from: the newsroom, datasets of the hub, and files of one's own."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import LingarithError, MissingData, did_you_mean
from ..languages.codes import counterpart
from ..newsroom import archive
from ..newsroom.rows import FIELDS
from ..unicode import composed
from . import entities, hub
from .corpora import files_of, newsroom_code
from .labelled import identified_rows
from .rows import Row

VALIDATION_SHARE = 0.1
"""The share of the passages of TyDi QA's train part that are kept for validation."""
FILES = "files"
"""What tasks call data in files where they name data."""
TOKENS, TAGS = "tokens", "ner_tags"
"""Fields of rows whose tokens are tagged, as MasakhaNER and CoNLL's sets on the hub call them."""

Rows = Iterator[tuple[str, str, Row]]
"""Of each row: id, its place for errors, and what it holds."""


@dataclass(frozen=True)
class Request:
    """Rows that are asked for, in whatever language.

    ``fields`` are those that are needed; ``columns`` says what files call some of them. A ``seed``
    draws what a source itself must draw.
    """

    source: str
    split: str
    fields: tuple[str, ...]
    columns: Mapping[str, str]
    limit: int | None
    seed: int
    folder: Path
    revision: str = ""
    progress: hub.Progress | None = None
    paired: bool = True
    """Whether scores, or sentences of two languages, are paired by ids."""

    def column(self, field: str) -> str:
        """What the rows call a field."""
        return composed(self.columns.get(field, field))

    def identified(self, paths: Iterable[Path], key: str = "id", fields: Collection[str] | None = None) -> Rows:
        """The rows of files with their ids, which are unique where something is paired by them."""
        return identified_rows(paths, self.split, key, fields=fields, paired=self.paired)


@dataclass(frozen=True)
class Source:
    """A reader of rows of a language, and the fields that they hold."""

    rows: Callable[[Request, str], Rows]
    fields: tuple[str, ...]


def rows_of(request: Request, language: str) -> Rows:
    """The rows of a language. Raises :class:`LingarithError` for a source that is unknown or lacks a field."""
    name = request.source.partition("@")[0]
    if name not in SOURCES:
        paths = files_of(request.source, tuple(SOURCES), language=language, split=request.split)
        tagged = (TOKENS, TAGS) if "entities" in request.fields else ()
        fields = [request.column(field) for field in (*request.fields, *tagged)]
        return _with_entities(request.identified(paths, fields=fields), request)
    for field in request.fields:
        if field not in SOURCES[name].fields:
            others = ", ".join(other for other, source in SOURCES.items() if field in source.fields)
            raise LingarithError(
                f"{name} holds no field '{field}', but {', '.join(SOURCES[name].fields)}; "
                f"take files{f' or {others}' if others else ''} for a task that needs it"
            )
    return SOURCES[name].rows(request, language)


def _with_entities(rows: Rows, request: Request) -> Rows:
    """Rows of tagged tokens get the fields ``text`` and ``entities``, unless they have them."""
    text, line, tokens, tags = map(request.column, ("text", "entities", TOKENS, TAGS))
    for id, where, row in rows:
        if "entities" in request.fields and tokens in row and tags in row:
            spans = entities.tagged(row[tokens], row[tags], where)
            row = {text: " ".join(row[tokens]), line: entities.written(spans, where)} | row
        yield id, where, row


def _newsroom(request: Request, language: str) -> Rows:
    language = newsroom_code(language)
    for number, row in enumerate(archive.labelled(language, request.split, request.limit, request.fields)):
        where = f"newsroom, story {number}"
        if "entities" in request.fields:
            row["entities"] = entities.written(row["entities"], where)
        yield row["id"], where, row


def _xlsum(request: Request, language: str) -> Rows:
    shard = _shard("xlsum", ("id", "text", "summary"), (), request, language)
    return request.identified((shard,))


def _tydiqa(request: Request, language: str) -> Rows:
    """The rows of a language, whose name begins the id; without any, the error says which there are.

    The answers to its test part are not public: its validation part serves as ``test``, and
    ``validation`` is cut from its train part by the seed, passage by passage, so that no passage is in
    both.
    """
    codes, there = {name: code for code, name in hub.languages("tydiqa").items()}, set()
    wanted = counterpart(language, codes.values())
    shard = _shard("tydiqa", ("id", "context", "question"), ("answers",), request, language)
    for id, where, row in request.identified((shard,)):
        code = codes.get(id.split("-")[0], "")
        there.add(code)
        if code != wanted:
            continue
        held_out = random.Random(f"{request.seed}/{row['context']}").random() < VALIDATION_SHARE
        if request.split == "test" or held_out == (request.split == "validation"):
            yield id, where, row
    if wanted not in there:
        raise MissingData(f"tydiqa holds no '{language}' in {shard}{did_you_mean(language, there - {''})}")


def _sib200(request: Request, language: str) -> Rows:
    """The same sentence has the same id in every language."""
    shard = _shard("sib200", ("text", "category"), ("index_id",), request, language)
    for id, where, row in request.identified((shard,), "index_id"):
        yield id, where, row | {"id": id}


def _masakhaner(request: Request, language: str) -> Rows:
    shard = _shard("masakhaner", ("id",), (TOKENS, TAGS), request, language)
    return _with_entities(request.identified((shard,)), request)


def _shard(dataset: str, texts: tuple[str, ...], nested: tuple[str, ...], request: Request, language: str) -> Path:
    wanted = hub.files(dataset, language, request.split, request.revision)
    return hub.materialised(wanted, texts, request.folder, nested=nested, progress=request.progress)


SOURCES: Mapping[str, Source] = {
    "newsroom": Source(_newsroom, FIELDS),
    "xlsum": Source(_xlsum, ("id", "text", "summary")),
    "tydiqa": Source(_tydiqa, ("id", "context", "question", "answers")),
    "sib200": Source(_sib200, ("id", "text", "category")),
    "masakhaner": Source(_masakhaner, ("id", "text", "entities", TOKENS, TAGS)),
}
"""The names of labelled data; ``xlsum@<commit>`` takes a stated revision of the hub's."""
