"""Small files of a store, which say by a hash what they are and where they belong.

An object is named by the hash of what it holds. A name, a recipe or the outputs of a composition are not: their
file carries the hash of what is in it and of its place in the store, so that one that was changed, or put in the
place of another, is seen. Files of older stores carry none: of them, names and recipes are held against the object.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

from ..algebra.combination import NAME
from ..disk.files import json_bytes, json_hash
from ..errors import LingarithError
from .objects import HASH, KEY

LONGEST_NAME = 100
SCHEMA = 2
REFERENCES = ("recipes", "names")
MEND = "delete this file and train the vector again"


@dataclass(frozen=True)
class Entry:
    """One line of a listing: an object under a name. ``current`` says whether the bare name means it."""

    name: str
    hash: str
    backbone: str
    kind: str | None
    language: str | None
    steps: int | None
    current: bool
    size_bytes: int
    origin: Mapping[str, Any]

    @staticmethod
    def of(name: str, manifest: Mapping[str, Any], size: int, current: bool) -> Entry:
        """The line of an object, from its manifest."""
        origin = manifest["origin"]
        kind, language, steps = (origin.get(key) for key in ("kind", "language", "steps"))
        backbone = origin["backbone"]["fingerprint"]
        return Entry(name, manifest["hash"], backbone, kind, language, steps, current, size, origin)


class Reference(NamedTuple):
    """What the file of a name or a recipe says; ``sealed`` whether by its hash."""

    name: str
    hash: str
    sealed: bool


def check_name(name: str) -> str:
    """The name itself. Raises :class:`LingarithError` when a vector cannot be called so.

    >>> check_name("xlsum[zh-Hans]")
    'xlsum[zh-Hans]'
    """
    if len(name) > LONGEST_NAME:
        raise LingarithError(f"a vector's name has at most {LONGEST_NAME} characters, {name[:20]!r}… has {len(name)}")
    if not NAME.fullmatch(name) or "@" in name or HASH.fullmatch(name):
        raise LingarithError(
            f"{name!r} cannot name a vector: names have letters, digits, '_', '.' and at most one subscript, "
            "as in xlsum[en] or mc4[zh-Hans]"
        )
    return name


def sealed(key: str, value: Mapping[str, Any]) -> bytes:
    """The content of the file ``key`` (``recipes/3f2a.json``)."""
    return json_bytes({"schema": SCHEMA, "sha256": json_hash({"key": key, "is": value}), "is": dict(value)})


def unsealed(key: str, content: dict[str, Any], where: object, mend: str) -> dict[str, Any]:
    """What such a file says. Raises :class:`LingarithError` ending in ``mend`` where it is not as it was written.

    Of older stores, names and recipes have no hash; outputs and losses without one were changed.
    """
    if key.partition("/")[0] in REFERENCES and not {"schema", "sha256", "is"} & content.keys():
        return content
    value = content.get("is")
    expected = {"schema": SCHEMA, "sha256": json_hash({"key": key, "is": value}), "is": value}
    if not isinstance(value, dict) or content != expected:
        raise LingarithError(f"{where} was changed, or belongs in another place; {mend}")
    return value


def reference(key: str, content: dict[str, Any], where: object) -> Reference:
    """What the file of a name or a recipe says.

    Raises :class:`LingarithError` for a damaged one, and for that of a name that is called otherwise.
    """
    value = unsealed(key, content, where, MEND)
    name, digest = value.get("name"), value.get("hash")
    if not isinstance(name, str) or not isinstance(digest, str) or not HASH.fullmatch(digest):
        raise LingarithError(f"{where} is damaged: it names no vector; {MEND}")
    folder, _, file = key.rpartition("/")
    if folder != "recipes" and file != f"{quote(name, safe='')}.json":
        raise LingarithError(f"{where} is not the file of {name!r}, which it says; {MEND}")
    return Reference(name, digest, value is not content)


def name_key(name: str, backbone: str) -> str:
    """Where the file of a name lies."""
    return f"names/{backbone[:16]}/{quote(name, safe='')}.json"


def recipe_key(recipe: str) -> str:
    """Where the file of a recipe lies. Raises :class:`LingarithError` for what is no hash."""
    if not KEY.fullmatch(recipe):
        raise LingarithError(f"{recipe[:130]!r} is no recipe's hash: letters, digits, '_' and '-' only")
    return f"recipes/{recipe}.json"


def decoded(path: Path) -> str:
    """The name that a file is called by."""
    return unquote(path.name.removesuffix(".json"))
