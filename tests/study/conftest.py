"""Studies of seconds: a tiny backbone, newsroom data with small limits, three steps of training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lingarith.adapters.lora import Lora
from lingarith.model.backbone import Backbone, load
from lingarith.model.generate import Decoding
from lingarith.model.options import TrainOptions
from lingarith.store.store import Store
from lingarith.study import choose, evaluate
from lingarith.study.plan import AdaptOptions

TRAINING = TrainOptions(steps=3, batch_size=4, learning_rate=0.5, adapter=Lora(2), max_input=24, max_target=8)


@pytest.fixture(scope="session")
def backbone(tiny_backbone: Path) -> Backbone:
    return load(str(tiny_backbone))


@pytest.fixture(scope="session")
def options() -> Callable[..., AdaptOptions]:
    """``options(seed=1)``: small ones, with something changed."""
    small = AdaptOptions(
        task_training=TRAINING,
        language_training=TRAINING,
        decoding=Decoding(max_input=24, max_output=6),
        train_limit=8,
        validation_limit=4,
        test_limit=4,
        text_characters=3000,
    )
    return lambda **changed: replace(small, **changed)


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store that tests share: vectors of equal recipes are trained once."""
    return Store(tmp_path_factory.mktemp("store"))


@pytest.fixture
def coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three weights instead of eleven or fifteen."""
    monkeypatch.setattr(choose, "TENTHS", (0.0, 0.5, 1.0))
    monkeypatch.setattr(choose, "NEAR_ONE", ())


@pytest.fixture(autouse=True, scope="session")
def _letters() -> Iterator[None]:
    """A random model never hits a bigram: the share of the reference's letters scores instead of ROUGE-2."""

    def score(outputs: Sequence[str], references: Sequence[str], *_: object) -> list[float]:
        return [100 * len({*o} & {*r}) / max(1, len({*r})) for o, r in zip(outputs, references, strict=True)]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluate, "rouge2", score)
        yield


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training and generating are errors from here on."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("nothing was left to train or to generate")

    monkeypatch.setattr("lingarith.study.ingredients.train", refuse)
    monkeypatch.setattr("lingarith.study.evaluate.generate_each", refuse)
    monkeypatch.setattr("lingarith.study.actions.generate_each", refuse)
