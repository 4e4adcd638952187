"""A study of one target, and what it leaves when this process does all of it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lingarith.scores.rouge import rouge2
from lingarith.study import evaluate
from lingarith.study.actions import Workshop
from lingarith.study.planning import plan_study
from lingarith.study.runners.shares import Runner
from lingarith.study.running import run_study
from lingarith.study.studies import Study

SOURCE = Path(__file__).parents[3] / "src"


@pytest.fixture(scope="module")
def small(tiny_backbone: Path) -> Study:
    """Three trainings, a random vector, and two weights of each method on two examples of each split."""
    return Study(
        "small", "table1", backbone=str(tiny_backbone), targets=("pt",), rank=2, steps=3, batch_size=4,
        learning_rate=0.5, max_input=24, max_target=8, max_output=3, characters=3000,
        train_limit=8, validation_limit=2, test_limit=2, weights=(0.5,), betas=(0.5,), controls=("scaled", "random"),
    )  # fmt: skip


Left = tuple[dict[str, str], list[str]]


@pytest.fixture(scope="session")
def left() -> Callable[[Study, Path, Runner | None], Left]:
    """``left(study, folder, runner)``: the records of a run in a store of its own, and its vectors' hashes."""

    def run(study: Study, folder: Path, runner: Runner | None = None) -> Left:
        shop = Workshop(folder / "store")
        run_study(plan_study(study, shop), shop, folder / "run", runner=runner, together=1)
        lines = {path.name: path.read_text() for path in (folder / "run").glob("*.jsonl")}
        vectors = lines.pop("vectors.jsonl").splitlines()  # which tell the seconds they took
        assert not list(folder.rglob("*.lock"))
        assert not list((folder / "store" / "training").iterdir())
        return lines, [json.loads(line)["hash"] for line in vectors]

    return run


@pytest.fixture(scope="module")
def expected(small: Study, left: Callable[..., Left], tmp_path_factory: pytest.TempPathFactory) -> Left:
    return left(small, tmp_path_factory.mktemp("here"))


@pytest.fixture(autouse=True, scope="module")
def _scores() -> Iterator[None]:
    """The scores that workers count."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluate, "rouge2", rouge2)
        yield


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
