"""``train task`` and ``train language``."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., Any]


def jsonl(path: Path, *rows: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return path


def test_a_vector_is_trained_once(command: Command, training: tuple[str, ...], tmp_path: Path) -> None:
    jsonl(tmp_path / "plain/pt.jsonl", {"body": "Choveu durante uma semana no norte do país."})
    words = ("train", "language", "pt", "--text", tmp_path / "plain/{language}.jsonl", "--text-field", "body")
    words = (*words, *training, "--store", tmp_path / "store")
    first = command(*words, "--json").json
    assert (first["name"], first["trained"], first["origin"]["steps"]) == ("text[pt]", True, 2)
    again = command(*words, "--json").json
    assert (again["hash"], again["trained"]) == (first["hash"], False)
    assert "was in" in command(*words).out
    assert "2 steps" in command(*words, "--rank", "3").out


def test_a_task_vector_from_files(command: Command, training: tuple[str, ...], tmp_path: Path) -> None:
    """Validation loss goes into the log where the pattern has a validation split, and only there."""
    rows = [{"text": f"The bridge {k} was opened.", "summary": f"Bridge {k}"} for k in range(4)]
    for split in ("train", "dev"):
        jsonl(tmp_path / f"en/{split}.jsonl", *rows)
    for task, validated in ((tmp_path / "{language}/{split}.jsonl", True), (tmp_path / "en/train.jsonl", False)):
        made = command("train", "task", task, "en", *training, "--store", tmp_path / "store", "--json").json
        assert made["name"] == "summaries[en]"
        log = (tmp_path / "store/objects" / made["hash"] / "log.jsonl").read_text()
        assert ("validation_loss" in log) == validated


BAD_ROWS = [
    ("", "is empty; it must hold at least one row"),
    ('{"text": "a b", "summary": "c"}\n{"text": "a', "line 2: no JSON"),
    ('{"text": "a b", "summary": "c"}\n\n[1]\n', "line 3: a JSON object"),
    ('{"txt": "a b", "summary": "c"}\n', "line 1: there is no field 'text'; did you mean txt?"),
    ('{"text": "a b", "summary": 3}\n', "line 1: the field 'summary' is of type int, and text is needed"),
    ('{"text": null, "summary": "c"}\n', "line 1: the field 'text' is null, and text is needed"),
    ('{"text": " ", "summary": "c"}\n{"text": "a", "summary": ""}\n', "every 'text' or 'summary' is blank"),
]


@pytest.mark.parametrize(("content", "sentence"), BAD_ROWS)
def test_bad_labelled_data(
    content: str, sentence: str, fails: Callable[..., str], training: tuple[str, ...], tmp_path: Path
) -> None:
    path = tmp_path / "en.jsonl"
    path.write_text(content)
    said = fails("train", "task", path, "en", *training, "--store", tmp_path / "store")
    assert sentence in said
    assert str(path) in said
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("task", "newsroom", "xx"), "the newsroom does not write 'xx'"),
        (("language", "e n"), "the newsroom does not write 'e n'; did you mean en?"),
        (("language", "../en", "--text", "plain/{language}.txt"), "'../en' is no language code"),
        (("language", "pt", "--text", "nowhere/{language}.txt"), "no file matches 'nowhere/{language}.txt'"),
        (("language", "pt", "--text", "newsrom"), "there is no source 'newsrom'; did you mean newsroom?"),
        (("language", "pt", "--text", "pt.docx"), "no file pt.docx"),
        (("task", "newsroom", "en", "--prompt", "{article}"), "does not say where the article goes"),
        (("language", "pt", "--rank", "0"), "rank=0 must be at least 1"),
        (("language", "pt", "--alpha", "-1"), "alpha=-1.0 must be a positive number"),
        (("language", "pt", "--characters", "0"), "limit_characters is 0"),
        (("task", "newsroom", "en", "--limit", "0"), "limit is 0"),
        (("language", "pt", "--precision", "int8"), "precision='int8' is none of"),
        (("language", "pt", "--dtype", "flot32"), "no type of weights is named 'flot32'; did you mean float32?"),
        (("language", "pt", "--seed", "-1"), "Invalid value for '--seed'"),
        (("language", "pt", "--init-seed", "-1"), "Invalid value for '--init-seed'"),
        (("language", "pt", "--bits", "3"), "bits=3 is not known; choose 4 or 8"),
    ],
)
def test_bad_words(
    words: tuple[str, ...],
    sentence: str,
    fails: Callable[..., str],
    training: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert sentence in fails("train", *words[:1], *words[1:], *training, "--store", tmp_path / "store")
    assert not list(tmp_path.glob("store/objects/*"))


@pytest.mark.parametrize(
    ("backbone", "sentence"),
    [("/nowhere/model", "there is no folder /nowhere/model"), (".", "holds no model (no config.json)")],
)
def test_bad_backbones(
    backbone: str, sentence: str, fails: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = fails("train", "language", "pt", "--characters", "100", "-b", backbone, "--store", tmp_path / "store")
    assert sentence in said


@pytest.mark.parametrize("at", [1, 3, 6, 9])
def test_a_full_disk_loses_nothing(
    at: int,
    command: Command,
    fails: Callable[..., str],
    training: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The disk is full from the n-th write on; with space again, the same command ends well."""
    words = ("train", "language", "pt", "--characters", "500", *training, "--store", tmp_path / "store")
    left, real = [at], os.fsync

    def fsync(handle: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        assert "no space left" in fails(*words)
    assert command(*words).code == 0
    assert command("vectors", "verify", "--store", tmp_path / "store").code == 0
    assert not any((tmp_path / "store/training").iterdir())


def test_numbers_that_are_none_stop_training(
    fails: Callable[..., str], training: tuple[str, ...], tmp_path: Path
) -> None:
    said = fails(
        "train", "language", "pt", "--characters", "500", *training,
        "--steps", "20", "--learning-rate", "1e30", "--store", tmp_path / "store",
    )  # fmt: skip
    assert "no longer a number at step" in said
    assert "lower the learning rate" in said
