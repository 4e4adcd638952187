"""Rows from files: JSON lines, CSV, plain text and Parquet, each error one sentence with its place."""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from ..errors import LingarithError, did_you_mean
from ..unicode import blank, composed

Row = dict[str, Any]
LONGEST_FIELD = 2**30
"""Characters of one CSV field; Python's own limit of 131,072 is less than a long article."""
LARGEST_UNPACKED = 2**30
"""Bytes that a gzipped Parquet file may unpack to: it is read from its end, so it lies in memory whole."""


def read_rows(path: Path | str) -> Iterator[tuple[int, Row]]:
    """The rows of a file with their numbers (of the line, or of the row in Parquet), from 1.

    ``.jsonl``: one object a line. ``.csv``: a header, then rows. ``.txt``: one document a line, as
    the field ``text``. ``.parquet``: its rows. Each may be gzipped (``.gz``); blank lines are
    skipped. Raises :class:`LingarithError` for a file that is missing, empty, damaged, of another
    ending or too large to be unpacked, and for a line that cannot be read.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "a.txt")
    ...     _ = file.write_text("Um.\\n\\nDois.\\n")
    ...     list(read_rows(file))
    [(1, {'text': 'Um.'}), (3, {'text': 'Dois.'})]
    """
    path = Path(path)
    ending = Path(path.stem).suffix if path.suffix == ".gz" else path.suffix
    if ending not in READERS:
        known = ", ".join([*READERS, *(f"{name}.gz" for name in READERS)])
        raise LingarithError(f"{path} cannot be read: files end in one of {known}")
    if not path.is_file():
        raise LingarithError(f"there is no file {path}")
    empty = True
    try:
        for numbered in READERS[ending](path):
            empty = False
            yield numbered
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise LingarithError(f"{path} is damaged or no gzip file ({error}); fetch or write it again") from error
    except OSError as error:
        raise LingarithError(f"{path} cannot be read: {error.strerror or error}") from error
    if empty:
        raise LingarithError(f"{path} is empty; it must hold at least one row")


def text_of(row: Row, field: str, where: str) -> str:
    """The text of a row's field: stripped, in the one form, and empty where there is nothing to see.

    ``where`` names the row in errors. Raises :class:`LingarithError` if the field is missing or holds no text.

    >>> text_of({"text": " Olá. "}, "text", "a.jsonl, line 1")
    'Olá.'
    """
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
    return f"{path}, {'row' if '.parquet' in path.suffixes[-2:] else 'line'} {number}"


def fingerprint(texts: Iterable[str]) -> str:
    """sha256 (hex) over texts in their order; where one ends and the next begins counts."""
    digest = hashlib.sha256()
    for text in texts:
        data = text.encode()
        digest.update(f"{len(data)}\0".encode() + data)
    return digest.hexdigest()


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                yield number, line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise LingarithError(f"{place(path, number)}: not UTF-8 ({error.reason})") from error


def _json_rows(path: Path) -> Iterator[tuple[int, Row]]:
    for number, line in _lines(path):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise LingarithError(f"{place(path, number)}: no JSON ({error})") from error
        if not isinstance(row, dict):
            raise LingarithError(f'{place(path, number)}: a JSON object such as {{"text": "…"}} is needed')
        yield number, row


def _csv_rows(path: Path) -> Iterator[tuple[int, Row]]:
    csv.field_size_limit(LONGEST_FIELD)
    reader = csv.reader((line for _, line in _lines(path)), strict=True)
    try:
        header = next(reader, [])
        if len(set(header)) < len(header):
            raise LingarithError(f"{path}: a field stands twice in the header: {', '.join(header)}")
        for values in reader:
            if not values:
                continue
            if len(values) != len(header):
                raise LingarithError(
                    f"{place(path, reader.line_num)}: {len(values)} fields, and the header has {len(header)}"
                )
            yield reader.line_num, dict(zip(header, values, strict=True))
    except csv.Error as error:
        raise LingarithError(f"{place(path, reader.line_num)}: no CSV ({error})") from error


def _text_rows(path: Path) -> Iterator[tuple[int, Row]]:
    for number, line in _lines(path):
        if line.strip():
            yield number, {"text": line.strip()}


def _parquet_rows(path: Path) -> Iterator[tuple[int, Row]]:
    import pyarrow
    import pyarrow.parquet

    try:
        source = pyarrow.BufferReader(_unpacked(path)) if path.suffix == ".gz" else path
        with pyarrow.parquet.ParquetFile(source) as file:
            number = 0
            for batch in file.iter_batches(batch_size=256):
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
    except (pyarrow.ArrowException, UnicodeDecodeError) as error:
        raise LingarithError(f"{path} is damaged or no Parquet file ({error})") from error


def _unpacked(path: Path) -> bytes:
    with gzip.open(path) as file:
        content = file.read(LARGEST_UNPACKED + 1)
    if len(content) > LARGEST_UNPACKED:
        raise LingarithError(f"{path} unpacks to more than {LARGEST_UNPACKED:,} bytes; gunzip it and give the .parquet")
    return content


READERS: dict[str, Callable[[Path], Iterator[tuple[int, Row]]]] = {
    ".jsonl": _json_rows,
    ".csv": _csv_rows,
    ".txt": _text_rows,
    ".parquet": _parquet_rows,
}
