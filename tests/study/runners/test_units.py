"""How units are dealt out and how long that takes, on work of which the answer is known."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

from lingarith import errors
from lingarith.errors import LingarithError
from lingarith.model.backbone import Backbone
from lingarith.store.store import Store
from lingarith.study.lab import Lab
from lingarith.study.lines import plan
from lingarith.study.place import Method
from lingarith.study.runners.choice import runner
from lingarith.study.runners.here import Here
from lingarith.study.runners.processes import Processes
from lingarith.study.runners.slurm import deal
from lingarith.study.runners.units import TEST, TRAIN, Share, Unit, Work, perform_order, span
from lingarith.study.study import Study

Labs = Callable[..., Lab]


@dataclass
class Known:
    """A forecast of which the answers are known: 10 s for each vector, and ``writing`` for all outputs."""

    untrained: list[str] = field(default_factory=list)
    writing: float = 12.0

    def training(self, name: str) -> float:
        return 10.0

    def outputs_of(self, method: Method) -> int:
        return {"baseline": 1, "add": 3, "add_subtract": 2, "uncoupled": 2}[method.name]


@pytest.fixture
def work(lab: Labs, tmp_path: Path) -> Callable[..., Work]:
    """``work(count)``: an adaptation of pt of which so many vectors are not trained yet."""

    def make(count: int = 0, together: int | None = None, **keys: Any) -> Work:
        one = lab(weights=(0.5,), betas=(0.5,), place=Store(tmp_path / "store"), sources=("en", "ru"), **keys)
        names = [
            name
            for combination in (*(one.task("summaries", 0, code) for code in ("en", "ru")),
                                *(one.language(0, code) for code in ("en", "ru", "pt")))
            for name in combination.names
        ][:count]  # fmt: skip
        return Work(one, Known(names), "oracle", together)  # type: ignore[arg-type]

    return make


def lengths(shares: list[Share]) -> list[int]:
    return [len(share) for share in shares]


def test_trainings_in_equal_parts_or_so_many_together(work: Callable[..., Work]) -> None:
    assert lengths(work(5).waves(2)[0]) == [3, 2]
    assert lengths(work(5, together=2).waves(2)[0]) == [2, 2, 1]
    assert lengths(work(5).waves(20)[0]) == [1] * 5
    assert len(work(0).waves(2)) == 1  # the tests alone


def test_what_can_share_a_pass_stands_together(work: Callable[..., Work]) -> None:
    units = work(4, language_learning_rate=0.1).training
    kinds = [unit.what[0].partition("[")[0] for unit in units]
    assert sorted(kinds) == ["headlines", "headlines", "news", "news"]
    assert kinds[0] == kinds[1]
    assert {unit.kind for unit in units} == {TRAIN}


def test_tests_come_after_vectors_and_the_longest_first(work: Callable[..., Work]) -> None:
    one = work(1)
    vectors, tests = one.waves(2)
    assert vectors == [[Unit(TRAIN, ("headlines[en]",))]]
    assert [unit.what for [unit] in tests] == [
        ("summaries", "pt", "0", name, "") for name in ("add", "add_subtract", "uncoupled", "baseline")
    ]
    assert {unit.kind for [unit] in tests} == {TEST}
    assert [one.seconds_of(share) for share in tests] == pytest.approx([4.5, 3, 3, 1.5])


def test_how_long_it_takes(work: Callable[..., Work]) -> None:
    """Three vectors of 10 s, then tests of 4.5, 3, 3 and 1.5 s."""
    assert Here().estimate(work(3, 1)) == pytest.approx(42)
    assert work(3, 1).seconds(2) == pytest.approx(20 + 6)
    assert work(3, 1).seconds(20) == pytest.approx(10 + 4.5)
    assert Here().estimate(work(0)) == pytest.approx(12)
    nothing = work(0)
    nothing.forecast.writing = 0.0  # type: ignore[misc]
    assert Here().estimate(nothing) == 0
    assert span([], 2) == 0


def test_shares_of_about_the_same_length() -> None:
    units: list[Share] = [[Unit(TEST, (str(length),))] for length in (7, 1, 5, 4, 3)]

    def seconds(share: Share) -> float:
        return sum(float(unit.what[0]) for unit in share)

    assert sorted(map(seconds, deal(units, 2, seconds))) == [10, 10]
    assert len(deal(units, 9, seconds)) == 5
    together = [[unit for [unit] in units], units[0]]
    assert sorted(map(len, deal(together, 3, seconds))) == [1, 5]  # a pass stays whole


def test_what_is_done_is_told_by_checkpoints_too(work: Callable[..., Work]) -> None:
    one = work(2, together=1, steps=10)
    heard: list[tuple[str, int, int]] = []
    one.lab.progress = lambda *told: heard.append(told)
    (first, second), tests = one.waves(2)
    one.tell([], [first, second])
    log = one.lab.store.folder / "training" / one.lab.recipe(*first[0].what) / "log.jsonl"
    log.parent.mkdir(parents=True)
    log.write_text('{"step": 5}\n{"step": 5, "validation_loss": 1}\n')
    one.tell([], [first, second])
    log.unlink()
    one.tell([second, *tests[:2]], [first])
    one.tell([first, second, *tests], [])
    assert heard == [("small (seconds of work)", done, 32) for done in (0, 5, round(5 + 10 + 4.5 + 3), 32)]


# ---------------------------------------------------------------- in a worker


@pytest.fixture
def asked(small: Callable[..., Study], store: Store, backbone: Backbone, tmp_path: Path, monkeypatch: Any) -> Any:
    """``asked(units, table, …)``: what a worker answers to an order of these units; and the lab of the order."""
    monkeypatch.chdir(tmp_path)

    def ask(units: list[Unit], *table: str, place: Store = store, change: Any = None, **keys: Any) -> tuple[str, Lab]:
        lab = Lab(small(*table, **keys), place, given=backbone)
        planned = plan(lab)
        order = Work(lab, Known(), planned.protocol, 1).order(units)  # type: ignore[arg-type]
        assert json.loads(order)["units"]
        if change:
            change(lab)
        return perform_order(order), lab

    return ask


def test_a_worker_is_told_nothing_but_a_text(asked: Any) -> None:
    """A vector that stands for the target where sources play it has its name in a worker too."""
    keys = {"sources": ("en", "ru"), "choose_by": "sources", "controls": ()}
    said, lab = asked([Unit(TRAIN, ("headlines[ru]",)), Unit(TRAIN, ("news[ru]",))], "table1", **keys)
    assert said == ""
    assert lab.is_there("headlines[ru]")
    assert lab.is_there("news[ru]")


def test_a_mistake_in_a_worker_is_an_answer(asked: Any, tmp_path: Path) -> None:
    def damage(lab: Lab) -> None:
        path = lab.store.folder / "recipes" / f"{lab.recipe('news[pt]')}.json"
        path.parent.mkdir(parents=True)
        path.write_text("{")

    said, _ = asked([Unit(TRAIN, ("news[pt]",))], place=Store(Path("store")), change=damage)
    assert said.startswith(str(tmp_path / "store"))
    assert "delete this file" in said


def test_a_device_that_is_full_is_an_answer_too(asked: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Lab, "vectors", full)
    said, _ = asked([Unit(TRAIN, ("news[pt]",))])
    assert said == errors.DO_LESS


# ---------------------------------------------------------------- who does it


@pytest.mark.parametrize(
    ("name", "given", "sentence"),
    [
        ("proceses", {}, "no runner is named 'proceses'; did you mean processes?"),
        ("processes", {"workers": 0}, "--workers is 0; at least one has to do the work"),
        ("here", {"workers": 2}, "--workers says nothing to the runner 'here'; choose --runner processes or ray or"),
        ("processes", {"address": "auto"}, "--address says nothing to the runner 'processes'; choose --runner ray"),
        ("ray", {"settings": ["partition=gpu"]}, "--slurm says nothing to the runner 'ray'; choose --runner slurm"),
        ("slurm", {"settings": ["gpu"]}, "--slurm takes key=value, such as partition=gpu, and not 'gpu'"),
    ],
)
def test_what_cannot_be_chosen(name: str, given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(LingarithError) as said:
        runner(name, **given)
    assert str(said.value).startswith(sentence)


def test_how_many_work() -> None:
    assert (runner().workers, runner("processes", workers=3).workers) == (1, 3)
    assert Processes().workers >= 1


@pytest.mark.parametrize(("name", "library"), [("ray", "ray"), ("slurm", "submitit")])
def test_a_library_that_is_not_installed(name: str, library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_: str) -> None:
        raise ImportError

    monkeypatch.setattr(errors.importlib, "import_module", missing)  # type: ignore[attr-defined]
    with pytest.raises(LingarithError, match=rf"^{library} is not installed; .*pip install 'lingarith\[{name}\]'"):
        runner(name)


def test_slurm_where_there_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, work: Callable[..., Work]) -> None:
    pytest.importorskip("submitit")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LingarithError, match="no kind of cluster is named 'loca'"):
        runner("slurm", settings=["cluster=loca"])
    todo = work(3)
    cluster = runner("slurm", workers=2, settings=["partition=gpu"])
    assert cluster.estimate(todo) == pytest.approx(20 + 6)
    with pytest.raises(LingarithError, match="there is no `sbatch` here"):
        cluster.run(todo)
    with pytest.raises(LingarithError, match=r"submitit does not take .*'partitio'.*; change --slurm"):
        runner("slurm", settings=["cluster=local", "partitio=gpu"]).run(todo)


def test_what_slurm_refuses_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, work: Callable[..., Work]
) -> None:
    pytest.importorskip("submitit")
    sbatch = tmp_path / "bin" / "sbatch"
    sbatch.parent.mkdir()
    sbatch.write_text("#!/bin/sh\necho 'sbatch: error: invalid partition specified: nonsense' >&2\nexit 1\n")
    sbatch.chmod(0o755)
    (sbatch.parent / "srun").symlink_to(sbatch)  # by which submitit knows a cluster
    monkeypatch.setenv("PATH", str(sbatch.parent))
    with pytest.raises(LingarithError, match=r"^Slurm took no job \(.*nonsense.*\); change --slurm$"):
        runner("slurm", workers=2, settings=["partition=nonsense"]).run(work(3))
