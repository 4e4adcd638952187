"""The power goes: what was not synced is gone, or half there, or there before what was written earlier.

Each call is recorded operation by operation: all folders and files as they are, and as they were when they were last
synced. Of every moment the disks that there may be afterwards are made and read: each folder as it was synced or as it
is, alone or together, and of each file what was synced, all, or half of what came after. (The model of
https://www.sqlite.org/testing.html#crash_testing.)
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lingarith.disk import files, temporary
from lingarith.study.records import Example
from lingarith.study.run_folder import RunFolder, read_lines
from tests.attack.calls import ABOUT, CALLS, Call, begun, contents, nothing, seen
from tests.attack.test_kills import EVENTS

Folders = dict[int, dict[str, int]]
"""The entries of each folder by name; folders and files have numbers, the first folder 0."""
Contents = dict[int, bytes]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="where folders are synced and change places")


@dataclass(frozen=True)
class Moment:
    """What is there, and what is on the disk for sure."""

    folders: Folders
    files: Contents
    synced_folders: Folders
    synced_files: Contents

    def disks(self) -> Iterator[tuple[Folders, Contents]]:
        """What may be there when the power comes back."""
        known = self.synced_folders.keys() | self.folders.keys()
        fresh = {one for one in known if self.folders.get(one) != self.synced_folders.get(one)}
        for now in (set(), fresh, *({one} for one in fresh), *(fresh - {one} for one in fresh)):
            folders = {
                one: (self.folders if one in now and one in self.folders else self.synced_folders).get(one, {})
                for one in known
            }
            for share in (0.0, 0.5, 1.0):
                yield folders, {one: self._part(one, share) for one in self.files.keys() | self.synced_files.keys()}

    def _part(self, one: int, share: float) -> bytes:
        synced = self.synced_files.get(one, b"")
        content = self.files.get(one, synced)
        begun = len(synced) if content.startswith(synced) else 0
        return synced if not share else content[: begun + round(share * (len(content) - begun))]


@dataclass
class Disk:
    """A place that is watched: its moments, one before each operation and one after each sync."""

    place: Path
    moments: list[Moment] = field(default_factory=list)
    watching: bool = True
    _numbers: dict[int, int] = field(default_factory=dict)
    _count: int = 0
    _synced: tuple[Folders, Contents] = field(default_factory=lambda: ({}, {}))

    def look(self) -> tuple[Folders, Contents]:
        """What is there now; an inode that was gone and comes again is another file."""
        self.watching = False
        folders, contents, waiting, numbers = {}, {}, [self.place], {}
        while waiting:
            folder = waiting.pop()
            entries = list(os.scandir(folder))
            for one in [folder, *map(Path, entries)]:
                inode = one.lstat().st_ino
                if inode not in numbers:
                    numbers[inode] = self._numbers.get(inode, self._count)
                    self._count += numbers[inode] == self._count
            folders[numbers[folder.stat().st_ino]] = {e.name: numbers[os.lstat(e).st_ino] for e in entries}
            waiting += [Path(entry) for entry in entries if entry.is_dir(follow_symlinks=False)]
            for entry in entries:
                if entry.is_file(follow_symlinks=False):
                    contents[numbers[os.lstat(entry).st_ino]] = Path(entry).read_bytes()
        self._numbers, self.watching = numbers, True
        return folders, contents

    def begin(self) -> None:
        """All that is there is on the disk."""
        self._synced = self.look()
        self.note()

    def note(self) -> Moment:
        folders, contents = self.look()
        self.moments.append(Moment(folders, contents, dict(self._synced[0]), dict(self._synced[1])))
        return self.moments[-1]

    def sync(self, handle: int) -> None:
        folders, contents = self.look()
        number = self._numbers.get(os.fstat(handle).st_ino)
        for now, synced in zip((folders, contents), self._synced, strict=True):
            if number in now:
                synced[number] = now[number]  # type: ignore[index, assignment]
        self.note()


def built(place: Path, folders: Folders, contents: Contents, number: int = 0) -> None:
    """Make what a disk holds."""
    place.mkdir(parents=True)
    for name, one in folders.get(number, {}).items():
        if one in folders:
            built(place / name, folders, contents, one)
        else:
            (place / name).write_bytes(contents.get(one, b""))


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    disk, on = Disk(tmp_path / "place"), [True]

    def hook(event: str, given: tuple[object, ...]) -> None:
        if on[0] and disk.watching and disk.moments and event in EVENTS:
            ours = event == "ctypes.dlopen" or str(given[0]).startswith(str(disk.place))
            if ours and not (event == "open" and given[1] == "r"):
                disk.note()

    monkeypatch.setattr(os, "fsync", lambda handle: disk.sync(handle) if disk.moments and disk.watching else None)
    monkeypatch.setattr(temporary, "YOUNG", -1.0)
    sys.addaudithook(hook)  # stays for ever, so it is switched off
    yield disk
    on[0] = False


def recorded(disk: Disk, before: Callable[[Path], None], write: Callable[[Path], None]) -> None:
    begun(disk.place, Call(before, write))
    disk.begin()
    write(disk.place)
    disk.note()
    disk.watching = False


@pytest.mark.parametrize("name", CALLS)
def test_nothing_that_was_stored_is_lost_and_nothing_half_is_read(tmp_path: Path, disk: Disk, name: str) -> None:
    call, again, tried = CALLS[name], tmp_path / "again", set()
    recorded(disk, call.before, call.write)
    whole = contents(disk.place)
    for number, moment in enumerate(disk.moments):
        for turn, (folders, held) in enumerate(moment.disks()):
            place = again / f"{number}-{turn}"
            built(place, folders, held)
            there = contents(place)
            kind = (frozenset(there.items()), number + 1 == len(disk.moments))
            if kind in tried:
                continue
            tried.add(kind)
            assert seen(place, call) == [], f"moment {number}"
            if number + 1 == len(disk.moments):
                assert there == whole
            call.write(place)
            assert contents(place) == whole, f"moment {number}"


def test_lines_that_were_added_are_there(tmp_path: Path, disk: Disk) -> None:
    lines = [Example("pt", "test", str(k), "ü" * 50, "b") for k in range(3)]
    begun(disk.place, Call(nothing, nothing))
    folder = RunFolder(disk.place / "run")
    folder.open(ABOUT)
    disk.begin()
    for number, line in enumerate(lines, 1):
        folder.add([line])
        moment = disk.note()
        disk.watching = False
        for turn, (folders, held) in enumerate(moment.disks()):
            built(tmp_path / f"{number}-{turn}", folders, held)
            assert read_lines(tmp_path / f"{number}-{turn}" / "run", Example) == lines[:number]
        disk.watching = True


def test_the_model_loses_what_is_not_synced(tmp_path: Path, disk: Disk) -> None:
    def write(place: Path) -> None:
        (place / "a").write_bytes(b"1234")
        with open(place / "b", "xb") as file:
            file.write(b"1234")
            file.flush()
            os.fsync(file.fileno())
        files.sync(place)

    recorded(disk, nothing, write)
    ends = set()
    for turn, (folders, held) in enumerate(disk.moments[-1].disks()):
        built(tmp_path / str(turn), folders, held)
        ends.add(tuple(contents(tmp_path / str(turn)).items()))
    assert ends == {(("a", part), ("b", b"1234")) for part in (b"", b"12", b"1234")}
