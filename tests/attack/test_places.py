"""A store, run, adapter or text of somebody else: links lead nowhere, pipes stop nobody, good data are not doomed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lingarith.study.records import Example
from lingarith.study.run_folder import append, read_lines
from tests.cli.conftest import Command

PRECIOUS = "precious, and without an end of line"
Fails = Callable[..., str]


@pytest.fixture
def precious(tmp_path: Path) -> Iterator[Path]:
    """A file of the user's, which is as it was at the end."""
    file = tmp_path / "elsewhere" / "precious.txt"
    file.parent.mkdir()
    file.write_text(PRECIOUS)
    yield file
    assert file.read_text() == PRECIOUS
    assert os.listdir(file.parent) == [file.name]


@pytest.fixture
def mc4(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_mc4: Callable[..., None]) -> tuple[str, ...]:
    """Options of a training on text of a local hub, 600 characters of it."""
    write_mc4(tmp_path / "hub", "pt", [f"Uma ponte nova foi aberta em {k}. " * 3 for k in range(60)])
    monkeypatch.setenv("LINGARITH_HUB", str(tmp_path / "hub"))
    return ("--text", "mc4", "--characters", "600")


@contextmanager
def unreadable(path: Path) -> Iterator[None]:
    """While open, the system says "Permission denied" of a file or folder, also to root."""
    mode = path.stat().st_mode
    path.chmod(0)
    for parent in path.parents[:-1]:
        if os.geteuid() == 0 and not parent.stat().st_mode & 0o5:
            parent.chmod(0o755)
    root = os.geteuid() == 0
    try:
        if root:
            os.seteuid(65534)
        yield
    finally:
        if root:
            os.seteuid(0)
        path.chmod(mode)


@pytest.mark.parametrize("ending", ["jsonl.lock", "local.partial"])
def test_links_where_text_is_fetched(
    ending: str, fails: Fails, mc4: tuple[str, ...], training: tuple[str, ...], tmp_path: Path, precious: Path
) -> None:
    text = tmp_path / "store/text"
    text.mkdir(parents=True)
    (text / f"allenai--c4-pt-train-660.{ending}").symlink_to(precious)
    (text / f"allenai--c4-pt-train-600.{ending}").symlink_to(precious)
    assert "link" in fails("train", "language", "pt", *mc4, *training, "--store", tmp_path / "store")


@pytest.mark.parametrize("place", ["training", "outputs", "text", "names", "recipes", "objects"])
def test_folders_of_a_store_that_are_links(
    place: str, fails: Fails, mc4: tuple[str, ...], training: tuple[str, ...], store: Path, precious: Path
) -> None:
    shutil.rmtree(store / place, ignore_errors=True)
    (store / place).symlink_to(precious.parent)
    words = ("train", "language", "pt", *mc4, *training)
    if place == "outputs":
        words = ("evaluate", "news[pt]", "pt", "--test-limit", "2", "--max-output", "4", *training[-2:])
    assert "leads out of" in fails(*words, "--store", store)


@pytest.mark.parametrize("what", ["folder", "text", "lock"])
def test_links_where_a_training_is_kept(
    what: str, command: Command, fails: Fails, training: tuple[str, ...], tmp_path: Path, precious: Path
) -> None:
    words = ("train", "language", "pt", "--characters", "600", *training, "--store", tmp_path / "store")
    assert command(*words).code == 0
    [recipe] = [path.stem for path in (tmp_path / "store/recipes").iterdir()]
    shutil.rmtree(tmp_path / "store")
    place = tmp_path / "store/training" / recipe
    place = {"folder": place, "text": place / "text", "lock": place.with_name(f"{recipe}.lock")}[what]
    place.parent.mkdir(parents=True)
    place.symlink_to(precious if what == "lock" else precious.parent)
    assert "link" in fails(*words) or "leads out" in fails(*words)


def test_lines_of_a_run_that_are_a_link(tmp_path: Path, precious: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/examples.jsonl").symlink_to(precious)
    with pytest.raises(Exception, match="it is a link"):
        append(tmp_path / "run", [Example("pt", "test", "1", "a", "b")])
    with pytest.raises(OSError, match="it is a link"):
        read_lines(tmp_path / "run", Example)


@pytest.mark.parametrize("what", ["names/*/news*pt*.json", "objects/*/origin.json", "recipes/*.json"])
def test_pipes_in_place_of_files(what: str, command: Command, store: Path) -> None:
    for file in list(store.glob(what))[:1]:
        file.unlink()
        os.mkfifo(file)
    done = command("vectors", "verify", "--store", store)
    assert done.code == 2
    assert "it is no file" in done.out


def test_a_pipe_in_place_of_an_adapter(command: Command, fails: Fails, store: Path, tmp_path: Path) -> None:
    for name in ("adapter_config.json", "adapter_model.safetensors", "lingarith.json"):
        assert command("compose", "news[pt]", "--store", store, "--out", tmp_path / name).code == 0
        (tmp_path / name / name).unlink()
        os.mkfifo(tmp_path / name / name)
        assert "it is no file" in fails("import", tmp_path / name, "--name", "x", "--store", store)


@pytest.mark.parametrize(
    "what", ["objects", "names", "recipes", "objects/*", "objects/*/origin.json", "objects/*/vector.safetensors"]
)
def test_what_cannot_be_read_is_said_and_not_doomed(what: str, command: Command, store: Path) -> None:
    place = sorted(store.glob(what))[0]
    with unreadable(place):
        verified, listed = (command("vectors", word, "--store", store) for word in ("verify", "list"))
    assert verified.code == 2
    assert "Permission denied" in verified.out + verified.err
    assert "delete" not in verified.out + verified.err
    if what not in ("recipes", "objects/*/vector.safetensors"):  # which a list does not read
        assert listed.code == 2, listed
        assert "Permission denied" in listed.err
        assert listed.out == ""
