"""A study of one target, and what it leaves when this process does all of it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lingarith.store.store import Store
from lingarith.study.lab import Lab
from lingarith.study.run import run
from lingarith.study.runners.units import Runner
from lingarith.study.study import Study, study_of

SOURCE = Path(__file__).parents[3] / "src"
SMALL: dict[str, Any] = {
    "targets": ("pt",), "rank": 2, "steps": 3, "batch_size": 4, "learning_rate": 0.5, "max_input": 24, "max_target": 8,
    "max_output": 3, "characters": 3000, "train_limit": 8, "validation_limit": 2, "test_limit": 2, "weights": (0.5,),
    "controls": ("random",),
}  # fmt: skip
"""Three trainings, a random vector, and two weights of two methods on two examples of each split."""


@pytest.fixture(scope="module")
def small(tiny_backbone: Path) -> Callable[..., Study]:
    """``small("vectors", steps=4)``: a study of seconds."""
    return lambda table="figure2", **keys: study_of("small", table, SMALL | {"backbone": str(tiny_backbone)} | keys)


Left = tuple[dict[str, str], list[tuple[str, str]]]


@pytest.fixture(scope="session")
def left() -> Callable[..., Left]:
    """``left(study, folder, runner)``: the records of a run in a store of its own, and its vectors' hashes."""

    def finish(study: Study, folder: Path, runner: Runner | None = None, store: str = "") -> Left:
        lab = Lab(study, Store.at(store or folder / "store"))
        made = run(lab, folder / "run", runner=runner, together=1)
        lines = {path.name: path.read_text() for path in (folder / "run").glob("*.jsonl")}
        vectors = lines.pop("vectors.jsonl").splitlines()  # which tell the seconds they took
        assert not list(folder.rglob("*.lock"))
        assert not list((lab.store.folder / "training").iterdir())
        hashes = [(one["name"], one["hash"]) for one in map(json.loads, vectors)]
        return lines | {"fixed": str(made.about.fixed), "notes": str(made.about.notes)}, hashes

    return finish


@pytest.fixture(scope="module")
def expected(small: Callable[..., Study], left: Callable[..., Left], tmp_path_factory: pytest.TempPathFactory) -> Left:
    return left(small(), tmp_path_factory.mktemp("here"))


@pytest.fixture(autouse=True, scope="module")
def _letters() -> None:
    """Scores are those that workers count."""


@pytest.fixture(autouse=True, scope="session")
def _path() -> Iterator[None]:
    """Workers find this package, in its state here, and have one thread each as this process has."""
    before = {key: os.environ.get(key) for key in ("PYTHONPATH", "OMP_NUM_THREADS", "HF_HUB_OFFLINE")}
    os.environ |= {"PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    yield
    for key, value in before.items():
        os.environ.pop(key, None)
        if value is not None:
            os.environ[key] = value
