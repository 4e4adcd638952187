"""Frozen dataclasses from plain values: what stands in JSON lines, in ``run.json`` and in TOML files.

A class says by its annotations what its fields hold. Whole numbers do where numbers are wanted; true and
false are no numbers; lists become tuples where the annotation is one. Nothing else is converted.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import Any, TypeVar

from .errors import LingarithError, did_you_mean

Made = TypeVar("Made")

NAMES = {str: "text", int: "whole number", float: "number"}
UNIONS, LISTS, TABLES = (typing.Union, types.UnionType), (list, tuple, Sequence), (dict, Mapping)
hints_of = cache(typing.get_type_hints)
"""The annotations of a class by field, as :func:`value` takes them (``Annotated`` is stripped)."""


def record(cls: type[Made], values: Mapping[str, Any], where: str, *, mend: str = "") -> Made:
    """An object of a dataclass from its fields' plain values.

    ``where`` says what was read ("records.jsonl, line 2"), ``mend`` what to do. Raises
    :class:`LingarithError` naming both for an unknown field, one that lacks, and one of another type.
    """
    hints = hints_of(cls)  # type: ignore[arg-type]
    try:
        for name in values:
            if name not in hints:
                raise LingarithError(f"{where}: there is no {name!r} here{did_you_mean(name, hints)}")
        for field in fields(cls):  # type: ignore[arg-type]
            if field.name not in values and field.default is field.default_factory is MISSING:
                raise LingarithError(f"{where}: {field.name!r} is missing")
        made = {name: value(hints[name], given, f"{where}: {name!r}") for name, given in values.items()}
    except LingarithError as problem:
        raise LingarithError(f"{problem}; {mend}" if mend else str(problem)) from None
    return cls(**made)


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
        raise LingarithError(f"{where} is {given!r}; it must be {said(kind)}")
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
    wanted = (int, float) if origin is float else origin
    return kind is Any or (isinstance(given, wanted) and (origin is bool or not isinstance(given, bool)))


def _counted(kind: Any) -> bool:
    """Whether an annotation is a tuple of so many values: ``tuple[float, float]``."""
    return typing.get_origin(kind) is tuple and typing.get_args(kind)[-1] is not Ellipsis
