"""The rows of a Parquet file, whose footer is looked at before anything in it is unpacked."""

from __future__ import annotations

import io
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import LingarithError
from ..unicode import composed
from .packed import PIECE, is_packed, must_be_text, opened

LARGEST_UNPACKED = 2**30
"""Bytes that a gzipped Parquet file may unpack to."""
LARGEST_FOOTER = 2**23
"""Bytes of a footer: some ten thousand parts of ten columns."""
MOST_VALUES, MOST_IN_A_ROW = 2**22, 100
"""Numbers or texts in the lists of a part of a Parquet file, which may be one row, and in those of a row."""
Fields = Mapping[int, Any]


def parquet_rows(path: Path, fields: Collection[str] | None) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows with their numbers from 1; only ``fields`` are decoded, if given, and others are None.

    Raises :class:`LingarithError` for a damaged file, and one whose parts would fill the memory.
    """
    import pyarrow
    import pyarrow.parquet

    number = 0
    try:
        with opened(path) as content:
            _must_be_readable(path, content if not is_packed(content) else (content := _unpacked(content, path)))
            source = pyarrow.BufferReader(content.getbuffer()) if isinstance(content, io.BytesIO) else path
        with pyarrow.parquet.ParquetFile(source) as file:
            texts = [file.schema.column(k).path for k, at in enumerate(file.schema) if at.physical_type == "BYTE_ARRAY"]
        # A text that is there a thousand times is in memory once.
        with pyarrow.parquet.ParquetFile(source, read_dictionary=texts) as file:
            names = file.schema_arrow.names
            taken = [name for name in names if fields is None or composed(name) in fields]
            if len(set(taken)) < len(taken):
                raise LingarithError(f"{path}: a field stands twice among its columns: {', '.join(names)}")
            if not taken and file.metadata.num_rows:
                yield 1, dict.fromkeys(names)  # whoever looks for a field says that it is not there
            for batch in file.iter_batches(batch_size=256, columns=taken) if taken else ():
                for values in zip(*batch.columns, strict=True):
                    row = {name: value.as_py() for name, value in zip(taken, values, strict=True)}
                    number += 1
                    yield number, dict.fromkeys(names) | row
    except (pyarrow.ArrowException, UnicodeDecodeError) as error:
        raise LingarithError(f"{path} is damaged or no Parquet file ({error})") from error
    except (ValueError, OverflowError, LookupError) as error:
        raise LingarithError(
            f"{path}: rows after {number} hold values that Python cannot ({error}); write these columns as text"
        ) from error


def _unpacked(file: BinaryIO, path: Path) -> io.BytesIO:
    content, packed = io.BytesIO(), path.stat().st_size
    while piece := file.read(PIECE):
        content.write(piece)
        must_be_text(path, packed, content.tell())
        if content.tell() > LARGEST_UNPACKED:
            raise LingarithError(
                f"{path} unpacks to more than {LARGEST_UNPACKED:,} bytes; gunzip it and give the .parquet"
            )
    return content


def _must_be_readable(path: Path, file: BinaryIO) -> None:
    """Raise :class:`LingarithError` where a part of a Parquet file fills the memory, by its own account.

    Its footer (https://parquet.apache.org/docs/file-format/metadata) is read here, since pyarrow's classes for
    it end the process where a damaged one makes the library below them raise.
    """
    size = file.seek(0, io.SEEK_END)
    file.seek(max(size - 8, 0))
    length = int.from_bytes(file.read(4), "little")
    if file.read(4) != b"PAR1" or length > size - 8:
        raise LingarithError(f"{path} is damaged or no Parquet file (it has no footer)")
    if length > LARGEST_FOOTER:
        raise LingarithError(f"{path} has a footer of {length:,} bytes; write larger row groups")
    file.seek(size - 8 - length)
    try:
        for part in _struct(io.BytesIO(file.read(length))).get(4, ()):  # row groups
            for column in part[1]:
                about = column[3]
                values, unpacked, packed = about[5], about[6], about[7]
                must_be_text(path, packed, unpacked)
                if values > max(MOST_VALUES, MOST_IN_A_ROW * part[3]):
                    name = b".".join(about[3]).decode(errors="replace")
                    raise LingarithError(
                        f"{path}: the column {name[:40]!r} has lists of {values:,} values in {part[3]:,} rows; "
                        "write shorter rows, or smaller row groups"
                    )
    except (LookupError, TypeError, AttributeError, RecursionError) as error:
        raise LingarithError(f"{path} is damaged or no Parquet file (its footer cannot be read)") from error


# ---- Thrift's compact protocol, https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md


def _struct(data: io.BytesIO) -> Fields:
    """The fields of a structure by their numbers. Raises :class:`LookupError` where the data end too early."""
    fields: dict[int, Any] = {}
    number = 0
    while kind := _byte(data):
        number = number + (kind >> 4) if kind >> 4 else _whole(data)
        fields[number] = _value(data, kind & 15)
    return fields


def _value(data: io.BytesIO, kind: int) -> Any:
    match kind:
        case 1 | 2:  # a truth value is its type
            return kind == 1
        case 3:
            return _byte(data)
        case 4 | 5 | 6:
            return _whole(data)
        case 7:
            return data.read(8)
        case 8:
            return data.read(_varint(data))
        case 9 | 10:
            head = _byte(data)
            size, of = _varint(data) if head >> 4 == 15 else head >> 4, head & 15
            return [_byte(data) if of in (1, 2) else _value(data, of) for _ in range(size)]
        case 11:
            size = _varint(data)
            of = _byte(data) if size else 0
            return [(_value(data, of >> 4), _value(data, of & 15)) for _ in range(size)]
        case 12:
            return _struct(data)
    raise LookupError(f"no type has the number {kind}")


def _byte(data: io.BytesIO) -> int:
    return data.read(1)[0]


def _varint(data: io.BytesIO) -> int:
    value, shift = 0, 0
    while True:
        byte = _byte(data)
        value |= (byte & 127) << shift
        if byte < 128:
            return value
        shift += 7


def _whole(data: io.BytesIO) -> int:
    value = _varint(data)
    return (value >> 1) ^ -(value & 1)
