"""The one door for what JSON and TOML files hold, and frozen dataclasses from such plain values.

A class says by its annotations what its fields hold. Whole numbers do where numbers are wanted; true and
false are no numbers; lists become tuples where the annotation is one. Nothing else is converted.
"""

from __future__ import annotations

import json
import math
import tomllib
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import Any, TypeVar

from .errors import LingarithError, did_you_mean

Made = TypeVar("Made")
DEEPEST, MOST, LONGEST_NUMBER = 50, 2**20, 25
"""Lists and objects in each other, lists and objects in all, and digits of a number: more is nothing of ours."""

NAMES = {str: "text", int: "whole number", float: "number"}
AS_THEY_ARE = (str, int, float, bool, types.NoneType)
UNIONS, LISTS, TABLES = (typing.Union, types.UnionType), (list, tuple, Sequence), (dict, Mapping)
hints_of = cache(typing.get_type_hints)
"""The annotations of a class by field, as :func:`value` takes them (``Annotated`` is stripped)."""


def json_value(content: bytes | str, where: object, mend: str, *, finite: bool = True) -> Any:
    """The value of a JSON file, or of a line of one, as this package and its peers write them.

    ``where`` says what was read, ``mend`` what to do. Raises :class:`LingarithError` naming both for what is no JSON
    in UTF-8, a key that stands twice, NaN and Inf (unless not all is to be ``finite``), numbers of absurd length, half
    a character, and more or deeper lists and objects than anybody writes.
    """
    try:
        text = content.decode("utf-8-sig") if isinstance(content, bytes) else content
        brackets = text.count("[") + text.count("{")
        if brackets > MOST:
            raise ValueError(f"{brackets} lists and objects, and {MOST} is the most")
        number = _finite if finite else float
        value = json.loads(
            text, object_pairs_hook=without_repeats, parse_int=_whole, parse_float=number, parse_constant=number
        )
        if brackets > DEEPEST or "\\u" in text:
            _check(value)
    except (ValueError, RecursionError) as problem:
        raise LingarithError(f"{where} is damaged: not JSON ({_why(problem)}); {mend}") from None
    return value


def json_object(content: bytes | str, where: object, mend: str, *, finite: bool = True) -> dict[str, Any]:
    """The same where it must be an object. Raises :class:`LingarithError` too where it is another value."""
    value = json_value(content, where, mend, finite=finite)
    if not isinstance(value, dict):
        raise LingarithError(f"{where} is damaged: no JSON object; {mend}")
    return value


def toml_table(text: str) -> dict[str, Any]:
    """The table of a TOML file. Raises ValueError for what is none, or is as :func:`json_value` refuses it."""
    try:
        table = tomllib.loads(text)
        _check(table)
    except RecursionError as problem:
        raise ValueError(_why(problem)) from None
    return table


def without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object. Raises ValueError where a key stands twice: which one counts, nobody could say."""
    made = dict(pairs)
    if len(made) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"{twice[:60]!r} stands twice in an object")
    return made


def _whole(digits: str) -> int:
    if len(digits) > LONGEST_NUMBER:
        raise ValueError(f"a number of {len(digits)} digits")
    return int(digits)


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{digits[:20]} is no finite number")
    return number


def _check(value: Any, depth: int = 0) -> None:
    """Raise ValueError for what stands too deep, for half a character, and for a number that is too long."""
    if depth > DEEPEST:
        raise ValueError("nested too deeply")
    if isinstance(value, str):
        value.encode()
    elif isinstance(value, int):
        if abs(value) >= 10**LONGEST_NUMBER:
            raise ValueError("a number that is too long")
    elif isinstance(value, dict | list):
        for inner in (*value, *value.values()) if isinstance(value, dict) else value:
            _check(inner, depth + 1)


def _why(problem: Exception) -> str:
    match problem:
        case RecursionError():
            return "nested too deeply"
        case UnicodeEncodeError():
            return "half a character, a lone surrogate"
        case UnicodeDecodeError():
            return "not UTF-8"
        case _:
            return str(problem)


def record(cls: type[Made], values: Mapping[str, Any], where: str, *, mend: str = "") -> Made:
    """An object of a dataclass from its fields' plain values.

    ``where`` says what was read ("records.jsonl, line 2"), ``mend`` what to do. Raises
    :class:`LingarithError` naming both for an unknown field, one that lacks, and one of another type.
    """
    hints, plain, needed = _shape(cls)  # type: ignore[arg-type]
    try:
        if strange := values.keys() - hints.keys():
            name = min(strange)
            raise LingarithError(f"{where}: there is no {name!r} here{did_you_mean(name, hints)}")
        if lacking := needed - values.keys():
            raise LingarithError(f"{where}: {min(lacking)!r} is missing")
        made = {
            name: given if type(given) in plain[name] else value(hints[name], given, f"{where}: {name!r}")
            for name, given in values.items()
        }
    except LingarithError as problem:
        raise LingarithError(f"{problem}; {mend}" if mend else str(problem)) from None
    return cls(**made)


@cache
def _shape(cls: type) -> tuple[Mapping[str, Any], Mapping[str, tuple[Any, ...]], set[str]]:
    """The annotations of a class by field, the types that each takes as they are, and the fields that must be given.

    Of a million lines each is compared with these alone.
    """
    hints = hints_of(cls)
    kinds = {
        name: typing.get_args(kind) if typing.get_origin(kind) in UNIONS else (kind,) for name, kind in hints.items()
    }
    plain = {name: tuple(kind for kind in several if kind in AS_THEY_ARE) for name, several in kinds.items()}
    needed = {one.name for one in fields(cls) if one.default is one.default_factory is MISSING}
    return hints, plain, needed


def value(kind: Any, given: Any, where: str) -> Any:
    """A plain value as an annotation has it: a type, ``X | None``, ``Literal``, ``list[X]``, ``Mapping[str, X]``,
    ``tuple[X, ...]``, ``tuple[X, Y]``, a dataclass (from a mapping), or these in each other.

    Raises :class:`LingarithError` beginning with ``where`` ("'rank'") for a value of another type.

    >>> value(tuple[int, ...], [1, 2], "'seeds'"), value(float | str, 1, "'weight'")
    ((1, 2), 1.0)
    """
    if type(given) is kind or kind is Any:
        return given
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if not _fits(kind, given):
        shown = "a number that is too long" if isinstance(given, int) and abs(given) > 2**80 else f"{given!r:.200}"
        raise LingarithError(f"{where} is {shown}; it must be {said(kind)}")
    if origin in UNIONS:
        return value(next(one for one in inner if _fits(one, given)), given, where)
    if is_dataclass(kind):
        return record(kind, given, where)  # type: ignore[arg-type]
    if origin in TABLES:
        return {key: value(inner[1], one, f"{where}, {key!r}") for key, one in given.items()}
    if origin in LISTS:
        kinds = inner if _counted(kind) else inner[:1] * len(given)
        pairs = enumerate(zip(kinds, given, strict=True), 1)
        made = [value(one, item, f"{where}, item {n}") for n, (one, item) in pairs]
        return tuple(made) if origin is tuple else made
    return float(given) if kind is float else given


def said(kind: Any) -> str:
    """What an annotation takes, in words.

    >>> said(tuple[int, ...] | None), said(float | str), said(typing.Literal["grid", "race"])
    ('a list of whole numbers', 'a number or a text', "'grid' or 'race'")
    """
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in UNIONS:
        return " or ".join(said(one) for one in inner if one is not types.NoneType)
    if origin is typing.Literal:
        return " or ".join(map(repr, inner))
    if origin in LISTS:
        return f"a list of {f'{len(inner)} ' * _counted(kind)}{NAMES.get(inner[0], 'value')}s"
    return f"a {NAMES[kind]}" if kind in NAMES else {bool: "true or false"}.get(kind, "a table of keys and values")


def _fits(kind: Any, given: Any) -> bool:
    """Whether a value is of the outer type that an annotation names, and a list as long as it says."""
    origin, inner = typing.get_origin(kind) or kind, typing.get_args(kind)
    if origin in UNIONS:
        return any(_fits(one, given) for one in inner)
    if origin is typing.Literal:
        return given in inner
    if origin in LISTS:
        return isinstance(given, list | tuple) and (not _counted(kind) or len(given) == len(inner))
    if origin in TABLES or is_dataclass(origin):
        return isinstance(given, Mapping)
    if isinstance(given, int) and abs(given) >= 10**LONGEST_NUMBER:
        return False
    wanted = (int, float) if origin is float else origin
    return kind is Any or (isinstance(given, wanted) and (origin is bool or not isinstance(given, bool)))


def _counted(kind: Any) -> bool:
    """Whether an annotation is a tuple of so many values: ``tuple[float, float]``."""
    return typing.get_origin(kind) is tuple and typing.get_args(kind)[-1] is not Ellipsis
