"""What a file holds is never believed blindly, and never ends in a traceback: files of every kind, changed at random.

A few seeded changes of each kind run with all tests. ``make attack`` does 100,000 in about ten minutes; how many, and
from which seed, ``LINGARITH_ATTACK`` and ``LINGARITH_ATTACK_SEED`` say. Each kind ends in a line of what came of it.
"""

from __future__ import annotations

import os
import signal
import traceback
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from lingarith.errors import LONGEST, LONGEST_PATH, PATHS, LingarithError
from lingarith.model.backbone import Backbone
from lingarith.model.loading import load
from tests.attack.kinds import KINDS, Kind

SHORT, LONG = 1_200, int(os.environ.get("LINGARITH_ATTACK", "100000"))
SEED = int(os.environ.get("LINGARITH_ATTACK_SEED", "0"))
WHOLE = sum(kind.share for kind in KINDS)
HANG = 120
"""Seconds."""


@pytest.fixture(scope="module")
def backbone(tiny_backbone: Path) -> Backbone:
    return load(str(tiny_backbone))


@pytest.fixture(autouse=True)
def _no_hang() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise TimeoutError(f"no end after {HANG} s")

    before = signal.signal(signal.SIGALRM, stop)
    yield
    signal.signal(signal.SIGALRM, before)


def attacked(kind: Kind, folder: Path, backbone: Backbone, count: int, seed: int) -> tuple[Counter[str], list[str]]:
    """What came of changes, and where there was a traceback or a change was believed that must not be."""
    files, read = kind.make(folder, backbone)
    whole = {path: path.read_bytes() for path in files}
    expected, random, faults = read(), Random(f"{kind.name} {seed}"), []
    came: Counter[str] = Counter(mutations=count, refused=0, same=0, changed=0, tracebacks=0)
    for _ in range(count):
        for path, content in whole.items():
            path.write_bytes(content)
        path = random.choice(files)
        path.write_bytes(changed := kind.mutate(whole[path], random))
        signal.alarm(HANG)
        try:
            what = "same" if read() == expected else "changed"
        except LingarithError as refusal:
            what = "refused"
            sentence = refusal.args[0]
            assert len(sentence) <= LONGEST + PATHS * LONGEST_PATH
            assert sentence.isprintable()
        except Exception:
            what = "tracebacks"
            faults.append(f"{path.name} = {changed[:2000]!r}\n{traceback.format_exc(limit=-4)}")
        finally:
            signal.alarm(0)
        if what == "changed" and kind.hashed:
            faults.append(f"{path.name} = {changed[:2000]!r} was believed")
        came[what] += 1
    print(f"{kind.name:34}" + "".join(f"{number:8,} {word}" for word, number in came.items()))
    return came, faults


def attack(kind: Kind, folder: Path, backbone: Backbone, total: int, seed: int) -> None:
    count = round(total * kind.share / WHOLE)
    if not count:
        pytest.skip("takes too long for a few changes")
    _, faults = attacked(kind, folder, backbone, count, seed)
    assert not faults, f"{len(faults)} of {count}:\n" + "\n".join(faults[:5])


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_some_changes_of_files(kind: Kind, tmp_path: Path, backbone: Backbone) -> None:
    attack(kind, tmp_path, backbone, SHORT, 0)


@pytest.mark.attack
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_many_changes_of_files(kind: Kind, tmp_path: Path, backbone: Backbone) -> None:
    attack(kind, tmp_path, backbone, LONG, SEED)
