"""The store: a folder of vectors, addressed by content, written atomically, verified on reading.

::

    objects/<hash>/vector.safetensors      the factors
    objects/<hash>/origin.json             the manifest: name, scale, origin, hash, schema
    names/<backbone[:16]>/<name>.json      which object a name means now, on that backbone
    recipes/<recipe>.json                  which object came out of a recipe

An object never changes. A name may move to another object; the old one stays and is reachable as
``name@<first digits of its hash>``.

A store may lie elsewhere (``s3://bucket/path``). Then the folder is this machine's part of it: what
is written goes there first and is pushed, a manifest after its tensors and names last; what is
missing there is fetched, and verified before it takes its place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ..disk.files import (
    inside,
    listed,
    naming,
    paths_in,
    read_json,
    temporary_folder,
    write_atomically,
)
from ..disk.kept import files_read
from ..disk.remote import Remote
from ..disk.temporary import TEMPORARY, left_over, sweep
from ..errors import LingarithError, did_you_mean
from ..plain import json_object
from .objects import HASH, Objects, fingerprint
from .parts import differing, same_backbone
from .small import (
    MEND,
    REFERENCES,
    Entry,
    Reference,
    check_name,
    decoded,
    name_key,
    recipe_key,
    reference,
    sealed,
    unsealed,
)

if TYPE_CHECKING:
    from ..vectors.vector import Vector

ANSWERS = ("outputs", "losses")
SMALL = (*ANSWERS, *REFERENCES)
"""The folders of small files, names last."""
ANSWER_MEND = "delete it and run the same command again"
Parts = Mapping[str, Any]
NO_PARTS: Parts = MappingProxyType({})


@dataclass(frozen=True)
class Store:
    """A folder of vectors, and where else they lie.

    Writing makes it; reading from one that is not there is an error.
    """

    folder: Path
    remote: Remote | None = None

    @staticmethod
    def at(place: str | Path) -> Store:
        """The store in a folder, or under a URL; see :class:`.remote.Remote`, whose cache is then its folder."""
        if "://" not in str(place):
            if Path(place).is_file():
                raise LingarithError(f"{place} is a file and no store; name a folder, or s3://…")
            return Store(Path(place))
        remote = Remote.at(str(place))
        return Store(remote.cache, remote)

    @property
    def objects(self) -> Objects:
        """The vectors themselves, by their hashes."""
        return Objects(self.folder, self.remote)

    @property
    def place(self) -> str:
        """Where it lies, without a password."""
        return self.remote.place if self.remote else str(self.folder)

    def exists(self) -> bool:
        """Whether anything was written to it."""
        return self.folder.is_dir() or (self.remote is not None and self.remote.begun())

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
        digest = self.objects.put(vector, late)
        reference = {"name": vector.name, "hash": digest}
        backbone = fingerprint(vector.origin, f"vector {vector.name}")
        keys = [*([] if recipe is None else [recipe_key(recipe)]), name_key(vector.name, backbone)]
        for key in keys:
            write_atomically(self._path(key), sealed(key, reference))
        self.objects.push(digest)  # when all is here: a network that fails loses nothing
        self.push(*keys)
        return digest

    def refer(self, name: str, digest: str, backbone: str) -> None:
        """Let a name mean an object of the store, on a backbone."""
        key = name_key(name, backbone)
        if not self._path(key).exists() or self._referred(self._path(key))[:2] != (name, digest):
            self.keep(key, {"name": name, "hash": digest})

    def get(self, name_or_hash: str, backbone: str | None = None, parts: Parts = NO_PARTS) -> Vector:
        """The vector that a name (``xlsum[en]``, ``xlsum[en]@3f2a``) or a whole hash means.

        ``backbone`` is the fingerprint it must belong to; None accepts any, if the name is unambiguous. ``parts`` are
        what that is made of, to say what differs; a vector that has the backbone's older fingerprint gets this one,
        and says so under ``sampled``.
        Its tensors are in memory, but those of full fine-tuning. Raises :class:`LingarithError` when
        there is none, or it is damaged.
        """
        return _in_memory(self.open(name_or_hash, backbone, parts))

    def open(self, name_or_hash: str, backbone: str | None = None, parts: Parts = NO_PARTS) -> Vector:
        """The same vector (see :meth:`get`) with its tensors left on the disk until they are asked for.

        They are read once now, one after another, to compare them with the hash.
        """
        if HASH.fullmatch(name_or_hash):
            self._must_exist()
            vector = self.objects.open(name_or_hash)
        else:
            vector = self.objects.open(self.resolve(name_or_hash, backbone, parts), name_or_hash.partition("@")[0])
        its = fingerprint(vector.origin, f"vector {vector.name}")
        if backbone is None or its == backbone:
            return vector
        if not same_backbone(vector.origin, backbone, parts):
            raise self._other_backbone(vector.name, vector.origin, backbone, parts)
        facts = {**vector.origin["backbone"], "fingerprint": backbone, "sampled": its}
        return replace(vector, origin={**vector.origin, "backbone": facts})

    def by_recipe(self, recipe: str) -> Vector | None:
        """What came out of a recipe; None when it was never made or its object is gone.

        Raises :class:`LingarithError` when the object is there and damaged.
        """
        reference = self._made(recipe)
        return _in_memory(self.objects.open(reference[1], reference[0])) if reference else None

    def made(self, recipe: str) -> str | None:
        """The hash of what came out of a recipe, whose tensors are not read; None as in :meth:`by_recipe`."""
        reference = self._made(recipe)
        return reference[1] if reference else None

    def recipes(self) -> dict[str, str]:
        """The recipes that are here, by the hash of what came out of each."""
        return {digest: Path(key).stem for key, (_, digest, _) in self._references("recipes").items()}

    def _made(self, recipe: str) -> tuple[str, str] | None:
        """(name, hash) of what came out of a recipe, if its object is there."""
        path = self._here(recipe_key(recipe), MEND)
        if path is None:
            return None
        found = self._referred(path)
        if not self.objects.has(found.hash):
            return None
        self._must_agree(found, path)
        return found.name, found.hash

    def resolve(self, name: str, backbone: str | None = None, parts: Parts = NO_PARTS) -> str:
        """The hash that a name means on a backbone (see :meth:`get`). Raises :class:`LingarithError`."""
        self._must_exist()
        plain, at, prefix = name.partition("@")
        check_name(plain)
        if at:
            return self._older(plain, prefix, {backbone, parts.get("sampled")} - {None})
        paths = {path.parent.name: path for path in self._names(plain)}
        if not paths:
            known = [path for path in self._names() if backbone is None or path.parent.name == backbone[:16]]
            hint = did_you_mean(plain, map(decoded, known)) or "; train it first"
            raise LingarithError(f"no vector named {plain!r} in {self.place}{hint}")
        if backbone is None and len(paths) > 1:
            each = [f"{plain}@{self._referred(path)[1][:12]} ({start})" for start, path in paths.items()]
            raise LingarithError(
                f"{plain!r} in {self.place} exists for several backbones; name one of {', '.join(each)}"
            )
        ours = [paths[key[:16]] for key in (backbone, parts.get("sampled")) if key and key[:16] in paths]
        path = next(iter(ours or paths.values()))
        found = self._referred(path)
        self._must_agree(found, path)
        digest = found.hash
        if backbone is not None and not ours:
            raise self._other_backbone(plain, self.objects.open(digest).origin, backbone, parts)
        return digest

    def entries(self) -> list[Entry]:
        """Every object under every name it has, by name, the current one first.

        What is damaged is left out; :meth:`verify` names it.
        """
        self._must_exist()
        current: dict[str, set[str]] = {}
        self._come("")
        for name, digest, _ in self._references("names").values():
            current.setdefault(digest, set()).add(name)
        entries = []
        for manifest, size in self.objects.manifests():
            names = current.get(manifest["hash"], set())
            entries += [Entry.of(name, manifest, size, name in names) for name in names | {manifest["name"]}]
        return sorted(entries, key=lambda entry: (entry.name, entry.backbone, not entry.current, entry.hash))

    def verify(self) -> list[str]:
        """What is wrong in the store, one sentence each; nothing when all is well. See :meth:`problems`."""
        return list(self.problems())

    def problems(self, watch: Callable[[int, int], None] = lambda done, total: None) -> Iterator[str]:
        """What is wrong in the store, one sentence each as soon as it is known; ``watch`` hears how far this is.

        Of a store that lies elsewhere everything is fetched for it, and what is here is verified too.
        """
        self._must_exist()
        for path in paths_in(self.folder, "**"):
            if path.name.startswith(TEMPORARY) and left_over(path):
                yield f"{path} was left by a process that was stopped while writing; the next training deletes it"
        yield from self.objects.problems(watch)
        yield from self._problems_of_answers()
        hashes = self.objects.hashes()
        for path in [*self._names(), *paths_in(self.folder / "recipes", "*.json")]:
            try:
                found = self._referred(path)
                # A recipe whose object is gone is harmless: it is followed again when it is next needed.
                if path.parent.name != "recipes" and found.hash not in hashes:
                    yield f"{path}: the object {found.name} means is gone; train it again or delete this file"
                self._must_agree(found, path)
            except LingarithError as problem:
                yield str(problem)

    def _problems_of_answers(self) -> Iterator[str]:
        """What is wrong with outputs and losses that are kept."""
        for path in (path for prefix in ANSWERS for path in paths_in(self.folder / prefix, "*.json")):
            try:
                self.read(path.relative_to(self.folder).as_posix(), ANSWER_MEND)
            except LingarithError as problem:
                yield str(problem)

    def has(self, key: str) -> bool:
        """Whether there is a file of that key (``steps/3f2a.json``), here or elsewhere."""
        return self._path(key).exists() or (self.remote is not None and self.remote.has(key))

    def read(self, key: str, mend: str) -> dict[str, Any] | None:
        """The JSON object in a file of the store, fetched where it is missing here; None when there is none.

        Raises :class:`LingarithError` ending in ``mend`` when it is damaged.
        """
        path = self._here(key, mend)
        return None if path is None else unsealed(key, read_json(path, mend=mend), path, mend)

    def keep(self, key: str, value: Mapping[str, Any]) -> None:
        """Put a JSON object into the store, from where :meth:`read` gives it back or says that it was changed."""
        self.write(key, sealed(key, value))

    def write(self, key: str, content: bytes) -> None:
        """Put a small file into the store."""
        write_atomically(self._path(key), content)
        self.push(key)

    def push(self, *keys: str) -> None:
        """Copy files that were written here to where the store lies, one after another."""
        for key in keys if self.remote else ():
            self.remote.push(self._path(key), key)  # type: ignore[union-attr]

    def catch_up(self) -> None:
        """Delete what commands left that were killed, and push what one whose network failed left here alone.

        Names that are elsewhere mean what they mean there.
        """
        below = (f"{kind}/{name}" for kind in ("names", "training") for name in listed(self.folder / kind))
        for folder in (".", "objects", *SMALL, *below):
            sweep(self.folder / folder)
        if not self.remote:
            return
        there = {key for prefix in ("objects", *SMALL) for key in self.remote.sizes(prefix)}
        self.objects.catch_up(there)
        for path in (path for prefix in SMALL for path in paths_in(self.folder / prefix, "**")):
            key = path.relative_to(self.folder).as_posix()
            if path.suffix == ".json" and key not in there and not path.name.startswith(TEMPORARY):
                self.push(key)

    def fetch(self, *keys: str) -> None:
        """Copy files from where the store lies, one after another, each in place of the one that is here."""
        for key in keys if self.remote else ():
            path = self._path(key)
            with naming(path), temporary_folder(path.parent) as folder:
                self.remote.fetch(key, folder / path.name)  # type: ignore[union-attr]
                (folder / path.name).replace(path)

    def _older(self, name: str, prefix: str, backbones: set[Any]) -> str:
        """``name@prefix``: one of the objects that have this name in their manifest, or have it now."""
        now = {self._referred(path).hash for path in self._names(name)}

        def called(start: str, everywhere: bool = not backbones) -> list[str]:
            """The objects of that name whose hashes begin so, of this backbone or of any."""
            manifests = [manifest for manifest, _ in self.objects.manifests(start)]
            ours = [one for one in manifests if one["name"] == name or one["hash"] in now]
            return sorted(one["hash"] for one in ours if everywhere or fingerprint(one["origin"], name) in backbones)

        matching = called(prefix) if prefix else []
        if len(matching) == 1:
            return matching[0]
        if prefix and not matching and called(prefix, everywhere=True):
            raise LingarithError(
                f"'{name}@{prefix}' in {self.place} belongs to another backbone; train it on this one, or use that one"
            )
        known = ", ".join(f"{name}@{digest[:12]}" for digest in called(""))
        many = "several vectors match" if matching else "no vector matches"
        raise LingarithError(f"{many} '{name}@{prefix}' in {self.place}; there are: {known or 'none of that name'}")

    def _other_backbone(self, name: str, origin: Mapping[str, Any], backbone: str, parts: Parts) -> LingarithError:
        its = f"{origin['backbone'].get('name', 'unnamed')} ({origin['backbone']['fingerprint'][:16]})"
        why = f" ({said})" if (said := differing(origin.get("parts", {}), parts)) else ""
        return LingarithError(
            f"{name!r} in {self.place} belongs to backbone {its}, not to {backbone[:16]}{why}; "
            "train it on this backbone, or use that one"
        )

    def _names(self, name: str = "") -> list[Path]:
        """The files of all names, or of one; those that lie elsewhere are as they are there now."""
        self._come(name)
        if not name:
            return paths_in(self.folder / "names", "*/*.json")
        # To look through ten thousand names for one takes a second.
        paths = (self.folder / name_key(name, start) for start in listed(self.folder / "names"))
        return [path for path in paths if path.exists()]

    def _come(self, name: str) -> None:
        """Bring here what all names, or one, mean where they lie elsewhere."""
        end = name_key(name, "").rpartition("/")[2] if name else ""
        there = [key for key in self.remote.sizes("names") if key.endswith(end)] if self.remote else []
        for key, content in self.remote.read_all(there).items() if self.remote else ():
            path = self._path(key)
            if not path.exists() or path.read_bytes() != content:
                reference(key, json_object(content, f"{self.place}/{key}", MEND), f"{self.place}/{key}")
                write_atomically(path, content)

    def _references(self, kind: str) -> dict[str, Reference]:
        """What each file of names or recipes says, by its key; those that are damaged are left out."""
        folders = [f"names/{start}" for start in listed(self.folder / kind)] if kind == "names" else [kind]
        keys = (f"{folder}/{name}" for folder in folders for name in listed(self.folder / folder))
        small = (key for key in keys if key.endswith(".json"))
        return files_read(self.folder, kind, small, lambda key: self._referred(self.folder / key))

    def _referred(self, path: Path) -> Reference:
        """What the file of a name or a recipe says."""
        key = path.relative_to(self.folder)
        return reference(key.as_posix(), read_json(self._path(key), mend=MEND), path)

    def _must_agree(self, found: Reference, path: Path) -> None:
        """Raise :class:`LingarithError` where a file without a hash of its own names another vector than it means."""
        if not found.sealed:
            self.objects.must_be_called(found.hash, found.name, f"{path}", MEND)

    def _here(self, key: str, mend: str) -> Path | None:
        """Where a small file is on this machine, fetched where it is missing; None when there is none."""
        path = self._path(key)
        if self.remote and not path.exists() and (content := self.remote.read(key)) is not None:
            where = f"{self.place}/{key}"
            unsealed(key, json_object(content, where, mend), where, mend)
            write_atomically(path, content)
        return path if path.exists() else None

    def _path(self, *parts: str | Path) -> Path:
        """A place in the store; a link in a store from elsewhere must not lead out of it."""
        return inside(self.folder, *parts)

    def _must_exist(self) -> None:
        if not self.exists():
            raise LingarithError(f"there is no store at {self.place}; train a vector first, or name another store")


def _in_memory(vector: Vector) -> Vector:
    """The vector with its tensors read, unless it is as large as its backbone: then they stay on the disk."""
    return vector if vector.rest else replace(vector, terms=dict(vector.terms), rest={})
