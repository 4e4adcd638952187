import csv
import gzip
import hashlib
import json
import unicodedata
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lingarith.errors import LingarithError
from lingarith.text.corpora import plain_text
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
    assert list(read_rows(path)) == [(n, {"text": text}) for n, text in enumerate(("Um.", "", "", "Dois."), 1)]


@pytest.mark.parametrize("gz", ["", ".gz"])
def test_parquet(tmp_path: Path, gz: str) -> None:
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), tmp_path / "plain")
    path = _write(tmp_path / f"a.parquet{gz}", (tmp_path / "plain").read_bytes())
    assert list(read_rows(path)) == [(1, ROWS[0]), (2, ROWS[1])]
    assert place(path, 2) == f"{path}, row 2"


@pytest.mark.parametrize("bit", [3, 4])
def test_no_change_of_a_footer_ends_the_process(tmp_path: Path, bit: int) -> None:
    """pyarrow's own classes for footers do, where a histogram of levels is longer than it should be."""
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), path := tmp_path / "a.parquet")
    whole = path.read_bytes()
    refused = 0
    for at in range(len(whole) - 8 - int.from_bytes(whole[-8:-4], "little"), len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :])
        try:
            list(read_rows(path))
        except LingarithError:
            refused += 1
    assert refused > 100


def test_a_gzipped_parquet_that_would_fill_the_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lingarith.text.parquet.LARGEST_UNPACKED", 1000)
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
        ("a.txt", b"", "is empty"),
        ("a.csv", b"text,n\n", "is empty"),
        ("a.csv", b"text,n\na,b\nc\n", "line 3: 1 fields, and the header has 2"),
        ("a.csv", b'text,n\n"a,b\n', "no CSV"),
        ("a.csv", b"text,text\na,b\n", "a field stands twice"),
        ("a.parquet", b"PAR1", "is damaged or no Parquet file"),
        ("a.parquet", b"", "is damaged or no Parquet file"),
        ("a.dat", b"um, dois", r"cannot be read: files end in one of \.jsonl, .*, \.tsv, .*, and may be gzipped"),
        ("a.xlsx", b"PK\3\4...", "is packed, and not by gzip; unpack it"),
        ("a.jsonl.zst", b"\x28\xb5\x2f\xfd...", "is packed, and not by gzip"),
        ("a.json", b'{\n "text": "x"\n}', r"row 1: no JSON .*; write one object a line, or an array of them"),
        ("a.json", b'[{"text": "x"}, 7]', "row 2: a JSON object"),
        ("a.json", b'[{"text": "x"},', "row 1: no JSON"),
        ("a.json", b"[]", "is empty"),
        ("a.jsonl", b'{"text": "x", "text": "y"}', r"line 1: no JSON .'text' stands twice in an object."),
        ("a.csv", b"text;n\na;b\nc\n", "line 3: 1 fields, and the header has 2"),
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


KINDS = {
    "lines": "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS),
    "array": json.dumps(ROWS),
    "pretty": json.dumps(ROWS, indent=2, ensure_ascii=False),
}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("c4-pt.tfrecord-00000-of-01024.json.gz", "lines"), ("a.json", "lines"), ("a.json", "array"),
        ("a.json", "pretty"), ("a.JSONL", "lines"), ("a.Json.GZ", "array"), ("a.ndjson", "lines"), ("a", "lines"),
        ("a.data", "array"), ("a.jsonl", "array"), ("a.jsonlines.gz", "lines"),
    ],
)  # fmt: skip
def test_json_of_any_kind_under_any_name(tmp_path: Path, name: str, kind: str) -> None:
    content = ("\ufeff" + KINDS[kind]).encode()
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if name.lower().endswith("gz") else content)
    assert [row for _, row in read_rows(path)] == ROWS


def test_what_is_packed_is_unpacked_whatever_it_is_called(tmp_path: Path) -> None:
    for name in ("a.jsonl", "a.json", "a"):
        (tmp_path / name).write_bytes(gzip.compress(KINDS["lines"].encode()))
        assert [row for _, row in read_rows(tmp_path / name)] == ROWS


@pytest.mark.parametrize(
    ("name", "delimiter"),
    [("a.csv", ","), ("a.csv", ";"), ("a.csv", "\t"), ("a.tsv", "\t"), ("a.TSV", ","), ("a.tab", "\t")],
)
def test_tables_of_any_delimiter(tmp_path: Path, name: str, delimiter: str) -> None:
    rows = [
        {"id": "1", "text, or; tab\t": 'Um, "dois"; três', "n": "a\tb"},
        {"id": "", "text, or; tab\t": "x\ny", "n": ""},
    ]
    with (tmp_path / name).open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.DictWriter(file, rows[0], delimiter=delimiter, lineterminator="\r\n")
        writer.writeheader()
        writer.writerows(rows)
    assert [row for _, row in read_rows(tmp_path / name)] == rows


def test_joined_files_have_several_boms_and_headers(tmp_path: Path) -> None:
    for name, part in {"a.jsonl": '{"text": "x"}\n', "a.csv": "text,n\nx,1\n", "a.txt": "x\n"}.items():
        path = tmp_path / name
        path.write_bytes(f"\ufeff{part}".encode() * 3)
        assert [row["text"] for _, row in read_rows(path)] == ["x"] * 3, name


def test_names_of_fields_have_one_form(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({unicodedata.normalize("NFD", "título"): "Olá"}, ensure_ascii=False))
    [(_, row)] = read_rows(path)
    assert text_of(row, "título", "here") == text_of(row, unicodedata.normalize("NFD", "título"), "here") == "Olá"


@pytest.mark.parametrize("gz", ["", ".gz"])
def test_only_the_columns_that_are_used_are_decoded(tmp_path: Path, gz: str) -> None:
    far = pyarrow.array([3_000_000], pyarrow.date32())  # beyond the year 9999, which Python's dates do not reach
    table = pyarrow.table({"text": ["a"], "when": far, "título": ["b"]})
    pyarrow.parquet.write_table(table, tmp_path / "plain")
    path = _write(tmp_path / f"a.parquet{gz}", (tmp_path / "plain").read_bytes())
    fields = ("text", unicodedata.normalize("NFD", "título"))
    assert list(read_rows(path, fields)) == [(1, {"text": "a", "when": None, "título": "b"})]
    for some in (None, ("when",)):
        with pytest.raises(
            LingarithError, match=r"rows after 0 hold values that Python cannot .*; write these columns as"
        ):
            list(read_rows(path, some))
    [(_, row)] = read_rows(path, ("texto",))
    with pytest.raises(LingarithError, match="there is no field 'texto'; did you mean text"):
        text_of(row, "texto", "here")
    text = plain_text(str(tmp_path / f"{{language}}.parquet{gz}"), "a", folder=tmp_path)
    assert text.documents == ("a",)


def test_two_columns_of_one_name(tmp_path: Path) -> None:
    columns = [pyarrow.array([text]) for text in ("a", "b", "c")]
    table = pyarrow.Table.from_arrays(columns, names=["text", "text", "n"])
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    for fields in (None, ("text",)):
        with pytest.raises(LingarithError, match=r"a field stands twice among its columns: text, text, n"):
            list(read_rows(tmp_path / "a.parquet", fields))
    assert [row["n"] for _, row in read_rows(tmp_path / "a.parquet", ("n",))] == ["c"]


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
