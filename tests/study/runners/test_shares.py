"""How steps are dealt out and how long that takes, on plans of which the answer is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from lingarith.errors import LingarithError
from lingarith.model.beside import AT_ONCE
from lingarith.study.actions import Workshop
from lingarith.study.runners import extras
from lingarith.study.runners.choice import runner
from lingarith.study.runners.here import Here
from lingarith.study.runners.shares import Todo, needs, order_of, perform_order, shares, span
from lingarith.study.runners.slurm import deal
from lingarith.study.steps import Step


def trainings(count: int, rate: float = 0.1) -> list[Step]:
    return [
        Step("train", {"recipe": f"{rate}-{k}", "options": {"learning_rate": rate}}, amount=10) for k in range(count)
    ]


def seconds(step: Step) -> float:
    return float(step.amount)


def test_trainings_in_equal_parts_or_so_many_together() -> None:
    steps = [*trainings(3, 0.2), *trainings(4, 0.1), Step("outputs", {}, amount=1)]
    assert [len(share) for share in shares(steps, 2, None)] == [4, 3, 1]
    assert [len(share) for share in shares(steps, 2, 3)] == [3, 3, 1, 1]
    first = shares(steps, 2, None)[0]
    assert {step.arguments["options"]["learning_rate"] for step in first} == {0.1}  # they can share a pass
    assert [len(share) for share in shares(steps, 20, None)] == [1] * 8
    assert shares([], 2, None) == []


def test_compositions_that_write_for_the_same_data_are_one_share() -> None:
    def outputs(expression: str, data: str) -> Step:
        return Step("outputs", {"expression": expression, "vectors": {expression: 1}, "data": {"language": data}})

    some = [outputs(f"{k}*x", "pt") for k in range(AT_ONCE + 2)]
    other, choice = outputs("0*x", "uk"), Step("choose", {})
    dealt = shares([*some[:3], other, choice, *some[3:]], 2, None)
    assert list(dealt) == [some[:AT_ONCE], some[AT_ONCE:], [other], [choice]]


def test_a_share_comes_after_what_it_needs() -> None:
    """Compositions for the same data are one share, and one of them needs a random vector."""
    [trained] = trainings(1)
    noise = Step("noise", {"recipe": "r"}, (trained.key,))
    plain, random = (Step("outputs", {"expression": name, "vectors": {}}, (n.key,)) for name, n in
                     (("x", trained), ("y", noise)))  # fmt: skip
    choice = Step("choose", {"candidates": []}, (plain.key,))
    dealt = list(shares([trained, plain, choice, noise, random], 2, None))
    assert dealt == [[trained], [noise], [plain, random], [choice]]
    assert all(max(before, default=-1) < k for k, before in enumerate(needs(dealt)))


def test_the_critical_path_counts() -> None:
    """Two trainings of 10 s, then a chain of 5 and 1 from one of them, and one step of 3 from the other."""
    one, other = trainings(2)
    outputs = Step("outputs", {"of": 1}, (one.key,), 5)
    test = Step("test", {}, (outputs.key, one.key, "done before"), 1)
    short = Step("outputs", {"of": 2}, (other.key,), 3)
    dealt = shares([one, other, outputs, short, test], 2, None)
    assert needs(dealt) == [set(), set(), {0}, {1}, {0, 2}]
    assert span(dealt, 1, seconds) == 29
    assert span(dealt, 2, seconds) == span(dealt, 20, seconds) == 16
    todo = Todo([one, other, outputs, short, test], seconds, None)  # type: ignore[arg-type]
    assert Here().estimate(todo) == 29
    assert span([], 2, seconds) == 0


def test_shares_of_about_the_same_length() -> None:
    steps = [Step("outputs", {"k": k}, amount=amount) for k, amount in enumerate((7, 1, 5, 4, 3))]
    assert sorted([sum(map(seconds, share)) for share in deal(steps, 2, seconds)]) == [10, 10]
    assert len(deal(steps, 9, seconds)) == 5
    alike = [Step("outputs", {"expression": f"{k}*x", "vectors": {}, "data": "pt"}, amount=1) for k in range(4)]
    assert sorted(map(len, deal([*alike, *trainings(1)], 3, seconds))) == [1, 4]


def test_what_is_done_is_told_by_checkpoints_too(tmp_path: Path) -> None:
    heard: list[float] = []
    steps = [*trainings(2), Step("outputs", {}, amount=4)]
    todo = Todo(steps, seconds, Workshop(tmp_path), heard.append)
    todo.tell([], [steps[:1], steps[1:2]])
    log = tmp_path / "training" / "0.1-0" / "log.jsonl"
    log.parent.mkdir(parents=True)
    log.write_text('{"step": 5}\n{"step": 5, "validation_loss": 1}\n')
    todo.tell([], [steps[:1], steps[1:2]])
    log.unlink()
    todo.tell([steps[2:]], [steps[:1]])
    todo.tell([steps[2:], steps[:1]], [])
    assert heard == [0, 5, 9, 14]


def test_a_mistake_in_a_worker_is_an_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    step = Step("choose", {"method": "add", "candidates": [{"steps": ["0" * 64], "weight": 0.5, "expression": "x"}]})
    said = perform_order(order_of([step], Todo([step], seconds, Workshop(Path("store")))))
    assert said.startswith(str(tmp_path))
    assert "run the study again" in said


def test_a_device_that_is_full_is_an_answer_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Workshop, "perform_all", full)
    assert "not enough memory" in perform_order(order_of([], Todo([], seconds, Workshop(tmp_path))))


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


@pytest.mark.parametrize(("name", "library"), [("ray", "ray"), ("slurm", "submitit")])
def test_a_library_that_is_not_installed(name: str, library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_: str) -> None:
        raise ImportError

    monkeypatch.setattr(extras.importlib, "import_module", missing)
    with pytest.raises(LingarithError, match=rf"^{library} is not installed; .*pip install 'lingarith\[{name}\]'"):
        runner(name)


def test_slurm_where_there_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LingarithError, match="no kind of cluster is named 'loca'"):
        runner("slurm", settings=["cluster=loca"])
    todo = Todo(trainings(3), seconds, Workshop(tmp_path))
    cluster = runner("slurm", workers=2, settings=["partition=gpu"])
    assert cluster.estimate(todo) == 20
    with pytest.raises(LingarithError, match="there is no `sbatch` here"):
        cluster.run(todo)
    with pytest.raises(LingarithError, match=r"submitit does not take .*'partitio'.*; change --slurm"):
        runner("slurm", settings=["cluster=local", "partitio=gpu"]).run(todo)


def test_what_slurm_refuses_is_a_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    sbatch = tmp_path / "bin" / "sbatch"
    sbatch.parent.mkdir()
    sbatch.write_text("#!/bin/sh\necho 'sbatch: error: invalid partition specified: nonsense' >&2\nexit 1\n")
    sbatch.chmod(0o755)
    (sbatch.parent / "srun").symlink_to(sbatch)  # by which submitit knows a cluster
    monkeypatch.setenv("PATH", str(sbatch.parent))
    todo = Todo(trainings(3), seconds, Workshop(tmp_path / "store"))
    with pytest.raises(LingarithError, match=r"^Slurm took no job \(.*nonsense.*\); change --slurm$"):
        runner("slurm", workers=2, settings=["partition=nonsense"]).run(todo)
