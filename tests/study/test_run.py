"""Studies of seconds, whole: what they leave, that nothing is done twice, and that stopping one costs nothing."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from lingarith.algebra import parse
from lingarith.errors import LingarithError
from lingarith.report.findings import findings
from lingarith.store.store import Store
from lingarith.study.forecast import Forecast
from lingarith.study.lab import Lab
from lingarith.study.lines import plan
from lingarith.study.outputs import Stored, Wanted, mean
from lingarith.study.records import MERGED, Run
from lingarith.study.run import run
from lingarith.study.run_folder import read_run

Labs = Callable[..., Lab]
QUICK: dict[str, Any] = {"weights": (0.0, 0.5), "betas": (0.5,), "max_output": 3}
COMPOSED = ("add", "add_subtract", "uncoupled")
CONTROLS = ("rates", "scaled", "wrong", "random")
FILES = ("examples.jsonl", "records.jsonl", "choices.jsonl", "vectors.jsonl")


@pytest.fixture(scope="module")
def made(study: Any, backbone: Any, store: Store, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """``made("table1", …)``: the run of such a study on the store that tests share, and its folder."""

    def finish(table: str = "adapt", out: Path | None = None, **keys: Any) -> tuple[Run, Path]:
        folder = out or tmp_path_factory.mktemp("runs") / table
        lab = Lab(study(table, **QUICK | keys), store, given=backbone)
        return run(lab, folder, command=f"lingarith run {table}", together=1), folder

    return finish


@pytest.fixture(scope="module")
def adapted(made: Any) -> tuple[Run, Path]:
    """Two targets from English in space ``factors``, λ by the oracle."""
    return made(targets=("pt", "uk"))  # type: ignore[no-any-return]


def contents(out: Path) -> dict[str, Any]:
    """Every file of a run; of its adapters the numbers, in whatever order they stand in the file."""
    files = {
        str(path.relative_to(out)): path for path in sorted(out.rglob("*")) if path.is_file() and path.suffix != ".lock"
    }
    return {
        name: {key: tensor.tolist() for key, tensor in load_file(path).items()}
        if path.suffix == ".safetensors"
        else path.read_bytes()
        for name, path in files.items()
    }


# ---------------------------------------------------------------- what a run leaves behind


def test_an_adaptation_leaves_its_records_and_its_adapters(adapted: tuple[Run, Path]) -> None:
    made, out = adapted
    assert {path.name for path in out.iterdir()} == {"run.json", "pt", "uk", *FILES}
    assert Counter((e.task, e.target, e.split) for e in made.examples) == {
        ("summaries", target, "test"): 4 for target in ("pt", "uk")
    }
    assert Counter((r.target, r.split, r.method) for r in made.records) == {
        (target, "test", method): 4 for target in ("pt", "uk") for method in ("baseline", *COMPOSED)
    }
    assert [i.name for i in made.ingredients] == ["headlines[en]", "news[en]", "news[pt]", "news[uk]"]
    assert all(i.steps == 3 and i.tokens > 0 and i.seconds > 0 and len(i.hash) == 64 for i in made.ingredients)
    about = made.about
    assert (about.table, about.targets, about.sources, about.seeds) == ("adapt", ["pt", "uk"], ["en"], [0])
    assert about.title == "Summaries in Portuguese, Ukrainian from labels in English"
    assert (about.protocol, about.protocols, about.space) == ("oracle", ["oracle"], "factors")
    assert (about.tasks, about.adapter, about.notes) == (
        {"summaries": "ROUGE-2"},
        {"kind": "lora", "rank": 2, "alpha": 2},
        [],
    )
    assert about.command == "lingarith run adapt"
    assert [*about.methods] == ["baseline", *COMPOSED]
    assert (about.reference, about.tried, about.against) == ("baseline", [*COMPOSED], [])
    assert about.handed_over.keys() == {"pt", "uk"}
    assert (about.study["steps"], about.study["weights"]) == (3, [0.0, 0.5])
    assert about.data.keys() == {"summaries/pt", "summaries/uk"}
    assert [(fixed.target, fixed.method, fixed.expression) for fixed in about.fixed] == [
        (target, "baseline", "headlines[en]") for target in ("pt", "uk")
    ]


def test_choices_follow_from_validation_outcomes(adapted: tuple[Run, Path], lab: Labs) -> None:
    """The curve is the mean score of what the compositions wrote, and the choice its best point."""
    made, _ = adapted
    assert {(c.target, c.method, c.protocol) for c in made.choices} == {
        (t, e, "oracle") for t in ("pt", "uk") for e in COMPOSED
    }
    one = lab(**QUICK, targets=("pt", "uk"))
    plan(one)
    for choice in made.choices:
        at = {
            "add": lambda w, t: f"{w}*headlines[en] + {1 - w}*news[{t}]",
            "add_subtract": lambda w, t: f"{w}*headlines[en] + {1 - w}*(news[{t}] - news[en])",
            "uncoupled": lambda w, t: f"headlines[en] + {w}*(news[{t}] - news[en])",
        }[choice.method]
        compositions = [parse(at(weight, choice.target)) for weight, _ in choice.curve]
        wanted = Wanted("summaries", one.labels("summaries", choice.target, "validation"), compositions)
        curve = [round(mean(outcomes), 4) for outcomes in Stored(one).written(wanted)]
        assert [value for _, value in choice.curve] == curve
        assert choice.value == max(curve) == dict(choice.curve)[choice.weight]
        assert parse(choice.expression) == parse(at(choice.weight, choice.target))
    assert len({value for choice in made.choices for _, value in choice.curve}) > 2


def test_equal_compositions_score_alike(adapted: tuple[Run, Path]) -> None:
    """At λ = 1 and β = 0 every method is the task vector alone."""
    made, _ = adapted
    alone = {dict(c.curve)[0.0 if c.method == "uncoupled" else 1.0] for c in made.choices if c.target == "pt"}
    assert len(alone) == 1


def test_a_table_leaves_its_controls_too(made: Any) -> None:
    table, out = made("table1", targets=("pt", "uk"), learning_rates=(0.1,))
    assert {path.name for path in out.iterdir()} == {"run.json", *FILES}
    methods = ("baseline", *COMPOSED, *CONTROLS)
    assert Counter((r.target, r.method) for r in table.records) == {(t, m): 4 for t in ("pt", "uk") for m in methods}
    assert {(r.task, r.split, r.seed) for r in table.records} == {("summaries", "test", 0)}
    assert {c.method: [weight for weight, _ in c.curve] for c in table.choices} == {
        **{m: [0.0, 0.5, 1.0] for m in ("add", "add_subtract", "scaled", "wrong", "random")},
        "uncoupled": [0.0, 0.5],
        "rates": [0.1, 0.5],
    }
    names = Counter(i.name for i in table.ingredients)
    assert names == {
        "headlines[en]": 2, "news[en]": 1, "news[pt]": 1, "news[uk]": 1, "random[pt]": 1, "random[uk]": 1,
    }  # fmt: skip
    assert (table.about.methods["add"], table.about.against) == ("Add (Eq. 1)", [*CONTROLS])
    [task] = {fixed.expression for fixed in table.about.fixed}
    assert task.startswith("headlines[en]@")  # of two
    for choice in table.choices:
        lam, found = choice.weight, parse(choice.expression)
        wrong = {"pt": "uk", "uk": "pt"}[choice.target]
        if choice.method in ("add_subtract", "wrong"):
            there = {"add_subtract": f"news[{choice.target}]", "wrong": f"news[{wrong}]"}[choice.method]
            assert found == lam * parse(task) + (1 - lam) * parse(f"{there} - news[en]")
        if choice.method == "random":
            assert found == lam * parse(task) + (1 - lam) * parse(f"random[{choice.target}] - news[en]")
        if choice.method == "scaled":
            assert found == lam * parse(task)


# ---------------------------------------------------------------- again, and after being stopped


@pytest.mark.usefixtures("idle")
def test_a_second_run_has_nothing_to_do(adapted: tuple[Run, Path], made: Any, lab: Labs, tmp_path: Path) -> None:
    first, out = adapted
    before = contents(out)
    one = lab(**QUICK, targets=("pt", "uk"))
    assert [stage.left for stage in Forecast(one, plan(one).counted).stages()] == [0, 0, 0, 0]
    assert made(out=out, targets=("pt", "uk"))[0] == first
    assert contents(out) == before
    again, _ = made(out=tmp_path / "again", targets=("pt", "uk"))
    assert again == first
    part, _ = made(out=tmp_path / "part", targets=("uk",))  # what is there serves other studies
    assert part.records == [record for record in first.records if record.target == "uk"]


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize("keys", [{"space": "delta"}, {"test_limit": 3}, {"controls": ("scaled",)}])
def test_a_folder_of_another_run_is_refused(keys: dict[str, Any], adapted: tuple[Run, Path], made: Any) -> None:
    _, out = adapted
    before = contents(out)
    with pytest.raises(LingarithError, match="holds another run"):
        made(out=out, targets=("pt", "uk"), **keys)
    assert contents(out) == before


@pytest.mark.usefixtures("idle")
def test_a_folder_with_something_else_is_refused(made: Any, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(LingarithError, match="not empty and holds no run"):
        made(out=tmp_path)
    with pytest.raises(LingarithError, match="is a file"):
        made(out=tmp_path / "thesis.tex")


def test_a_leftover_of_a_killed_start_is_no_obstacle(made: Any, tmp_path: Path) -> None:
    """Killed while run.json was being written, all that is there is a temporary file."""
    (tmp_path / ".tmp-123-abc").write_text("{")
    assert made(out=tmp_path)[0].records


class Stopped(Exception):
    pass


@pytest.mark.parametrize(("protocol", "every"), [("oracle", 2), ("unlabelled", 4)])
def test_a_stopped_run_goes_on_where_it_was(
    protocol: str,
    every: int,
    made: Any,
    lab: Labs,
    copied: Callable[[Lab], Store],
    tmp_path: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Stopped again and again, with half a line at the end of each file, it ends as a whole run does."""
    monkeypatch.setattr("lingarith.study.choose.PROBE", 6)
    monkeypatch.setattr("lingarith.model.beside.AT_ONCE", 2)
    keys = {"choose_by": protocol, "max_output": 2}
    whole, _ = made(**keys)
    plan(one := lab(**QUICK | keys))
    place, out, left = copied(one), tmp_path / "stopped", 0

    def stop(*_: object) -> None:
        nonlocal left
        left -= 1
        if not left:
            raise Stopped

    def go_on() -> Run:
        one = lab(**QUICK | keys, place=place)
        one.progress = stop
        return run(one, out, together=1)

    sizes = []
    for _ in range(100):
        left = every
        try:
            finished = go_on()
        except Stopped:
            sizes.append(sum(path.stat().st_size for path in place.folder.glob("[ol]*s/*.json")))
            for name in FILES:
                with (out / name).open("ab") as file:
                    file.write('{"target": "pt", "output": "é'.encode()[:-1])
        else:
            break
    assert len(sizes) > 2
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]
    assert (finished.examples, finished.records, finished.choices) == (whole.examples, whole.records, whole.choices)
    assert finished.about.handed_over == whole.about.handed_over
    request.getfixturevalue("idle")
    assert go_on() == finished


# ---------------------------------------------------------------- several of a kind


def test_seeds_have_vectors_of_their_own(made: Any) -> None:
    """The adapter that is handed over is the first one's."""
    several, out = made(seeds=(0, 1), weights=(0.5,))
    assert several.about.seeds == [0, 1]
    assert Counter((r.method, r.seed) for r in several.records) == {
        (method, seed): 4 for method in ("baseline", *COMPOSED) for seed in (0, 1)
    }
    assert Counter(i.name for i in several.ingredients) == {"headlines[en]": 2, "news[en]": 2, "news[pt]": 2}
    assert Counter(i.origin["init_seed"] for i in several.ingredients) == {0: 3, 1: 3}
    seeds = {i.hash[:12]: i.origin["seed"] for i in several.ingredients}
    for choice in several.choices:
        assert {seeds[name.partition("@")[2]] for name in parse(choice.expression).names} == {choice.seed}
    parents = json.loads((out / "pt" / "lingarith.json").read_text())["parents"]
    assert {seeds[content[:12]] for content in parents.values()} == {0}


def test_many_sources_by_the_protocol_sources(made: Any) -> None:
    """Each source plays the target of the other; the oracle stands beside it."""
    table, _ = made(
        "table2", sources=("en", "ru"), related="uriel", choose_by="sources", controls=("rates", "scaled"),
        learning_rates=(0.1,),
    )  # fmt: skip
    chosen = {(c.method, c.protocol): c for c in table.choices}
    assert chosen.keys() == {
        ("best", "oracle"), ("best_on_test", "test"), ("rates", "oracle"), ("add_subtract_related", "sources"),
        ("add_subtract_related", "oracle"), ("scaled", "sources"), ("scaled", "oracle"),
    }  # fmt: skip
    assert table.about.protocols == ["oracle", "sources", "test"]
    best = chosen["best", "oracle"]
    values = dict(best.curve)
    assert values.keys() == {"en", "ru"}
    assert best.value == max(values.values())
    assert {r.source for r in table.records if r.method == "best"} >= {best.weight}
    assert parse(best.expression) == parse(f"headlines[{best.weight}]")
    assert Counter(i.name for i in table.ingredients)["headlines[mul]"] == 2  # one at the other learning rate
    said = findings(table).sentences
    assert len(said) == 3
    assert "over Best source" in " ".join(said)


def test_every_source_with_every_target(made: Any) -> None:
    table, _ = made("figure2", sources=("en", "ru"), targets=("pt", "uk"), controls=("scaled",), weights=(0.5,))
    assert Counter((r.source, r.target, r.method) for r in table.records) == {
        (s, t, m): 4 for s in ("en", "ru") for t in ("pt", "uk") for m in ("baseline", "add_subtract", "scaled")
    }
    assert table.about.by_source
    found = findings(table)
    grid, doses = found.tables
    assert sorted(row[0] for row in doses.rows) == ["news[en]", "news[pt]", "news[ru]", "news[uk]"]
    for *_, before, after, change in doses.rows:
        assert float(after) - float(before) == pytest.approx(float(change.replace("−", "-")), abs=0.002)
    assert list(grid.heads) == ["from / to", "pt", "uk"]
    assert [row[0] for row in grid.rows] == ["en", "ru"]
    said = " ".join(found.sentences)
    assert "of 4 pairs" in said
    assert "λ · task alone" in said


def test_adapters_in_domain(made: Any) -> None:
    table, _ = made(
        "table6", sources=("en", "ru"), targets=("ru",), adapter="lora", kronecker=(4, 2), space="delta",
        full_learning_rate=0.01, learning_rates=(0.1,),
    )  # fmt: skip
    assert {r.method for r in table.records} == {"lora", "multi_lora", "kronecker", "multi_kronecker", "full", "rates"}
    kinds = Counter((i.name, i.origin["adapter"]["kind"]) for i in table.ingredients)
    assert kinds == {
        ("headlines[ru]", "lora"): 2,  # the other one at the other learning rate
        ("headlines[mul]", "lora"): 1, ("headlines[ru]", "kronecker"): 1, ("headlines[mul]", "kronecker"): 1,
        ("headlines[ru]", "full"): 1,
    }  # fmt: skip
    [full] = [i for i in table.ingredients if i.origin["adapter"]["kind"] == "full"]
    assert full.origin["options"]["learning_rate"] == 0.01
    assert any("Full fine-tuning" in str([grid.heads, grid.rows]) for grid in findings(table).tables)


def test_answers_and_summaries(made: Any) -> None:
    tasks = ["summaries", {"task": "questions", "targets": ["fi"]}]
    table, _ = made("table4", tasks=tasks, controls=("scaled",))
    assert {(r.task, r.target) for r in table.records} == {("summaries", "pt"), ("questions", "fi")}
    assert table.about.tasks == {"summaries": "ROUGE-2", "questions": "F1"}
    assert table.about.score["questions"] == {"fi": "F1 over words, normalised as SQuAD does"}
    assert {"headlines[en]", "questions[en]"} <= {i.name for i in table.ingredients}
    found = findings(table)
    assert [grid.title.rpartition(", ")[2] for grid in found.tables if grid.title] == [
        "summaries", "summaries: outputs in the right language", "questions",
        "questions: outputs in the right language", "Dose of the language vectors",
    ]  # fmt: skip
    assert "Exact match" in found.tables[2].heads
    assert "F1" in " ".join(found.sentences)


# ---------------------------------------------------------------- less than all data


@pytest.fixture
def few(tmp_path: Path) -> dict[str, Any]:
    """Only training labels of the source exist, and little text."""
    (tmp_path / "summ" / "en").mkdir(parents=True)
    (tmp_path / "plain").mkdir()
    with gzip.open(tmp_path / "summ/en/train.jsonl.gz", "wt") as file:
        for k in range(6):
            print(json.dumps({"text": f"The bridge {k} was opened in May.", "summary": f"Bridge {k}"}), file=file)
    for code, line in (("en", "It rained for a week."), ("pt", "Choveu durante uma semana.")):
        (tmp_path / f"plain/{code}.txt").write_text(f"{line}\n" * 5)
    return {
        "labels": str(tmp_path / "summ/{language}/{split}.jsonl.gz"), "text": str(tmp_path / "plain/{language}.txt"),
    }  # fmt: skip


def test_without_any_label_of_the_target(few: dict[str, Any], made: Any) -> None:
    """The run ends with an adapter, of a composition that was chosen without labels, and says so."""
    alone, out = made(**few, choose_by="unlabelled")
    assert (alone.about.protocol, alone.records, alone.examples) == ("unlabelled", [], [])
    assert {c.protocol for c in alone.choices} == {"unlabelled"}
    assert "nothing to evaluate on" in " ".join(findings(alone).sentences)
    unguided, trained_on = alone.about.notes
    assert unguided.startswith("pt: λ is chosen without any label")
    assert "favours the language vector" in trained_on
    assert {i.name for i in alone.ingredients} == {"summaries[en]", "text[en]", "text[pt]"}
    assert (out / "pt/adapter_model.safetensors").exists()


def test_where_nothing_is_to_choose_by_the_task_vector_alone_is_handed_over(few: dict[str, Any], made: Any) -> None:
    alone, out = made(**few, tasks=[{"task": "summaries", "metric": "likelihood"}])
    assert (alone.about.protocol, alone.about.protocols, alone.choices) == ("", [], [])
    assert alone.about.handed_over == {"pt": "baseline"}
    assert json.loads((out / "pt/lingarith.json").read_text())["expression"] == "summaries[en]"
    assert [note.partition(",")[0] for note in alone.about.notes] == ["pt: there are too few labels to choose λ by"]


def test_without_labels_for_choosing_the_oracle_stands_beside(made: Any) -> None:
    table, _ = made("table1", choose_by="unlabelled", controls=())
    assert {(c.method, c.protocol) for c in table.choices} == {
        (m, p) for m in COMPOSED for p in ("unlabelled", "oracle")
    }
    tested = Counter((r.method, r.weight) for r in table.records)
    assert set(tested.values()) == {4}  # written once where both protocols choose the same weight
    assert [note.partition(":")[0] for note in table.about.notes] == ["pt"]


def test_of_unrelated_sources_nothing_is_made(made: Any) -> None:
    narrow, _ = made(sources=("en", "ja"), related="uriel", weights=(0.5,))
    assert narrow.about.sources_of == {"pt": ["en"]}
    assert narrow.about.notes == ["pt: sources among en, ja by the rule syntactic < 0.7 and geographic < 0.3: en"]
    assert {i.name for i in narrow.ingredients} == {"headlines[en]", "news[en]", "news[pt]"}


# ---------------------------------------------------------------- what is the user's own


METRIC = """
def closeness(outputs, references):
    return [100.0 - min(100, abs(len(output) - len(one[0]))) for output, one in zip(outputs, references)]
"""
TASK = """
prompt = "{language_name}: {text} Mood?"
target = "mood"
metric = "own_metric:closeness"
writes = ""
labels = ["glad", "sad"]
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A task and a metric of the user's own, as keys of a study; and translations of the same rows."""
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "own_metric.py").write_text(METRIC)
    (tmp_path / "moods.toml").write_text(TASK)
    for code, day in (("en", "What a day"), ("pt", "Que dia")):
        (tmp_path / code).mkdir()
        for split in ("train", "dev", "test"):
            rows = ({"body": f"{day} {k}!", "mood": ("glad", "sad")[k % 2], "english": f"Day {k}"} for k in range(4))
            (tmp_path / code / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {
        "tasks": [str(tmp_path / "moods.toml"), "translations"], "fields": ("text=body",),
        "labels": str(tmp_path / "{language}/{split}.jsonl"),
    }  # fmt: skip


@pytest.mark.parametrize("table", ["adapt", "table1"])
def test_a_task_and_a_metric_of_one_s_own(table: str, own: dict[str, Any], made: Any) -> None:
    mine, out = made(table, **own, weights=(0.5,), controls=())
    about = mine.about
    assert about.tasks == {"moods": "closeness", "translations": "chrF"}
    assert about.score["moods"] == {"pt": "own_metric:closeness, 0 to 100"}
    assert about.writes == {"translations": "en"}
    assert {i.name for i in mine.ingredients} == {"moods[en]", "translations[en]", "news[en]", "news[pt]"}
    [mood, *_] = (e for e in mine.examples if e.task == "moods")
    assert (mood.input, mood.reference) == ("Que dia 0!", "glad")
    records = [r for r in mine.records if r.task == "moods"]
    assert Counter(r.method for r in records) == dict.fromkeys(("baseline", *COMPOSED), 4)
    assert {r.kind for r in records} == {""}
    lengths = {e.id: len(e.reference) for e in mine.examples if e.task == "moods"}
    assert all(r.score == 100 - min(100, abs(len(r.output) - lengths[r.id])) for r in records)
    assert about.protocol == "oracle"
    adapters = {"moods-pt", "translations-pt"} if table == "adapt" else set()
    assert {path.name for path in out.iterdir() if path.is_dir()} == about.handed_over.keys() == adapters


# ---------------------------------------------------------------- without outputs


def test_ways_to_merge(made: Any, lab: Labs) -> None:
    planned = plan(lab("methods", **QUICK, space="delta", rank=1))
    asked = [key for key in planned.counted.asked if key.startswith("validation")]
    assert len(asked) == 1 + 2 * (4 + len(MERGED)) + 1  # task alone, λ = 0 and 0.5, β = 0.5; the wrong language lacks
    result, _ = made("methods", space="delta", rank=1)
    scores = {
        method: {c.weight: dict(c.curve) for c in result.choices if c.method == method}.popitem()[1]
        for method in ("add_subtract", *MERGED)
    }
    assert {len(curve) for curve in scores.values()} == {3}
    assert len({curve[1.0] for curve in scores.values()}) == 1  # the task vector alone
    assert {*MERGED} < {record.method for record in result.records}
    assert result.about.methods["tsv"] == "Add and Subtract by tsv"


def test_vectors_alone(made: Any) -> None:
    alone, out = made("vectors", targets=("pt", "en"))
    grid = alone.about.grid
    assert [row[0] for row in grid.rows] == ["Portuguese", "English"]
    assert [row[1] for row in grid.rows] == [f"{i.name}@{i.hash[:12]}" for i in alone.ingredients]
    assert (alone.records, alone.choices, alone.about.tasks, alone.about.reference) == ([], [], {}, "")
    assert findings(alone).tables == [grid]
    assert (out / "examples.jsonl").exists() is False


@pytest.mark.usefixtures("idle")
def test_a_listing(made: Any, tmp_path: Path) -> None:
    table, out = made("table5", sources=("ar", "en", "ru", "tr"), targets=("pt", "so"))
    assert table.about.grid.title == table.about.title == "Related languages"
    before = contents(out)
    assert made("table5", out=out, sources=("ar", "en", "ru", "tr"), targets=("pt", "so"))[0] == table
    assert contents(out) == before
    with pytest.raises(LingarithError, match="holds another run"):
        made("table5", out=out, sources=("ar", "en"), targets=("pt", "so"))


def test_what_is_left_is_announced_before_it_begins(lab: Labs, copied: Any, tmp_path: Path) -> None:
    keys = QUICK | {"weights": (0.5,)}
    plan(one := lab(**keys))
    one, heard = lab(**keys, place=copied(one)), []

    def announce(forecast: Forecast) -> None:
        heard.append([(stage.what, stage.all, stage.left) for stage in forecast.stages()])
        assert read_run(tmp_path / "run").records == []

    run(one, tmp_path / "run", announce=announce, notes=["mine"], together=1)
    assert heard == [
        [("task vectors", 1, 0), ("language vectors", 2, 0), ("outputs for validation", 16, 16),
         ("outputs for test", 16, 16)]
    ]  # fmt: skip
    assert read_run(tmp_path / "run").about.notes == ["mine"]
