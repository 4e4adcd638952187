"""What a dry run says: the stages in their order, what exists, and times that are no nonsense."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lingarith.store.store import Store
from lingarith.study import forecast as module
from lingarith.study.forecast import OUTPUT_BYTES, Forecast, Stage
from lingarith.study.lab import Lab
from lingarith.study.lines import plan
from lingarith.study.recipes import places

Labs = Callable[..., Lab]
QUICK: dict[str, Any] = {"weights": (0.0, 0.5), "betas": (0.5,)}


@pytest.fixture
def forecast(lab: Labs, tmp_path: Path) -> Callable[..., Forecast]:
    """``forecast("table1", …)``: of such a study, of which nothing is there."""

    def make(*table: str, place: Store | None = None, **keys: Any) -> Forecast:
        one = lab(*table, place=place or Store(tmp_path / "store"), **QUICK | keys)
        return Forecast(one, plan(one).counted)

    return make


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A step takes 2 s and an output ½ s; what was timed."""
    timed: list[str] = []

    def step(job: Any, *_: Any) -> float:
        timed.append(job.name)
        return 2.0

    def output(data: Any, *_: Any) -> float:
        timed.append(f"{data.language} {data.split}")
        return 0.5

    monkeypatch.setattr(module, "seconds_per_step", step)
    monkeypatch.setattr(module, "seconds_per_output", output)
    monkeypatch.setattr(module, "kept", lambda kind, facts, make: list(make()))
    return timed


def test_stages_in_their_order(forecast: Callable[..., Forecast], known: list[str], copied: Any, lab: Labs) -> None:
    """The task vector is there, and nothing else."""
    one = lab()
    one.task("summaries", 0, "en")
    store = copied(one)
    made = forecast(place=store)
    task, language, validation, test = made.stages()
    assert task == Stage("task vectors", 1, 0, 0, 0)
    size = task_bytes(made, "news[en]")
    assert language == Stage("language vectors", 2, 2, 2 * 3 * 2.0, 2 * size)
    # the task vector alone, and each of the others at 0 and at 0.5
    outputs = 4 * (1 + 2 + 2 + 1)
    assert validation == Stage("outputs for validation", outputs, outputs, outputs / 2, outputs * OUTPUT_BYTES)
    assert test == Stage("outputs for test", 16, 16, 8.0, 16 * OUTPUT_BYTES)
    assert made.seconds == 12 + outputs / 2 + 8
    assert made.writing == outputs / 2 + 8
    assert made.untrained == ["news[en]", "news[pt]"]
    assert known == ["news[en]", "pt validation"]  # a kind is timed once
    assert [entry.name for entry in store.entries()] == ["headlines[en]"]  # nothing was put there


def task_bytes(made: Forecast, name: str) -> int:
    vector = made.lab.job(name).options.adapter.init(made.lab.backbone.shapes, 0)
    return 4 * sum(factor.numel() for term in vector.values() for factor in term)


def test_full_fine_tuning_takes_as_much_as_the_backbone(forecast: Callable[..., Forecast], known: list[str]) -> None:
    keys: dict[str, Any] = {"sources": ("en",), "targets": ("en",), "kronecker": (4, 2), "adapter": "lora"}
    made = forecast("table6", **keys, space="delta", controls=())
    [stage] = [stage for stage in made.stages() if stage.what == "task vectors"]
    own = [task_bytes(made, name) for name in made.untrained if "full" not in name]
    assert stage.bytes == 4 * int(made.lab.backbone.facts["parameters"]) + sum(own)
    assert known[:3] == ["headlines[en]"] * 3  # each kind of adapter


@pytest.mark.parametrize("protocol", ["unlabelled", "sources"])
def test_other_protocols_cost_more(protocol: str, forecast: Callable[..., Forecast], known: list[str]) -> None:
    seconds = {
        name: sum(stage.seconds for stage in forecast(choose_by=name, sources=("en", "ru")).stages()[2:])
        for name in ("oracle", protocol)
    }
    assert seconds[protocol] > seconds["oracle"] > 0


def test_what_is_done_without_labels_has_stages_of_its_own(
    forecast: Callable[..., Forecast], known: list[str], tmp_path: Path
) -> None:
    (tmp_path / "en").mkdir()
    (tmp_path / "en/train.jsonl").write_text('{"text": "The bridge was opened in May.", "summary": "Bridge"}\n')
    made = forecast(labels=str(tmp_path / "{language}/{split}.jsonl"), choose_by="unlabelled")
    stages = {stage.what: stage for stage in made.stages()}
    assert [*stages] == ["task vectors", "language vectors", "outputs without labels", "prefixes of plain text"]
    assert stages["outputs without labels"].left == 8  # of the task vector alone
    assert stages["prefixes of plain text"].left == 6 * 64
    assert stages["outputs without labels"].seconds > 0
    assert known[-1] == "en train"


def test_nothing_is_timed_where_nothing_is_left(
    forecast: Callable[..., Forecast], lab: Labs, known: list[str], told: Any
) -> None:
    one = lab("vectors")
    plan(one)
    one.vectors(one.orders)
    made = forecast("vectors", place=one.store)
    assert (made.seconds, made.writing, [stage.left for stage in made.stages()]) == (0, 0, [0])
    assert known == []


def test_how_many_outputs_a_method_takes(forecast: Callable[..., Forecast], lab: Labs) -> None:
    made = forecast()
    methods = {method.name: made.outputs_of(method) for method in places(made.lab)[0].methods}
    assert methods == {"baseline": 4, "add": 4 * 3 + 4, "add_subtract": 16, "uncoupled": 4 * 2 + 4}
    unlimited = forecast(validation_limit=None, test_limit=None)
    [baseline, add, *_] = places(unlimited.lab)[0].methods
    assert (unlimited.outputs_of(baseline), unlimited.outputs_of(add)) == (module.USUAL, 4 * module.USUAL)


def test_a_slow_model_is_not_waited_for(
    forecast: Callable[..., Forecast], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two steps, of which the second counts, and as many outputs as there are examples here."""
    monkeypatch.setenv("LINGARITH_CACHE", str(tmp_path))
    monkeypatch.setattr(module, "ENOUGH", 0.0)
    heard: list[tuple[str, int, int]] = []
    made = forecast()
    made.lab.progress = lambda *told: heard.append(told)
    assert 0 < made.training("news[pt]") < 60
    assert 0 < made.output_seconds < 60
    steps = [("timing a step of news[pt]", step, 4) for step in (1, 2)]
    assert (heard[:2], heard[2][0], heard[-1]) == (steps, "timing an output", ("timing an output", 4, 4))


def test_steps_and_outputs_are_really_timed(
    forecast: Callable[..., Forecast], idle: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On few of the data; training for the store is another thing."""
    monkeypatch.setenv("LINGARITH_CACHE", str(tmp_path))  # what other tests have timed is not there
    heard: list[tuple[str, int, int]] = []
    made = forecast()
    made.lab.progress = lambda *told: heard.append(told)
    assert 0 < made.training("news[pt]") < 60
    assert 0 < made.output_seconds < 60
    assert [(what, done, of) for what, done, of in heard][:4] == [
        ("timing a step of news[pt]", step, 4) for step in (1, 2, 3, 4)
    ]
    assert heard[-1] == ("timing an output", 64, 64)
    first = len(heard)
    again = forecast()
    again.lab.progress = made.lab.progress
    assert again.output_seconds == made.output_seconds  # of today, on this machine
    assert again.training("news[pt]") == made.training("news[pt]")
    assert len(heard) == first


@pytest.mark.parametrize(
    ("steps", "chosen", "tried"),
    [
        ({8: 3.0, 4: 2.0, 2: 2.5}, 4, [8, 4, 2]),  # half as many are tried until it gets slower
        ({8: 8.7, 4: 4.0, 2: 1.2, 1: 1.0}, 1, [8, 4, 2, 1]),
        ({8: 2.0, 4: 2.5}, 8, [8, 4]),
        ({8: 0.1}, 8, [8]),  # not worth a trial
    ],
)
def test_the_quickest_number_of_threads_computes(
    steps: dict[int, float], chosen: int, tried: list[int], forecast: Callable[..., Forecast], known: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """They are tried on 100 steps, and what was tried is said; a number that the user has set stays."""
    seen, now = list[int](), [8]
    monkeypatch.setattr(module.torch, "get_num_threads", lambda: now[0])
    monkeypatch.setattr(module.torch, "set_num_threads", lambda count: now.__setitem__(0, count))

    def step(*_: Any) -> float:
        seen.append(now[0])
        return steps[now[0]]

    monkeypatch.setattr(module, "seconds_per_step", step)
    made = forecast(steps=100)
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    assert made.threads(made.untrained) == ""
    assert now == [8]
    for name in module.SET:
        monkeypatch.delenv(name, raising=False)
    said = made.threads(made.untrained)
    assert (now, seen) == ([chosen], tried)
    assert (
        said.startswith(f"threads: {chosen}, since a step of training takes {steps[8]:.2g} s with 8, ")
        or len(tried) == 1
    )
    assert made.threads([]) == ""
