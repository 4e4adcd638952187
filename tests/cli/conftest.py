"""The command line called in this process, on a tiny backbone and a store with three vectors."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lingarith.cli.main import main
from lingarith.study import weights

TRAINING = ("--steps", "2", "--batch-size", "4", "--learning-rate", "0.05", "--max-input", "24")
TEXT, TASK = ("--characters", "2000"), ("--train-limit", "6", "--max-target", "8")


@dataclass(frozen=True)
class Done:
    """What a command left: exit code, stdout, stderr."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its stdout as one JSON value, where it went well."""
        assert self.code == 0, self.err
        return json.loads(self.out)


Command = Callable[..., Done]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """``command("vectors", "list")``: as typed in a shell."""

    def call(*words: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["lingarith", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main()
        said = capsys.readouterr()
        return Done(int(left.value.code or 0), said.out, said.err)

    return call


@pytest.fixture
def fails(command: Command) -> Callable[..., str]:
    """``fails("vectors", "show", "x")``: the one sentence that a mistake is answered with."""

    def call(*words: object) -> str:
        done = command(*words)
        assert done.code == 2, done
        lines = [line for line in done.err.splitlines() if not line.endswith("…")]  # progress
        assert len(lines) == 1, done.err
        assert lines[0].startswith("error: ")
        assert done.out == ""
        return lines[0].removeprefix("error: ")

    return call


@pytest.fixture(scope="session")
def trained(tiny_backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with headlines[en], news[en] and news[pt]; to be read only."""
    store = tmp_path_factory.mktemp("cli") / "store"
    common = (*TRAINING, "-b", str(tiny_backbone), "--store", str(store))
    with pytest.MonkeyPatch.context() as patch:
        for words in (
            ("task", "newsroom", "en", *TASK),
            ("language", "en", *TEXT),
            ("language", "pt", *TEXT),
        ):
            patch.setattr(sys, "argv", ["lingarith", "train", *words, *common])
            with pytest.raises(SystemExit) as left:
                main()
            assert not left.value.code
    return store


@pytest.fixture
def store(trained: Path, tmp_path: Path) -> Path:
    """A copy of that store, to be changed."""
    return Path(shutil.copytree(trained, tmp_path / "store"))


@pytest.fixture
def training(tiny_backbone: Path) -> tuple[str, ...]:
    """Options of training that takes no time."""
    return (*TRAINING, "-b", str(tiny_backbone))


@pytest.fixture
def coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two weights instead of eleven or fifteen, and few articles to try them on."""
    monkeypatch.setattr("lingarith.study.choose.PROBE", 4)
    monkeypatch.setattr("lingarith.text.corpora.NEWSROOM_PAGES", 20)
    monkeypatch.setattr(weights, "TENTHS", (0.0, 1.0))
    monkeypatch.setattr(weights, "NEAR_ONE", ())
