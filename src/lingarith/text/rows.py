"""Rows from files: JSON, CSV, plain text and Parquet, each error one sentence with its place."""

from __future__ import annotations

import codecs
import csv
import gzip
import hashlib
import json
import re
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from ..errors import LingarithError, did_you_mean
from ..plain import without_repeats
from ..unicode import blank, composed
from .packed import SMALL, must_be_text, must_begin_as_text, opened
from .parquet import parquet_rows

Row = dict[str, Any]
Reader = Callable[[Path, Collection[str] | None], Iterator[tuple[int, Row]]]
BOM = "\ufeff"
PACKED = (b"PK\3\4", b"\x28\xb5\x2f\xfd", b"BZh", b"\xfd7zXZ")
"""How zip (and .xlsx), zstd, bzip2 and xz begin."""
LONGEST_LINE = 2**24
"""Bytes of a line, and characters of a CSV field: five times the longest novel. A line lies in memory whole."""
LARGEST_ARRAY = 2**26
"""Bytes of a JSON array, which lies in memory whole; one object a line may be as many as there are."""


def read_rows(path: Path | str, fields: Collection[str] | None = None) -> Iterator[tuple[int, Row]]:
    """The rows of a file with their numbers (of the line, or of the row in Parquet and arrays), from 1.

    JSON: one object a line, or an array of objects. CSV: a header, then rows, between which stand
    commas, semicolons or tabs. Text: one document a line, as the field ``text``. Parquet: its rows, of
    which only ``fields`` are decoded, if given; others are None. :data:`ENDINGS` say which it is, whatever
    their case, else what the file begins with. Each may be gzipped; blank lines are skipped but in text, and files
    may be several joined into one. Raises :class:`LingarithError` for a file that is missing, empty, damaged, of
    another kind or too large to be unpacked, and for a line that cannot be read.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "a.txt")
    ...     _ = file.write_text("Um.\\n\\nDois.\\n")
    ...     list(read_rows(file))
    [(1, {'text': 'Um.'}), (2, {'text': ''}), (3, {'text': 'Dois.'})]
    """
    path = Path(path)
    if not path.is_file():
        raise LingarithError(f"there is no file {path}")
    empty = True
    try:
        for number, row in _reader(path)(path, None if fields is None else set(map(composed, fields))):
            empty = False
            yield number, row if all(map(str.isascii, row)) else {composed(name): row[name] for name in row}
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise LingarithError(f"{path} is damaged or no gzip file ({error}); fetch or write it again") from error
    except OSError as error:
        raise LingarithError(f"{path} cannot be read: {error.strerror or error}") from error
    if empty:
        raise LingarithError(f"{path} is empty; it must hold at least one row")


def _ending(path: Path) -> str:
    return Path(path.name.lower().removesuffix(".gz")).suffix


def _reader(path: Path) -> Reader:
    """What reads a file, by its ending or else by what it begins with."""
    ending = _ending(path)
    if ending in ENDINGS:
        return ENDINGS[ending]
    head = _begins(path)
    for beginning, reader in BEGINNINGS.items():
        if head.startswith(beginning):
            return reader
    if head.startswith(PACKED):
        raise LingarithError(f"{path} is packed, and not by gzip; unpack it, or pack it by gzip")
    raise LingarithError(f"{path} cannot be read: files end in one of {', '.join(ENDINGS)}, and may be gzipped (.gz)")


def _begins(path: Path) -> bytes:
    """The first bytes of a file that are not blank."""
    with opened(path) as file:
        return file.read(2**16).removeprefix(codecs.BOM_UTF8).lstrip()[:64]


def text_of(row: Row, field: str, where: str) -> str:
    """The text of a row's field: stripped, in the one form, and empty where there is nothing to see.

    ``where`` names the row in errors. Raises :class:`LingarithError` if the field is missing or holds no text.

    >>> text_of({"text": " Olá. "}, "text", "a.jsonl, line 1")
    'Olá.'
    """
    field = composed(field)
    if field not in row:
        raise LingarithError(f"{where}: there is no field '{field}'{did_you_mean(field, row)}")
    value = row[field]
    if not isinstance(value, str):
        kind = "null" if value is None else f"of type {type(value).__name__}"
        raise LingarithError(f"{where}: the field '{field}' is {kind}, and text is needed")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise LingarithError(f"{where}: the field '{field}' holds half a character (a lone surrogate)") from error
    return "" if blank(value) else composed(value).strip()


def place(path: Path, number: int) -> str:
    """How errors name a row: ``data/en.jsonl, line 3``."""
    lines = ENDINGS.get(_ending(path)) not in (None, parquet_rows) and _ending(path) != ".json"
    return f"{path}, {'line' if lines else 'row'} {number}"


def fingerprint(texts: Iterable[str]) -> str:
    """sha256 (hex) over texts in their order; where one ends and the next begins counts."""
    digest = hashlib.sha256()
    for text in texts:
        data = text.encode()
        digest.update(f"{len(data)}\0".encode() + data)
    return digest.hexdigest()


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    must_begin_as_text(path)
    with opened(path) as file:
        packed, unpacked, number = path.stat().st_size, 0, 0
        while line := file.readline(LONGEST_LINE + 1):
            number, unpacked = number + 1, unpacked + len(line)
            if len(line) > LONGEST_LINE:
                raise LingarithError(
                    f"{place(path, number)} has more than {LONGEST_LINE:,} bytes; break it into documents"
                )
            if unpacked > SMALL:
                must_be_text(path, packed, unpacked)
            try:
                yield number, line.decode().lstrip(BOM)  # each file of several has one
            except UnicodeDecodeError as error:
                raise LingarithError(f"{place(path, number)}: not UTF-8 ({error.reason})") from error


def _json_rows(path: Path, fields: Collection[str] | None) -> Iterator[tuple[int, Row]]:
    values: Iterable[tuple[int, Any]]
    if _begins(path).startswith(b"["):
        values = enumerate(_parsed(_whole(path), place(path, 1)), 1)
    else:
        values = ((number, _parsed(line, place(path, number))) for number, line in _lines(path) if line.strip())
    for number, row in values:
        if not isinstance(row, dict):
            raise LingarithError(f'{place(path, number)}: a JSON object such as {{"text": "…"}} is needed')
        yield number, row


def _whole(path: Path) -> str:
    """The text of an array, which cannot be read line by line."""
    with opened(path) as file:
        content = file.read(LARGEST_ARRAY + 1)
    if len(content) > LARGEST_ARRAY:
        raise LingarithError(f"{path} is one JSON array of more than {LARGEST_ARRAY:,} bytes; write one object a line")
    try:
        return content.decode().lstrip(BOM)
    except UnicodeDecodeError as error:
        raise LingarithError(f"{place(path, 1)}: not UTF-8 ({error.reason})") from error


def _parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=without_repeats)
    except (ValueError, RecursionError) as error:
        raise LingarithError(f"{where}: no JSON ({error}); write one object a line, or an array of them") from error


def _csv_rows(path: Path, fields: Collection[str] | None) -> Iterator[tuple[int, Row]]:
    csv.field_size_limit(LONGEST_LINE)
    lines = (line for _, line in _lines(path))
    first = next(lines, "")
    names = re.sub(r'"[^"]*"', "", first)
    delimiter = max("\t,;" if _ending(path) in TABBED else ",\t;", key=names.count)
    reader = csv.reader(chain([first], lines), strict=True, delimiter=delimiter)
    try:
        header = next(reader, [])
        if len(set(header)) < len(header):
            raise LingarithError(f"{path}: a field stands twice in the header: {', '.join(header)}")
        for values in reader:
            if not values or values == header:  # joined files have several
                continue
            if len(values) != len(header):
                raise LingarithError(
                    f"{place(path, reader.line_num)}: {len(values)} fields, and the header has {len(header)}"
                )
            yield reader.line_num, dict(zip(header, values, strict=True))
    except csv.Error as error:
        raise LingarithError(f"{place(path, reader.line_num)}: no CSV ({error})") from error


def _text_rows(path: Path, fields: Collection[str] | None) -> Iterator[tuple[int, Row]]:
    for number, line in _lines(path):  # blank ones too: an output stands for each line that is read
        yield number, {"text": line.strip()}


TABBED = (".tsv", ".tab")
ENDINGS: Mapping[str, Reader] = {
    **dict.fromkeys((".jsonl", ".ndjson", ".json"), _json_rows),
    **dict.fromkeys((".csv", *TABBED), _csv_rows),
    ".txt": _text_rows,
    ".parquet": parquet_rows,
}
BEGINNINGS: Mapping[bytes, Reader] = {b"PAR1": parquet_rows, b"{": _json_rows, b"[": _json_rows}
