import csv
import gzip
import hashlib
import json
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lingarith.errors import LingarithError
from lingarith.text.rows import fingerprint, place, read_rows, text_of

ROWS = [{"text": "Olá,\nmundo \u2028 “x”", "n": "1"}, {"text": "ไทย 日本", "n": "2"}]


def _write(path: Path, content: bytes) -> Path:
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@pytest.mark.parametrize("gz", ["", ".gz"])
def test_json_lines(tmp_path: Path, gz: str) -> None:
    content = "\ufeff" + json.dumps(ROWS[0], ensure_ascii=False) + "\n\n" + json.dumps(ROWS[1]) + "\r\n"
    assert list(read_rows(_write(tmp_path / f"a.jsonl{gz}", content.encode()))) == [(1, ROWS[0]), (3, ROWS[1])]


@pytest.mark.parametrize("gz", ["", ".gz"])
def test_csv_with_quoted_line_breaks_and_long_fields(tmp_path: Path, gz: str) -> None:
    plain = tmp_path / "plain.csv"
    long = {"text": "x" * 200_000, "n": "3"}
    with plain.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["text", "n"])
        writer.writeheader()
        writer.writerows([*ROWS, long])
    read = read_rows(_write(tmp_path / f"a.csv{gz}", plain.read_bytes()))
    assert list(read) == [(3, ROWS[0]), (4, ROWS[1]), (5, long)]


def test_text_is_one_document_a_line(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.txt.gz", b"Um.\n\n \nDois.")
    assert list(read_rows(path)) == [(1, {"text": "Um."}), (4, {"text": "Dois."})]


@pytest.mark.parametrize("gz", ["", ".gz"])
def test_parquet(tmp_path: Path, gz: str) -> None:
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), tmp_path / "plain")
    path = _write(tmp_path / f"a.parquet{gz}", (tmp_path / "plain").read_bytes())
    assert list(read_rows(path)) == [(1, ROWS[0]), (2, ROWS[1])]
    assert place(path, 2) == f"{path}, row 2"


def test_a_gzipped_parquet_that_would_fill_the_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lingarith.text.rows.LARGEST_UNPACKED", 1000)
    path = _write(tmp_path / "a.parquet.gz", b"PAR1" + bytes(997))
    with pytest.raises(LingarithError, match=r"a\.parquet\.gz unpacks to more than 1,000 bytes; gunzip it"):
        list(read_rows(path))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.jsonl", b'{"text": "x"}\n{"text"\n', "a.jsonl, line 2: no JSON"),
        ("a.jsonl", b"[1]\n", "line 1: a JSON object"),
        ("a.jsonl", b"[" * 100_000, "line 1: no JSON"),
        ("a.jsonl", b'{"text": "ok"}\n\xff\xfe\n', "line 2: not UTF-8"),
        ("a.jsonl", b"", "a.jsonl is empty"),
        ("a.jsonl.gz", b"", "is empty"),
        ("a.txt", b" \n\n", "is empty"),
        ("a.csv", b"text,n\n", "is empty"),
        ("a.csv", b"text,n\na,b\nc\n", "line 3: 1 fields, and the header has 2"),
        ("a.csv", b'text,n\n"a,b\n', "no CSV"),
        ("a.csv", b"text,text\na,b\n", "a field stands twice"),
        ("a.parquet", b"PAR1", "is damaged or no Parquet file"),
        ("a.parquet", b"", "is damaged or no Parquet file"),
        ("a.json", b"{}", "cannot be read: files end in one of .jsonl"),
        ("a.parquet.gz", b"", "is damaged or no Parquet file"),
        ("a.parquet.gz", b"PAR1", "is damaged or no Parquet file"),
    ],
)
def test_one_sentence_says_what_is_wrong(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    path = _write(tmp_path / name, content)
    with pytest.raises(LingarithError, match=said) as error:
        list(read_rows(path))
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_damaged_gzip(tmp_path: Path) -> None:
    whole = gzip.compress(b'{"text": "x"}\n' * 1000)
    flipped = bytearray(whole)
    flipped[len(flipped) // 2] ^= 0xFF
    for number, content in enumerate((whole[:-20], b"plain text", bytes(flipped))):
        path = tmp_path / f"{number}.jsonl.gz"
        path.write_bytes(content)
        with pytest.raises(LingarithError, match="damaged or no gzip"):
            list(read_rows(path))


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(LingarithError, match="there is no file"):
        list(read_rows(tmp_path / "a.jsonl"))


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"txt": "a", "id": 1}, "here: there is no field 'text'; did you mean txt?"),
        ({"a": "b", "c": "d"}, "known are: a, c"),
        ({"text": None}, "the field 'text' is null"),
        ({"text": 3}, "of type int"),
        ({"text": "\ud83d"}, "half a character"),
    ],
)
def test_text_of_a_wrong_field(row: dict[str, object], said: str) -> None:
    with pytest.raises(LingarithError, match=said):
        text_of(row, "text", "here")


def test_fingerprint_by_hand() -> None:
    assert fingerprint([]) == hashlib.sha256().hexdigest()
    assert fingerprint(["é", ""]) == hashlib.sha256(b"2\0\xc3\xa90\0").hexdigest()


@given(st.lists(st.text(st.characters(codec="utf-8"))), st.lists(st.text(st.characters(codec="utf-8"))))
def test_fingerprints_differ_where_texts_do(ours: list[str], theirs: list[str]) -> None:
    assert (fingerprint(ours) == fingerprint(theirs)) == (ours == theirs)
