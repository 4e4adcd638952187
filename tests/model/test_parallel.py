"""Two processes on a vector, against one: the same within rounding. Stopped, two go on to the same bits.

Run as a script, this file is ``torchrun --standalone``, whose processes are forks: torch is imported once for all.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lingarith.errors import LingarithError
from lingarith.model.backbone import Backbone
from lingarith.model.parallel import Processes, joined, processes

STEPS = 6


def test_shares() -> None:
    rows = list(range(8))
    assert [rows[Processes(rank, 4).share(8)] for rank in range(4)] == [[0, 1], [2, 3], [4, 5], [6, 7]]
    assert processes() == Processes()
    with pytest.raises(LingarithError, match=r"6 examples .* cannot be shared out over 4 processes; choose a multiple"):
        Processes(0, 4).share(6)


def started(folder: Path, family: str, *, count: int = 2, stop: int = STEPS) -> None:
    """A training of three vectors by ``count`` processes."""
    done = subprocess.run(
        [sys.executable, __file__, str(folder), family, str(stop), str(count)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr


def losses(folder: Path) -> list[float]:
    lines = [json.loads(line) for k in range(3) for line in (folder / str(k) / "log.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines]


@pytest.mark.parametrize("family", ["llama", pytest.param("t5", marks=pytest.mark.slow)])
def test_two_processes_train_what_one_does(tmp_path: Path, family: str, backbone: Callable[[str], Backbone]) -> None:
    from lingarith.disk.tensors import read_safetensors

    started(tmp_path / "two", family)
    train_in(tmp_path / "one", backbone(family), STEPS)
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), rel=1e-5)
    for k in range(3):
        one, two = (read_safetensors(tmp_path / name / str(k) / "checkpoint.safetensors") for name in ("one", "two"))
        for key in (key for key in one if key.endswith("exp_avg")):
            # AdamW divides by the size of a gradient, so that rounding grows with the steps.
            assert (one[key] - two[key]).norm() <= 1e-3 * one[key].norm(), key
        assert json.loads(bytes(two["counts"].tolist()))["step"] == STEPS


@pytest.mark.slow
def test_two_processes_that_were_stopped_end_with_the_same_bits(tmp_path: Path) -> None:
    started(tmp_path / "whole", "llama")
    started(tmp_path / "stopped", "llama", stop=3)
    started(tmp_path / "stopped", "llama")
    assert losses(tmp_path / "stopped") == losses(tmp_path / "whole")
    assert (tmp_path / "stopped" / "hashes").read_text() == (tmp_path / "whole" / "hashes").read_text()


def train_in(folder: Path, on: Backbone, stop: int) -> None:
    """Three vectors, two in a pass; ``stop`` is the step at which all of it ends."""
    from lingarith.adapters.lora import Lora
    from lingarith.model.batches import TaskItems
    from lingarith.model.members import Training
    from lingarith.model.options import TrainOptions
    from lingarith.model.train import train
    from lingarith.vectors.outline import FlatTensors
    from lingarith.vectors.vector import content_hash

    options = TrainOptions(steps=STEPS, batch_size=8, accumulation=2, learning_rate=1e-2, adapter=Lora(2))
    items = [(on.framed([4 + k, *range(20, 21 + k % 4)]), [*[4 + k] * (1 + k % 3), on.eos]) for k in range(24)]
    trainings = [
        Training(f"v{k}", TaskItems(items), replace(options, seed=k, checkpoint_every=1), folder / str(k))
        for k in range(3)
    ]

    def watch(position: int, step: int, loss: float) -> None:
        if step == stop < STEPS and position == 1:
            raise KeyboardInterrupt

    try:
        vectors = dict(train(on, trainings, together=2, watch=watch))
    except KeyboardInterrupt:
        return
    if processes().rank == 0:
        hashes = {position: content_hash(FlatTensors.of(vector)) for position, vector in vectors.items()}
        (folder / "hashes").write_text(json.dumps(hashes, sort_keys=True))


def test_more_processes_than_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("LOCAL_RANK", "2")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with (
        pytest.raises(LingarithError, match="each process takes a GPU and there are 2; give --nproc-per-node 2"),
        joined(),
    ):
        pass


def work(folder: Path, on: Backbone, stop: int) -> None:
    """What each of the processes does."""
    with joined():
        train_in(folder, on, stop)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    from conftest import a_model, a_tokenizer  # type: ignore[import-not-found]
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    from lingarith.model.loading import wrap

    family, stop, count = sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    on = wrap(a_model(family), a_tokenizer(family), name=family)
    here = {"rdzv_backend": "c10d", "rdzv_endpoint": "localhost:0", "run_id": "test"}
    launch = LaunchConfig(1, 1, count, start_method="fork", max_restarts=0, monitor_interval=0.1, **here)
    elastic_launch(launch, work)(Path(sys.argv[1]), on, stop)
