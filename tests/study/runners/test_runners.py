"""All runners leave the same records and the same vectors as this process alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from lingarith.errors import LingarithError
from lingarith.store.store import Store
from lingarith.study.lab import Lab
from lingarith.study.lines import plan
from lingarith.study.run import run
from lingarith.study.runners.processes import Processes
from lingarith.study.runners.ray import Ray
from lingarith.study.runners.slurm import Slurm
from lingarith.study.runners.units import Runner
from lingarith.study.study import Study

Leaves = Callable[..., Any]
Studies = Callable[..., Study]


def test_processes_leave_the_same_in_a_store_that_lies_elsewhere(
    small: Studies, expected: Any, left: Leaves, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LINGARITH_CACHE", str(tmp_path / "cache"))
    place = f"file://{tmp_path}/store"
    assert left(small(), tmp_path, Processes(2), place) == expected
    monkeypatch.setenv("LINGARITH_CACHE", str(tmp_path / "another machine's"))
    elsewhere = Lab(small(), Store.at(place))
    assert not plan(elsewhere).counted.lacking
    assert all(map(elsewhere.is_there, elsewhere.orders))


@pytest.mark.slow
def test_processes_where_sources_play_the_target(small: Studies, left: Leaves, tmp_path: Path) -> None:
    """Vectors of those sources too are trained by workers."""
    study = small("table1", sources=("en", "ru"), choose_by="sources", betas=(0.5,))
    assert left(study, tmp_path / "there", Processes(2)) == left(study, tmp_path / "here")


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """A cluster of Ray on this machine, which the tests share."""
    ray = pytest.importorskip("ray")
    Ray(2)._connect()
    yield
    ray.shutdown()


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_ray(small: Studies, expected: Any, left: Leaves, tmp_path: Path) -> None:
    assert left(small(), tmp_path, Ray(2)) == expected


@pytest.mark.slow
def test_slurm(small: Studies, expected: Any, left: Leaves, tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    assert left(small(), tmp_path, Slurm(2, {"cluster": "local"})) == expected


# ---------------------------------------------------------------- workers that die


@pytest.fixture(scope="module")
def long(small: Studies) -> Study:
    """One language vector, long enough for checkpoints on the way."""
    return small("vectors", steps=400, characters=2000)


@pytest.fixture(scope="module")
def undisturbed(long: Study, left: Leaves, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return left(long, tmp_path_factory.mktemp("long"))


@pytest.fixture
def disturbed(tmp_path: Path) -> Iterator[Callable[[int], list[int]]]:
    """``disturbed(SIGKILL)`` sends it to whoever trains in ``tmp_path`` after its first checkpoint; the
    processes that heard it."""
    heard: list[int] = []

    def send(which: int) -> None:
        for _ in range(6000):
            if list(tmp_path.glob("store/training/*/checkpoint.safetensors")):
                for held in Path("/proc").glob("[0-9]*/fd/*"):
                    with suppress(OSError):
                        if os.readlink(held).startswith(f"{tmp_path}/store/training/"):
                            heard.append(int(held.parts[2]))
                            os.kill(heard[0], which)
                            return
            time.sleep(0.01)

    def start(which: int) -> list[int]:
        threads.append(threading.Thread(target=send, args=(which,)))
        threads[0].start()
        return heard

    threads: list[threading.Thread] = []
    yield start
    threads[0].join()


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_a_share_whose_worker_of_ray_dies_is_done_again(
    long: Study, undisturbed: Any, left: Leaves, tmp_path: Path, disturbed: Callable[[int], list[int]]
) -> None:
    heard = disturbed(signal.SIGKILL)
    assert left(long, tmp_path, Ray(2)) == undisturbed
    assert len(heard) == 1


@pytest.mark.slow
def test_a_job_that_has_to_give_way_goes_on(
    long: Study, undisturbed: Any, left: Leaves, tmp_path: Path, disturbed: Callable[[int], list[int]]
) -> None:
    pytest.importorskip("submitit")
    heard = disturbed(signal.SIGUSR2)
    assert left(long, tmp_path, Slurm(1, {"cluster": "local"})) == undisturbed
    assert len(heard) == 1
    [log] = (tmp_path / "store" / "jobs").glob("*/*_log.out")
    assert "Requeued job" in log.read_text()


@pytest.mark.slow
def test_a_process_that_dies_ends_the_run_and_the_next_one_goes_on(
    long: Study, undisturbed: Any, left: Leaves, tmp_path: Path, disturbed: Callable[[int], list[int]]
) -> None:
    disturbed(signal.SIGKILL)
    with pytest.raises(LingarithError, match="a worker was ended from outside"):
        left(long, tmp_path, Processes(1))
    assert left(long, tmp_path, Processes(1)) == undisturbed


@pytest.mark.slow
@pytest.mark.parametrize("name", ["processes", "ray", "slurm"])
def test_a_mistake_is_one_sentence_and_what_is_done_stays(
    name: str, small: Studies, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Of two vectors one has a checkpoint that cannot be read."""
    if name == "ray":
        request.getfixturevalue("cluster")
    lab = Lab(small("vectors", targets=("pt", "uk"), characters=2000), Store(tmp_path / "store"))
    planned = plan(lab)
    good, bad = lab.orders
    broken = lab.store.folder / "training" / lab.recipe(bad) / "checkpoint.safetensors"
    broken.parent.mkdir(parents=True)
    broken.write_bytes(b"nothing")
    makers: dict[str, Callable[[], Runner]] = {"processes": lambda: Processes(1), "ray": lambda: Ray(1)}
    runner = makers.get(name, lambda: Slurm(1, {"cluster": "local"}))()
    with pytest.raises(LingarithError, match=r"checkpoint\.safetensors is damaged"):
        run(lab, tmp_path / "run", planned, runner=runner, together=2)
    assert lab.is_there(good)
    assert not lab.is_there(bad)


CALLED = """
import sys
from lingarith.cli.main import main
sys.argv = ["lingarith", *sys.argv[1:]]
main()
"""


@pytest.mark.slow
def test_ctrl_c_stops_the_workers(tiny_backbone: Path, tmp_path: Path) -> None:
    file, log = tmp_path / "long.toml", tmp_path / "log"
    file.write_text(
        f'table = "vectors"\nbackbone = "{tiny_backbone}"\ntargets = ["pt"]\nrank = 2\nsteps = 100000\n'
        "batch_size = 4\nmax_input = 24\ncharacters = 2000\n[newsroom]\n"
    )
    words = ["run", str(file), "--store", str(tmp_path / "store"), "--out", str(tmp_path / "out")]
    with log.open("w") as err, subprocess.Popen(
        [sys.executable, "-c", CALLED, *words, "--runner", "processes", "--workers", "2"],
        stderr=err, start_new_session=True,
    ) as command:  # fmt: skip
        while not list(tmp_path.glob("store/training/*/checkpoint.safetensors")):
            assert command.poll() is None, log.read_text()
            time.sleep(0.05)
        os.killpg(command.pid, signal.SIGINT)  # as a terminal does: to the workers too
        assert command.wait(timeout=30) == 130
    assert log.read_text().splitlines()[-1] == "stopped; the same command goes on from here"
    assert "Traceback" not in log.read_text()
    until = time.monotonic() + 10  # the tracker of their semaphores ends when it hears that the command has
    while left := [stat for stat in Path("/proc").glob("[0-9]*/stat") if _group(stat) == command.pid]:
        assert time.monotonic() < until, left
        time.sleep(0.05)


def _group(stat: Path) -> int:
    """The process group of a process that is no zombie."""
    with suppress(OSError):
        state, _, group = stat.read_text().rpartition(")")[2].split()[:3]
        return 0 if state == "Z" else int(group)
    return 0
