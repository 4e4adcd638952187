"""Datasets of the Hugging Face hub: streamed once into a local shard, read from there ever after.

A shard is ``<name>.jsonl`` with ``<name>.json`` beside it, which says where it comes from (dataset,
configuration, revision) and what it holds (documents, sha256). The second file is written last: a
shard without it is not there. An interrupted download leaves ``<name>.<revision>.partial`` and goes
on from it, at the same revision.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from ..disk.files import file_hash, inside, json_bytes, read_json, unlinked, write_atomically
from ..disk.locks import alone
from ..errors import LingarithError, MissingData, did_you_mean
from ..languages.codes import counterpart
from .patterns import matching_files
from .rows import Row, text_of

ROOT = "LINGARITH_HUB"
"""The environment variable that names a local folder in the hub's layout (``<root>/allenai/c4/…``)."""
LOCAL = "local"
"""What stands for the revision of a local copy."""

Progress = Callable[[int, int | None], None]
"""Called with the characters that have come, and how many will (None: unknown)."""

CONVERTED, CONVERTED_FILES = "refs/convert/parquet", "{language}/{split}/*.parquet"
"""The branch on which the hub keeps a dataset as Parquet, and its files: the dataset's own script is not run."""
DATASETS = {
    "mc4": ("allenai/c4", "multilingual/c4-{language}.tfrecord-*.json.gz", "main"),
    "fineweb2": ("HuggingFaceFW/fineweb-2", "data/{language}/{split}/*.parquet", "main"),
    "fineweb": ("HuggingFaceFW/fineweb", "sample/10BT/*.parquet", "main"),  # English, which FineWeb-2 has not
    "tydiqa": ("google-research-datasets/tydiqa", "secondary_task/{split}-*.parquet", "main"),
    "xlsum": ("csebuetnlp/xlsum", CONVERTED_FILES, CONVERTED),
    "sib200": ("Davlan/sib200", CONVERTED_FILES, CONVERTED),
    "masakhaner": ("masakhane/masakhaner2", CONVERTED_FILES, CONVERTED),
}
"""Name → place on the hub, files within it and their revision; what each calls its languages says ``hub.csv``."""
LICENCES = {
    "xlsum": "cc-by-nc-sa-4.0",
    "masakhaner": "cc-by-nc-4.0",
    "sib200": "cc-by-sa-4.0",
    "mc4": "odc-by",
    "fineweb2": "odc-by",
    "tydiqa": "apache-2.0",
    "newsroom": "apache-2.0",
}
"""What their cards say of their licences, in the hub's terms, the strictest first."""


@dataclass(frozen=True)
class HubFiles:
    """Some files of a dataset: ``path`` is a pattern within it, filled by ``language`` and ``split``.

    ``revision`` is a commit or branch; a branch is pinned to its commit when the download begins.
    """

    dataset: str
    configuration: str
    path: str
    language: str
    split: str = "train"
    revision: str = "main"

    @property
    def filled(self) -> str:
        """The pattern with its language and split."""
        return self.path.replace("{language}", self.language).replace("{split}", self.split)


class _Place(NamedTuple):
    """The first row that is still to come, and the documents and characters that are there."""

    start: int = 0
    documents: int = 0
    characters: int = 0


@cache
def languages(dataset: str) -> Mapping[str, str]:
    """What a dataset calls its languages, by their codes in BCP-47.

    The lists are those of the datasets' cards: all of mC4, XL-Sum, TyDi QA's gold passages, SIB-200 and MasakhaNER 2,
    and of FineWeb-2 all names with a language in https://github.com/huggingface/fineweb-2 (October 2025).
    """
    content = (resources.files(__package__) / "hub.csv").read_text(encoding="utf-8")
    return {row["language"]: row[dataset] for row in csv.DictReader(content.splitlines()) if row[dataset]}


def files(dataset: str, language: str, split: str = "train", revision: str = "") -> HubFiles:
    """The files of one of :data:`DATASETS` for a language and split, at a stated revision or the usual one.

    The language is a code of any kind, or what the dataset itself calls it. English mC4 is ``en-multi``,
    since ``en`` is C4. TyDi QA's files hold all languages, and it has no test part: ``test`` is its
    validation part; ``train`` and ``validation`` are its train part. Raises
    :class:`MissingData` for a language that the dataset has not.
    """
    known = languages(dataset)
    by_name = {name: code for code, name in known.items()}
    code = language if language in known else by_name.get(language) or counterpart(language, known)
    if code is None:
        raise MissingData(f"{dataset} has no language '{language}' here{did_you_mean(language, known)}")
    place, path, branch = DATASETS["fineweb" if (dataset, code) == ("fineweb2", "en") else dataset]
    name = spelt = known[code]
    if (dataset, code) == ("mc4", "en"):
        name = "en-multi"
    if dataset == "tydiqa":
        name, split = "secondary_task", "validation" if split == "test" else "train"
    return HubFiles(place, name, path, spelt, split, revision or branch)


def materialised(
    wanted: HubFiles,
    fields: tuple[str, ...],
    folder: Path,
    *,
    nested: tuple[str, ...] = (),
    limit_characters: int | None = None,
    root: Path | None = None,
    progress: Progress | None = None,
) -> Path:
    """The shard (JSON lines: ``row`` and the ``fields``) of some files, fetched if it is not there.

    Rows come in the dataset's order until they hold ``limit_characters``; a row of which a field
    is blank is left out. ``nested`` fields (lists, objects, numbers) come along as they are. Numbers of
    classes are replaced by the names that the dataset gives them. ``root``, or the variable
    :data:`ROOT`, reads a local copy in place of the hub. Raises :class:`LingarithError` if the
    hub or the disk fails, or a shard is damaged.
    """
    revision = "" if wanted.revision in ("main", CONVERTED) else f"@{wanted.revision}"
    limit = "" if limit_characters is None else f"-{limit_characters}"
    dataset = f"{wanted.dataset}{revision}".replace("/", "--")
    shard = inside(folder, f"{dataset}-{wanted.configuration}-{wanted.split}{limit}.jsonl")
    try:
        if not shard.with_suffix(".json").exists():
            with alone(shard):  # one process fetches, others wait
                if not shard.with_suffix(".json").exists():
                    _fetch(wanted, fields, nested, shard, limit_characters, root, progress)
        _verify(shard)
    except OSError as error:
        raise LingarithError(
            f"the shard {shard} cannot be written or read: {error.strerror or error}; what has come so far is kept"
        ) from error
    return shard


def _fetch(
    wanted: HubFiles,
    fields: tuple[str, ...],
    nested: tuple[str, ...],
    shard: Path,
    limit_characters: int | None,
    root: Path | None,
    progress: Progress | None,
) -> None:
    root = root or (Path(os.environ[ROOT]) if os.environ.get(ROOT) else None)
    revision = _revision(wanted, root, shard)
    partial = shard.with_suffix(f".{revision}.partial")
    with open(partial, "ab+", opener=unlinked) as file:
        (start, documents, characters), seal = _resume(file, fields)
        stream = _stream(wanted, revision, root, start, fields, nested)
        while limit_characters is None or characters < limit_characters:
            number, row = next(stream, (0, None))
            if row is None:
                break
            where = f"{wanted.dataset} ({wanted.configuration}), row {number}"
            texts = {field: text_of(row, field, where) for field in fields}
            if not all(texts.values()):
                continue
            kept = {"row": number} | texts | {field: row[field] for field in nested if field in row}
            line = json.dumps(kept, ensure_ascii=False).encode() + b"\n"
            seal = _sealed(seal, line)
            file.write(f"{seal} ".encode() + line)
            documents += 1
            characters += sum(map(len, texts.values()))
            if progress:
                progress(characters, limit_characters)
        file.flush()
        os.fsync(file.fileno())
    if not documents:
        partial.unlink()
        raise LingarithError(f"{wanted.dataset} ({wanted.configuration}) holds no row with text in {', '.join(fields)}")
    write_atomically(shard, _unsealed(partial))
    manifest = {
        "dataset": wanted.dataset,
        "configuration": wanted.configuration,
        "files": wanted.filled,
        "split": wanted.split,
        "revision": revision,
        "fields": [*fields, *nested],
        "limit_characters": limit_characters,
        "documents": documents,
        "characters": characters,
        "sha256": file_hash(shard),
    }
    write_atomically(shard.with_suffix(".json"), json_bytes(manifest))
    partial.unlink()


def _resume(file: BinaryIO, fields: tuple[str, ...]) -> tuple[_Place, str]:
    """What is there whole, and the seal of its last line; what comes after the first line that is not is cut off."""
    start = documents = characters = whole = 0
    seal = ""
    file.seek(0)
    for line in file:
        mark, _, content = line.partition(b" ")
        # Torn by the interruption, or changed since: the rows from here on are fetched again.
        if not line.endswith(b"\n") or mark.decode("ascii", "replace") != (after := _sealed(seal, content)):
            break
        row, seal = json.loads(content), after
        start, characters = row["row"] + 1, characters + sum(len(row[field]) for field in fields)
        documents, whole = documents + 1, whole + len(line)
    file.truncate(whole)
    file.seek(0, os.SEEK_END)
    return _Place(start, documents, characters), seal


def _sealed(before: str, line: bytes) -> str:
    """What stands before a line of a shard that is not whole yet: the beginning of a sha256 over all lines so far."""
    return hashlib.sha256(before.encode() + line).hexdigest()[:32]


def _unsealed(partial: Path) -> Iterator[bytes]:
    """The lines of a shard without their seals."""
    with open(partial, "rb", opener=unlinked) as file:
        for line in file:
            yield line.partition(b" ")[2]


def _stream(
    wanted: HubFiles, revision: str, root: Path | None, start: int, fields: Collection[str], nested: Collection[str]
) -> Iterator[tuple[int, Row]]:
    """The rows from number ``start`` on, with their numbers from 0; of Parquet the fields that are used alone."""
    import datasets

    if root is None:
        found = [f"hf://datasets/{wanted.dataset}@{revision}/{wanted.filled}"]
    else:
        pattern = f"{root}/{wanted.dataset}/{wanted.path}"
        split = wanted.split if "{split}" in pattern else None
        found = [str(path) for path in matching_files(pattern, language=wanted.language, split=split)]
    form = "parquet" if wanted.path.endswith(".parquet") else "json"
    place: dict[str, Any] = {"data_files": {wanted.split: found}, "split": wanted.split, "streaming": True}
    try:
        stream = datasets.load_dataset(form, **place)
        there: Mapping[str, Any] = stream.features or {}
        columns = [field for field in (*fields, *nested) if field in there]
        if form == "parquet" and set(fields) <= there.keys() != set(columns):  # where one lacks, all help to name it
            stream = datasets.load_dataset(form, columns=columns, **place)
        names = _class_names(stream.features or {})
        for number, row in enumerate(stream.skip(start), start):
            yield number, row | {field: _by_name(row[field], known) for field, known in names.items()}
    except Exception as error:  # the readers below raise some dozen kinds
        raise LingarithError(_failed(wanted, error)) from error


def _class_names(features: Mapping[str, Any]) -> dict[str, list[str]]:
    """The names of the classes of each field that holds their numbers, one or a list."""
    kinds = {field: getattr(kind, "feature", kind) for field, kind in features.items()}
    return {field: kind.names for field, kind in kinds.items() if hasattr(kind, "names")}


def _by_name(value: Any, names: list[str]) -> Any:
    if isinstance(value, list):
        return [_by_name(one, names) for one in value]
    return names[value] if isinstance(value, int) and 0 <= value < len(names) else value


def _revision(wanted: HubFiles, root: Path | None, shard: Path) -> str:
    """``local``; or the commit of the download that has begun; or the one that the revision names now."""
    if root is not None:
        if not root.is_dir():
            raise LingarithError(f"the local copy of the hub, {root} ({ROOT}), is no folder")
        return LOCAL
    for partial in sorted(shard.parent.glob(f"{shard.stem}.*.partial")):
        begun = partial.name.removesuffix(".partial").rpartition(".")[2]
        if begun != LOCAL:
            return begun
    import huggingface_hub

    try:
        return str(huggingface_hub.HfApi().dataset_info(wanted.dataset, revision=wanted.revision).sha)
    except Exception as error:
        raise LingarithError(_failed(wanted, error)) from error


def _failed(wanted: HubFiles, error: Exception) -> str:
    reason = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
    return (
        f"{wanted.dataset} ({wanted.configuration}) could not be read: {reason}; run again to go on from here, "
        f"set {ROOT} to a local copy, or give a path pattern"
    )


def _verify(shard: Path) -> None:
    mend = f"delete it and {shard.stem}.json to fetch it again"
    expected = read_json(inside(shard.parent, f"{shard.stem}.json"), mend=mend).get("sha256")
    if not shard.is_file() or file_hash(shard) != expected:
        raise LingarithError(f"the shard {shard} is damaged; {mend}")
