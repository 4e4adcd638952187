"""Flags from frozen options: a field's name, help and default are told once, where the options are."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection, Iterator
from dataclasses import MISSING, Field, fields
from itertools import chain
from typing import Annotated, Any, TypeVar, get_args, get_origin

import typer

from ..study.study import GROUPS, KEYS, NEWSROOM_DEFAULTS, SETS, keys_of

FREQUENT = tuple("tasks labels text sources targets related backbone space choose_by steps rank seeds".split())
"""What people type: it stands in the first panel of ``--help``, in this order, the rest in panels of its groups."""
ALIASES = {
    "backbone": ("-b",),
    "tasks": ("--task",),
    "sources": ("--source",),
    "seeds": ("--seed",),
    "merging": ("--method",),
}
"""How else keys may be spelt."""
METAVARS = {
    "kronecker": "MxN",
    "kronecker_out": "MxN",
    "merging": "NAME[:KEY=VALUE,…]",
    "fields": "FIELD=NAME",
    "slurm": "KEY=VALUE",
}

KEYWORD_ONLY = inspect.Parameter.KEYWORD_ONLY
Command = Callable[..., Any]
Options = TypeVar("Options")


def flags(*groups: str | type, without: Collection[str] = ()) -> Callable[[Command], Command]:
    """A command with a flag for each key of these groups, which gets as ``given`` those that were typed.

    A group is a name of :data:`..study.study.GROUPS`, one key of them, or a class of options. Keys that are parameters
    of the command itself are left to it. Values of a list are typed with commas or by repeating the flag; a study's
    keys hold them as one text, which :func:`..study.study.study_of` understands.
    """

    def wrap(command: Command) -> Command:
        own = inspect.signature(command, eval_str=True).parameters
        known: dict[str, inspect.Parameter] = {}
        for key, parameter in chain.from_iterable(map(_flags, groups)):
            if key not in (*own, *without):
                known.setdefault(key, parameter)  # max_input is a key of two groups
        parameters = [
            *(known[key] for key in FREQUENT if key in known),
            *(parameter.replace(kind=KEYWORD_ONLY) for name, parameter in own.items() if name != "given"),
            *(parameter for key, parameter in known.items() if key not in FREQUENT),
        ]

        @functools.wraps(command)
        def run(**typed: Any) -> Any:
            given = {key: value for key in known if (value := typed.pop(key)) not in (None, [])}
            return command(**typed, given={key: _value(key, value) for key, value in given.items()})

        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return run

    return wrap


def taken(given: dict[str, Any], kind: type[Options]) -> Options:
    """The options of a class from what was typed, where its keys stand no longer."""
    return kind(**{key: given.pop(key) for key in keys_of(kind) if key in given})  # type: ignore[arg-type]


def _flags(group: str | type) -> Iterator[tuple[str, inspect.Parameter]]:
    """The keys of a group, each as a parameter of a function."""
    if isinstance(group, type):
        groups = {group.__name__.removesuffix("Options"): group}
    else:
        groups = {group: GROUPS[group]} if group in GROUPS else dict(GROUPS)
    for name, kind in groups.items():
        keys = keys_of(kind)
        for field in fields(kind):
            if field.name in keys and (len(groups) == 1 or field.name == group):
                yield field.name, _parameter(name, field, keys[field.name])


def _parameter(group: str, field: Field[Any], hint: Any) -> inspect.Parameter:
    key, default = field.name, default_of(group, field)
    kind, about = get_args(hint)
    kinds = (kind, *get_args(kind))  # of X | None both are there
    several = any(get_origin(one) is tuple for one in kinds)
    option = typer.Option(
        f"--{key.replace('_', '-')}",
        *ALIASES.get(key, ()),
        help=f"{about} [default: {default}]" if default else about,
        metavar=METAVARS.get(key, "A,B" if several else None),
        rich_help_panel=None if key in FREQUENT else group.capitalize(),
    )
    typed: Any = list[str] if several else next(one for one in kinds if one in (str, int, float, bool))
    return inspect.Parameter(key, KEYWORD_ONLY, default=None, annotation=Annotated[typed | None, option])


def default_of(group: str, field: Field[Any]) -> str:
    """What a key of a group is where it is not given, as help and docs show it."""
    value = field.default_factory() if field.default_factory is not MISSING else field.default
    language = {f"language_{key}": value for key, value in NEWSROOM_DEFAULTS["language"].items()}
    newsroom = {**NEWSROOM_DEFAULTS, "vectors": language}.get(group, {})
    texts = [_said(value), f"newsroom: {_said(newsroom[field.name])}" if field.name in newsroom else ""]
    return "; ".join(filter(None, texts))


def _said(value: Any) -> str:
    if isinstance(value, tuple):
        return next((name for name, codes in SETS.items() if codes == value), ",".join(map(str, value)))
    return f"{value:g}" if isinstance(value, float) else "" if value is None or value is False else str(value)


def _value(key: str, value: Any) -> Any:
    if key in ("prompt", "named_prompt"):
        return value.replace("\\n", "\n")  # a shell passes on what was typed
    return ",".join(value) if key in KEYS and isinstance(value, list) else value
