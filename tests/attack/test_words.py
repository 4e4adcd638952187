"""What is typed, piped in and printed: any bytes in, one sentence out, and nothing that acts on a terminal."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import sys
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.local import LocalFileSystem

from lingarith.cli.progress import shown
from lingarith.cli.terminal import ACTING
from lingarith.disk.remote import Remote
from lingarith.disk.tensors import TensorFile, read_safetensors, write_safetensors
from lingarith.errors import LingarithError
from lingarith.store.objects import _digest
from lingarith.store.store import Store
from lingarith.vectors.vector import content_hash
from tests.cli.conftest import Command

Fails = Callable[..., str]
ESCAPE = "\x1b]0;pwned\x07\x1b[2J\x9b31m\u202e[/bold][link=https://evil.example]x[/link]"
SMALL = ("--characters", "600", "--train-limit", "2", "--validation-limit", "2", "--test-limit", "2")


@pytest.mark.parametrize(
    "words",
    [
        ("train", "language", "pt", "-b", "~nosuchuser/x"),
        ("train", "language", "pt", "--text", "~nosuchuser/{language}.txt"),
        ("adapt", "pt", "--out", "o\udcff"),
        ("adapt", "pt", "--prompt", "\udcff{text}"),
        ("compose", "news[\udcff]"),
        ("generate", "news[pt]", "\udcff ponte"),
        ("vectors", "list", "--store", "\udcff"),
        ("run", "table1", "--dry-run", "--set", 'score_model="a\\u0000b"'),
        ("run", "table1", "--dry-run", "--set", 'backbone="a\\u0000b"'),
        ("train", "language", "pt", "--kronecker", "9" * 5000 + "x2"),
        ("train", "language", "pt", "--kronecker", "²x²"),
        ("export", "news[pt]", "--format", "merged", "--backbone", "~nosuchuser/x", "--out", "m"),
    ],
    ids=lambda words: " ".join(words)[:40].encode("ascii", "replace").decode(),
)
def test_what_is_typed(
    words: tuple[str, ...], fails: Fails, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = fails(*words, *(() if "--store" in words else ("--store", str(store))))
    assert len(said) < 1200
    assert not ACTING.search(said)


def test_a_device_that_is_not_there(fails: Fails, store: Path, tiny_backbone: Path) -> None:
    words = ("generate", "news[pt]", "Uma ponte", "--device-map", "cuda:7", "-b", tiny_backbone, "--store", store)
    assert "no backbone can be loaded from" in fails(*words)


@pytest.mark.parametrize("content", [b"Uma ponte\xff\n", b"Uma ponte \xbe\n"])
def test_what_is_piped_in(
    content: bytes, fails: Fails, store: Path, tiny_backbone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content), "ascii", "surrogateescape"))  # LC_ALL=C
    assert "standard input is not UTF-8" in fails("generate", "news[pt]", "-b", tiny_backbone, "--store", store)


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_what_a_stream_cannot_hold(
    encoding: str, command: Command, make_run: Callable[..., Any], folder_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out, encoding))
    assert command("report", folder_of(make_run(6))).code == 0


def test_nothing_of_a_vector_acts_on_a_terminal(command: Command, store: Path) -> None:
    """Origins of somebody else, with the right hash."""
    folder = store / "objects" / Store(store).resolve("news[pt]")
    manifest = json.loads((folder / "origin.json").read_text())
    manifest["origin"] |= {"kind": ESCAPE, "note": f"{ESCAPE}\nerror: none", "language": ESCAPE}
    digest = _digest(content_hash(TensorFile(folder / "vector.safetensors")), manifest["scale"], manifest["origin"])
    (folder / "origin.json").write_text(json.dumps(manifest | {"hash": digest}))
    folder.rename(folder.with_name(digest))
    for words in (("list",), ("list", "--json"), ("show", digest), ("show", digest, "--json")):
        done = command("vectors", *words, "--store", store)
        assert done.code == 0, done.err
        assert "pwned" in done.out  # as text
        assert not ACTING.search(done.out)
        assert "\nerror" not in done.out


def test_nothing_that_is_drawn_acts_on_a_terminal(
    command: Command, make_run: Callable[..., Any], folder_of: Any, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    run = make_run(6, title=ESCAPE, notes=[ESCAPE])
    done = command("report", folder_of(run))
    assert not ACTING.search(done.out + done.err)
    with shown() as progress:
        progress(ESCAPE, 1, 2)
    assert not ACTING.search(capsys.readouterr().err)


class Vault(LocalFileSystem):
    """Files of this machine under a URL that takes a user and a password."""

    protocol = ("vault",)

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        return LocalFileSystem._strip_protocol("/" + str(path).split("@h/", 1)[-1].lstrip("/"))


@pytest.mark.parametrize(
    "url",
    [
        "sftp://user:hunter2@127.0.0.1:9/store", "github://user:hunter2@x/y", "webdav://user:hunter2@h/x",
        "https://user:hunter2@127.0.0.1:9/store", "https://hunter2@127.0.0.1:9/store", "ftp://u:hunter2@127.0.0.1:9/x",
        "simplecache::nosuch://user:hunter2@127.0.0.1:9/store", "s3://AKIA:hunter2@bucket/x",
    ],
)  # fmt: skip
def test_passwords_of_places_in_messages(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(LingarithError) as caught:
        Remote.at(url)
    assert "hunter2" not in str(caught.value)


def test_passwords_of_places_in_files(
    command: Command, store: Path, tiny_backbone: Path, tmp_path: Path, coarse: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsspec.register_implementation("vault", Vault, clobber=True)
    monkeypatch.setenv("LINGARITH_CACHE", str(tmp_path / "cache"))
    url = f"vault://user:hunter2@h{shutil.copytree(store, tmp_path / 'away')}"
    words = ("--steps", "2", "--batch-size", "2", "--max-input", "16", "--max-output", "4", "--together", "1", *SMALL)
    words = ("adapt", "pt", "-b", tiny_backbone, *words, "--store", url, "--out", tmp_path / "out")
    done = command(*words)
    assert done.code == 0, done.err
    assert "vault://***@h" in json.loads((tmp_path / "out/run.json").read_text())["command"]
    planned = command(*words, "--dry-run")
    assert "hunter2" not in done.out + done.err + planned.out + planned.err
    tuned = Path(shutil.copytree(tiny_backbone, tmp_path / "tuned"))
    weights = tuned / "model.safetensors"
    write_safetensors(weights, {name: tensor * 1.01 for name, tensor in read_safetensors(weights).items()})
    taken = command("import", tuned, "--minus", tiny_backbone, "--name", "chat[en]", "--store", url)
    assert "is in vault://***@h" in taken.out, taken.err
    assert "hunter2" not in taken.out + taken.err
    held = [path for path in tmp_path.rglob("*") if path.is_file() and b"hunter2" in path.read_bytes()]
    assert held == []
    assert os.listdir(tmp_path / "away/objects")


def test_commands_print_in_one_way() -> None:
    """Whatever is printed goes through :mod:`lingarith.cli.terminal`."""
    folder = Path(str(resources.files("lingarith.cli")))
    for file in folder.glob("*.py"):
        if file.name != "terminal.py":
            assert not re.search(r"(?<![\w.])print\(|import print|Console\(", file.read_text()), file
