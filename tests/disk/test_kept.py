"""What is kept is what was made; whatever happens to it, it is only made anew."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lingarith.disk.kept import SETTLED, cache_folder, files_read, kept
from lingarith.errors import LingarithError

VALUES: list[Any] = ["um\ndois", "três\u2028", {"a": [1, None, "ß"]}, 0.1]
FACTS = {"language": "pt", "version": "3f2a"}


class Maker:
    """Counts how often it was asked."""

    def __init__(self, values: list[Any] = VALUES) -> None:
        self.values, self.asked = values, 0

    def __call__(self) -> Iterator[Any]:
        self.asked += 1
        return iter(self.values)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LINGARITH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_it_is_made_once_for_the_same_facts(cache: Path) -> None:
    make = Maker()
    assert kept("words", FACTS, make) == VALUES == kept("words", dict(reversed(FACTS.items())), make)
    assert make.asked == 1
    assert kept("words", FACTS | {"version": "77"}, make) == VALUES == kept("others", FACTS, make)
    assert make.asked == 3
    [file] = (cache / "others").iterdir()
    first, *lines = map(json.loads, file.read_text(encoding="utf-8").split("\n"))
    assert (first, lines) == (FACTS | {"sha256": first["sha256"]}, VALUES)


def test_small_files_are_read_again_when_they_changed(cache: Path, tmp_path: Path) -> None:
    folder, asked = tmp_path / "names", list[str]()
    folder.mkdir()

    def read(name: str) -> str:
        asked.append(name)
        if name == "bad":
            raise LingarithError("damaged")
        return (folder / name).read_text()

    def put(name: str, text: str, age: int = 60) -> None:
        (folder / name).write_text(text)
        os.utime(folder / name, (time.time() - age,) * 2)

    for name in ("a", "b", "bad"):
        put(name, name)
    names = ["a", "b", "bad", "gone"]
    for expected in (["a", "b", "bad"], ["bad"]):
        assert files_read(folder, "names", names, read) == {"a": "a", "b": "b"}
        assert asked == expected
        asked.clear()
    put("b", "c", age=50)
    assert files_read(folder, "names", names, read) == {"a": "a", "b": "c"}
    assert asked == ["b", "bad"]
    assert files_read(folder, "names", ["a"], read, whole=False) == {"a": "a"}
    asked.clear()
    (folder / "b").write_text("d")  # so young that it may change again without a trace
    for _ in range(2):
        assert files_read(folder, "names", names, read) == {"a": "a", "b": "d"}
    assert asked == ["b", "bad"] * 2
    assert SETTLED < 60e9


def test_the_first_time_gives_what_later_times_give(cache: Path) -> None:
    make = Maker([("a", 1)])
    assert kept("pairs", FACTS, make) == [["a", 1]] == kept("pairs", FACTS, make)
    assert kept("nothing", FACTS, Maker([])) == [] == kept("nothing", FACTS, Maker([]))


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[: len(content) // 2],
        lambda content: content[:-1],
        lambda content: content.replace(b"dois", b"tres"),
        lambda content: content.partition(b"\n")[2],
        lambda content: b"[" * 100_000 + content,
        lambda content: b"\xff\xfe" + content,
        lambda content: b'{"sha256": 1}\n"um"',
    ],
)
def test_a_damaged_file_is_made_anew(cache: Path, damage: Any) -> None:
    make = Maker()
    kept("words", FACTS, make)
    [file] = (cache / "words").iterdir()
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    assert kept("words", FACTS, make) == VALUES
    assert make.asked == 2
    assert file.read_bytes() == whole


def test_where_nothing_can_be_written_nothing_is_kept(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make = Maker()
    cache.write_text("a file in its place")
    assert kept("words", FACTS, make) == VALUES == kept("words", FACTS, make)

    def homeless(path: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("LINGARITH_CACHE")
    monkeypatch.setattr(Path, "expanduser", homeless)
    assert kept("words", FACTS, make) == VALUES
    assert make.asked == 3


def test_the_cache_is_the_user_s_unless_another_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LINGARITH_CACHE", "")
    assert cache_folder() == tmp_path / ".cache" / "lingarith"


def test_processes_at_once_leave_one_whole_file(cache: Path) -> None:
    code = "from lingarith.disk.kept import kept; print(len(kept('n', {'v': 1}, lambda: range(20000))))"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    some = [subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE) for _ in range(3)]
    assert [one.communicate()[0] for one in some] == [b"20000\n"] * 3
    assert len(list((cache / "n").iterdir())) == 1
