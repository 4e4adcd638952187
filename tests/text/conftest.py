"""A local folder in the hub's layout, and how tests fill it."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest


@pytest.fixture
def write_mc4() -> Callable[[Path, str, list[str]], None]:
    """Writes texts of a language as two files of mC4, with a validation file that must stay unread."""

    def write(root: Path, language: str, texts: list[str]) -> None:
        folder = root / "allenai/c4/multilingual"
        folder.mkdir(parents=True, exist_ok=True)
        rows = [json.dumps({"text": text, "timestamp": "2020-01-01", "url": "x"}) + "\n" for text in texts]
        half = (len(rows) + 1) // 2
        for part, some in enumerate((rows[:half], rows[half:])):
            path = folder / f"c4-{language}.tfrecord-0000{part}-of-00002.json.gz"
            path.write_bytes(gzip.compress("".join(some).encode()))
        (folder / f"c4-{language}-validation.tfrecord-00000-of-00001.json.gz").write_bytes(b"never read")

    return write


@pytest.fixture
def write_parquet() -> Callable[[Path, list[dict[str, Any]]], None]:
    """Writes rows as a Parquet file."""

    def write(path: Path, rows: list[dict[str, Any]]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)

    return write
