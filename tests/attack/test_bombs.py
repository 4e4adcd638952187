"""Small files that hold far more than they seem to: one sentence, at once, and little memory."""

from __future__ import annotations

import gzip
import json
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from lingarith.disk.files import read_json
from lingarith.errors import LingarithError
from lingarith.text.rows import read_rows

MEGABYTE = 2**20
MOST = 200 * MEGABYTE


def packed(path: Path, piece: bytes, megabytes: int, begin: bytes = b"") -> Path:
    """Many copies of a piece, gzipped; the pieces are gzipped files, one after another, so that it takes no time."""
    part = gzip.compress(piece * (MEGABYTE // len(piece)))
    path.write_bytes(gzip.compress(begin) + part * megabytes)
    return path


def parquet(path: Path, table: pyarrow.Table) -> Path:
    pyarrow.parquet.write_table(table, path, compression="zstd")
    return path


DENSE = "unpacks to more than 100 times its size"
BOMBS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "a line of JSON": (lambda f: packed(f / "a.jsonl.gz", b"a", 2000, b'{"text": "'), DENSE),
    "a line of text": (lambda f: packed(f / "a.txt.gz", b"a", 2000), DENSE),
    "a field of CSV": (lambda f: packed(f / "a.csv.gz", b"a", 2000, b"text\n"), DENSE),
    "lines without end": (lambda f: packed(f / "a.txt.gz", b"\n", 2000), DENSE),
    "an array": (lambda f: packed(f / "a.json.gz", b'{"a":1},', 2000, b"["), "one JSON array of more than"),
    "zeros as Parquet": (lambda f: packed(f / "a.parquet.gz", b"\0", 1000), DENSE),
    "long texts in Parquet": (
        lambda f: parquet(f / "a.parquet", pyarrow.table({"text": ["a" * (80 * MEGABYTE)]})),
        DENSE,
    ),
    "a list of nothing": (
        lambda f: parquet(
            f / "a.parquet",
            pyarrow.table({"text": pyarrow.ListArray.from_arrays([0, 2**25], pyarrow.nulls(2**25, pyarrow.int8()))}),
        ),
        "lists of 33,554,432 values in 1 rows",
    ),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_files_that_unpack_to_gigabytes(bomb: str, tmp_path: Path) -> None:
    make, sentence = BOMBS[bomb]
    path = make(tmp_path)
    assert path.stat().st_size < 4 * MEGABYTE
    tracemalloc.start()
    try:
        with pytest.raises(LingarithError, match=sentence):
            list(read_rows(path))
        assert tracemalloc.get_traced_memory()[1] < MOST
    finally:
        tracemalloc.stop()
    assert pyarrow.total_allocated_bytes() < MOST


def test_texts_that_stand_in_many_rows_are_in_memory_once(tmp_path: Path) -> None:
    texts = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * 100, pyarrow.int32()), ["a" * (8 * MEGABYTE)])
    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"text": texts}), path, compression="none")
    assert sum(1 for _ in read_rows(path)) == 100
    assert pyarrow.total_allocated_bytes() < MOST


def test_json_of_many_values(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"a": [' + "[]," * 2**21 + "0]}")
    with pytest.raises(LingarithError, match="holds more than 4,194,304 values"):
        read_json(path)


@pytest.mark.parametrize(
    "problem", [MemoryError(), RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate")]
)
def test_memory_that_ends(problem: Exception, fails: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise problem

    monkeypatch.setattr("lingarith.cli.vectors.open_store", fail)
    assert "there is not enough memory; do less at a time" in fails("vectors", "list")


def test_what_is_dense_and_honest_is_read(tmp_path: Path) -> None:
    rows = [{"text": "the same " * 200}] * 2000
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    assert path.stat().st_size * 100 < sys.getsizeof(rows[0]["text"]) * 2000
    assert sum(1 for _ in read_rows(path)) == 2000
