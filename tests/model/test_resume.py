"""A training process that is killed at any moment and started again ends with the same bits.

Run as a script, this file is the process: it forks a training, kills the fork with SIGKILL, and
forks again until one training ends by itself. Forking spares importing torch each time.
"""

from __future__ import annotations

import gc
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

STEPS, EVERY = 24, 3


FAMILIES = ("llama", "t5", "qwen2")
"""Trained with LoRA, Kronecker and in full."""


def test_killed_at_many_moments(tmp_path: Path) -> None:
    for report in killed(tmp_path, rounds=1):
        assert report["kills"] > 15
        assert set(report["states"]) == {report["whole"]}


@pytest.mark.slow
def test_killed_at_very_many_moments(tmp_path: Path) -> None:
    for report in killed(tmp_path, rounds=15):
        assert report["kills"] > 200
        assert set(report["states"]) == {report["whole"]}


def killed(folder: Path, rounds: int) -> list[dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, __file__, str(folder), str(rounds)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=1800,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def report(folder: Path, family: str, rounds: int) -> dict[str, Any]:
    """Final states of undisturbed and of killed trainings, and how many kills there were."""
    train_in = trainer(family)
    train_in(folder / "warm")
    began = time.perf_counter()
    train_in(folder / "again")
    length = time.perf_counter() - began
    assert forked(train_in, folder / "whole") == 0
    gc.collect()
    gc.freeze()  # a fork that looked for garbage in what is imported would copy all of it
    moments = random.Random(0)
    kills, states = 0, [state(folder / "again")]
    for k in range(rounds):
        here, patience = folder / f"by the clock {k}", length / 4
        while forked(train_in, here, after=moments.uniform(0, patience)):
            kills, patience = kills + 1, patience * 1.02
        states.append(state(here))
        here, place = folder / f"by the event {k}", k % 5
        while forked(dying_at, place, train_in, here):
            kills, place = kills + 1, place + 1
        states.append(state(here))
    return {"whole": state(folder / "whole"), "states": states, "kills": kills}


def trainer(family: str) -> Callable[[Path], object]:
    """The training, as a function of its folder."""
    import torch

    torch.set_num_threads(1)  # no thread exists, so that forking is safe
    import transformers
    from conftest import a_model, a_tokenizer

    from lingarith.adapters.dense import Full
    from lingarith.adapters.kronecker import Kronecker
    from lingarith.adapters.lora import Lora
    from lingarith.model.batches import TaskItems
    from lingarith.model.loading import wrap
    from lingarith.model.members import Training
    from lingarith.model.options import TrainOptions
    from lingarith.model.train import train

    transformers.utils.logging.disable_progress_bar()
    on = wrap(a_model(family), a_tokenizer(family), name=family)
    data = TaskItems([(on.framed([4 + k % 9] * (1 + k % 4)), [4 + k % 9] * (k % 3) + [1]) for k in range(20)])
    options = TrainOptions(
        steps=STEPS,
        batch_size=4,
        learning_rate=1e-2,
        adapter={"llama": Lora(), "t5": Kronecker(4, 8), "qwen2": Full()}[family],
        checkpoint_every=EVERY,
        validate_every=7,
    )
    return lambda folder: list(train(on, [Training("x", data, options, folder, {}, data)]))


def forked(work: Callable[..., object], *arguments: object, after: float | None = None) -> int:
    """How a fork that does ``work`` ended: 0 by itself, 9 killed, ``after`` that many seconds at the latest."""
    child = os.fork()
    if not child:
        work(*arguments)
        os._exit(0)
    if after is not None:
        time.sleep(after)
        os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    assert status in (0, signal.SIGKILL), f"the training failed: {status}"
    return status


def dying_at(place: int, train_in: Callable[[Path], object], folder: Path) -> None:
    """Train, and be killed at the ``place``-th opening, syncing or renaming of a file."""
    count = iter(range(place, -1, -1))
    sync = os.fsync

    def tick() -> None:
        if next(count, 1) == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def audit(event: str, arguments: tuple[object, ...]) -> None:
        if event in ("open", "os.rename", "os.mkdir"):
            tick()

    def fsync(handle: int) -> None:
        tick()
        sync(handle)

    os.fsync = fsync
    sys.addaudithook(audit)
    train_in(folder)


def state(folder: Path) -> str:
    """A digest of the factors, the optimiser's moments and the log."""
    import hashlib

    from lingarith.disk.tensors import read_safetensors
    from lingarith.model.members import CHECKPOINT, LOG
    from lingarith.vectors.vector import content_hash

    tensors = read_safetensors(folder / CHECKPOINT)
    counts = json.loads(bytes(tensors.pop("counts").tolist()))
    assert counts["step"] == STEPS
    return content_hash(tensors)[:16] + hashlib.sha256((folder / LOG).read_bytes()).hexdigest()[:16]


if __name__ == "__main__":
    rounds = int(sys.argv[2])
    for family in FAMILIES if rounds > 1 else FAMILIES[::2]:
        print(json.dumps(report(Path(sys.argv[1]) / family, family, rounds)))
