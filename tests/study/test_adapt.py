"""The main job on a tiny backbone: what it leaves behind, and that stopping it costs nothing."""

from __future__ import annotations

import copy
import gzip
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from html import escape
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from lingarith.adapters.kronecker import Kronecker
from lingarith.algebra import parse
from lingarith.errors import LingarithError
from lingarith.model.backbone import Backbone
from lingarith.model.options import TrainOptions
from lingarith.report.page import page
from lingarith.report.results import results
from lingarith.report.verdict import verdict
from lingarith.store.store import Store
from lingarith.study import choose
from lingarith.study.adapt import Attempt, RunFolder, adapt
from lingarith.study.ingredients import obtain
from lingarith.study.plan import AdaptOptions, notes_on, plan
from lingarith.study.records import Record, Run, read_run
from lingarith.study.weigh import weigh
from lingarith.text.tasks.summarisation import summaries
from lingarith.vectors.realise import Space, realise

Options = Callable[..., AdaptOptions]
FILES = ("examples.jsonl", "records.jsonl", "choices.jsonl", "vectors.jsonl")
COMPOSED = ("add", "add_subtract", "uncoupled")


@pytest.fixture(scope="module")
def finished(
    backbone: Backbone, options: Options, store: Store, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Run, Path]:
    """Two targets from English in space ``factors``, λ by the oracle on the whole grid."""
    out = tmp_path_factory.mktemp("runs") / "run"
    return adapt(["pt", "uk"], backbone, store, out, options(), command="lingarith adapt pt uk"), out


def contents(out: Path) -> dict[str, list[bytes]]:
    """The complete lines of each file, sorted."""
    return {path.name: sorted(path.read_bytes().split(b"\n")[:-1]) for path in out.glob("*.jsonl")}


# ---------------------------------------------------------------- what a run leaves behind


def test_records_are_complete(finished: tuple[Run, Path]) -> None:
    run, out = finished
    assert {path.name for path in out.iterdir()} == {"run.json", "pt", "uk", *FILES}
    assert Counter((e.target, e.split) for e in run.examples) == {
        (target, split): 4 for target in ("pt", "uk") for split in ("validation", "test")
    }
    tried = Counter((r.target, r.split, r.equation) for r in run.records)
    weights = {"add": 15, "add_subtract": 15, "uncoupled": 11}
    assert tried == {
        **{(t, "validation", e): 4 * weights[e] for t in ("pt", "uk") for e in COMPOSED},
        **{(t, "test", e): 4 for t in ("pt", "uk") for e in ("baseline", *COMPOSED)},
    }
    assert {i.name for i in run.ingredients} == {"headlines[en]", "news[en]", "news[pt]", "news[uk]"}
    assert all(i.steps == 3 and i.tokens > 0 and len(i.hash) == 64 for i in run.ingredients)
    assert run.about["targets"] == ["pt", "uk"]
    assert run.about["command"] == "lingarith adapt pt uk"
    assert run.about["protocols"] == ["oracle"]


def test_choices_follow_from_validation_records(finished: tuple[Run, Path]) -> None:
    """The curve is the mean score of the validation records, and the choice its best point."""
    run, _ = finished
    assert {(c.target, c.equation, c.protocol) for c in run.choices} == {
        (t, e, "oracle") for t in ("pt", "uk") for e in COMPOSED
    }
    for choice in run.choices:
        curve = {}
        for weight, _ in choice.curve:
            scores = [
                r.score
                for r in run.records
                if (r.target, r.split, r.equation, r.weight) == (choice.target, "validation", choice.equation, weight)
            ]
            curve[weight] = sum(scores) / len(scores)
        assert dict(choice.curve) == pytest.approx(curve, abs=1e-3)
        assert choice.value == max(dict(choice.curve).values())
        assert choice.value == dict(choice.curve)[choice.weight]
        assert len(set(dict(choice.curve).values())) > 2


def test_equal_compositions_write_the_same(finished: tuple[Run, Path]) -> None:
    """At λ = 1 and β = 0 every equation is the task vector alone."""
    run, _ = finished
    alone = [
        {r.id: r.output for r in run.records if (r.target, r.split, r.equation, r.weight) == ("pt", "validation", e, w)}
        for e, w in (("add", 1.0), ("add_subtract", 1.0), ("uncoupled", 0.0))
    ]
    assert alone[0] == alone[1] == alone[2]
    assert len(alone[0]) == 4


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")  # PEFT's own
def test_the_adapter_loads_with_peft_and_is_the_composition(
    finished: tuple[Run, Path], backbone: Backbone, store: Store, tiny_backbone: Path
) -> None:
    from peft import PeftModel
    from transformers import T5ForConditionalGeneration

    _, out = finished
    about = json.loads((out / "pt" / "lingarith.json").read_text())
    expression = parse(about["expression"])
    assert about["parents"] == {name: store.resolve(name) for name in expression.names}
    update = realise(expression, {name: store.get(name) for name in expression.names}, about["space"])
    inputs: dict[str, Any] = {
        "input_ids": torch.tensor([[7, 8, 9, 10, 1]]),
        "decoder_input_ids": torch.tensor([[0, 11, 12]]),
    }
    adapted = PeftModel.from_pretrained(T5ForConditionalGeneration.from_pretrained(tiny_backbone), out / "pt").eval()
    with torch.no_grad():
        bare = backbone.model(**inputs).logits
        with backbone.using(update):
            ours = backbone.model(**inputs).logits
        theirs = adapted(**inputs).logits
    torch.testing.assert_close(theirs, ours, atol=1e-5, rtol=1e-5)
    assert (ours - bare).abs().max() > 1e-3


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")  # PEFT's own
def test_a_kronecker_adapter_loads_with_peft(
    backbone: Backbone, options: Options, store: Store, tmp_path: Path
) -> None:
    kronecker = replace(options().task_training, adapter=Kronecker(4, 4))
    wanted = options(task_training=kronecker, language_training=kronecker)
    run = adapt(["pt"], backbone, store, tmp_path / "run", wanted)
    assert run.about["adapter"] == {"kind": "kronecker", "m": 4, "n": 4}
    from peft import PeftModel

    loaded = PeftModel.from_pretrained(copy.deepcopy(backbone.model), tmp_path / "run/pt")
    assert loaded.peft_config["default"].peft_type == "LOKR"
    about = json.loads((tmp_path / "run/pt/lingarith.json").read_text())
    vectors = {name: store.get(name) for name in parse(about["expression"]).names}
    update = realise(parse(about["expression"]), vectors, "factors")
    merged = loaded.merge_and_unload()
    for path, module in backbone.projections.items():
        added = merged.get_submodule(path).weight - module.weight
        torch.testing.assert_close(added, update.delta(path), rtol=1e-4, atol=1e-5)


# ---------------------------------------------------------------- again, and after being stopped


@pytest.mark.usefixtures("idle")
def test_a_second_call_has_nothing_to_do(
    finished: tuple[Run, Path], backbone: Backbone, options: Options, store: Store
) -> None:
    run, out = finished
    before = contents(out)
    assert adapt(["pt", "uk"], backbone, store, out, options()).records == run.records
    assert contents(out) == before


class Stopped(Exception):
    pass


@pytest.mark.usefixtures("coarse")
@pytest.mark.parametrize(("protocol", "every"), [("oracle", 2), ("unlabelled", 4)])
def test_a_stopped_run_goes_on_where_it_was(
    protocol: str,
    every: int,
    backbone: Backbone,
    options: Options,
    store: Store,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Stopped again and again, with half a line at the end of each file, it ends as a whole run does."""
    monkeypatch.setattr("lingarith.study.choose.PROBE", 6)
    monkeypatch.setattr("lingarith.model.beside.AT_ONCE", 2)
    wanted = options(protocol=protocol, space=Space("delta"))
    whole = tmp_path / "whole"
    adapt(["pt"], backbone, store, whole, wanted)
    out, left = tmp_path / "stopped", [0]

    def stop(*_: object) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise Stopped

    sizes = []
    for _ in range(100):
        left[0] = every
        try:
            adapt(["pt"], backbone, store, out, wanted, progress=stop)
        except Stopped:
            sizes.append(sum(map(len, contents(out).values())))
            for path in out.glob("*.jsonl"):
                with path.open("ab") as file:
                    file.write('{"target": "pt", "output": "é'.encode()[:-1])
        else:
            break
    assert len(sizes) > 2
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]
    assert contents(out) == contents(whole)
    ids = Counter((r.target, r.split, r.equation, r.weight, r.id) for r in read_run(out).records)
    assert set(ids.values()) == {1}
    request.getfixturevalue("idle")
    adapt(["pt"], backbone, store, out, wanted)


def test_the_longest_list_is_recalled_of_what_equations_share() -> None:
    """At λ = 1 both equations are the task vector alone; a race that was stopped leaves lists of several lengths."""
    data = summaries("newsroom", "pt", "validation", limit=4, folder=Path("unused"))
    terms = choose.Terms(("headlines[en]",), ("news[en]",), "news[pt]")
    records = [
        Record("pt", "validation", equation, 1.0, example.id, "x", 1.0, "target")
        for equation, count in (("add", 4), ("add_subtract", 2))
        for example in data.examples[:count]
    ]
    bench: Any = SimpleNamespace(done={})
    what: Any = SimpleNamespace(validation={"pt": data}, test={})
    Attempt(bench, RunFolder(Path("unused"), ""), terms, "pt").recall(Run({}, records=records), what)
    assert [len(outcomes) for outcomes in bench.done.values()] == [4]


@pytest.mark.usefixtures("coarse")
def test_stopped_between_training_and_putting_the_log_beside_the_vector(
    backbone: Backbone, options: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, wanted = Store(tmp_path / "store"), options(validation_limit=1, test_limit=1)
    put = Store.put

    def put_and_stop(self: Store, *given: Any) -> str:
        put(self, *given)
        raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr(Store, "put", put_and_stop)
        with pytest.raises(Stopped):
            adapt(["pt"], backbone, store, tmp_path / "out", wanted)
    adapt(["pt"], backbone, store, tmp_path / "out", wanted)
    assert not list((store.folder / "training").iterdir())
    assert len(list(store.folder.glob("objects/*/log.jsonl"))) == 3
    assert store.verify() == []


@pytest.mark.parametrize("changed", [{"seed": 1}, {"space": Space("delta")}, {"prompt": "{text}"}, {"test_limit": 3}])
@pytest.mark.usefixtures("idle")
def test_a_folder_of_another_run_is_refused(
    changed: dict[str, Any], finished: tuple[Run, Path], backbone: Backbone, options: Options, store: Store
) -> None:
    _, out = finished
    before = contents(out)
    with pytest.raises(LingarithError, match="holds another run"):
        adapt(["pt", "uk"], backbone, store, out, options(**changed))
    assert contents(out) == before


@pytest.mark.usefixtures("idle")
def test_a_folder_with_something_else_is_refused(
    backbone: Backbone, options: Options, store: Store, tmp_path: Path
) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(LingarithError, match="not empty and holds no run"):
        adapt(["pt"], backbone, store, tmp_path, options())
    with pytest.raises(LingarithError, match="is a file"):
        adapt(["pt"], backbone, store, tmp_path / "thesis.tex", options())


@pytest.mark.usefixtures("coarse")
def test_a_leftover_of_a_killed_start_is_no_obstacle(
    backbone: Backbone, options: Options, store: Store, tmp_path: Path
) -> None:
    """Killed while run.json was being written, all that is there is a temporary file."""
    (tmp_path / ".tmp-123-abc").write_text("{")
    assert adapt(["pt"], backbone, store, tmp_path, options(test_limit=1)).records


# ---------------------------------------------------------------- where λ comes from


@pytest.mark.usefixtures("coarse")
def test_sources_touch_no_label_of_the_target(
    backbone: Backbone, options: Options, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    played = []
    real = choose.labelled

    def spy(bench: Any, plays: Any, *rest: Any) -> Any:
        played.extend((terms.tasks, terms.target, data.language, data.split) for terms, data in plays)
        return real(bench, plays, *rest)

    monkeypatch.setattr(choose, "labelled", spy)
    run = adapt(["pt"], backbone, store, tmp_path / "out", options(sources=("en", "ru"), protocol="sources"))
    by_sources = set(played) - {(("headlines[en]", "headlines[ru]"), "news[pt]", "pt", "validation")}
    assert by_sources == {
        (("headlines[ru]",), "news[en]", "en", "validation"),
        (("headlines[en]",), "news[ru]", "ru", "validation"),
    }
    assert {c.protocol for c in run.choices} == {"oracle", "sources"}  # the oracle stands beside it
    assert run.about["protocols"] == ["oracle", "sources"]
    assert run.about["handed_over"]["pt"] in ("baseline", *COMPOSED)
    add = next(c for c in run.choices if (c.equation, c.protocol) == ("add", "sources"))
    assert parse(add.expression) == choose.Terms(
        ("headlines[en]", "headlines[ru]"), ("news[en]", "news[ru]"), "news[pt]"
    ).at("add", add.weight)


@pytest.mark.usefixtures("coarse")
def test_without_any_label_of_the_target(backbone: Backbone, options: Options, store: Store, tmp_path: Path) -> None:
    """Only training labels of the source exist: the run ends with an adapter and says so."""
    (tmp_path / "summ" / "en").mkdir(parents=True)
    (tmp_path / "plain").mkdir()
    with gzip.open(tmp_path / "summ/en/train.jsonl.gz", "wt") as file:
        for k in range(6):
            print(json.dumps({"text": f"The bridge {k} was opened in May.", "summary": f"Bridge {k}"}), file=file)
    for language, line in (("en", "It rained for a week."), ("pt", "Choveu durante uma semana.")):
        (tmp_path / f"plain/{language}.txt").write_text(f"{line}\n" * 5)
    task, text = str(tmp_path / "summ/{language}/{split}.jsonl.gz"), str(tmp_path / "plain/{language}.txt")
    run = adapt(["pt"], backbone, store, tmp_path / "out", options(task=task, text=text))
    assert (run.about["protocol"], run.records, run.examples) == ("unlabelled", [], [])
    assert {c.protocol for c in run.choices} == {"unlabelled"}
    assert "nothing to evaluate on" in verdict(run)
    unguided, trained_on = run.about["notes"]
    assert unguided.startswith("pt: λ is chosen without any label")
    assert "favours the language vector" in trained_on
    assert weigh("pt", "add", backbone, store, options(task=task, text=text))[1] == run.about["notes"]
    assert (tmp_path / "out/pt/adapter_model.safetensors").exists()


@pytest.mark.usefixtures("finished", "coarse")
def test_without_labels_text_is_judged_that_was_not_trained_on(
    backbone: Backbone, options: Options, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged = []
    real = choose.unlabelled

    def spy(bench: Any, terms: Any, equation: str, articles: Any, text: Any, *rest: Any) -> Any:
        judged.append(({e.article for e in articles.examples}, {tuple(chunk) for chunk in text.chunks}))
        return real(bench, terms, equation, articles, text, *rest)

    monkeypatch.setattr(choose, "unlabelled", spy)
    monkeypatch.setattr("lingarith.text.corpora.HELD_OUT", 8)
    wanted = options(protocol="unlabelled", test_limit=1)
    run = adapt(["pt"], backbone, store, tmp_path / "run", wanted)
    _, notes = weigh("pt", "add", backbone, store, wanted)
    job = plan(["pt"], wanted, store).languages["pt"]
    trained = {tuple(chunk) for chunk in job.training(backbone, tmp_path).data.chunks}
    assert len(judged) == 4
    for articles, chunks in judged:
        assert len(articles) == 8
        assert not articles & {*job.data.documents}
        assert not chunks & trained
    assert run.about["notes"] == notes == [choose.UNGUIDED.format("pt")]


@pytest.mark.usefixtures("finished", "coarse")
@pytest.mark.parametrize(("protocol", "used"), [("oracle", "oracle"), ("auto", "oracle"), ("unlabelled", "unlabelled")])
def test_weigh_uses_vectors_that_exist(
    protocol: str, used: str, backbone: Backbone, options: Options, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lingarith.study.ingredients.train", None)
    made, _ = weigh("pt", "uncoupled", backbone, store, options(protocol=protocol))
    assert (made.target, made.equation, made.protocol) == ("pt", "uncoupled", used)
    assert [weight for weight, _ in made.curve] == [0.0, 0.5, 1.0]
    assert parse(made.expression) == parse(f"headlines[en] + {made.weight}*(news[pt] - news[en])")


@pytest.mark.usefixtures("coarse")
def test_weigh_by_sources(backbone: Backbone, options: Options, store: Store) -> None:
    wanted = options(sources=("en", "ru"), protocol="sources")
    for job in plan(["pt"], wanted, store).jobs:
        obtain(job, backbone, store)
    made, _ = weigh("pt", "add", backbone, store, wanted)
    assert made.protocol == "sources"
    tasks = "0.5*(headlines[en] + headlines[ru])"
    assert parse(made.expression) == made.weight * parse(tasks) + (1 - made.weight) * parse("news[pt]")


@pytest.mark.parametrize(
    ("target", "equation", "changed", "sentence"),
    [
        ("pt", "ad", {}, "no equation named 'ad'; did you mean add?"),
        ("pt", "baseline", {}, "no equation named 'baseline'"),
        ("pt", "add", {"protocol": "orakle"}, "no protocol named 'orakle'; did you mean oracle?"),
        ("px", "add", {"protocol": "oracle"}, r"no vector named 'news\[px\]' .*did you mean news\[pt\]"),
        ("pt", "add", {"protocol": "sources"}, "needs two or more sources"),
    ],
)
@pytest.mark.usefixtures("finished", "idle")
def test_weigh_says_what_is_wrong(
    target: str,
    equation: str,
    changed: dict[str, Any],
    sentence: str,
    backbone: Backbone,
    options: Options,
    store: Store,
) -> None:
    with pytest.raises(LingarithError, match=sentence):
        weigh(target, equation, backbone, store, options(**changed))


# ---------------------------------------------------------------- what cannot be planned


@pytest.mark.parametrize(
    ("targets", "changed", "sentence"),
    [
        ([], {}, "no target language is named"),
        (["pt"], {"sources": ()}, "no source language is named"),
        (["en"], {}, "en is a target and a source"),
        (["pt", "pt"], {}, "target pt is named twice"),
        (["pt"], {"sources": ("en", "en")}, "source en is named twice"),
        (
            ["pt"],
            {"task_training": TrainOptions(adapter=Kronecker(4, 2))},
            "with m = 4 and n = 2; choose m = n and space 'factors'",
        ),
        (["pt"], {"space": Space("delta", 2, (4, 4))}, "PEFT holds one Kronecker product"),
        (["pt"], {"protocol": "none"}, "no protocol named 'none'"),
        (["pt"], {"protocol": "sources"}, "needs two or more sources"),
        (["xx"], {}, "the newsroom does not write 'xx'"),
        (["../pt"], {}, "the newsroom does not write '../pt'"),
        (["pt"], {"task": "newsrom"}, "no source 'newsrom'; did you mean newsroom?"),
        (["pt"], {"task": "summ/{language}.jsonl"}, "would be the same for all languages or splits"),
        (["pt"], {"task": "summ/{split}.jsonl"}, "would be the same for all languages or splits"),
        (["pt"], {"text": "plain.txt"}, "would be the same for all languages"),
        (["pt"], {"prompt": "summarize"}, "does not say where the article goes"),
        (["pt"], {"validation_limit": 0}, "limit is 0"),
    ],
)
def test_plan_says_what_is_wrong(
    targets: list[str], changed: dict[str, Any], sentence: str, options: Options, store: Store
) -> None:
    with pytest.raises(LingarithError, match=sentence):
        plan(targets, options(**changed), store)


def test_only_related_sources_are_needed(options: Options, store: Store) -> None:
    what = plan(["pt", "si"], options(sources=("ar", "ja", "te", "en"), related=True), store)
    assert what.sources == {"pt": ("ar", "en"), "si": ("te",)}
    assert list(what.tasks) == ["ar", "te", "en"]
    assert sorted(what.languages) == ["ar", "en", "pt", "si", "te"]
    assert what.terms("si").tasks == ("headlines[te]",)
    assert not plan(["pt"], options(), store).notes


def test_notes_say_what_a_weight_rests_on() -> None:
    assert notes_on("pt", "oracle", held_out=False) == notes_on("pt", "sources", held_out=True) == ()
    assert len(notes_on("pt", "unlabelled", held_out=True)) == 1
    assert len(notes_on("ceb", "unlabelled", held_out=False)) == 3
    (unknown,) = notes_on("ceb", "oracle", held_out=False)
    assert unknown.startswith("ceb: py3langid")


@pytest.mark.usefixtures("coarse")
def test_the_page_says_how_sources_were_chosen(
    backbone: Backbone, options: Options, store: Store, tmp_path: Path
) -> None:
    run = adapt(["pt", "si"], backbone, store, tmp_path, options(sources=("en", "ja"), related=True), notes=["mine"])
    mine, pt, si = run.about["notes"]
    rule = "sources among en, ja by the rule syntactic < 0.7 and geographic < 0.3"
    assert (mine, pt) == ("mine", f"pt: {rule}: en")
    assert si.startswith(f"si: {rule}: no source meets the rule; ja is taken, the nearest by syntactic (")
    html = page(results(run))
    assert all(escape(note) in html for note in run.about["notes"])


def test_planning_tells_of_what_comes_from_the_hub(
    options: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LINGARITH_HUB", str(tmp_path))
    folder = tmp_path / "allenai/c4/multilingual"
    folder.mkdir(parents=True)
    for name in ("en", "pt"):
        with gzip.open(folder / f"c4-{name}.tfrecord-00000-of-00001.json.gz", "wt") as file:
            file.writelines(json.dumps({"text": f"{name} {k:03}"}) + "\n" for k in range(60))
    heard: list[tuple[str, int, int]] = []
    wanted, store = options(text="mc4", text_characters=300), Store(tmp_path / "store")
    what = plan(["pt"], wanted, store, progress=lambda *told: heard.append(told))
    assert dict.fromkeys(name for name, _, _ in heard) == dict.fromkeys(
        f"fetching mc4 ({name}), characters" for name in ("en", "pt")
    )
    assert heard[-1][1:] == (330, 330)
    assert [len(job.data.documents) for job in what.languages.values()] == [50, 50]


def test_a_plan_names_what_it_needs(options: Options, store: Store) -> None:
    what = plan(["pt", "uk"], options(), store)
    assert [job.name for job in what.jobs] == ["headlines[en]", "news[en]", "news[pt]", "news[uk]"]
    assert what.protocol == "oracle"
    assert {split.split for split in what.validation.values()} == {"validation"}
    assert str(what.terms("uk").at("add_subtract", 0.6)) == "0.6*headlines[en] + 0.4*(news[uk] - news[en])"
