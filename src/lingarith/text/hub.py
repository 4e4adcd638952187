"""Datasets of the Hugging Face hub: streamed once into a local shard, read from there ever after.

A shard is ``<name>.jsonl`` with ``<name>.json`` beside it, which says where it comes from (dataset,
configuration, revision) and what it holds (documents, sha256). The second file is written last: a
shard without it is not there. An interrupted download leaves ``<name>.<revision>.partial`` and goes
on from it, at the same revision.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ..errors import LingarithError, MissingData, did_you_mean
from .patterns import matching_files
from .rows import Row, text_of

ROOT = "LINGARITH_HUB"
"""The environment variable that names a local folder in the hub's layout (``<root>/allenai/c4/…``)."""
LOCAL = "local"
"""What stands for the revision of a local copy."""

Progress = Callable[[int, int | None], None]
"""Called with the characters that have come, and how many will (None: unknown)."""

MC4 = (
    "af am ar az be bg bg-Latn bn ca ceb co cs cy da de el el-Latn en eo es et eu fa fi fil fr fy ga gd gl gu ha haw "
    "hi hi-Latn hmn ht hu hy id ig is it iw ja ja-Latn jv ka kk km kn ko ku ky la lb lo lt lv mg mi mk ml mn mr ms mt "
    "my ne nl no ny pa pl ps pt ro ru ru-Latn sd si sk sl sm sn so sq sr st su sv sw ta te tg th tr uk und ur uz vi "
    "xh yi yo zh zh-Latn zu"
).split()
"""The languages of mC4, as its files spell them."""

FINEWEB2 = {
    "ar": "arb_Arab",
    "bn": "ben_Beng",
    "en": "sample-10BT",
    "fa": "fas_Arab",
    "fi": "fin_Latn",
    "gu": "guj_Gujr",
    "id": "ind_Latn",
    "ja": "jpn_Jpan",
    "ko": "kor_Hang",
    "mr": "mar_Deva",
    "ne": "npi_Deva",
    "pt": "por_Latn",
    "ru": "rus_Cyrl",
    "si": "sin_Sinh",
    "so": "som_Latn",
    "sw": "swh_Latn",
    "te": "tel_Telu",
    "th": "tha_Thai",
    "tr": "tur_Latn",
    "uk": "ukr_Cyrl",
    "vi": "vie_Latn",
    "yo": "yor_Latn",
    "zh": "cmn_Hani",
}
"""Configurations of FineWeb-2; English is FineWeb's sample, since FineWeb-2 has none."""

XLSUM = {
    "ar": "arabic",
    "bn": "bengali",
    "en": "english",
    "fa": "persian",
    "gu": "gujarati",
    "id": "indonesian",
    "ja": "japanese",
    "ko": "korean",
    "mr": "marathi",
    "ne": "nepali",
    "pt": "portuguese",
    "ru": "russian",
    "si": "sinhala",
    "so": "somali",
    "sw": "swahili",
    "te": "telugu",
    "th": "thai",
    "tr": "turkish",
    "uk": "ukrainian",
    "vi": "vietnamese",
    "yo": "yoruba",
    "zh": "chinese_simplified",
}
"""Configurations of XL-Sum for the paper's 22 languages."""

TYDIQA = {
    "ar": "arabic",
    "bn": "bengali",
    "en": "english",
    "fi": "finnish",
    "id": "indonesian",
    "ko": "korean",
    "ru": "russian",
    "sw": "swahili",
    "te": "telugu",
}
"""The languages of TyDi QA's gold passages, and what their ids begin with."""


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


def mc4(language: str, revision: str = "") -> HubFiles:
    """mC4 of a language, in ``allenai/c4`` (whose ``en`` is C4, so that English is ``en-multi``)."""
    if language not in MC4:
        raise LingarithError(f"mc4 has no language '{language}'{did_you_mean(language, MC4)}")
    configuration = "en-multi" if language == "en" else language
    path = "multilingual/c4-{language}.tfrecord-*.json.gz"
    return HubFiles("allenai/c4", configuration, path, language, revision=revision or "main")


def fineweb2(language: str, revision: str = "") -> HubFiles:
    """FineWeb-2 of a language, and FineWeb's sample of ten billion tokens for English."""
    if language not in FINEWEB2:
        raise LingarithError(f"fineweb2 has no language '{language}' here{did_you_mean(language, FINEWEB2)}")
    name = FINEWEB2[language]
    if language == "en":
        return HubFiles("HuggingFaceFW/fineweb", name, "sample/10BT/*.parquet", name, revision=revision or "main")
    path = "data/{language}/{split}/*.parquet"
    return HubFiles("HuggingFaceFW/fineweb-2", name, path, name, revision=revision or "main")


def xlsum(language: str, split: str, revision: str = "") -> HubFiles:
    """XL-Sum of a language and split, in the hub's Parquet conversion (no dataset script runs)."""
    if language not in XLSUM:
        raise MissingData(f"xlsum has no language '{language}' here{did_you_mean(language, XLSUM)}")
    name, branch = XLSUM[language], "refs/convert/parquet"
    return HubFiles("csebuetnlp/xlsum", name, "{language}/{split}/*.parquet", name, split, revision or branch)


def tydiqa(language: str, split: str, revision: str = "") -> HubFiles:
    """The gold passages of TyDi QA (its secondary task), whose files hold all languages.

    It has no test part: ``test`` is its validation part; ``train`` and ``validation`` are its train part.
    """
    if language not in TYDIQA:
        raise MissingData(f"tydiqa has no language '{language}'{did_you_mean(language, TYDIQA)}")
    name, part = "secondary_task", "validation" if split == "test" else "train"
    path = "secondary_task/{split}-*.parquet"
    return HubFiles("google-research-datasets/tydiqa", name, path, language, part, revision or "main")


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
    is blank is left out. ``nested`` fields (lists, objects) come along as they are. ``root``, or the
    variable :data:`ROOT`, reads a local copy in place of the hub. Raises :class:`LingarithError` if the
    hub or the disk fails, or a shard is damaged.
    """
    revision = "" if wanted.revision in ("main", "refs/convert/parquet") else f"@{wanted.revision}"
    limit = "" if limit_characters is None else f"-{limit_characters}"
    dataset = f"{wanted.dataset}{revision}".replace("/", "--")
    shard = folder / f"{dataset}-{wanted.configuration}-{wanted.split}{limit}.jsonl"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not shard.with_suffix(".json").exists():
            with shard.with_suffix(".lock").open("w") as lock:  # one process fetches, others wait
                fcntl.flock(lock, fcntl.LOCK_EX)
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
    with partial.open("ab+") as file:
        start, documents, characters = _resume(file, fields)
        stream = _stream(wanted, revision, root, start)
        while limit_characters is None or characters < limit_characters:
            number, row = next(stream, (0, None))
            if row is None:
                break
            texts = {
                field: text_of(row, field, f"{wanted.dataset} ({wanted.configuration}), row {number}")
                for field in fields
            }
            if not all(texts.values()):
                continue
            kept = {"row": number} | texts | {field: row[field] for field in nested if field in row}
            file.write(json.dumps(kept, ensure_ascii=False).encode() + b"\n")
            documents += 1
            characters += sum(map(len, texts.values()))
            if progress:
                progress(characters, limit_characters)
        file.flush()
        os.fsync(file.fileno())
    if not documents:
        partial.unlink()
        raise LingarithError(f"{wanted.dataset} ({wanted.configuration}) holds no row with text in {', '.join(fields)}")
    manifest = {
        "dataset": wanted.dataset,
        "configuration": wanted.configuration,
        "files": wanted.path.replace("{language}", wanted.language).replace("{split}", wanted.split),
        "split": wanted.split,
        "revision": revision,
        "fields": [*fields, *nested],
        "limit_characters": limit_characters,
        "documents": documents,
        "characters": characters,
        "sha256": _sha256(partial),
    }
    os.replace(partial, shard)
    _write(shard.with_suffix(".json"), json.dumps(manifest, indent=1) + "\n")


def _resume(file: BinaryIO, fields: tuple[str, ...]) -> tuple[int, int, int]:
    """The first row that is still to come, and the documents and characters that are there."""
    start = documents = characters = whole = 0
    file.seek(0)
    for line in file:
        try:
            row = json.loads(line) if line.endswith(b"\n") else {}
            size = sum(len(row[field]) for field in fields)
            start = row["row"] + 1
        except (ValueError, KeyError):  # torn by the interruption
            break
        documents, characters, whole = documents + 1, characters + size, whole + len(line)
    file.truncate(whole)
    file.seek(0, os.SEEK_END)
    return start, documents, characters


def _stream(wanted: HubFiles, revision: str, root: Path | None, start: int) -> Iterator[tuple[int, Row]]:
    """The rows from number ``start`` on, with their numbers from 0."""
    import datasets

    if root is None:
        path = wanted.path.replace("{language}", wanted.language).replace("{split}", wanted.split)
        files = [f"hf://datasets/{wanted.dataset}@{revision}/{path}"]
    else:
        pattern = f"{root}/{wanted.dataset}/{wanted.path}"
        split = wanted.split if "{split}" in pattern else None
        files = [str(path) for path in matching_files(pattern, language=wanted.language, split=split)]
    form = "parquet" if wanted.path.endswith(".parquet") else "json"
    try:
        stream = datasets.load_dataset(form, data_files={wanted.split: files}, split=wanted.split, streaming=True)
        yield from enumerate(stream.skip(start), start)
    except Exception as error:  # the readers below raise some dozen kinds
        raise LingarithError(_failed(wanted, error)) from error


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
    try:
        expected = json.loads(shard.with_suffix(".json").read_text())["sha256"]
    except (ValueError, KeyError, TypeError):
        expected = None
    if not shard.is_file() or _sha256(shard) != expected:
        raise LingarithError(f"the shard {shard} is damaged; delete it and {shard.stem}.json to fetch it again")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(path: Path, text: str) -> None:
    temporary = path.with_suffix(".json.new")
    with temporary.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
