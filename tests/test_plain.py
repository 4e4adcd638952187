"""Plain values as dataclasses have them, and the sentence where they do not fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lingarith.errors import LONGEST, LingarithError
from lingarith.plain import json_value, record, toml_table, value


@dataclass(frozen=True)
class Point:
    at: tuple[float, float]
    name: str = ""


@dataclass(frozen=True)
class Whole:
    count: int
    share: Annotated[float, "of all"] = 0.5
    weight: float | str | None = None
    way: Literal["grid", "race"] = "grid"
    exact: bool = False
    names: tuple[str, ...] = ()
    points: Sequence[Point] = ()
    by: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    free: dict[str, Any] = field(default_factory=dict)


def test_every_kind_of_field() -> None:
    plain = {
        "count": 3, "share": 1, "weight": "ru", "way": "race", "exact": True, "names": ["a", "b"],
        "points": [{"at": [0, 1.5]}], "by": {"pt": {"a": 1}}, "free": {"x": [None, {"y": 1}]},
    }  # fmt: skip
    made = record(Whole, plain, "x.toml")
    assert made == Whole(
        3, 1.0, "ru", "race", True, ("a", "b"), [Point((0.0, 1.5))], {"pt": {"a": 1}}, {"x": [None, {"y": 1}]}
    )
    assert type(made.share) is float
    assert record(Whole, asdict(made), "again") == made
    assert record(Whole, {"count": 1, "weight": None}, "x") == Whole(1)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"cuont": 1}, "x.json: there is no 'cuont' here; did you mean count?; run again"),
        ({"count": 1.5}, "x.json: 'count' is 1.5; it must be a whole number; run again"),
        ({"count": True}, "x.json: 'count' is True; it must be a whole number; run again"),
        ({"exact": 1}, "x.json: 'exact' is 1; it must be true or false; run again"),
        ({"weight": [1]}, "x.json: 'weight' is [1]; it must be a number or a text; run again"),
        ({"way": "gird"}, "x.json: 'way' is 'gird'; it must be 'grid' or 'race'; run again"),
        ({"names": "ab"}, "x.json: 'names' is 'ab'; it must be a list of texts; run again"),
        ({"names": ["a", 2]}, "x.json: 'names', item 2 is 2; it must be a text; run again"),
        ({"points": [{"at": [1]}]}, "x.json: 'points', item 1: 'at' is [1]; it must be a list of 2 numbers; run again"),
        ({"points": [{}]}, "x.json: 'points', item 1: 'at' is missing; run again"),
        ({"by": {"pt": {"a": "b"}}}, "x.json: 'by', 'pt', 'a' is 'b'; it must be a whole number; run again"),
        ({"free": 3}, "x.json: 'free' is 3; it must be a table of keys and values; run again"),
    ],
)
def test_what_does_not_fit_is_said(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(LingarithError) as raised:
        record(Whole, {"count": 1} | change, "x.json", mend="run again")
    assert str(raised.value) == sentence


def test_what_lacks_is_said_and_without_a_mend_the_sentence_ends() -> None:
    with pytest.raises(LingarithError, match=r"^x: 'count' is missing$"):
        record(Whole, {}, "x")


@given(st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(), st.lists(st.text())))
def test_a_value_is_of_the_kind_or_refused(plain: Any) -> None:
    for kind, types in ((float | str, (float, str)), (int | None, (int, type(None))), (tuple[str, ...], (tuple,))):
        with suppress(LingarithError):
            found = value(kind, plain, "'it'")
            assert isinstance(found, types)
            assert not isinstance(plain, bool)
            rounded = float(plain) if isinstance(found, float) else plain
            assert found == (tuple(plain) if isinstance(plain, list) else rounded)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"[" * 100_000, "nested too deeply"),
        (b"[" * 60 + b"]" * 60, "nested too deeply"),
        (b'{"a": 1, "a": 2}', "'a' stands twice"),
        (b'{"a": NaN}', "NaN is no finite number"),
        (b'{"a": 1e999}', "1e999 is no finite number"),
        (b'{"a": ' + b"9" * 400 + b"}", "a number of 400 digits"),
        (b'{"a": ' + b"9" * 5000 + b"}", "a number of 5000 digits"),
        (b'{"a": "\\ud800"}', "half a character"),
        (b"\xff", "not UTF-8"),
        (b"", "Expecting value"),
        (b"[" + b"[]," * 2**20 + b"1]", "lists and objects, and"),
    ],
)
def test_json_that_nobody_writes_is_refused(content: bytes, why: str) -> None:
    with pytest.raises(LingarithError, match=rf"^x\.json is damaged: not JSON \(.*{why}.*\); delete it$"):
        json_value(content, "x.json", "delete it")


def test_toml_has_the_same_door() -> None:
    for text in (f"a = {'9' * 400}", f"a = 0x{'f' * 400}", "a = " + "[" * 5000, "a = " + "[" * 60 + "]" * 60):
        with pytest.raises(ValueError):
            toml_table(text)
    assert toml_table("a = [1, 2.5]") == {"a": [1, 2.5]}


def test_sentences_are_short_and_plain() -> None:
    said = str(LingarithError("\x1b[2J" + "x" * 5000 + "\nmend it"))
    assert len(said) <= LONGEST
    assert said.isprintable()
    assert said.endswith("mend it")
    assert str(LingarithError("one", "  two")) == "one\n  two"
