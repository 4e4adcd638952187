"""A desk on a store with a task vector and two language vectors of a tiny backbone."""

from pathlib import Path

import pytest

from lingarith.model.loading import load
from lingarith.play.desk import Desk, desk
from lingarith.store.store import Store
from lingarith.study.lab import Lab
from lingarith.study.study import ADAPT, study_of

KEYS = {
    "rank": 2, "steps": 2, "batch_size": 4, "learning_rate": 0.05, "max_input": 24, "max_target": 8, "max_output": 6,
    "train_limit": 6, "characters": 2000,
}  # fmt: skip


@pytest.fixture(scope="session")
def on_desk(tiny_backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    study = study_of("small", ADAPT, KEYS | {"backbone": str(tiny_backbone)})
    store, backbone = Store(tmp_path_factory.mktemp("play")), load(str(tiny_backbone))
    lab = Lab(study, store, given=backbone)
    wanted = [lab.task("summaries", 0, "en"), lab.language(0, "en"), lab.language(0, "pt")]
    lab.vectors([name for one in wanted for name in one.names], together=3)
    return desk(Lab(study, store, trains=False, given=backbone))
