from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lingarith.errors import LingarithError
from lingarith.text.rows import fingerprint
from lingarith.text.tasks.labelled import Labelled, TaskExample, check_request, filled, identified_rows, labelled

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
    assert filled("{b}{a}{b}", a="{b}", b="x") == "x{b}x"


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ("{question}", "does not say where the passage goes; write {context} there"),
        ("{question} {context} {title}", r"holds {title}, and only {question} and {context} can be filled in"),
    ],
)
def test_prompts_that_cannot_be_filled(prompt: str, said: str) -> None:
    with pytest.raises(LingarithError, match=said):
        check_request(prompt, {"question": "question", "context": "passage"}, "test", None)


def test_rows_are_numbered_over_all_files(tmp_path: Path) -> None:
    for name, lines in (("a", '{"id": 7}\n{}\n'), ("b", "{}\n")):
        (tmp_path / f"{name}.jsonl").write_text(lines)
    rows = list(identified_rows([tmp_path / "a.jsonl", tmp_path / "b.jsonl"], "train"))
    assert [(id, where.rpartition("/")[2]) for id, where, _ in rows] == [
        ("7", "a.jsonl, line 1"),
        ("train-1", "a.jsonl, line 2"),
        ("train-2", "b.jsonl, line 1"),
    ]
