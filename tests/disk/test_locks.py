"""One process at a time."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lingarith.disk.locks import alone
from lingarith.errors import LingarithError

HOLDER = """
import sys
from filelock import FileLock
lock = FileLock(sys.argv[1])
lock.acquire()
print("held", flush=True)
sys.stdin.read()
"""


def waits_for_one_that_dies(thing: Path, holder: str, ending: str) -> None:
    words = [sys.executable, "-c", holder, str(thing.with_name(thing.name + ending))]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout
        assert other.stdout.readline() == b"held\n"
        waited = []

        def waiting() -> None:
            waited.append(True)
            other.kill()
            other.wait()

        with alone(thing, waiting):
            assert waited == [True]


def test_the_file_is_gone_when_the_thing_is_there_and_stays_after_a_failure(tmp_path: Path) -> None:
    thing = tmp_path / "folder" / "thing"
    with alone(thing):
        assert thing.with_name("thing.lock").exists()
    assert not list(tmp_path.rglob("*.lock"))
    with pytest.raises(KeyError), alone(thing):
        raise KeyError
    assert thing.with_name("thing.lock").exists()
    with alone(thing):
        pass


def test_a_process_that_dies_holds_nothing(tmp_path: Path) -> None:
    waits_for_one_that_dies(tmp_path / "thing", HOLDER, ".lock")


@pytest.mark.parametrize("name", ["ENOLCK", "ENOTSUP"])
def test_where_the_file_system_locks_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def flock(*_: object) -> None:
        raise OSError(getattr(errno, name), "No locks available")

    monkeypatch.setattr("fcntl.flock", flock)
    thing = tmp_path / "folder" / "thing"
    with alone(thing):
        held = thing.with_name("thing.held")
        assert held.read_text().split()[0] == str(os.getpid())
    assert list(tmp_path.rglob("thing*")) == []
    waits_for_one_that_dies(thing, HOLDER.replace("FileLock", "SoftFileLock"), ".held")


def test_any_other_refusal_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(*_: object) -> None:
        raise OSError(errno.EIO, "broken disk")

    monkeypatch.setattr("fcntl.flock", flock)
    with pytest.raises(LingarithError, match=r"cannot write .*thing\.lock: broken disk"), alone(tmp_path / "thing"):
        pass


def test_where_no_file_can_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LingarithError, match=r"thing\.lock"), alone(tmp_path / "file" / "thing"):
        pass
