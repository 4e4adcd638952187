"""Lines that survive their writer: what is complete is read, what was cut off is written anew."""

from __future__ import annotations

import errno
import json
import threading
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lingarith.errors import LingarithError
from lingarith.study.records import About, Choice, Example, Fixed, Grid, Ingredient, Line, Record
from lingarith.study.run_folder import RunFolder, append, read_lines, read_run


def test_of_two_commands_the_second_waits(tmp_path: Path) -> None:
    waited = threading.Event()

    def second() -> None:
        folder = RunFolder(tmp_path / "run")
        with folder.alone(waited.set):
            folder.open(About("1", "t", "adapt"))
            folder.add(RECORDS)

    thread = threading.Thread(target=second)
    first = RunFolder(tmp_path / "run")
    with first.alone(lambda: None):
        first.open(About("1", "t", "adapt"))
        thread.start()
        assert waited.wait(20)
        first.add(RECORDS)
    thread.join()
    assert read_lines(tmp_path / "run", Record) == RECORDS
    assert not list(tmp_path.rglob("*.lock"))


RECORDS = [
    Record("pt", "test", "add", 0.1 + 0.2, "a", "Sismo em\nAveiro\u2028", 12.5, "target"),
    Record("fa", "test", "baseline", None, "b", "", 0.0, "empty"),
]
LINES: list[Line] = [
    *RECORDS,
    Example("pt", "test", "a", "Um terremoto …", "Sismo"),
    Example("pt", "test", "b", "Quando?", "1775", ("em 1775",), "questions"),
    Choice("pt", "add", "oracle", 0.9, 12.5, "0.9*a[en] + 0.1*b[pt]", [(0.9, 12.5), (1.0, 3.0)], seen=[8, 4]),
    Choice("pt", "best", "oracle", "ru", 12.5, "a[ru]", [("en", 12.5), ("ru", 13.0)]),
    Ingredient("a[en]", "3f" * 32, 1.5, 100, 8, 3, {"kind": "task", "data": {"examples": 8}}),
]


ABOUT = About("3f2a", "A study", "table1", {"seeds": [0, 1]}, {"summaries": "ROUGE-2"}, ["pt"], ["en"], seeds=[0, 1])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    RunFolder(tmp_path / "run").open(ABOUT)
    return tmp_path / "run"


def test_round_trip(folder: Path) -> None:
    append(folder, LINES)
    run = read_run(folder)
    assert run.about == ABOUT
    assert [*run.records, *run.examples, *run.choices, *run.ingredients] == LINES


def test_run_json_holds_all_that_is_to_be_told(folder: Path) -> None:
    told = replace(
        ABOUT, fixed=[Fixed("summaries", "pt", "baseline", "", 0, "a[en]")], score={"summaries": {"pt": "by pieces"}},
        grid=Grid("Sizes", ["Language", "Train"], [["en", "2,000"]], "."), handed_over={"pt": "add"},
    )  # fmt: skip
    RunFolder(folder).close(told)
    assert read_run(folder).about == told


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (('"title"', '"tilte"'), r"run\.json: there is no 'tilte' here; did you mean title\?; run the command again"),
        (('"title": "A study",', ""), r"run\.json: 'title' is missing; run the command again"),
        (('"by_source": false', '"by_source": 0'), r"'by_source' is 0; it must be true or false; run the command"),
    ],
)
def test_a_run_json_that_does_not_fit_is_said(change: tuple[str, str], sentence: str, folder: Path) -> None:
    path = folder / "run.json"
    path.write_text(path.read_text().replace(*change))
    with pytest.raises(LingarithError, match=sentence):
        read_run(folder)


def test_a_folder_belongs_to_one_run_and_takes_a_line_once(folder: Path) -> None:
    first = RunFolder(folder)
    first.open(ABOUT)
    first.add([*LINES, LINES[0]])
    again = RunFolder(folder)
    assert again.open(replace(ABOUT, title="Another title")).records == RECORDS
    again.add(LINES)
    assert (folder / "records.jsonl").read_bytes().count(b"\n") == len(RECORDS)
    with pytest.raises(LingarithError, match=r"run holds another run .*; choose another --out"):
        RunFolder(folder).open(replace(ABOUT, identity="other"))
    with pytest.raises(LingarithError, match=r"run\.json is a file; choose another --out"):
        RunFolder(folder / "run.json").open(ABOUT)
    with pytest.raises(LingarithError, match="is not empty and holds no run"):
        RunFolder(folder.parent).open(ABOUT)


def test_a_file_that_is_not_there_has_no_lines(folder: Path) -> None:
    assert read_run(folder).records == []
    append(folder, [])
    assert not (folder / "records.jsonl").exists()


@given(cut=st.integers(1, 200))
def test_a_line_that_was_cut_off_is_dropped_and_its_place_taken(
    cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Wherever the writer was stopped, in the middle of a letter too."""
    folder = tmp_path_factory.mktemp("run")
    append(folder, RECORDS)
    path = folder / "records.jsonl"
    content = path.read_bytes()
    second = len(content) - content.index(b"\n") - 1
    path.write_bytes(content[: len(content) - min(cut, second)])
    assert read_lines(folder, Record) == RECORDS[:1]
    append(folder, RECORDS[1:])
    assert path.read_bytes() == content


@pytest.mark.parametrize("line", ["{'single': 1}", '{"target": "pt"', "3", "[]", "\ufffd"])
def test_a_bad_line_in_the_middle_is_named(line: str, folder: Path) -> None:
    append(folder, RECORDS)
    path = folder / "records.jsonl"
    first, second = path.read_text().split("\n")[:2]
    path.write_text(f"{first}\n{line}\n{second}\n")
    with pytest.raises(LingarithError, match=r"records\.jsonl, line 2 is damaged: .*JSON.*; delete that line"):
        read_run(folder)


def test_a_line_without_a_field_is_named(folder: Path) -> None:
    append(folder, RECORDS)
    path = folder / "records.jsonl"
    fields = json.loads(path.read_text().split("\n")[0])
    del fields["score"]
    path.write_text(json.dumps(fields) + "\n")
    with pytest.raises(LingarithError, match=r"records\.jsonl, line 1: 'score' is missing; delete that line"):
        read_run(folder)


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b"\xff"])
def test_a_folder_without_run_json_is_no_run(content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "run.json").write_bytes(content)
    with pytest.raises(LingarithError, match="is no run folder"):
        read_run(tmp_path)


def test_a_full_disk_is_one_sentence_and_loses_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    append(folder, RECORDS[:1])

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("builtins.open", full)
        with pytest.raises(LingarithError, match=r"cannot write .*records\.jsonl: No space left on device"):
            append(folder, RECORDS[1:])
    assert read_run(folder).records == RECORDS[:1]
    append(folder, RECORDS[1:])
    assert read_run(folder).records == RECORDS


@pytest.mark.parametrize(("field", "value"), [("score", "12"), ("weight", [0.9]), ("output", None), ("seed", "0")])
def test_a_value_of_another_type_is_named(field: str, value: object, folder: Path) -> None:
    append(folder, RECORDS)
    path = folder / "records.jsonl"
    fields = json.loads(path.read_text().split("\n")[0]) | {field: value}
    path.write_text(json.dumps(fields) + "\n")
    with pytest.raises(LingarithError, match=rf"records\.jsonl, line 1: '{field}' is "):
        read_run(folder)


def test_where_all_must_be_there_a_line_that_was_cut_off_is_an_error(folder: Path) -> None:
    append(folder, LINES)
    assert read_run(folder, whole=True) == read_run(folder)
    path = folder / "records.jsonl"
    path.write_bytes(path.read_bytes()[:-3])
    assert len(read_run(folder).records) == 1
    with pytest.raises(LingarithError, match=r"records\.jsonl, line 2: cut off; run the command again"):
        read_run(folder, whole=True)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"score": 100000.0}, "a score of 100000 is none"),
        ({"score": -0.5}, r"a score of -0\.5 is none"),
        ({"score": True}, "'score' is True; it must be a number"),
        ({"score": 99.0}, "this line stood there before and said something else"),
    ],
)
def test_a_score_that_cannot_be_is_refused(folder: Path, change: dict[str, Any], sentence: str) -> None:
    append(folder, RECORDS)
    with open(folder / "records.jsonl", "a") as file:
        file.write(json.dumps(asdict(RECORDS[0]) | change) + "\n")
    with pytest.raises(LingarithError, match=rf"records\.jsonl, line 3: {sentence}"):
        read_run(folder)


def test_a_line_that_stands_twice_alike_is_one(folder: Path) -> None:
    append(folder, [*RECORDS, *RECORDS])
    assert len(read_run(folder).records) == 4
