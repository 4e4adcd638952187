"""One module under several paths: wrappers put something in front of a path, or into it.

A checkpoint, an adapter and a model may name one module in three ways (``model.language_model.layers.3…``,
``language_model.model.layers.3…``). What they have in common is the end, from the list of layers on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import takewhile

from ..errors import LingarithError

WRAPPERS = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
"""What torch.compile, FSDP and activation checkpointing put into a path."""

Shapes = Mapping[str, tuple[int, int]]
"""Path of a projection → (out, in)."""


def nearest(wanted: str, names: Iterable[str]) -> list[str]:
    """The names that can mean what ``wanted`` does: that one itself, else those with the longest end in common.

    It reaches back to the list of layers at least. Of several, those that share most words with it.

    >>> nearest("model.text.layers.0.q", ["text.model.layers.0.q", "eye.layers.0.q", "text.model.layers.1.q"])
    ['text.model.layers.0.q']
    """
    ends = {name: _common(wanted, name) for name in names}
    if wanted in ends:
        return [wanted]
    longest = max(ends.values(), default=0)
    words = {
        name: len({*wanted.split(".")} & {*name.split(".")})
        for name, end in ends.items()
        if end == longest >= _least(wanted)
    }
    return [name for name, count in words.items() if count == max(words.values())]


def binding(there: Shapes, here: Shapes) -> dict[str, str]:
    """The modules of an adapter (``there``) → those of a backbone (``here``) that they mean: each another one.

    Raises :class:`LingarithError` saying why, without a subject, where that is not so, or sizes differ.
    """
    alike: dict[str, dict[str, tuple[int, int]]] = {}
    for path, size in here.items():
        alike.setdefault(path.rpartition(".")[2], {})[path] = size
    bound, strange = {}, []
    for path, size in there.items():
        known = alike.get(path.rpartition(".")[2], {})
        found = nearest(unwrapped(path), known)
        if len(found) > 1:
            found = [name for name in found if known[name] == size]
        if len(found) == 1:
            bound[path] = found[0]
        else:
            strange.append(path)
    if strange and not bound:
        raise LingarithError(
            f"its paths begin with {_begin(strange[0])} in the adapter and {_begin(next(iter(here)))} there; "
            "choose the backbone that it belongs to"
        )
    if strange:
        raise LingarithError(
            f"{strange[0]} is none of its linear layers that are known here (--backbone tells all of its blocks); "
            "train the adapter on these alone, or choose the backbone that it belongs to"
        )
    for path, name in bound.items():
        if there[path] != here[name]:
            raise LingarithError(
                "{} is {} × {} in the adapter and {} × {} there; choose the backbone that it belongs to".format(
                    path, *there[path], *here[name]
                )
            )
    twice = next((name for name in bound.values() if list(bound.values()).count(name) > 1), None)
    if twice:
        both = " and ".join(path for path, name in bound.items() if name == twice)
        raise LingarithError(f"{both} would both be {twice} there; choose the backbone that it belongs to")
    return bound


def renamed(bound: Mapping[str, str]) -> str:
    """What was done to the paths of an adapter, in words; nothing where they stayed as they were.

    >>> renamed({"base_model.model.model.layers.0.q": "model.layers.0.q", "_orig_mod.layers.0.k": "layers.0.k"})
    'the prefix base_model.model. was dropped, _orig_mod was left out'
    """
    said = []
    for before, after in dict.fromkeys(beginnings(unwrapped(path), name) for path, name in bound.items()):
        if before and after:
            said.append(f"{before} became {after}")
        elif before or after:
            said.append(f"the prefix {before or after} was {'dropped' if before else 'added'}")
    parts = {part for path in bound for part in path.split(".")}
    return ", ".join([*said, *(f"{wrapper} was left out" for wrapper in WRAPPERS if wrapper in parts)])


def unwrapped(path: str) -> str:
    """The path without what torch puts into it.

    >>> unwrapped("_orig_mod.model.layers.0._checkpoint_wrapped_module.mlp.up_proj")
    'model.layers.0.mlp.up_proj'
    """
    return ".".join(part for part in path.split(".") if part not in WRAPPERS)


def beginnings(one: str, other: str) -> tuple[str, str]:
    """How two names of one thing begin where they differ, each with its dot.

    >>> beginnings("model.layers.0.q", "model.text.layers.0.q")
    ('model.', 'model.text.')
    """
    common = _common(one, other)
    before, after = (name.split(".")[:-common] for name in (one, other))
    return "".join(f"{part}." for part in before), "".join(f"{part}." for part in after)


def _begin(path: str) -> str:
    """What stands before the number of the layer: ``model.layers`` of ``model.layers.3.mlp.up_proj``."""
    return ".".join(takewhile(lambda part: not part.isdecimal(), path.split(".")))


def _common(one: str, other: str) -> int:
    """How many parts two names have in common, counted from the end."""
    pairs = zip(reversed(one.split(".")), reversed(other.split(".")), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _least(name: str) -> int:
    """How many parts there are from the list of layers on: of ``model.layers.3.attn.q.weight`` all but one."""
    parts = name.split(".")
    first = next((k for k, part in enumerate(parts) if part.isdecimal()), 0)
    return len(parts) - max(first - 1, 0)
