"""The hub in its layout, as local files: the same loading code, no network."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import langcodes
import pyarrow
import pyarrow.parquet
import pytest

from lingarith.errors import LingarithError
from lingarith.languages.codes import counterpart, standard
from lingarith.newsroom.writer import LANGUAGES
from lingarith.text import hub

WriteTexts = Callable[[Path, str, list[str]], None]


def lines(shard: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in shard.read_text().splitlines()]


TEXTS = [f"page {number} in yo" for number in range(6)]


@pytest.fixture
def root(tmp_path: Path, write_mc4: WriteTexts) -> Path:
    write_mc4(tmp_path / "hub", "yo", [*TEXTS[:2], "  ", *TEXTS[2:]])
    return tmp_path / "hub"


def test_a_shard_is_fetched_once_and_says_where_it_comes_from(root: Path, tmp_path: Path) -> None:
    heard: list[tuple[int, int | None]] = []
    shard = hub.materialised(
        hub.files("mc4", "yo"),
        ("text",),
        tmp_path / "shards",
        root=root,
        progress=lambda done, total: heard.append((done, total)),
    )
    assert lines(shard) == [{"row": row, "text": text} for row, text in zip((0, 1, 3, 4, 5, 6), TEXTS, strict=True)]
    assert heard[-1] == (sum(map(len, TEXTS)), None)
    manifest = json.loads(shard.with_suffix(".json").read_text())
    assert manifest | {"sha256": ""} == {
        "dataset": "allenai/c4",
        "configuration": "yo",
        "files": "multilingual/c4-yo.tfrecord-*.json.gz",
        "split": "train",
        "revision": "local",
        "fields": ["text"],
        "limit_characters": None,
        "documents": 6,
        "characters": sum(map(len, TEXTS)),
        "sha256": "",
    }
    # The hub is gone, the shard is not.
    again = hub.materialised(hub.files("mc4", "yo"), ("text",), tmp_path / "shards", root=tmp_path / "gone")
    assert again == shard
    assert not list(shard.parent.glob("*.partial"))


def test_the_limit_ends_the_stream(root: Path, tmp_path: Path) -> None:
    shard = hub.materialised(hub.files("mc4", "yo"), ("text",), tmp_path, limit_characters=20, root=root)
    assert [row["text"] for row in lines(shard)] == TEXTS[:2]


def test_english_mc4_is_not_c4() -> None:
    files = hub.files("mc4", "en")
    assert (files.configuration, files.filled) == ("en-multi", "multilingual/c4-en.tfrecord-*.json.gz")


def begun(whole: Path, rows: int) -> bytes:
    """What the first rows of a shard are while it is fetched."""
    seal, content = "", b""
    for line in whole.read_bytes().splitlines(keepends=True)[:rows]:
        seal = hub._sealed(seal, line)
        content += f"{seal} ".encode() + line
    return content


def test_rows_that_were_changed_meanwhile_are_fetched_again(root: Path, tmp_path: Path) -> None:
    whole = hub.materialised(hub.files("mc4", "yo"), ("text",), tmp_path / "whole", root=root)
    content = begun(whole, 3)
    for at in range(0, len(content), 7):
        folder = tmp_path / str(at)
        folder.mkdir()
        (folder / f"{whole.stem}.local.partial").write_bytes(
            content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
        )
        shard = hub.materialised(hub.files("mc4", "yo"), ("text",), folder, root=root)
        assert shard.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("torn", [b"", b'{"row": 2, "te', b'{"row": 2}\n', b"\0\0\n"])
def test_an_interrupted_download_goes_on(
    root: Path, tmp_path: Path, torn: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = hub.materialised(hub.files("mc4", "yo"), ("text",), tmp_path / "whole", root=root)
    folder = tmp_path / "torn"
    folder.mkdir()
    (folder / f"{whole.stem}.local.partial").write_bytes(begun(whole, 3) + torn)
    asked: list[int] = []
    stream = hub._stream

    def spy(wanted: hub.HubFiles, revision: str, root: Path | None, start: int, *fields: Any) -> Any:
        asked.append(start)
        return stream(wanted, revision, root, start, *fields)

    monkeypatch.setattr(hub, "_stream", spy)
    shard = hub.materialised(hub.files("mc4", "yo"), ("text",), folder, root=root)
    assert asked == [4]  # rows 0, 1 and 3 had come; 2 is blank
    assert shard.read_bytes() == whole.read_bytes()


def test_what_came_before_an_error_is_kept_at_its_revision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaking(wanted: hub.HubFiles, revision: str, root: Path | None, start: int, *_: Any) -> Any:
        revisions.append(revision)
        yield from ((number, {"text": str(number)}) for number in range(start, 3))
        if len(revisions) == 1:
            raise LingarithError("the line is down")

    class MovingHub:
        def dataset_info(self, dataset: str, revision: str) -> SimpleNamespace:
            assert (dataset, revision) == ("allenai/c4", "main")
            return SimpleNamespace(sha=next(moving))

    revisions: list[str] = []
    moving = iter(("first", "second"))
    monkeypatch.delenv(hub.ROOT, raising=False)
    monkeypatch.setattr("huggingface_hub.HfApi", MovingHub)
    monkeypatch.setattr(hub, "_stream", breaking)
    with pytest.raises(LingarithError, match="the line is down"):
        hub.materialised(hub.files("mc4", "yo"), ("text",), tmp_path)
    shard = hub.materialised(hub.files("mc4", "yo"), ("text",), tmp_path)
    assert revisions == ["first", "first"]
    assert [row["text"] for row in lines(shard)] == ["0", "1", "2"]
    assert json.loads(shard.with_suffix(".json").read_text())["revision"] == "first"


def test_a_pinned_revision_is_asked_for_by_its_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(form: str, *, data_files: dict[str, list[str]], split: str, streaming: bool) -> Any:
        assert (form, split, streaming) == ("parquet", "test", True)
        assert data_files == {"test": ["hf://datasets/csebuetnlp/xlsum@c0ffee/persian/test/*.parquet"]}
        raise ConnectionError("no route to the hub\nmore lines")

    monkeypatch.delenv(hub.ROOT, raising=False)
    monkeypatch.setattr("huggingface_hub.HfApi.dataset_info", lambda *_, revision: SimpleNamespace(sha=revision))
    monkeypatch.setattr("datasets.load_dataset", load)
    with pytest.raises(LingarithError, match=r"xlsum \(persian\) could not be read: no route to the hub; run again"):
        hub.materialised(hub.files("xlsum", "fa", "test", "c0ffee"), ("text",), tmp_path)


def test_the_parts_of_tydiqa(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(form: str, *, data_files: dict[str, list[str]], **_: Any) -> Any:
        asked.append(data_files)
        raise ConnectionError("no route")

    asked: list[dict[str, list[str]]] = []
    monkeypatch.delenv(hub.ROOT, raising=False)
    monkeypatch.setattr(
        "huggingface_hub.HfApi.dataset_info", lambda *_, revision: SimpleNamespace(sha=f"{revision}-sha")
    )
    monkeypatch.setattr("datasets.load_dataset", load)
    for split in ("train", "validation", "test"):
        with pytest.raises(LingarithError, match="no route"):
            hub.materialised(hub.files("tydiqa", "fi", split), ("id",), tmp_path / split)
    parts = {
        part: [f"hf://datasets/google-research-datasets/tydiqa@main-sha/secondary_task/{part}-*.parquet"]
        for part in ("train", "validation")
    }
    assert asked == [{part: parts[part]} for part in ("train", "train", "validation")]


def test_nested_fields_come_along(tmp_path: Path, write_parquet: Callable[[Path, list[dict[str, Any]]], None]) -> None:
    rows = [{"id": "finnish-1-0", "answers": {"text": ["a", ""]}}, {"id": "korean-2-0", "answers": None}]
    write_parquet(tmp_path / "google-research-datasets/tydiqa/secondary_task/train-00000-of-00001.parquet", rows)
    shard = hub.materialised(
        hub.files("tydiqa", "fi", "train"), ("id",), tmp_path / "shards", nested=("answers", "more"), root=tmp_path
    )
    assert lines(shard) == [{"row": number, **row} for number, row in enumerate(rows)]


def test_of_parquet_the_fields_that_are_used_are_decoded(tmp_path: Path) -> None:
    """Beside them may stand what Python has no value for, such as a day after the year 9999."""
    file = tmp_path / "google-research-datasets/tydiqa/secondary_task/train-00000-of-00001.parquet"
    file.parent.mkdir(parents=True)
    late = pyarrow.array([3_000_000], pyarrow.date32())
    pyarrow.parquet.write_table(pyarrow.table({"id": ["finnish-1-0"], "late": late}), file)
    shard = hub.materialised(hub.files("tydiqa", "fi", "train"), ("id",), tmp_path / "shards", root=tmp_path)
    assert lines(shard) == [{"row": 0, "id": "finnish-1-0"}]


@pytest.mark.parametrize("damage", ["shard", "manifest", "gone"])
def test_a_damaged_shard_is_refused(root: Path, tmp_path: Path, damage: str) -> None:
    shard = hub.materialised(hub.files("mc4", "yo"), ("text",), tmp_path / "shards", root=root)
    if damage == "shard":
        shard.write_bytes(shard.read_bytes()[:-1])
    elif damage == "manifest":
        shard.with_suffix(".json").write_text('{"sha')
    else:
        shard.unlink()
    with pytest.raises(LingarithError, match=r"is damaged.*; delete it"):
        hub.materialised(hub.files("mc4", "yo"), ("text",), tmp_path / "shards", root=root)


def test_a_full_disk_is_one_sentence(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(LingarithError, match="No space left on device; what has come"):
            hub.materialised(hub.files("mc4", "yo"), ("text",), tmp_path, root=root)
    assert len(lines(hub.materialised(hub.files("mc4", "yo"), ("text",), tmp_path, root=root))) == 6


def test_rows_that_cannot_serve(root: Path, tmp_path: Path, write_mc4: WriteTexts) -> None:
    write_mc4(root, "pt", [" ", "\n"])
    with pytest.raises(LingarithError, match=r"allenai/c4 \(pt\) holds no row with text"):
        hub.materialised(hub.files("mc4", "pt"), ("text",), tmp_path, root=root)
    with pytest.raises(LingarithError, match=r"allenai/c4 \(yo\), row 0: there is no field 'txt'; did you mean text"):
        hub.materialised(hub.files("mc4", "yo"), ("txt",), tmp_path, root=root)
    (root / "allenai/c4/multilingual/c4-fi.tfrecord-00000-of-00001.json.gz").write_bytes(b"no gzip")
    with pytest.raises(LingarithError, match=r"allenai/c4 \(fi\) could not be read: .*; run again"):
        hub.materialised(hub.files("mc4", "fi"), ("text",), tmp_path, root=root)


def test_missing_languages_and_folders(root: Path, tmp_path: Path) -> None:
    with pytest.raises(LingarithError, match="mc4 has no language 'you' here; did you mean yo"):
        hub.files("mc4", "you")
    with pytest.raises(
        LingarithError, match=r"fineweb2 has no language 'xx' here; known are: aai, aak, .* and 1859 more"
    ):
        hub.files("fineweb2", "xx")
    with pytest.raises(LingarithError, match="xlsum has no language 'fi' here"):
        hub.files("xlsum", "fi", "train")
    with pytest.raises(LingarithError, match="tydiqa has no language 'yo' here; known are: ar, bn"):
        hub.files("tydiqa", "yo", "train")
    with pytest.raises(LingarithError, match=r"no file .*c4-ru.*; known are: yo"):
        hub.materialised(hub.files("mc4", "ru"), ("text",), tmp_path, root=root)
    with pytest.raises(LingarithError, match="is no folder"):
        hub.materialised(hub.files("mc4", "ru"), ("text",), tmp_path, root=tmp_path / "gone")


def test_every_language_of_the_paper_has_a_configuration() -> None:
    paper = set(LANGUAGES) - {"fi"}
    assert paper <= set(hub.languages("xlsum"))
    for dataset in ("mc4", "fineweb2", "sib200"):
        assert {*paper, "fi"} <= set(hub.languages(dataset))
    for dataset in ("fineweb2", "xlsum", "tydiqa", "sib200", "masakhaner"):
        names = list(hub.languages(dataset).values())
        assert len(set(names)) == len(names)
    sizes = {dataset: len(hub.languages(dataset)) for dataset in hub.DATASETS if dataset != "fineweb"}
    assert sizes == {"mc4": 108, "fineweb2": 1871, "xlsum": 45, "tydiqa": 9, "sib200": 205, "masakhaner": 20}


def test_codes_are_those_that_the_names_mean() -> None:
    """By langcodes, whose language and script of a name such as ``por_Latn`` are its code's."""
    for code, name in hub.languages("fineweb2").items():
        if langcodes.tag_is_valid(name.replace("_", "-")):
            assert standard(name) == standard(code), (code, name)
    for code in {*hub.languages("mc4")} - {"und", "hmn"}:  # FineWeb-2 has each language of Hmong by itself
        assert counterpart(code, hub.languages("fineweb2")) or code.endswith("-Latn"), code
    assert len(hub.languages("mc4").values()) == len(set(hub.languages("mc4").values()))


@pytest.mark.parametrize(
    ("dataset", "language", "name"),
    [
        ("mc4", "he", "iw"), ("mc4", "heb_Hebr", "iw"), ("mc4", "nb", "no"), ("mc4", "tl", "fil"), ("mc4", "in", "id"),
        ("mc4", "zh-Hans", "zh"), ("mc4", "jw", "jv"), ("mc4", "en-US", "en-multi"), ("mc4", "und", "und"),
        ("fineweb2", "iw", "heb_Hebr"), ("fineweb2", "fr", "fra_Latn"), ("fineweb2", "nb", "nob_Latn"),
        ("fineweb2", "zh_CN", "cmn_Hani"), ("fineweb2", "sr-Latn", "srp_Latn"), ("fineweb2", "swc", "swc_Latn"),
        ("xlsum", "my", "burmese"), ("xlsum", "zh-TW", "chinese_traditional"), ("xlsum", "sr_Latn", "serbian_latin"),
        ("xlsum", "serbian_latin", "serbian_latin"), ("xlsum", "gla", "scottish_gaelic"), ("xlsum", "pcm", "pidgin"),
        ("sib200", "quy_Latn", "quy_Latn"), ("tydiqa", "in", "secondary_task"), ("masakhaner", "yor", "yor"),
    ],
)  # fmt: skip
def test_a_language_by_any_of_its_codes(dataset: str, language: str, name: str) -> None:
    assert hub.files(dataset, language).configuration == name


@pytest.mark.parametrize(
    ("files", "path"),
    [
        (hub.files("xlsum", "zh", "test"), "csebuetnlp/xlsum/chinese_simplified/test"),
        (hub.files("sib200", "zh", "validation"), "Davlan/sib200/zho_Hans/validation"),
        (hub.files("sib200", "fa", "test"), "Davlan/sib200/pes_Arab/test"),
        (hub.files("masakhaner", "sw", "train"), "masakhane/masakhaner2/swa/train"),
    ],
)
def test_converted_datasets(files: hub.HubFiles, path: str) -> None:
    """As the branches of the hub lay: <configuration>/<split>/0000.parquet."""
    assert (f"{files.dataset}/{files.filled}", files.revision) == (f"{path}/*.parquet", "refs/convert/parquet")
