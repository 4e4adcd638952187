"""All runners leave the same records and the same vectors as this process alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lingarith.study.runners.processes import Processes
from lingarith.study.runners.ray import Ray
from lingarith.study.runners.slurm import Slurm
from lingarith.study.studies import Study

Leaves = Callable[..., Any]


def test_processes(small: Study, expected: Any, left: Leaves, tmp_path: Path) -> None:
    assert left(small, tmp_path, Processes(2)) == expected


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """A cluster of Ray on this machine, which the tests share."""
    ray = pytest.importorskip("ray")
    Ray(2)._connect()
    yield
    ray.shutdown()


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_ray(small: Study, expected: Any, left: Leaves, tmp_path: Path) -> None:
    assert left(small, tmp_path, Ray(2)) == expected


@pytest.mark.slow
def test_slurm(small: Study, expected: Any, left: Leaves, tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    assert left(small, tmp_path, Slurm(2, {"cluster": "local"})) == expected
