"""Studies of seconds: what they leave, that nothing is done twice, and that steps can be done elsewhere."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lingarith.algebra import parse
from lingarith.errors import LingarithError
from lingarith.model.backbone import Backbone
from lingarith.report.results import results
from lingarith.study import choose
from lingarith.study.actions import Workshop, perform
from lingarith.study.planning import plan_study
from lingarith.study.records import Run
from lingarith.study.running import Forecast, run_study
from lingarith.study.steps import Step
from lingarith.study.studies import Study
from lingarith.vectors.vector import Update

CONTROLS = ("rates", "scaled", "wrong", "random")


@pytest.fixture(scope="module")
def small(tiny_backbone: Path) -> Study:
    """Two targets from English, three weights, four examples of each split."""
    return Study(
        "small", "table1", backbone=str(tiny_backbone), targets=("pt", "uk"), rank=2, steps=3, batch_size=4,
        learning_rate=0.5, learning_rates=(0.1,), max_input=24, max_target=8, max_output=3, characters=3000,
        train_limit=8, validation_limit=4, test_limit=4, weights=(0.0, 0.5), betas=(0.5,),
    )  # fmt: skip


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """A store that the tests share."""
    return Workshop(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def finished(small: Study, shop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Path]:
    out = tmp_path_factory.mktemp("runs") / "table1"
    return run_study(plan_study(small, shop), shop, out, command="lingarith run table1"), out


def test_a_study_leaves_its_records(finished: tuple[Run, Path], small: Study) -> None:
    run, _ = finished
    methods = ("baseline", "add", "add_subtract", "uncoupled", *CONTROLS)
    assert Counter((r.target, r.equation) for r in run.records) == {(t, m): 4 for t in ("pt", "uk") for m in methods}
    assert {(r.task, r.split, r.seed) for r in run.records} == {("summaries", "test", 0)}
    weighed = {c.equation: [weight for weight, _ in c.curve] for c in run.choices}
    assert weighed == {
        **{m: [0.0, 0.5, 1.0] for m in ("add", "add_subtract", "scaled", "wrong", "random")},
        "uncoupled": [0.0, 0.5],
        "rates": [0.1, 0.5],
    }
    assert len(run.examples) == 8
    names = Counter(i.name for i in run.ingredients)
    assert names == {
        "headlines[en]": 2, "news[en]": 1, "news[pt]": 1, "news[uk]": 1, "random[pt]": 1, "random[uk]": 1,
    }  # fmt: skip
    assert run.about["methods"]["add"] == "Add (Eq. 1)"
    assert run.about["against"] == list(CONTROLS)


def test_the_compositions_are_the_equations(finished: tuple[Run, Path], shop: Workshop) -> None:
    run, _ = finished
    at = {(c.target, c.equation): (c.weight, parse(c.expression)) for c in run.choices}
    for target, wrong in (("pt", "uk"), ("uk", "pt")):
        for method, there in (("add_subtract", f"news[{target}]"), ("wrong", f"news[{wrong}]")):
            lam, found = at[target, method]
            assert found == lam * parse("headlines[en]") + (1 - lam) * parse(f"{there} - news[en]")
        lam, found = at[target, "random"]
        assert found == lam * parse("headlines[en]") + (1 - lam) * parse(f"random[{target}] - news[en]")
        lam, found = at[target, "scaled"]
        assert found == lam * parse("headlines[en]")
    own = run.about["study"]
    assert own["weights"] == [0.0, 0.5]


def test_equal_compositions_are_one_step(small: Study, shop: Workshop) -> None:
    """At λ = 1 all methods are the task vector alone."""
    steps = plan_study(small, shop).steps.values()
    validation = [
        s.arguments for s in steps if s.function == "outputs" and s.arguments["data"]["split"] == "validation"
    ]
    # the task vector alone and its other rate; add, add_subtract, scaled, wrong, random at 0 and 0.5; uncoupled at 0.5
    expected = 2 + 5 * 2 + 1
    assert Counter(a["data"]["language"] for a in validation) == {"pt": expected, "uk": expected}
    assert Counter(s.function for s in steps)["train"] == 5
    assert Counter(s.function for s in steps)["noise"] == 2


@pytest.mark.usefixtures("idle")
def test_a_second_run_has_nothing_to_do(
    finished: tuple[Run, Path], small: Study, shop: Workshop, tmp_path: Path
) -> None:
    run, out = finished
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    plan = plan_study(small, shop)
    assert Forecast(plan, shop).left == []
    assert run_study(plan, shop, out, command="lingarith run table1") == run
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert run_study(plan, shop, tmp_path / "again").records == run.records


@pytest.mark.usefixtures("idle")
def test_a_run_folder_of_another_study_is_refused(finished: tuple[Run, Path], small: Study, shop: Workshop) -> None:
    _, out = finished
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    other = plan_study(replace(small, controls=("scaled",)), shop)
    with pytest.raises(LingarithError, match="holds another run"):
        run_study(other, shop, out)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


# ---------------------------------------------------------------- stopped, elsewhere, several seeds


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Outputs at once, which depend on the input and on the weights as generated ones do."""

    def write(
        backbone: Backbone, updates: Iterable[Update], inputs: list[str], *_: Any, **__: Any
    ) -> Iterator[list[str]]:
        for update in updates:
            with backbone.using(update):
                weight = next(iter(backbone.projections.values())).weight
            start = int(1e4 * float(weight.abs().sum())) % 40
            yield [text[start : start + 12] for text in inputs]

    monkeypatch.setattr("lingarith.study.evaluate.generate_each", write)
    monkeypatch.setattr("lingarith.study.actions.generate_each", write)
    monkeypatch.setattr("lingarith.study.running.seconds_per_output", lambda *_: 0.1)
    monkeypatch.setattr("lingarith.study.running.seconds_per_step", lambda *_: 0.1)


class Stopped(Exception):
    pass


@pytest.mark.usefixtures("quick")
def test_a_stopped_study_goes_on_where_it_was(small: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped after every fifth step, it performs each step once, and ends as a whole run does."""
    one = replace(small, targets=("pt",), controls=("scaled", "random"))
    whole = Workshop(tmp_path / "whole")
    expected = run_study(plan_study(one, whole), whole, tmp_path / "a")
    performed: Counter[str] = Counter()
    left = 0

    class Stopping(Workshop):
        def train(self, steps: Sequence[Step], progress: Any = None, *, together: int | None = None) -> None:
            performed.update(step.key for step in steps if step.function == "train" and not self.results.done(step))
            super().train(steps, progress, together=together)

        def generate(self, steps: Sequence[Step], progress: Any = None) -> None:
            some = [step for step in steps if step.function == "outputs" and not self.results.done(step)]
            performed.update(step.key for step in some)
            super().generate(steps, progress)

        def perform(self, step: Step, progress: Any = None) -> None:
            nonlocal left
            if not left:
                raise Stopped
            left -= 1
            performed[step.key] += not self.results.done(step)
            super().perform(step, progress)

    for _ in range(40):
        shop, left = Stopping(tmp_path / "stopped"), 5
        with suppress(Stopped):
            run = run_study(plan_study(one, shop), shop, tmp_path / "b")
            break
    assert performed.keys() >= plan_study(one, whole).steps.keys()
    assert len(performed) > 20
    # a test that was stopped before the outputs which it asks for is begun again
    assert all(count == 1 or whole.results.read(key).keys() == {"outputs"} for key, count in performed.items())
    assert (run.records, run.choices) == (expected.records, expected.choices)


@pytest.mark.usefixtures("quick")
def test_a_step_needs_nothing_but_plain_values(small: Study, tmp_path: Path) -> None:
    """Its function's name, its arguments after a way through JSON, and the store's folder."""
    shop = Workshop(tmp_path / "store")
    plan = plan_study(replace(small, targets=("pt",), controls=()), shop)
    train = next(step for step in plan.steps.values() if step.function == "train")
    outputs = next(step for step in plan.steps.values() if step.function == "outputs" and train.key in step.needs)
    with pytest.raises(LingarithError, match=r"headlines\[en\]@\w+ is not in .*run the study again"):
        perform(outputs.function, outputs.arguments, shop.store.folder)
    for step in (train, outputs):
        assert not shop.results.done(step)
        perform(step.function, json.loads(json.dumps(step.arguments)), shop.store.folder)
        assert shop.results.done(step)
    assert len(shop.results.read(outputs.key)["outcomes"]) == 4


@pytest.mark.usefixtures("quick")
def test_data_that_changed_since_the_plan_are_noticed(small: Study, shop: Workshop) -> None:
    step = next(s for s in plan_study(small, shop).steps.values() if s.function == "outputs")
    about = {**step.arguments["data"], "fingerprint": "0" * 64}
    with pytest.raises(LingarithError, match=r"data newsroom \(pt\) changed since the study was planned"):
        Workshop(shop.store.folder).perform(Step("outputs", {**step.arguments, "data": about}))


@pytest.mark.usefixtures("quick")
def test_seeds_have_vectors_of_their_own(small: Study, shop: Workshop, tmp_path: Path) -> None:
    plan = plan_study(replace(small, targets=("pt",), seeds=(0, 1), controls=("random",)), shop)
    run = run_study(plan, shop, tmp_path / "run")
    assert Counter((r.equation, r.seed) for r in run.records if r.equation == "random") == {
        ("random", 0): 4, ("random", 1): 4,
    }  # fmt: skip
    assert Counter(i.name for i in run.ingredients)["headlines[en]"] == 2
    assert {i.origin["init_seed"] for i in run.ingredients} == {0, 1}


# ---------------------------------------------------------------- the other tables


@pytest.mark.usefixtures("quick")
def test_many_sources_by_the_protocol_sources(small: Study, shop: Workshop, tmp_path: Path) -> None:
    """Each source plays the target of the others; the oracle stands beside it."""
    study = replace(
        small, table="table2", sources=("en", "ru", "ar"), targets=("pt",), related="uriel", protocol="sources",
        controls=("rates", "scaled"),
    )  # fmt: skip
    plan = plan_study(study, shop)
    run = run_study(plan, shop, tmp_path / "run")
    made = {(c.equation, c.protocol): c for c in run.choices}
    assert made.keys() == {
        ("best", "oracle"), ("best_on_test", "test"), ("rates", "oracle"), ("add_subtract_related", "sources"),
        ("add_subtract_related", "oracle"), ("scaled", "sources"), ("scaled", "oracle"),
    }  # fmt: skip
    played = [
        step.arguments["data"]["language"]
        for step in plan.steps.values()
        if step.function == "outputs" and step.arguments["data"]["split"] == "validation"
    ]
    assert {"en", "ru", "ar", "pt"} == set(played)
    best = made["best", "oracle"]
    values = dict(best.curve)
    assert values.keys() == {0.0, 1.0, 2.0}
    assert best.value == max(values.values())
    assert {r.source for r in run.records if r.equation == "best"} == {study.sources[int(best.weight)]}
    assert parse(best.expression) == parse(f"headlines[{study.sources[int(best.weight)]}]")
    assert "headlines[mul]" in {i.name for i in run.ingredients}
    said = results(run).said
    assert said.count("\n") == 2
    assert "over Best single source" in said


@pytest.mark.usefixtures("quick")
def test_every_source_with_every_target(small: Study, shop: Workshop, tmp_path: Path) -> None:
    study = replace(small, table="figure2", sources=("en", "ru"), controls=("scaled",))
    run = run_study(plan_study(study, shop), shop, tmp_path / "run")
    assert Counter((r.source, r.target, r.equation) for r in run.records) == {
        (s, t, m): 4 for s in ("en", "ru") for t in ("pt", "uk") for m in ("baseline", "add_subtract", "scaled")
    }
    found = results(run)
    [grid], said = found.grids, found.said
    assert list(grid.heads) == ["from / to", "pt", "uk"]
    assert [row[0] for row in grid.rows] == ["en", "ru"]
    assert "of 4 pairs" in said
    assert "Control: λ · task vector alone" in said


@pytest.mark.usefixtures("quick")
def test_adapters_in_domain(small: Study, shop: Workshop, tmp_path: Path) -> None:
    both = ("en", "ru")
    study = replace(
        small, table="table6", sources=both, targets=both, controls=("rates",), kronecker=(4, 2), space="delta",
        full_learning_rate=0.01,
    )  # fmt: skip
    plan = plan_study(study, shop)
    forecast = Forecast(plan, shop)
    full = [s for s in plan.steps.values() if s.arguments.get("options", {}).get("adapter") == {"kind": "full"}]
    assert len(full) == 2
    assert forecast._bytes(full[0]) == 4 * shop.backbone(plan.backbone).facts["parameters"]
    run = run_study(plan, shop, tmp_path / "run")
    assert {r.equation for r in run.records} == {"lora", "multi_lora", "kronecker", "multi_kronecker", "full", "rates"}
    kinds = Counter((i.name, i.origin["adapter"]["kind"]) for i in run.ingredients)
    assert kinds["headlines[mul]", "kronecker"] == kinds["headlines[mul]", "lora"] == 1
    assert kinds["headlines[ru]", "lora"] == 2  # the other one at the other learning rate
    assert kinds["headlines[ru]", "full"] == 1
    [trained] = [i for i in run.ingredients if (i.name, i.origin["adapter"]["kind"]) == ("headlines[en]", "full")]
    assert trained.origin["options"]["learning_rate"] == 0.01
    found = results(run)
    grids, said = found.grids, found.said
    assert any("Full fine-tuning" in [*grid.heads, *(row[0] for row in grid.rows)] for grid in grids)
    assert "Full fine-tuning" in said
    without = plan_study(replace(study, full_learning_rate=0, space="factors"), shop)
    assert "full" not in {entry.method for entry in without.entries}


@pytest.mark.usefixtures("quick")
def test_answers_and_summaries(small: Study, shop: Workshop, tmp_path: Path) -> None:
    study = replace(small, table="table4", targets=("pt",), question_targets=("fi",), controls=("scaled",))
    run = run_study(plan_study(study, shop), shop, tmp_path / "run")
    assert {(r.task, r.target) for r in run.records} == {("summaries", "pt"), ("questions", "fi")}
    assert run.about["tasks"] == {"summaries": "ROUGE-2", "questions": "F1"}
    assert {"headlines[en]", "questions[en]"} <= {i.name for i in run.ingredients}
    found, title = results(run), "Answers and summaries (small), "
    assert [grid.title.removeprefix(title) for grid in found.grids if grid.title] == [
        "summaries", "questions", "questions: exact match",
    ]  # fmt: skip
    assert "F1" in found.said


@pytest.mark.usefixtures("quick")
def test_without_labels_for_choosing(
    small: Study, shop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = replace(small, targets=("pt",), protocol="unlabelled", controls=())
    run = run_study(plan_study(study, shop), shop, tmp_path / "run")
    assert {(c.equation, c.protocol) for c in run.choices} == {
        (m, p) for m in ("add", "add_subtract", "uncoupled") for p in ("unlabelled", "oracle")
    }
    tested = Counter((r.equation, r.weight) for r in run.records)
    assert set(tested.values()) == {4}  # written once where both protocols choose the same weight
    assert run.about["notes"] == [choose.UNGUIDED.format("pt")]


@pytest.mark.usefixtures("quick")
def test_without_labels_text_is_judged_that_was_not_trained_on(small: Study, shop: Workshop, tmp_path: Path) -> None:
    def judged(study: Study) -> tuple[list[Any], list[str]]:
        plan = plan_study(replace(study, targets=("pt",), protocol="unlabelled", controls=()), shop)
        texts = [step.arguments["text"] for step in plan.steps.values() if step.function == "evidence"]
        assert len({*map(str, texts)}) == 1
        trained = [s.arguments["data"] for s in plan.steps.values() if s.function == "train"]
        (own,) = (
            shop.data(about).documents for about in trained if (about["kind"], about["language"]) == ("text", "pt")
        )
        return [*{*own} & {*shop.data(texts[0]).documents}], list(plan.notes)

    assert judged(small) == ([], [choose.UNGUIDED.format("pt")])
    (tmp_path / "en.txt").write_text("It rained for a week.\n")
    (tmp_path / "pt.txt").write_text("Choveu durante uma semana.\n")
    shared, notes = judged(replace(small, text=f"{tmp_path}/{{language}}.txt"))
    assert shared == ["Choveu durante uma semana."]
    assert notes == [choose.UNGUIDED.format("pt"), choose.PROBED_ON_TRAINED.format("pt")]


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("kind", ["text", "summaries"])
def test_vectors_of_studies_have_a_validation_loss(kind: str, small: Study, tmp_path: Path) -> None:
    shop = Workshop(tmp_path)
    plan = plan_study(replace(small, targets=("pt",), controls=()), shop)
    step = next(s for s in plan.steps.values() if s.function == "train" and s.arguments["data"]["kind"] == kind)
    shop.perform(step)
    (log,) = tmp_path.glob("objects/*/log.jsonl")
    assert "validation_loss" in log.read_text()


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"table": "table9"}, "no table is named 'table9'; did you mean table"),
        ({"targets": ("en",)}, "en is a target and a source"),
        (
            {"table": "table6"},
            "full fine-tuning has no factors and no rank, and sums are taken in 'factors'; set space=d",
        ),
        ({"adapter": "full"}, "taken in 'factors'; set space=delta and no rank_out$"),
        (
            {"adapter": "full", "space": "delta", "rank_out": 2},
            "sums are taken in 'delta, rank 2'; set space=delta and",
        ),
        ({"targets": ("xx",)}, "the newsroom does not write 'xx'"),
        ({"protocol": "sources"}, "protocol 'sources' lets each source play the target and needs two"),
        ({"table": "table4"}, "'question_targets' is empty"),
        ({"table": "table4", "question_targets": ("fi",), "protocol": "unlabelled"}, "has no questions to ask"),
        ({"adapter": "kronecker", "kronecker": (3, 2)}, "m=3 does not divide the 16 inputs"),
    ],
)
def test_what_cannot_be_planned(changed: dict[str, Any], sentence: str, small: Study, shop: Workshop) -> None:
    with pytest.raises(LingarithError, match=sentence):
        plan_study(replace(small, **changed), shop)
