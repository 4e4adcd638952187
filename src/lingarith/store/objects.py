"""The objects of a store: folders with a vector's tensors and their manifest, named and verified by their hash.

What handles tensors is imported where it is needed: a listing reads manifests alone, and comes before torch is there.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import plain
from ..algebra.combination import NAME
from ..disk.files import (
    inside,
    json_bytes,
    listed,
    naming,
    place_folder,
    read_json,
    replace_folder,
    temporary_folder,
    write_atomically,
    write_file,
)
from ..disk.kept import files_read
from ..disk.remote import Remote
from ..disk.temporary import sweep
from ..errors import LingarithError, Unreadable

if TYPE_CHECKING:
    from torch import Tensor

    from ..vectors.vector import Vector

SCHEMA = 2
VOLATILE = ("cost", "made", "versions", "parts", "dose", "prompt")
"""Keys of an origin that two runs of one recipe may differ in, or that the fingerprint of its backbone or data stands
for; the hash leaves them out."""

HASH = re.compile(r"[0-9a-f]{64}")
KEY = re.compile(r"[A-Za-z0-9_-]{1,128}")
"""Fingerprints and recipes: they become file names."""

LARGEST_SCALE = 1e6
"""α/r of any adapter is far below."""
TENSORS, MANIFEST, GRAM = "vector.safetensors", "origin.json", "gram.safetensors"
"""The files of an object; the last, which not every one has, is no part of its hash (:mod:`..vectors.gram`)."""
TRAINED = ("task", "language")
"""The kinds of vectors whose names say what they were trained on."""
ORIGIN: Mapping[str, Any] = {
    "kind": str | None, "language": str | None, "steps": int | None, "seed": int | None, "init_seed": int | None,
    "init_hash": str | None, "expression": str, "space": str, "parents": dict[str, str], "parts": dict[str, Any],
    "adapter": dict[str, Any], "data": dict[str, Any], "options": dict[str, Any], "cost": dict[str, float],
    "versions": dict[str, Any], "projections": str | list[str] | None,
}  # fmt: skip
"""What an origin's keys hold where they are there."""


def vector_hash(vector: Vector) -> str:
    """sha256 (hex) over tensors, scale, and origin without :data:`VOLATILE`; the name has no part in it."""
    from ..vectors.outline import FlatTensors
    from ..vectors.vector import content_hash

    tensors = FlatTensors.of(vector)
    return _digest(content_hash(tensors), vector.scale, _plain(vector.name, vector.origin))


@dataclass(frozen=True)
class Objects:
    """The folder ``objects`` of a store, and where else its objects lie.

    What is pushed there has its manifest last, so that what has one is whole; what is not here
    is fetched, and verified before it takes its place.
    """

    store: Path
    remote: Remote | None = None

    def put(self, vector: Vector, late: Callable[[], Mapping[str, Any]] | None = None) -> str:
        """Write a vector here, unless it is here undamaged; its hash. See :meth:`.store.Store.put`."""
        _check(vector)
        parent = inside(self.store, "objects")
        with naming(parent), temporary_folder(parent) as folder:
            digest = _write(folder, vector, late)
            if not place_folder(folder, self.place(digest)) and self._problem(digest):
                replace_folder(folder, self.place(digest))
        return digest

    def push(self, digest: str) -> None:
        """Copy an object that is here to where the others lie, unless it is there."""
        if self.remote and not self.remote.has(_key(digest, MANIFEST)):
            for file in (TENSORS, MANIFEST):
                self.remote.push(self.place(digest) / file, _key(digest, file))

    def catch_up(self, there: Collection[str]) -> None:
        """Push the objects that are whole here, and whose manifest is not among the keys that are there."""
        for digest in self._here():
            if _key(digest, MANIFEST) not in there and (self.place(digest) / MANIFEST).exists():
                self.push(digest)
            if self.remote and _key(digest, GRAM) not in there and (path := self.place(digest) / GRAM).exists():
                self.remote.push(path, _key(digest, GRAM))

    def has(self, digest: str) -> bool:
        """Whether there is a whole object of that hash."""
        return (self._fetched(digest) / MANIFEST).exists()

    def open(self, digest: str, name: str | None = None) -> Vector:
        """A vector, called ``name`` or as its manifest says, with its tensors left on the disk.

        They are read once, one after another. Raises :class:`LingarithError` when there is none, or it
        is damaged.
        """
        folder = self._fetched(digest)
        if not folder.exists():
            place = self.remote.place if self.remote else self.store
            raise LingarithError(f"no object {digest[:12]}… in {place}; train the vector again")
        return replace(_read(folder, digest, self._mend(digest), name), gram=partial(self.gram, digest))

    def gram(self, digest: str) -> Mapping[str, Tensor]:
        """The Gram matrix that lies beside a vector, fetched where it is missing here; nothing where it has none.

        Raises :class:`LingarithError` as :func:`..vectors.gram.gram_in` does.
        """
        path = inside(self.store, "objects", digest, GRAM)
        if self.remote and not path.exists() and self.remote.has(_key(digest, GRAM)):
            with naming(path), temporary_folder(path.parent) as folder:
                self.remote.fetch(_key(digest, GRAM), folder / GRAM)
                (folder / GRAM).replace(path)
        if not path.exists():
            return {}
        from ..vectors.gram import gram_in

        manifest = self.manifest(digest)
        mend = f"delete it and make it again, by `lingarith vectors gram '{manifest['name']}'`"
        return gram_in(path, fingerprint(manifest["origin"], path), mend)

    def put_gram(self, digest: str, content: Iterable[bytes | memoryview]) -> None:
        """Put a Gram matrix (:func:`..vectors.gram.gram_file`) beside a vector, in place of the one that is there."""
        path = inside(self.store, "objects", digest, GRAM)
        sweep(path.parent)
        write_atomically(path, content)
        if self.remote:
            self.remote.push(path, _key(digest, GRAM))

    def hashes(self) -> set[str]:
        """Those of all objects."""
        return {*self._here(), *self._elsewhere()}

    def manifests(self, start: str = "") -> list[tuple[dict[str, Any], int]]:
        """The manifests of whole objects whose hashes begin with ``start``, and what each one's two files take (bytes).

        Raises :class:`LingarithError` where their folder is a link out of the store: all would seem damaged.
        """
        place = self.store / "objects"
        if not place.resolve().is_relative_to(self.store.resolve()):
            raise LingarithError(
                f"{place} leads out of the store; let {self.store} itself be the link, and hold all of it"
            )
        here = {f"objects/{digest}/{MANIFEST}": digest for digest in self._here() if digest.startswith(start)}
        read = files_read(self.store, "manifests", here, lambda name: self.manifest(here[name]), whole=not start)
        whole = {}
        for name, manifest in read.items():
            with suppress(FileNotFoundError):  # one that was just deleted
                files = (f"{self.store}/objects/{here[name]}/{file}" for file in (TENSORS, MANIFEST))
                whole[here[name]] = manifest, sum(os.stat(file).st_size for file in files)
        if self.remote:
            sizes = self._elsewhere()
            lacking = [digest for digest in sizes.keys() - whole if digest.startswith(start)]
            contents = self.remote.read_all([_key(digest, MANIFEST) for digest in lacking])
            for key, content in contents.items():
                with damaged_left_out():
                    digest = key.split("/")[1]
                    whole[digest] = (_checked(plain.json_object(content, key, ""), digest, key, ""), sizes[digest])
        return list(whole.values())

    def manifest(self, digest: str) -> dict[str, Any]:
        """The manifest of an object that is here. Raises :class:`LingarithError` where it is not whole."""
        return _read_manifest(self.place(digest), digest, self._mend(digest))

    def problems(self, watch: Callable[[int, int], None]) -> Iterator[str]:
        """What is wrong with objects, here or elsewhere; all that lie elsewhere are fetched for it.

        ``watch`` hears how many were read, of how many.
        """
        here, elsewhere = self._here(), sorted(self._elsewhere())
        checks = [
            *(partial(self._problem, one) for one in here),
            *(partial(self._problem_elsewhere, one) for one in elsewhere),
        ]
        for number, check in enumerate(checks):
            watch(number, len(checks))
            if problem := check():
                yield problem

    def must_be_called(self, digest: str, name: str, where: str, mend: str) -> None:
        """Raise :class:`LingarithError` where a trained vector is given another name than it was trained under.

        What is composed or imported may have several.
        """
        if (self.place(digest) / MANIFEST).exists():
            manifest = _read_manifest(self.place(digest), digest, self._mend(digest))
            if manifest["origin"].get("kind") in TRAINED and manifest["name"] != name:
                raise LingarithError(f"{where}: {name} means the vector {manifest['name']} here; {mend}")

    def place(self, digest: str) -> Path:
        """The folder of an object on this machine."""
        return inside(self.store, "objects", digest)

    def _fetched(self, digest: str) -> Path:
        """The same, fetched if it is not whole here but elsewhere."""
        folder = self.place(digest)
        if self.remote and not (folder / MANIFEST).exists() and self.remote.has(_key(digest, MANIFEST)):
            with naming(folder.parent), temporary_folder(folder.parent) as fresh:
                self._fetch(digest, fresh, self.remote)
                replace_folder(fresh, folder)
        return folder

    def _fetch(self, digest: str, folder: Path, remote: Remote) -> None:
        """Copy an object into an empty folder. Raises :class:`LingarithError` unless it is what its hash says."""
        for file in (TENSORS, MANIFEST):
            remote.fetch(_key(digest, file), folder / file)
        place = f"{remote.place}/objects/{digest}"
        try:
            _read(folder, digest, f"delete {place} and train the vector again")
        except LingarithError as problem:
            raise LingarithError(str(problem).replace(str(folder), place)) from None

    def _problem(self, digest: str) -> str | None:
        try:
            _read(self.place(digest), digest, self._mend(digest))
            for _ in self.gram(digest).values():  # each is looked at when it is read
                pass
        except LingarithError as problem:
            return str(problem)
        return None

    def _problem_elsewhere(self, digest: str) -> str | None:
        assert self.remote
        if not self.remote.has(_key(digest, MANIFEST)):
            place = f"{self.remote.place}/objects/{digest}"
            return f"{place} is half-written: it has no {MANIFEST}; delete it if no process is writing it now"
        try:
            with temporary_folder(inside(self.store, "objects")) as folder:
                self._fetch(digest, folder, self.remote)
        except LingarithError as problem:
            return str(problem)
        return None

    def _mend(self, digest: str) -> str:
        again = "run the same command again, which fetches it" if self.remote else "train the vector again"
        return f"delete the folder {self.store / 'objects' / digest} and {again}"

    def _here(self) -> list[str]:
        return [name for name in listed(self.store / "objects") if HASH.fullmatch(name)]

    def _elsewhere(self) -> dict[str, int]:
        """The objects that lie elsewhere, whole or not, and what each one's two files take (bytes)."""
        sizes: dict[str, int] = {}
        for key, size in self.remote.sizes("objects").items() if self.remote else ():
            _, digest, *file = key.split("/")
            if HASH.fullmatch(digest):
                sizes[digest] = sizes.get(digest, 0) + size * (file in ([TENSORS], [MANIFEST]))
        return sizes


# ---------------------------------------------------------------- one object


@contextmanager
def damaged_left_out() -> Iterator[None]:
    """Passes over what is damaged. Raises :class:`Unreadable` where that is not known."""
    try:
        yield
    except Unreadable:
        raise
    except LingarithError:
        pass


def _check(vector: Vector) -> None:
    """Raise :class:`LingarithError` on what can be seen to be wrong with a vector before it is written."""
    from ..vectors.outline import check_rest, check_terms, outline, rest_outline

    where = f"vector {vector.name}"
    fingerprint(vector.origin, where)
    check_scale(vector.scale, where, "make the vector again")
    _plain(vector.name, vector.origin)
    check_terms(outline(vector.terms), where)
    check_rest(rest_outline(vector.rest), where)


def _write(folder: Path, vector: Vector, late: Callable[[], Mapping[str, Any]] | None = None) -> str:
    """Fill an empty folder with a vector, projection by projection, and return its hash; see ``Store.put``.

    Raises OSError, and :class:`LingarithError` on NaN or Inf.
    """
    from ..disk.tensors import TensorFile, pieces
    from ..vectors.outline import FlatTensors, outline, rest_outline
    from ..vectors.vector import content_hash

    shapes = FlatTensors(outline(vector.terms), rest_outline(vector.rest))
    tensors = FlatTensors.of(vector)
    write_file(folder / TENSORS, pieces(shapes, tensors.items(), f"vector {vector.name}"))
    origin = _plain(vector.name, {**vector.origin, **(late() if late else {})})
    digest = _digest(content_hash(TensorFile(folder / TENSORS)), vector.scale, origin)
    manifest = {"schema": SCHEMA, "hash": digest, "name": vector.name, "scale": float(vector.scale)}
    write_file(folder / MANIFEST, json_bytes({**manifest, "origin": origin}))
    return digest


def _read(folder: Path, digest: str, mend: str, name: str | None = None) -> Vector:
    """The vector in a folder, called ``name`` or as its manifest says; its tensors stay on the disk.

    They are read once, one after another. Raises :class:`LingarithError` ending in ``mend`` unless
    the folder is whole and its hash is ``digest``.
    """
    from ..disk.tensors import TensorFile
    from ..vectors.outline import rest_in, terms_in
    from ..vectors.vector import Vector, content_hash

    manifest = _read_manifest(folder, digest, mend)
    file = TensorFile(inside(folder, TENSORS), mend)
    vector = Vector(name or manifest["name"], terms_in(file), manifest["scale"], manifest["origin"], rest_in(file))
    if _digest(content_hash(file), vector.scale, _plain(vector.name, vector.origin)) != digest:
        raise LingarithError(f"{file.path} or its {MANIFEST} was changed: its hash is not {digest[:12]}…; {mend}")
    return vector


def _read_manifest(folder: Path, digest: str, mend: str) -> dict[str, Any]:
    """What the manifest in a folder says. Raises :class:`LingarithError` ending in ``mend`` when it is damaged."""
    path = inside(folder, MANIFEST)
    if not path.exists():
        raise LingarithError(f"{folder} is half-written: it has no {MANIFEST}; {mend}")
    return _checked(read_json(path, mend=mend), digest, path, mend)


def _checked(manifest: dict[str, Any], digest: str, where: object, mend: str) -> dict[str, Any]:
    """A manifest itself. Raises :class:`LingarithError` unless it is one, and that of ``digest``."""
    if manifest.get("schema") != SCHEMA:
        raise LingarithError(f"{where} was written by another version of lingarith; use that version, or {mend}")
    kinds = {"name": str, "hash": str, "scale": float, "origin": dict}
    wrong = [key for key, kind in kinds.items() if not isinstance(manifest.get(key), kind)]
    if wrong or manifest["hash"] != digest or not NAME.fullmatch(manifest["name"]):
        raise LingarithError(f"{where} is damaged: its {wrong[0] if wrong else 'hash or name'} is wrong; {mend}")
    fingerprint(manifest["origin"], where)
    for key in ORIGIN.keys() & manifest["origin"].keys():
        try:
            plain.value(ORIGIN[key], manifest["origin"][key], f"{where}: its {key!r}")
        except LingarithError as problem:
            raise LingarithError(f"{problem}; {mend}") from None
    check_scale(manifest["scale"], where, mend)
    return manifest


def fingerprint(origin: Mapping[str, Any], where: object) -> str:
    """That of the backbone that a vector belongs to. Raises :class:`LingarithError` when its origin has none."""
    backbone = origin.get("backbone")
    value = backbone.get("fingerprint") if isinstance(backbone, Mapping) else None
    if not isinstance(value, str) or not KEY.fullmatch(value):
        raise LingarithError(f"{where}: its origin names no backbone (fingerprint {value!r}); train it again")
    return value


def check_scale(scale: object, where: object, mend: str) -> None:
    """Raise :class:`LingarithError` ending in ``mend`` for a scale that no vector has: NaN, infinite or absurd."""
    if not isinstance(scale, int | float) or isinstance(scale, bool) or not abs(scale) <= LARGEST_SCALE:
        raise LingarithError(f"{where}: a scale of {scale!r} is none (at most {LARGEST_SCALE:g}); {mend}")


def _digest(tensors: str, scale: float, origin: Mapping[str, Any]) -> str:
    """The hash of a vector, from that of its tensors and its plain origin."""
    lasting = {key: value for key, value in origin.items() if key not in VOLATILE}
    facts = json.dumps({"scale": float(scale), "origin": lasting}, sort_keys=True)
    return hashlib.sha256(f"{tensors}\n{facts}".encode()).hexdigest()


def _plain(name: str, origin: Mapping[str, Any]) -> dict[str, Any]:
    """The origin as it comes back from a file, so that a hash is the same before and after."""
    try:
        value: dict[str, Any] = json.loads(json.dumps(dict(origin), allow_nan=False))
    except (TypeError, ValueError, RecursionError) as problem:
        raise LingarithError(f"the origin of {name} must be plain JSON: {problem}") from None
    return value


def _key(digest: str, file: str) -> str:
    return f"objects/{digest}/{file}"
