"""What gains are held against beside the controls: each is a vector of its own, counted, and found again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from lingarith.errors import LingarithError
from lingarith.model.backbone import Backbone
from lingarith.model.train import mean_loss, train
from lingarith.report.findings import findings
from lingarith.store.objects import vector_hash
from lingarith.store.store import Store
from lingarith.study import baselines
from lingarith.study.forecast import Forecast
from lingarith.study.lab import Lab
from lingarith.study.lines import plan
from lingarith.study.outputs import Stored
from lingarith.study.recipes import places
from lingarith.study.records import Run, shots
from lingarith.study.run import run
from lingarith.study.runners.units import Work
from lingarith.study.study import naming
from lingarith.text.tasks import TASKS

Labs = Callable[..., Lab]
ALL = ("joint", "named", "averaged", "linear", "few:2", "few:4")
QUICK: dict[str, Any] = {
    "weights": (0.5,),
    "betas": (0.5,),
    "max_output": 3,
    "few_steps": 2,
    "named_prompt": "{language}: {text}",
}


@pytest.fixture(scope="module")
def made(study: Any, backbone: Any, store: Store, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Lab]:
    one = Lab(study("adapt", controls=ALL, retention=True, **QUICK), store, given=backbone)
    return run(one, tmp_path_factory.mktemp("runs") / "out", together=1), one


def test_each_has_its_outputs_and_its_vectors(made: tuple[Run, Lab]) -> None:
    table, _ = made
    tested = Counter(r.method for r in table.records if r.split == "test")
    assert tested == dict.fromkeys(("baseline", "add", "add_subtract", "uncoupled", *ALL), 4)
    assert table.about.methods["few:4"] == "Task vector, trained on with 4 labels of the target"
    assert table.about.against == ["joint", "named", "averaged", "linear"]  # labels of the target are no control
    by_name = Counter(i.name for i in table.ingredients)
    assert by_name == {
        "headlines[en]": 4,  # the task vector, two of other seeds, and on all linear layers
        "headlines_named[en]": 1, "headlines_joint[pt]": 1, "headlines_few2[pt]": 1, "headlines_few4[pt]": 1,
        "news[en]": 1, "news[pt]": 1,
    }  # fmt: skip
    steps = {i.name: i.steps for i in table.ingredients}
    assert (steps["headlines_joint[pt]"], steps["headlines_few4[pt]"]) == (6, 2)
    said = " ".join(table.about.notes)
    for words in (
        "joint: one adapter on labels and plain text in one mixture, 6 steps: of its examples 3 in 6 are labelled",
        "trained and tested with the prompt '{language}: {text}'", "of the seeds 0, 1, 2", "for 2 steps on k labels",
    ):  # fmt: skip
        assert words in said
    heads = [head for grid in findings(table).tables for row in grid.rows for head in row]
    assert {"Joint", "Named", "Averaged", "Linear", "2 labels", "4 labels"} <= {*heads}


def test_the_prompt_names_the_language_it_writes(made: tuple[Run, Lab]) -> None:
    _, one = made
    for split, code in (("train", "en"), ("test", "pt")):
        assert one.labels("summaries:named", code, split).examples[0].input.startswith(f"{code}: ")
    assert naming(TASKS["summaries"], None).prompt == "Answer in {language_name}. summarize: {text}"
    assert naming(TASKS["topics"], None).prompt == "The text is in {language_name}. topic: {text}"  # labels have none
    assert naming(TASKS["topics"], None).vector_name("sib200") == "sib200_named"
    assert one.study.settings().keys() >= {"few_steps", "retention"}


def test_runs_of_other_seeds_begin_at_one_place(made: tuple[Run, Lab]) -> None:
    _, one = made
    names = ["headlines[en]", "headlines.seed1.start0[en]", "headlines.seed2.start0[en]"]
    origins = [vector.origin for vector in one.vectors(names).values()]
    assert [origin["seed"] for origin in origins] == [0, 1, 2]
    assert len({origin["init_hash"] for origin in origins}) == 1
    assert one.orders["headlines.all[en]"].stored == "headlines[en]"


def test_few_labels_go_on_from_the_task_vector(made: tuple[Run, Lab], backbone: Backbone) -> None:
    """With a rate of almost nothing it is the task vector itself; its labels are no test labels."""
    _, one = made
    [task, tuned] = one.vectors(["headlines[en]", "headlines_few4[pt]"]).values()
    assert tuned.origin["parents"] == {"headlines[en]": vector_hash(task)}
    assert tuned.origin["data"]["split"] == "train"
    assert one.orders["headlines_few4[pt]"].labels == ("en", "pt")
    [two, four] = (baselines.drawn(one, "summaries", 0, "pt", k, "few") for k in (2, 4))
    assert {*two.examples} < {*four.examples}
    job = one.job("headlines_few4[pt]")
    still = replace(job, begun=task, options=replace(job.options, learning_rate=1e-12))
    path = one.store.folder / "still"
    [(_, vector)] = train(backbone, [still.training(backbone, path)])
    for where, terms in vector.terms.items():
        assert torch.allclose(terms[0].delta(), task.terms[where][0].delta(), atol=1e-6)


def test_a_joint_epoch_sees_as_many_of_each_as_two_vectors(made: tuple[Run, Lab], backbone: Backbone) -> None:
    _, one = made
    job = one.job("headlines_joint[pt]")
    data = job.training(backbone, one.store.folder / "joint").data
    assert len(data) == (3 + 3) * 4
    labelled = {tuple(map(tuple, data.item(k, 0, 0))) for k in range(12)}
    assert len(labelled) == 8  # all labelled examples, four of them twice
    assert labelled.isdisjoint({tuple(map(tuple, data.item(k, 0, 0))) for k in range(12, 24)})
    assert mean_loss(backbone, data, job.options, limit=4) > 0


def test_what_a_composition_loses_in_the_source_language(made: tuple[Run, Lab]) -> None:
    table, one = made
    kept = [r for r in table.records if r.split == "retention"]
    assert Counter((r.target, r.source, r.method) for r in kept) == {
        ("pt", "en", method): 4 for method in ("baseline", "add", "add_subtract", "uncoupled")
    }
    assert {r.id for r in kept} == {e.id for e in one.labels("summaries", "en", "test").examples}
    [grid] = [grid for grid in findings(table).tables if "retention" in grid.title]
    assert [row[:3] for row in grid.rows][:2] == [["pt", "en", "Baseline"], ["pt", "en", "Add"]]
    assert grid.rows[0][4:6] == ["", ""]
    assert " to " in grid.rows[1][5]


def test_all_is_counted_and_nothing_is_done_twice(made: tuple[Run, Lab], idle: None, lab: Labs, tmp_path: Path) -> None:
    table, _ = made
    again = lab(controls=ALL, retention=True, **QUICK)
    assert all(stage.left == 0 for stage in Forecast(again, plan(again).counted).stages())
    assert run(again, tmp_path / "again").records == table.records
    fresh = lab(controls=ALL, place=Store(tmp_path / "store"), **QUICK)
    planned = plan(fresh)
    forecast = Forecast(fresh, planned.counted)
    assert {"headlines_joint[pt]", "headlines_few2[pt]", "headlines_named[en]"} <= {*forecast.untrained}
    work = Work(fresh, forecast, planned.protocol)
    work._seconds = dict.fromkeys([*work.training, *work.testing], 1.0)  # type: ignore[misc]
    first, then, _ = work.waves(2)
    assert {unit.what[0] for share in then for unit in share} == {"headlines_few2[pt]", "headlines_few4[pt]"}
    assert ("headlines[en]",) in {unit.what for share in first for unit in share}


def test_references_are_predicted_where_nothing_is_to_be_generated(
    lab: Labs, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("lingarith.study.outputs.generate_each", None)
    one = lab(tasks=[{"task": "summaries", "metric": "likelihood"}], **QUICK)
    table = run(one, tmp_path / "out", together=1)
    assert table.about.tasks == {"summaries": "Likelihood"}
    assert all(r.score == pytest.approx(100 * 2 ** -float(r.output), abs=1e-3) for r in table.records)
    assert {r.kind for r in table.records} == {""}
    grid = findings(table).tables[0]
    assert "Bits per byte" in grid.heads
    with pytest.raises(LingarithError, match="is judged without any"):
        plan(lab(tasks=[{"task": "summaries", "metric": "likelihood"}], choose_by="unlabelled", **QUICK))


def test_by_loss_nothing_is_generated_before_the_test(
    lab: Labs, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The curve is that of a study whose task is judged by likelihood, and the test is scored by the task's metric."""
    monkeypatch.setattr("lingarith.study.outputs.generate_each", None)
    keys: dict[str, Any] = QUICK | {"weights": (0.5,), "controls": ()}
    read = run(lab(tasks=[{"task": "summaries", "metric": "likelihood"}], **keys), tmp_path / "read", together=1)
    monkeypatch.undo()
    table = run(lab(search="loss", **keys), tmp_path / "out", together=1)
    assert [(c.method, c.curve) for c in table.choices] == [(c.method, c.curve) for c in read.choices]
    assert table.about.tasks == {"summaries": "ROUGE-2"}


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        (
            {"controls": ("few:9",)},
            "few:9 needs 9 labelled examples of pt beside its test split, and there are 8; take",
        ),
        ({"controls": ("few:0",)}, "'controls' knows no 'few:0'; did you mean few:16"),
        ({"controls": ("few",)}, "'controls' knows no 'few'"),
        ({"controls": ("joined",)}, "'controls' knows no 'joined'; did you mean joint"),
        ({"controls": ("few:4",), "few_steps": 0}, "few_steps is 0; it must be at least 1"),
        ({"named_prompt": "Say: {text}"}, "'named_prompt' is 'Say: {text}' and names no language"),
        ({"controls": ("named",), "prompt": "In {language_name}: {text}"}, "names the language already; leave 'named'"),
        ({"controls": ("linear",), "adapter": "full", "space": "delta"}, "'linear' is about adapters"),
    ],
)
def test_what_cannot_be(keys: dict[str, Any], sentence: str, lab: Labs) -> None:
    with pytest.raises(LingarithError, match=sentence.replace("{", r"\{").replace("?", r"\?")):
        plan(lab("table1", **QUICK | {"rank": None} | keys))


def test_shots_of_several_sources_go_on_from_the_vector_of_all(lab: Labs) -> None:
    one = lab("table1", sources=("en", "ru"), **QUICK)
    baselines.few(one, "summaries", 0, ("en", "ru"), "pt", 2)
    order = one.orders["headlines_few2[pt]"]
    assert (order.after, order.labels) == ("headlines[mul]", ("en", "ru", "pt"))
    assert [shots(name) for name in ("few:2", "few", "few:", "few:-1")] == [2, 0, 0, 0]
    assert places(one)[0].task == "summaries"
    assert Stored(one)
