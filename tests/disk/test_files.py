"""Files and folders: whole or not at all, and inside the folder that was given."""

from __future__ import annotations

import errno
import os
import stat
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lingarith.disk import files
from lingarith.disk.files import (
    LARGEST_JSON,
    arrived,
    inside,
    must_be_ours,
    naming,
    place_folder,
    read_json,
    replacing,
    temporary_folder,
    write_atomically,
    write_file,
)
from lingarith.disk.temporary import HOST, OLD, YOUNG, sweep
from lingarith.errors import LingarithError


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def placed(path: Path, content: bytes) -> bool:
    """A folder with one file, which does not take the place of another."""
    with naming(path), temporary_folder(path.parent) as folder:
        write_file(folder / "new", content)
        return place_folder(folder, path)


def replaced(path: Path, content: bytes) -> bool:
    """The same, which does."""
    with replacing(path) as folder:
        write_file(folder / "new", content)
    return True


@pytest.fixture(params=["ENOSPC", "EDQUOT"])
def full_disk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(getattr(errno, request.param), "full")

    monkeypatch.setattr(os, "fsync", fail)


@pytest.mark.parametrize("content", ["añb", "añb".encode(), [b"a", memoryview("ñb".encode())]])
def test_content_of_any_kind(tmp_path: Path, content: object) -> None:
    write_atomically(tmp_path / "new" / "x", content)  # type: ignore[arg-type]
    assert contents(tmp_path) == {"new/x": "añb".encode()}


def test_pieces_that_fail_leave_what_was_there(tmp_path: Path) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"new"
        raise LingarithError("the second piece is bad")

    write_atomically(tmp_path / "x", "old")
    with pytest.raises(LingarithError, match="second piece"):
        write_atomically(tmp_path / "x", pieces())
    with pytest.raises(LingarithError, match="second piece"), replacing(tmp_path / "y") as folder:
        write_file(folder / "z", pieces())
    assert contents(tmp_path) == {"x": b"old"}
    assert os.listdir(tmp_path) == ["x"]


@pytest.mark.usefixtures("full_disk")
def test_full_disk_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text("old")
    with pytest.raises(LingarithError, match=r"no space left to write .*x\.json .*free some space"):
        write_atomically(path, "new")
    assert contents(tmp_path) == {"x.json": b"old"}


@pytest.mark.usefixtures("full_disk")
@pytest.mark.parametrize("write", [placed, replaced])
def test_full_disk_keeps_the_old_folder(tmp_path: Path, write: object) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "old").write_text("old")
    with pytest.raises(LingarithError, match=r"no space left to write .*/x \("):
        write(tmp_path / "x", b"new")  # type: ignore[operator]
    assert contents(tmp_path) == {"x/old": b"old"}
    assert os.listdir(tmp_path) == ["x"]


@pytest.mark.parametrize("name", ["EINVAL", "ENOTSUP", "EBADF", "EIO"])
def test_drives_that_sync_no_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The file itself is synced; any other error of a folder is one."""
    synced, real = [], os.fsync

    def fsync(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(getattr(errno, name), "no folders")
        synced.append(handle)
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    if name == "EIO":
        with pytest.raises(LingarithError, match=r"cannot write .*x: no folders"):
            write_atomically(tmp_path / "x", "1")
        return
    write_atomically(tmp_path / "x", "1")
    assert placed(tmp_path / "y", b"2")
    assert replaced(tmp_path / "y", b"3")
    assert contents(tmp_path) == {"x": b"1", "y/new": b"3"}
    assert len(synced) == 3


def test_any_other_failure_says_what_and_where(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    with pytest.raises(LingarithError, match=r"cannot write .*file/x: (Not a directory|File exists); "):
        write_atomically(tmp_path / "file" / "x", b"")


def test_folder_is_kept_or_replaced(tmp_path: Path) -> None:
    assert placed(tmp_path / "x", b"1")
    assert not placed(tmp_path / "x", b"2")
    assert contents(tmp_path) == {"x/new": b"1"}
    assert replaced(tmp_path / "x", b"3")
    assert contents(tmp_path) == {"x/new": b"3"}
    assert os.listdir(tmp_path) == ["x"]


def test_failed_replacement_puts_the_old_folder_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    placed(tmp_path / "x", b"1")
    rename, calls = Path.rename, []

    def third_time_fails(self: Path, target: Path) -> Path:
        calls.append(target)
        if len(calls) == 3:
            raise OSError(errno.EIO, "broken disk")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", third_time_fails)
    monkeypatch.setattr(files, "_exchanged", lambda one, other: False)  # as on a system that cannot
    with pytest.raises(LingarithError, match="broken disk"):
        replaced(tmp_path / "x", b"2")
    assert contents(tmp_path) == {"x/new": b"1"}


@pytest.mark.skipif(sys.platform != "linux", reason="where two folders change places in one step")
def test_a_folder_is_there_while_it_is_replaced(tmp_path: Path) -> None:
    placed(tmp_path / "x", b"0")
    missed, done = [], threading.Event()

    def look() -> None:
        while not done.is_set():
            missed.extend([] if (tmp_path / "x" / "new").exists() else [1])

    reader = threading.Thread(target=look)
    reader.start()
    for number in range(100):
        replaced(tmp_path / "x", b"%d" % number)
    done.set()
    reader.join()
    assert not missed
    assert contents(tmp_path) == {"x/new": b"99"}


def test_what_dead_writers_left_is_swept_and_live_ones_keep_theirs(tmp_path: Path) -> None:
    names = [f".tmp-{HOST}-1-dead", f".tmp-{HOST}-1-young", ".tmp-another-1-new", ".tmp-another-1-old"]
    for name, age in zip(names, (YOUNG, 0, YOUNG, OLD), strict=True):
        (tmp_path / name).mkdir()
        (tmp_path / name / "part").write_bytes(b"1")
        os.utime(tmp_path / name, (time.time() - age - 1,) * 2)
    os.utime(tmp_path / names[1])
    with temporary_folder(tmp_path) as folder:
        os.utime(folder, (0, 0))
        sweep(tmp_path)
        assert sorted(os.listdir(tmp_path)) == sorted([*names[1:3], folder.name])


def test_places_inside_a_folder(tmp_path: Path) -> None:
    folder, outside = tmp_path / "folder", tmp_path / "outside"
    (folder / "sub").mkdir(parents=True)
    outside.write_text("secret")
    (folder / "out").symlink_to(outside)
    (folder / "up").symlink_to(tmp_path)
    (folder / "in").symlink_to(folder / "sub" / "x")
    (folder / "circle").symlink_to(folder / "circle")
    for name in ("x", "sub/x", "sub/../x", "in"):
        assert inside(folder, name) == folder / name
    for name in ("out", "up/outside", "../outside", "sub/../../outside", str(outside)):
        with pytest.raises(LingarithError, match=r"leads out of .*folder; "):
            inside(folder, name)
    for name in ("circle", "a\0b"):
        with pytest.raises(LingarithError, match="cannot be followed"):
            inside(folder, name)
    (tmp_path / "link").symlink_to(folder)  # the folder itself may be reached by one
    assert inside(tmp_path / "link", "x") == tmp_path / "link" / "x"


def test_a_snapshot_of_the_hub(tmp_path: Path) -> None:
    blobs, there = tmp_path / "models--x" / "blobs", tmp_path / "models--x" / "snapshots" / "3f2a"
    (there / "sub").mkdir(parents=True)
    blobs.mkdir()
    for name, up in (("one", "../.."), ("sub/two", "../../..")):
        (blobs / name[-3:]).write_text(name)
        (there / name).symlink_to(f"{up}/blobs/{name[-3:]}")
    (there / "own").write_text("itself")
    for folder in (there, tmp_path / "link"):
        for name in ("one", "sub/two", "own", "missing"):
            assert arrived(folder, name) == folder / name
        assert arrived(folder / "sub", "two").read_text() == "sub/two"
        if not (tmp_path / "link").exists():
            (tmp_path / "link").symlink_to(there)
    (tmp_path / "models--y" / "blobs").mkdir(parents=True)
    secret = tmp_path / "models--y" / "blobs" / "secret"
    secret.write_text("of another repository")
    (blobs / "deep").mkdir()
    (blobs / "deep" / "x").write_text("x")
    (blobs / "on").symlink_to(secret)
    for name, target in (("a", secret), ("b", "../../blobs/on"), ("c", "../../blobs/deep/x"), ("d", "../../refs")):
        (there / name).symlink_to(target)
        with pytest.raises(LingarithError, match=r"leads out of .*; put the file itself there"):
            arrived(there, name)
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / "x").write_text("x")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "x").symlink_to("../blobs/x")  # of no snapshot
    with pytest.raises(LingarithError, match="leads out of"):
        arrived(tmp_path / "folder", "x")


def test_folders_that_may_be_replaced(tmp_path: Path) -> None:
    names = {"weights", "about"}
    must_be_ours(tmp_path / "none", names, "about")
    must_be_ours(tmp_path, names, "about")
    (tmp_path / "weights").touch()
    with pytest.raises(LingarithError, match="holds weights, which was not written here"):
        must_be_ours(tmp_path, names, "about")
    (tmp_path / "about").touch()
    must_be_ours(tmp_path, names, "about")
    (tmp_path / "README.md").touch()
    with pytest.raises(LingarithError, match=r"holds README\.md, which was not written here"):
        must_be_ours(tmp_path, names, "about")
    with pytest.raises(LingarithError, match="is a file"):
        must_be_ours(tmp_path / "weights", names, "about")


@pytest.mark.parametrize("text", ["", "{", "[1]", "\udcff", "[" * 100_000])
def test_damaged_json(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(LingarithError, match=r"x\.json is damaged: .*; make it again"):
        read_json(tmp_path / "x.json")


def test_json_that_is_missing_or_absurdly_large(tmp_path: Path) -> None:
    with pytest.raises(LingarithError, match=r"x\.json does not exist; make it again"):
        read_json(tmp_path / "x.json")
    with open(tmp_path / "x.json", "wb") as file:
        file.truncate(LARGEST_JSON + 1)
    with pytest.raises(LingarithError, match=r"x\.json takes more than 67,108,864 bytes"):
        read_json(tmp_path / "x.json")
