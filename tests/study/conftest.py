"""Studies of seconds: a tiny backbone, newsroom data with small limits, three steps of training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from lingarith.algebra import Combination
from lingarith.model.backbone import Backbone
from lingarith.model.loading import load
from lingarith.scores.metrics import METRICS
from lingarith.store.store import Store
from lingarith.study.lab import Lab
from lingarith.study.outputs import Wanted
from lingarith.study.scoring import Outcome
from lingarith.study.study import READ_TASK, Study, study_of
from lingarith.text.corpora import LEAST_HELD_OUT, PlainText
from lingarith.text.labelled import Labelled

SMALL = {
    "rank": 2, "steps": 3, "batch_size": 4, "learning_rate": 0.5, "max_input": 24, "max_target": 8, "max_output": 6,
    "train_limit": 8, "validation_limit": 4, "test_limit": 4, "characters": 3000, "targets": ("pt",),
}  # fmt: skip


@pytest.fixture(scope="session")
def backbone(tiny_backbone: Path) -> Backbone:
    return load(str(tiny_backbone))


@pytest.fixture(scope="session")
def study(tiny_backbone: Path) -> Callable[..., Study]:
    """``study("table1", seeds=(1,))``: a small one, with something changed."""
    return lambda table="adapt", **keys: study_of("small", table, SMALL | {"backbone": str(tiny_backbone)} | keys)


@pytest.fixture
def lab(study: Callable[..., Study], backbone: Backbone, store: Store) -> Callable[..., Lab]:
    """``lab("table1", …)``: a lab of such a study, on the store that tests share unless another is given."""

    def make(table: str = "adapt", *, place: Store | None = None, **keys: Any) -> Lab:
        return Lab(study(table, **keys), place or store, given=backbone)

    return make


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store that the tests of a file share: vectors of equal recipes are trained once; a name means the last one."""
    return Store(tmp_path_factory.mktemp("store"))


@pytest.fixture
def copied(tmp_path: Path) -> Callable[[Lab], Store]:
    """``copied(lab)``: a store with the vectors of a lab and nothing else: outputs are not shared with other tests."""

    def copy(lab: Lab) -> Store:
        place = Store(tmp_path / "copied")
        for name, vector in lab.vectors(lab.orders).items():
            place.put(vector, lab.recipe(name))
        return place

    return copy


@pytest.fixture(autouse=True, scope="module")
def _little_held_out() -> Iterator[None]:
    """Each training of language vectors ends with the loss on text that is held out."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lingarith.text.corpora.HELD_OUT", LEAST_HELD_OUT)
        yield


@pytest.fixture(autouse=True, scope="module")
def _letters() -> Iterator[None]:
    """A random model never hits a bigram: the share of the reference's letters scores instead of ROUGE-2."""

    def score(outputs: Sequence[str], references: Sequence[Sequence[str]], *_: object) -> list[float]:
        return [100 * len({*o} & {*r}) / max(1, len({*r})) for o, (r, *_) in zip(outputs, references, strict=True)]

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(METRICS, "rouge2", replace(METRICS["rouge2"], each=score))
        yield


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training and generating are errors from here on."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("nothing was left to train or to generate")

    monkeypatch.setattr("lingarith.study.jobs.train", refuse)
    monkeypatch.setattr("lingarith.study.outputs.generate_each", refuse)


@dataclass
class Told:
    """Outputs that no model writes: scores and kinds are functions of the data and of the coefficients by names."""

    score: Callable[[Labelled, Mapping[str, float]], float] = lambda data, weights: 0.0
    kind: Callable[[Labelled, Mapping[str, float]], str] = lambda data, weights: "target"
    text: str = ""
    """What is written; where references are read, it is their bits per byte."""
    bits: Callable[[Mapping[str, float]], float] = lambda weights: 1.0
    loss: Callable[[Mapping[str, float]], float] = lambda weights: 2.0
    asked: list[Wanted] = field(default_factory=list)
    read: list[PlainText] = field(default_factory=list)

    def written(self, wanted: Wanted) -> list[list[Outcome]]:
        self.asked.append(wanted)
        data = wanted.examples
        return [
            [Outcome(e.id, text, self.score(data, one.weights), self.kind(data, one.weights)) for e in data.examples]
            for one in wanted.compositions
            for text in [str(self.bits(one.weights)) if wanted.task.endswith(READ_TASK) else self.text]
        ]

    def losses(self, text: PlainText, length: int, compositions: Sequence[Combination]) -> list[float]:
        self.read.append(text)
        return [self.loss(one.weights) for one in compositions]

    def error(self, composition: Combination, sums: Mapping[str, Any]) -> float:
        return 0.0

    @property
    def places(self) -> set[tuple[str, str]]:
        """Languages and splits that were asked about."""
        return {(wanted.data.language, wanted.data.split) for wanted in self.asked}


@pytest.fixture
def told() -> type[Told]:
    """``told(score)``: outputs whose scores are known beforehand."""
    return Told
