"""kill -9 right before each operation on files, and in the middle of each write; then the same call again.

Nothing half is ever readable, and the end has the same bits as an undisturbed call.
"""

from __future__ import annotations

import os
import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lingarith.disk import files, temporary
from tests.attack.calls import CALLS, Call, begun, contents, forked, seen

EVENTS = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "shutil.rmtree", "ctypes.dlopen"}
KILLS = 1000

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning"),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="a child is forked and killed"),
]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was written a moment ago counts as left over at once."""
    monkeypatch.setattr(temporary, "YOUNG", -1.0)


def watched(place: Path, at: int, count: Callable[[int], None]) -> None:
    """Kill this process before its operation number ``at`` on files in a place; ``count`` hears of each."""
    done = 0

    def tick() -> None:
        nonlocal done
        done += 1
        count(done)
        if done == at:
            os.kill(os.getpid(), signal.SIGKILL)

    def hook(event: str, given: tuple[object, ...]) -> None:
        if event == "ctypes.dlopen" or (
            event in EVENTS
            and isinstance(given[0], str | os.PathLike)
            and str(given[0]).startswith(str(place))
            and not (event == "open" and given[1] == "r")
        ):
            tick()

    synced, written = os.fsync, files._written

    def fsync(handle: int) -> None:
        tick()
        synced(handle)

    def halves(path: Path, content: object) -> object:
        whole = content.encode() if isinstance(content, str) else content
        parts = [whole[: len(whole) // 2], whole[len(whole) // 2 :]] if isinstance(whole, bytes) else whole

        def pieces() -> object:
            for part in parts:  # type: ignore[attr-defined]
                yield part
                tick()

        return written(path, pieces())  # type: ignore[arg-type]

    os.fsync, files._written = fsync, halves  # type: ignore[assignment]
    sys.addaudithook(hook)


def operations(place: Path, call: Call) -> int:
    """How many operations on files a call does."""
    begun(place, call)
    told = place.with_name("count")

    def count(done: int) -> None:
        with open(told, "w") as file:
            file.write(str(done))

    def work() -> None:
        watched(place, -1, count)
        call.write(place)

    assert forked(work) == 0
    return int(told.read_text())


def killed(place: Path, call: Call, at: int) -> bool:
    """Whether a call was killed before an operation; what is there then is read."""

    def work() -> None:
        watched(place, at, lambda done: None)
        call.write(place)

    status = forked(work)
    assert status in (0, signal.SIGKILL), f"operation {at}: {status}"
    assert seen(place, call) == [], f"before operation {at}"
    return status == signal.SIGKILL


def kill_and_finish(place: Path, call: Call, moments: list[int], whole: dict[str, bytes]) -> int:
    """Kill a call at some moments one after another, then let it finish; how many kills that were."""
    begun(place, call)
    kills = sum(killed(place, call, at) for at in moments)
    call.write(place)
    assert contents(place) == whole, moments
    return kills


def finished(place: Path, call: Call) -> dict[str, bytes]:
    begun(place, call)
    call.write(place)
    return contents(place)


@pytest.mark.parametrize("name", CALLS)
def test_a_few_kills(tmp_path: Path, name: str) -> None:
    place, call = tmp_path / "place", CALLS[name]
    whole, count = finished(place, call), operations(place, call)
    for at in random.Random(name).sample(range(1, count + 1), min(3, count)):
        assert kill_and_finish(place, call, [at], whole) == 1


@pytest.mark.attack
def test_a_thousand_kills(tmp_path: Path) -> None:
    place, chance, kills = tmp_path / "place", random.Random(1), 0
    ends = {name: (finished(place, call), operations(place, call)) for name, call in CALLS.items()}
    for name, (whole, count) in ends.items():
        for at in range(1, count + 1):
            kills += kill_and_finish(place, CALLS[name], [at], whole)
    while kills < KILLS:
        name = chance.choice(sorted(CALLS))
        whole, count = ends[name]
        moments = [chance.randint(1, count) for _ in range(2)]
        kills += kill_and_finish(place, CALLS[name], moments, whole)
