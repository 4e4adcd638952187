"""The store: a folder of vectors, addressed by content, written atomically, verified on reading.

::

    objects/<hash>/vector.safetensors      the factors
    objects/<hash>/origin.json             the manifest: name, scale, origin, hash, schema
    names/<backbone[:16]>/<name>.json      which object a name means now, on that backbone
    recipes/<recipe>.json                  which object came out of a recipe

An object never changes. A name may move to another object; the old one stays and is reachable as
``name@<first digits of its hash>``.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from ..algebra.combination import NAME
from ..errors import LingarithError, did_you_mean
from .files import (
    TEMPORARY,
    inside,
    json_bytes,
    naming,
    place_folder,
    read_json,
    replace_folder,
    temporary_folder,
    write_atomically,
    write_file,
)
from .lazy import FlatTensors, check_rest, check_terms, outline, rest_in, rest_outline, terms_in
from .tensors import TensorFile, pieces
from .vector import Vector, content_hash

SCHEMA = 2
VOLATILE = ("cost", "made", "versions")
"""Keys of an origin that two runs of one recipe may differ in; the hash leaves them out."""

LONGEST_NAME = 100
HASH = re.compile(r"[0-9a-f]{64}")
KEY = re.compile(r"[A-Za-z0-9_-]{1,128}")
"""Fingerprints and recipes: they become file names."""

TENSORS, MANIFEST = "vector.safetensors", "origin.json"


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


def vector_hash(vector: Vector) -> str:
    """sha256 (hex) over tensors, scale, and origin without :data:`VOLATILE`; the name has no part in it."""
    tensors = FlatTensors(vector.terms, vector.rest)
    return _digest(content_hash(tensors), vector.scale, _plain(vector.name, vector.origin))


@dataclass(frozen=True)
class Store:
    """A folder of vectors. Writing makes it; reading from one that is not there is an error."""

    folder: Path

    def put(
        self, vector: Vector, recipe: str | None = None, late: Callable[[], Mapping[str, Any]] | None = None
    ) -> str:
        """Store a vector, let its name mean it, and return its hash; doing it twice changes nothing.

        Its projections are taken one after another, so lazy terms need little memory. ``recipe`` is
        the hash of what it was made from, for :meth:`by_recipe`. ``late`` gives what the origin says
        as well and is known only when all terms were made. Raises :class:`LingarithError` on a name
        that cannot be one, NaN or Inf, or a full disk.
        """
        check_name(vector.name)
        where = f"vector {vector.name}"
        backbone = _fingerprint(vector.origin, where)
        _plain(vector.name, vector.origin)  # what is wrong with it is said before anything is written
        shapes, rest = outline(vector.terms), rest_outline(vector.rest)
        check_terms(shapes, where)
        check_rest(rest, where)
        objects = self._path("objects")
        with naming(objects), temporary_folder(objects) as folder:
            tensors = FlatTensors(vector.terms, vector.rest).items()
            write_file(folder / TENSORS, pieces(FlatTensors(shapes, rest), tensors, where))
            origin = _plain(vector.name, {**vector.origin, **(late() if late else {})})
            digest = _digest(content_hash(TensorFile(folder / TENSORS)), vector.scale, origin)
            manifest = {"schema": SCHEMA, "hash": digest, "name": vector.name, "scale": float(vector.scale)}
            write_file(folder / MANIFEST, json_bytes({**manifest, "origin": origin}))
            place = self._path("objects", digest)
            if not place_folder(folder, place) and self._problem(digest):
                replace_folder(folder, place)
        reference = json_bytes({"name": vector.name, "hash": digest})
        if recipe is not None:
            write_atomically(self._recipe(recipe), reference)
        write_atomically(self._name(vector.name, backbone), reference)
        return digest

    def get(self, name_or_hash: str, backbone: str | None = None) -> Vector:
        """The vector that a name (``xlsum[en]``, ``xlsum[en]@3f2a``) or a whole hash means.

        ``backbone`` is the fingerprint it must belong to; None accepts any, if the name is unambiguous.
        Its tensors are in memory, but those of full fine-tuning. Raises :class:`LingarithError` when
        there is none, or it is damaged.
        """
        return _in_memory(self.open(name_or_hash, backbone))

    def open(self, name_or_hash: str, backbone: str | None = None) -> Vector:
        """The same vector (see :meth:`get`) with its tensors left on the disk until they are asked for.

        They are read once now, one after another, to compare them with the hash.
        """
        if HASH.fullmatch(name_or_hash):
            self._must_exist()
            vector = self._open(name_or_hash)
        else:
            vector = self._open(self.resolve(name_or_hash, backbone), name_or_hash.partition("@")[0])
        found = _fingerprint(vector.origin, f"vector {vector.name}")
        if backbone is not None and found != backbone:
            raise self._other_backbone(vector.name, vector.origin, backbone)
        return vector

    def by_recipe(self, recipe: str) -> Vector | None:
        """What came out of a recipe; None when it was never made here or its object is gone.

        Raises :class:`LingarithError` when the object is there and damaged.
        """
        path = self._recipe(recipe)
        if not path.exists():
            return None
        name, digest = self._reference(path)
        return _in_memory(self._open(digest, name)) if self._path("objects", digest, MANIFEST).exists() else None

    def resolve(self, name: str, backbone: str | None = None) -> str:
        """The hash that a name means on a backbone (see :meth:`get`). Raises :class:`LingarithError`."""
        self._must_exist()
        plain, at, prefix = name.partition("@")
        check_name(plain)
        if at:
            return self._older(plain, prefix, backbone)
        found = {path.parent.name: path for path in self._names() if _decoded(path) == plain}
        if not found:
            own = [path for path in self._names() if backbone is None or path.parent.name == backbone[:16]]
            hint = did_you_mean(plain, map(_decoded, own)) or "; train it first"
            raise LingarithError(f"no vector named {plain!r} in {self.folder}{hint}")
        if backbone is None and len(found) > 1:
            each = [f"{plain}@{self._reference(path)[1][:12]} ({own})" for own, path in found.items()]
            raise LingarithError(
                f"{plain!r} in {self.folder} exists for several backbones; name one of {', '.join(each)}"
            )
        path = found.get(backbone[:16] if backbone else "", next(iter(found.values())))
        digest = self._reference(path)[1]
        if backbone is not None and path.parent.name != backbone[:16]:
            raise self._other_backbone(plain, self._manifest(digest)["origin"], backbone)
        return digest

    def entries(self) -> list[Entry]:
        """Every object under every name it has, by name, the current one first.

        What is damaged is left out; :meth:`verify` names it.
        """
        self._must_exist()
        current: dict[str, set[str]] = {}
        for path in self._names():
            with suppress(LingarithError):
                name, digest = self._reference(path)
                current.setdefault(digest, set()).add(name)
        found = []
        for digest in self._objects():
            with suppress(LingarithError):
                manifest = self._manifest(digest)
                names = current.get(digest, set())
                found += [self._entry(name, manifest, name in names) for name in names | {manifest["name"]}]
        return sorted(found, key=lambda entry: (entry.name, entry.backbone, not entry.current, entry.hash))

    def verify(self) -> list[str]:
        """What is wrong in the store, one sentence each; nothing when all is well."""
        self._must_exist()
        problems = [
            f"{path} was left by a process that was stopped while writing; delete it if none is running"
            for path in sorted(self.folder.rglob(f"{TEMPORARY}*"))
        ]
        problems += [problem for digest in self._objects() if (problem := self._problem(digest))]
        for path in [*self._names(), *sorted((self.folder / "recipes").glob("*.json"))]:
            try:
                name, digest = self._reference(path)
                # A recipe whose object is gone is harmless: it is followed again when it is next needed.
                if path.parent.name != "recipes" and not self._path("objects", digest).exists():
                    problems.append(f"{path}: the object {name} means is gone; train it again or delete this file")
            except LingarithError as problem:
                problems.append(str(problem))
        return problems

    def _open(self, digest: str, name: str | None = None) -> Vector:
        manifest = self._manifest(digest)
        file = TensorFile(self._path("objects", digest, TENSORS), self._mend(digest))
        vector = Vector(name or manifest["name"], terms_in(file), manifest["scale"], manifest["origin"], rest_in(file))
        if _digest(content_hash(file), vector.scale, _plain(vector.name, vector.origin)) != digest:
            raise LingarithError(
                f"{file.path} or its {MANIFEST} was changed: its hash is not {digest[:12]}…; {file.mend}"
            )
        return vector

    def _manifest(self, digest: str) -> dict[str, Any]:
        folder = self._path("objects", digest)
        mend = self._mend(digest)
        if not folder.exists():
            raise LingarithError(f"no object {digest[:12]}… in {self.folder}; train the vector again")
        path = self._path("objects", digest, MANIFEST)
        if not path.exists():
            raise LingarithError(f"{folder} is half-written: it has no {MANIFEST}; {mend}")
        manifest = read_json(path, mend=mend)
        if manifest.get("schema") != SCHEMA:
            raise LingarithError(f"{path} was written by another version of lingarith; use that version, or {mend}")
        kinds = {"name": str, "hash": str, "scale": float, "origin": dict}
        wrong = [key for key, kind in kinds.items() if not isinstance(manifest.get(key), kind)]
        if wrong or manifest["hash"] != digest or not NAME.fullmatch(manifest["name"]):
            raise LingarithError(f"{path} is damaged: its {wrong[0] if wrong else 'hash or name'} is wrong; {mend}")
        _fingerprint(manifest["origin"], path)
        return manifest

    def _problem(self, digest: str) -> str | None:
        try:
            self._open(digest)
        except LingarithError as problem:
            return str(problem)
        return None

    def _mend(self, digest: str) -> str:
        return f"delete the folder {self.folder / 'objects' / digest} and train the vector again"

    def _older(self, name: str, prefix: str, backbone: str | None) -> str:
        """``name@prefix``: one of the objects that have this name in their manifest, or have it now."""
        own = [e for e in self.entries() if e.name == name and backbone in (None, e.backbone)]
        matching = sorted({entry.hash for entry in own if prefix and entry.hash.startswith(prefix)})
        if len(matching) == 1:
            return matching[0]
        known = ", ".join(f"{name}@{digest[:12]}" for digest in sorted({entry.hash for entry in own}))
        found = "several vectors match" if matching else "no vector matches"
        raise LingarithError(f"{found} '{name}@{prefix}' in {self.folder}; there are: {known or 'none of that name'}")

    def _other_backbone(self, name: str, origin: Mapping[str, Any], backbone: str) -> LingarithError:
        own = f"{origin['backbone'].get('name', 'unnamed')} ({origin['backbone']['fingerprint'][:16]})"
        return LingarithError(
            f"{name!r} in {self.folder} belongs to backbone {own}, not to {backbone[:16]}; "
            "train it on this backbone, or use that one"
        )

    def _entry(self, name: str, manifest: Mapping[str, Any], current: bool) -> Entry:
        origin = manifest["origin"]
        return Entry(
            name=name,
            hash=manifest["hash"],
            backbone=origin["backbone"]["fingerprint"],
            kind=origin.get("kind"),
            language=origin.get("language"),
            steps=origin.get("steps"),
            current=current,
            size_bytes=sum(file.stat().st_size for file in self._path("objects", manifest["hash"]).iterdir()),
            origin=origin,
        )

    def _objects(self) -> list[str]:
        return sorted(folder.name for folder in (self.folder / "objects").glob("*") if HASH.fullmatch(folder.name))

    def _names(self) -> list[Path]:
        return sorted((self.folder / "names").glob("*/*.json"))

    def _reference(self, path: Path) -> tuple[str, str]:
        """(name, hash) in the file of a name or a recipe."""
        mend = "delete this file and train the vector again"
        value = read_json(self._path(path.relative_to(self.folder)), mend=mend)
        name, digest = value.get("name"), value.get("hash")
        if not isinstance(name, str) or not isinstance(digest, str) or not HASH.fullmatch(digest):
            raise LingarithError(f"{path} is damaged: it names no vector; {mend}")
        return name, digest

    def _name(self, name: str, backbone: str) -> Path:
        return self._path("names", backbone[:16], f"{quote(name, safe='')}.json")

    def _recipe(self, recipe: str) -> Path:
        if not KEY.fullmatch(recipe):
            raise LingarithError(f"{recipe[:130]!r} is no recipe's hash: letters, digits, '_' and '-' only")
        return self._path("recipes", f"{recipe}.json")

    def _path(self, *parts: str | Path) -> Path:
        """A place in the store; a link in a store from elsewhere must not lead out of it."""
        return inside(self.folder, *parts)

    def _must_exist(self) -> None:
        if not self.folder.is_dir():
            raise LingarithError(f"there is no store at {self.folder}; train a vector first, or name another store")


def _in_memory(vector: Vector) -> Vector:
    """The vector with its tensors read, unless it is as large as its backbone: then they stay on the disk."""
    return vector if vector.rest else replace(vector, terms=dict(vector.terms), rest={})


def _digest(tensors: str, scale: float, origin: Mapping[str, Any]) -> str:
    """The hash of a vector, from that of its tensors and its plain origin."""
    lasting = {key: value for key, value in origin.items() if key not in VOLATILE}
    facts = json.dumps({"scale": float(scale), "origin": lasting}, sort_keys=True)
    return hashlib.sha256(f"{tensors}\n{facts}".encode()).hexdigest()


def _plain(name: str, origin: Mapping[str, Any]) -> dict[str, Any]:
    """The origin as it comes back from a file, so that a hash is the same before and after."""
    try:
        plain: dict[str, Any] = json.loads(json.dumps(dict(origin), allow_nan=False))
    except (TypeError, ValueError) as problem:
        raise LingarithError(f"the origin of {name} must be plain JSON: {problem}") from None
    return plain


def _fingerprint(origin: Mapping[str, Any], where: object) -> str:
    backbone = origin.get("backbone")
    fingerprint = backbone.get("fingerprint") if isinstance(backbone, Mapping) else None
    if not isinstance(fingerprint, str) or not KEY.fullmatch(fingerprint):
        raise LingarithError(f"{where}: its origin names no backbone (fingerprint {fingerprint!r}); train it again")
    return fingerprint


def _decoded(path: Path) -> str:
    return unquote(path.name.removesuffix(".json"))
