from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lingarith.errors import LingarithError
from lingarith.text.labelled import Asked, Labelled, TaskExample, filled, identified_rows, labelled, own_id, texts_of
from lingarith.text.rows import fingerprint

ONE = TaskExample("a", "q: 1?", "1", "")
TWO = TaskExample("b", "q: 2?", "2", "", ("two", "II"))
TEXTS = st.text(alphabet="ab ", max_size=3)


def of(*examples: TaskExample) -> Labelled:
    return labelled("answers", "en", "test", "here", examples, limit=None, seed=0)


def test_the_target_is_the_first_reference() -> None:
    assert ONE.references == ("1",)
    assert TWO.references == ("2", "two", "II")
    assert replace(TWO, target="3").references[0] == "3"


def test_without_alternatives_the_fingerprint_is_of_inputs_and_targets() -> None:
    assert of(ONE, replace(ONE, target="9")).fingerprint == fingerprint(["q: 1?", "1", "q: 1?", "9"])


@given(
    st.lists(st.tuples(TEXTS, TEXTS, st.lists(TEXTS, max_size=2)), max_size=3),
    st.lists(st.tuples(TEXTS, TEXTS, st.lists(TEXTS, max_size=2)), max_size=3),
)
@settings(max_examples=60, deadline=None)
def test_other_references_other_fingerprint(
    left: list[tuple[str, str, list[str]]], right: list[tuple[str, str, list[str]]]
) -> None:
    def hashed(rows: list[tuple[str, str, list[str]]]) -> str:
        return of(*(TaskExample("", text, target, "", tuple(others)) for text, target, others in rows)).fingerprint

    assert (hashed(left) == hashed(right)) == (left == right)


def test_references_do_not_run_into_the_next_example() -> None:
    joined = TaskExample("a", "q", "1", "", ("r", "2"))
    apart = (TaskExample("a", "q", "1", ""), TaskExample("b", "r", "2", ""))
    assert of(joined).fingerprint != of(*apart).fingerprint


def test_a_slot_is_filled_once_and_in_any_order() -> None:
    assert filled("{b}{a}{b}", {"a": "{b}"}, b="x") == Asked("x{b}x", ((1, 4),))


@pytest.mark.parametrize(
    ("value", "texts"),
    [
        ([{"text": " 1889 ", "answer_start": 3}, {"text": "in 1889", "answer_start": 0}], ("1889", "in 1889")),
        ({"text": ["1889", "1889", "in 1889"], "answer_start": [3, 3, 0]}, ("1889", "in 1889")),
        (["1889", ""], ("1889",)),
        (" 1889", ("1889",)),
        (" ", ()),
    ],
)
def test_the_forms_of_targets(value: Any, texts: tuple[str, ...]) -> None:
    assert texts_of({"right": value}, "right", "line 1") == texts


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({}, "line 1: there is no field 'right'"),
        ({"rigth": "a"}, "no field 'right'; did you mean rigth"),
        ({"right": 3}, "line 1: the field 'right' is of type int"),
        ({"right": {}}, "line 1: the field 'right' is of type dict"),
        ({"right": []}, "line 1: the field 'right' is a list without any text; leave"),
        ({"right": {"text": [" "]}}, "a list without any text"),
        ({"right": [5]}, "line 1, 'right': the field 'text' is of type int"),
        ({"right": [{"txt": "c"}]}, "'right': there is no field 'text'"),
    ],
)
def test_targets_that_cannot_be_read(row: dict[str, Any], said: str) -> None:
    with pytest.raises(LingarithError, match=said):
        texts_of(row, "right", "line 1")


def ids(folder: Path, *files: str, split: str = "test", paired: bool = True) -> list[str]:
    paths = [folder / f"{number}.jsonl" for number in range(len(files))]
    for path, content in zip(paths, files, strict=True):
        path.write_text(content)
    return [id for id, _, _ in identified_rows(paths, split, paired=paired)]


def test_ids_need_be_unique_only_where_something_is_paired(tmp_path: Path) -> None:
    twice = '{"id": 1}\n{"id": 1}\n'
    assert ids(tmp_path, twice, paired=False) == ["1", "1"]
    with pytest.raises(LingarithError, match="line 2: the id '1' stands twice; scores are paired by it"):
        ids(tmp_path, twice)


def test_ids_that_begin_anew_in_each_shard(tmp_path: Path) -> None:
    shard = '{"id": 0}\n{"id": 1}\n'
    assert ids(tmp_path, shard, shard, shard) == ["0", "1", "1-0", "1-1", "2-0", "2-1"]
    with pytest.raises(LingarithError, match=r"1\.jsonl, line 2: the id '0' stands twice"):
        ids(tmp_path, '{"id": 1}', '{"id": 0}\n{"id": 0}')


def test_a_blank_id_is_none(tmp_path: Path) -> None:
    rows = '{"id": ""}\n{"id": " "}\n{"id": null}\n{"id": NaN}\n{"id": "\u200b"}\n{}\n{"id": "a"}\n'
    assert ids(tmp_path, rows) == ["test-0", "test-1", "test-2", "test-3", "test-4", "test-5", "a"]


def test_a_given_id_may_look_like_a_number_of_ours(tmp_path: Path) -> None:
    assert ids(tmp_path, '{"id": "test-1"}\n{}\n{"id": "test-2"}\n{}') == ["test-1", "0-test-1", "test-2", "test-3"]


def test_two_encodings_of_an_id_are_one(tmp_path: Path) -> None:
    assert own_id({"id": "e\u0301 "}) == own_id({"id": "\u00e9"}) == "\u00e9"


def test_rows_are_numbered_over_all_files(tmp_path: Path) -> None:
    for name, lines in (("a", '{"id": 7}\n{}\n'), ("b", "{}\n")):
        (tmp_path / f"{name}.jsonl").write_text(lines)
    rows = list(identified_rows([tmp_path / "a.jsonl", tmp_path / "b.jsonl"], "train"))
    assert [(id, where.rpartition("/")[2]) for id, where, _ in rows] == [
        ("7", "a.jsonl, line 1"),
        ("train-1", "a.jsonl, line 2"),
        ("train-2", "b.jsonl, line 1"),
    ]
