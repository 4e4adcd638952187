"""The lines of a study from outputs that are known beforehand, and what is known before anything is done."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lingarith.algebra import Combination, parse, vector
from lingarith.errors import LingarithError
from lingarith.store.store import Store
from lingarith.study import choose
from lingarith.study.lab import Lab
from lingarith.study.lines import choice, fingerprints, lines_of, plan
from lingarith.study.lines import tested as lines_about
from lingarith.study.outputs import Stored
from lingarith.study.place import Method
from lingarith.study.recipes import place_of, places
from lingarith.study.records import Choice, Example, Fixed, Record
from lingarith.study.scoring import Scoring
from lingarith.text.labelled import Labelled

Labs = Callable[..., Lab]
QUICK: dict[str, Any] = {"weights": (0.0, 0.5), "betas": (0.5,)}
TWO = {"sources": ("en", "ru")}
PT = ("summaries", "pt", 0)


def language_vector(data: Labelled, weights: Mapping[str, float]) -> float:
    """The target's vector scores on validation data, and where a source plays the target its vector does not."""
    return 100 * weights.get("news[pt]", 0.0)


def of(kind: type, lines: Any) -> list[Any]:
    return [line for line in lines if isinstance(line, kind)]


# ---------------------------------------------------------------- lines


def test_the_places_of_a_study(lab: Labs) -> None:
    tasks = ["summaries", {"task": "questions", "targets": ["fi"]}]
    one = lab(targets=("pt", "uk"), tasks=tasks, seeds=(3, 1))
    assert [(place.task, place.target, place.seed) for place in places(one)] == [
        ("summaries", "pt", 3), ("summaries", "pt", 1), ("summaries", "uk", 3), ("summaries", "uk", 1),
        ("questions", "fi", 3), ("questions", "fi", 1),
    ]  # fmt: skip


def test_a_composition_without_a_weight(lab: Labs, told: Any) -> None:
    one, outputs = lab(), told(lambda *_: 12.5)
    one.language(0, "pt")
    method = Method("baseline", {1.0: vector("news[pt]")}, source="en")
    fixed, *records = lines_about(outputs, place_of(one, *PT), method, "oracle")
    assert fixed == Fixed("summaries", "pt", "baseline", "en", 0, "news[pt]")
    assert records == [
        Record("pt", "test", "baseline", None, f"test-{k}", "", 12.5, "target", "summaries", "en") for k in range(4)
    ]
    assert outputs.places == {("pt", "test")}


@pytest.fixture
def naming(lab: Labs) -> Callable[..., Lab]:
    """A lab in which any name can be said."""

    def make(*table: str, **keys: Any) -> Lab:
        made = lab(*table, **keys)
        made.said = str  # type: ignore[method-assign, assignment]
        return made

    return make


def test_the_lines_of_a_method(naming: Labs, told: Any) -> None:
    """Each protocol chooses, and what each chose is tested, once."""
    one = naming(**QUICK, **TWO, seeds=(7,))
    place = place_of(one, "summaries", "pt", 7)
    add = next(method for method in place.methods if method.name == "add")
    outputs = told(lambda data, weights: language_vector(data, weights) if data.language == "pt" else 1.0)
    lines = list(lines_about(outputs, place, add, "sources"))
    made = of(Choice, lines)
    assert [(c.protocol, c.weight, c.value) for c in made] == [("sources", 1.0, 1.0), ("oracle", 0.0, 100.0)]
    assert [parse(c.expression) for c in made] == [add.tried[1.0], add.tried[0.0]]
    assert made[1].curve == [(0.0, 100.0), (0.5, 50.0), (1.0, 0.0)]
    assert {(c.target, c.method, c.task, c.source, c.seed) for c in made} == {("pt", "add", "summaries", "", 7)}
    records = of(Record, lines)
    assert [(r.weight, r.id, r.score) for r in records] == [
        (weight, f"test-{k}", score) for weight, score in ((1.0, 0.0), (0.0, 100.0)) for k in range(4)
    ]
    assert {(r.target, r.split, r.method, r.kind, r.task, r.source, r.seed) for r in records} == {
        ("pt", "test", "add", "target", "summaries", "", 7)
    }
    both = list(lines_about(told(lambda *_: 1.0), place, add, "sources"))
    assert [c.weight for c in of(Choice, both)] == [1.0, 1.0]
    assert len(of(Record, both)) == 4


@pytest.mark.parametrize("sources", [("en", "ru"), ("ru",)])
def test_the_best_source_says_which(sources: tuple[str, ...], naming: Labs, told: Any) -> None:
    """Of one source there is nothing to choose."""
    one = naming("table2", sources=sources)
    place = place_of(one, *PT)
    best = place.methods[0]
    lines = list(lines_about(told(lambda _, weights: 1.0 * ("headlines[ru]" in weights)), place, best, "oracle"))
    assert [c.weight for c in of(Choice, lines)] == (["ru"] if len(sources) > 1 else [])
    assert {(r.source, r.weight) for r in of(Record, lines)} == {("ru", "ru" if len(sources) > 1 else None)}


def test_where_there_are_no_test_labels_weights_are_chosen_and_nothing_is_tested(naming: Labs, told: Any) -> None:
    one = naming(**QUICK)
    has_labels = one.has_labels
    one.has_labels = lambda task, code, split: split != "test" and has_labels(task, code, split)  # type: ignore[method-assign]
    outputs = told(language_vector)
    lines = lines_of(one, outputs, "oracle")
    assert [type(line) for line in lines] == [Fixed, Choice, Choice, Choice]
    assert outputs.places == {("pt", "validation")}


def test_each_example_is_listed_once(naming: Labs, told: Any) -> None:
    tasks = ["summaries", {"task": "questions", "targets": ["fi"]}]
    one = naming("table1", **QUICK, tasks=tasks, seeds=(0, 1), controls=())
    lines = lines_of(one, told(lambda *_: 1.0), "oracle")
    examples = of(Example, lines)
    data = {"pt": one.labels("summaries", "pt", "test"), "fi": one.labels("questions", "fi", "test")}
    assert [(e.task, e.target, e.split, e.id) for e in examples] == [
        (task, code, "test", e.id)
        for task, code in (("summaries", "pt"), ("questions", "fi"))
        for e in data[code].examples
    ]
    assert [(e.input, (e.reference, *e.alternatives)) for e in examples] == [
        (e.article, e.references) for some in data.values() for e in some.examples
    ]
    assert len(of(Fixed, lines)) == 4
    assert len({(r.task, r.target, r.method, r.seed, r.weight, r.id) for r in of(Record, lines)}) == len(
        of(Record, lines)
    )


# ---------------------------------------------------------------- one weight


def test_the_weight_of_one_method(naming: Labs, told: Any, lab: Labs) -> None:
    one = naming(**QUICK, **TWO, choose_by="sources", targets=("pt", "uk"))
    made = choice(one, told(lambda _, weights: weights.get("news[en]", 0.0)), "add")
    assert (made.target, made.method, made.protocol, made.weight) == ("pt", "add", "sources", 0.0)
    assert list(one.notes) == []
    unguided = naming(**QUICK, choose_by="unlabelled")
    assert choice(unguided, told(), "uncoupled").protocol == "unlabelled"
    assert list(unguided.notes) == [choose.UNGUIDED.format("pt")]


@pytest.mark.parametrize(
    ("choose_by", "used"),
    [("oracle", "oracle"), ("auto", "oracle"), ("unlabelled", "unlabelled"), ("sources", "sources")],
)
def test_a_weight_from_vectors_of_the_store(
    choose_by: str, used: str, lab: Labs, copied: Callable[[Lab], Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = lab(**QUICK, **TWO)
    _ = place_of(first, *PT).methods  # the vectors get their names
    given = lab(**QUICK, **TWO, choose_by=choose_by, max_output=2, steps=9, place=copied(first))
    given.trains = False
    monkeypatch.setattr("lingarith.study.jobs.train", None)
    made = choice(given, Stored(given), "add")
    assert (made.target, made.method, made.protocol, made.task) == ("pt", "add", used, "summaries")
    assert [weight for weight, _ in made.curve] == [0.0, 0.5, 1.0]
    task = parse("0.5*(headlines[en] + headlines[ru])")
    assert parse(made.expression) == made.weight * task + (1 - made.weight) * parse("news[pt]")


@pytest.mark.parametrize(
    ("method", "keys", "sentence"),
    [
        ("ad", {}, r"no method with a weight is named 'ad'; did you mean add\?"),
        ("baseline", {}, "no method with a weight is named 'baseline'; known are: add, add_subtract, uncoupled"),
        ("add", {"choose_by": "sources"}, "so it needs two or more with labelled validation data"),
        ("add", {"targets": ("en",)}, "en is a target and a source"),
    ],
)
def test_a_weight_that_cannot_be_chosen(method: str, keys: dict[str, Any], sentence: str, lab: Labs, told: Any) -> None:
    with pytest.raises(LingarithError, match=sentence):
        choice(lab(**keys), told(), method)


# ---------------------------------------------------------------- plans


@pytest.fixture
def empty(lab: Labs, tmp_path: Path) -> Labs:
    """A lab on a store that nothing is in."""
    return lambda *table, **keys: lab(*table, place=Store(tmp_path / "store"), **keys)


def test_a_plan_names_what_is_needed_and_does_nothing(empty: Labs, idle: None) -> None:
    one = empty("table1", **QUICK, targets=("pt", "uk"), learning_rates=(0.1,))
    planned = plan(one)
    assert [*one.orders] == [
        "headlines[en]", "news[en]", "news[pt]", "headlines.rate0.1[en]", "news[uk]", "random[pt]", "random[uk]",
    ]  # fmt: skip
    assert planned.protocol == "oracle"
    # the task vector alone and its other rate; add, add_subtract, scaled, wrong, random at 0 and 0.5; uncoupled at 0.5
    written = 2 + 5 * 2 + 1
    kinds = [label.split()[0] for label in planned.counted.asked]
    assert {kind: kinds.count(kind) for kind in kinds} == {"validation": 2 * written, "test": 2 * (1 + 3 + 4)}
    assert set(planned.counted.lacking.values()) == {4}
    assert planned.counted.lacking == planned.counted.asked
    assert not one.store.folder.exists()


@pytest.mark.parametrize("protocol", ["oracle", "sources", "unlabelled"])
@pytest.mark.parametrize("search", ["grid", "halving", "loss"])
def test_every_protocol_can_be_planned(protocol: str, search: str, empty: Labs, idle: None) -> None:
    planned = plan(empty(**QUICK, **TWO, choose_by=protocol, search=search))
    assert planned.protocol == protocol
    assert {label.split()[0] for label in planned.counted.asked} == {"validation", "test"} | (
        {"unlabelled", "plain"} if protocol == "unlabelled" else set()
    )


def test_nothing_is_trained_that_no_answer_needs(empty: Labs, idle: None) -> None:
    """Where sources play the target, other methods would want multilingual vectors of the others, and their rates."""
    keys: dict[str, Any] = {"related": "uriel", "choose_by": "sources", "controls": ("rates", "scaled"), **QUICK}
    one = empty("table2", **keys, sources=("en", "ru", "ar"), learning_rates=(0.1,))
    plan(one)
    assert {*one.orders} == {
        *(f"headlines[{code}]" for code in ("en", "ru", "ar", "mul")), "headlines.rate0.1[mul]",
        *(f"news[{code}]" for code in ("en", "ru", "ar", "pt")),
    }  # fmt: skip


def test_vectors_alone_need_nothing_but_text(empty: Labs, idle: None) -> None:
    one = empty("vectors", targets=("pt", "en"), labels="nowhere/{language}/{split}.csv")
    planned = plan(one)
    assert ([*one.orders], planned.protocol, planned.counted.asked) == (["news[pt]", "news[en]"], "", {})


def test_only_related_sources_are_needed(empty: Labs, idle: None) -> None:
    one = empty(**QUICK, targets=("pt", "si"), sources=("ar", "ja", "te", "en"), related="uriel")
    plan(one)
    assert {name for name in one.orders if name.startswith("headlines")} == {
        "headlines[ar]", "headlines[en]", "headlines[te]",
    }  # fmt: skip
    assert {name for name in one.orders if name.startswith("news")} == {
        f"news[{code}]" for code in ("ar", "en", "pt", "si", "te")
    }


def test_notes_of_a_plan(empty: Labs, tmp_path: Path, idle: None) -> None:
    one = empty(**QUICK, choose_by="unlabelled", targets=("pt", "uk"))
    plan(one)
    assert list(one.notes) == [choose.UNGUIDED.format("pt"), choose.UNGUIDED.format("uk")]
    known = empty("table1", **QUICK)
    plan(known)
    assert list(known.notes) == ["pt is the only target, so there is no vector of a wrong language."]
    nothing = empty(**QUICK)
    plan(nothing)
    assert not nothing.notes


# ---------------------------------------------------------------- who a run is


@pytest.mark.parametrize(
    ("keys", "same"),
    [
        ({}, True),
        ({"seeds": (1,)}, False),
        ({"space": "delta"}, False),
        ({"prompt": "{text}"}, False),
        ({"test_limit": 3}, False),
        ({"betas": (0.4,)}, False),
        ({"max_output": 5}, False),
        ({"search": "halving"}, False),
        ({"targets": ("uk",)}, False),
    ],
)
def test_an_identity_is_that_of_all_that_results_depend_on(keys: dict[str, Any], same: bool, empty: Labs) -> None:
    assert (plan(empty(**QUICK | keys)).identity == plan(empty(**QUICK)).identity) == same


def test_an_identity_knows_how_much_is_read_in_writing(empty: Labs) -> None:
    """One key says it for training and writing, and what the newsroom begins with differs."""
    one = empty(**QUICK)
    other = empty(**QUICK)
    other.study = replace(one.study, writing=replace(one.study.writing, max_input=23))
    assert plan(one).identity != plan(other).identity


def test_an_identity_knows_the_text_that_is_judged_and_the_model_that_scores(
    empty: Labs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is trained on stays as it is."""
    keys: dict[str, Any] = {"text": f"{tmp_path}/{{language}}.txt", "characters": 12, **QUICK}
    for code in ("en", "pt"):
        (tmp_path / f"{code}.txt").write_text("".join(f"Texto {k:05}.\n" for k in range(20)))
    before = [plan(empty(**keys, choose_by=by)).identity for by in ("unlabelled", "oracle")]
    (tmp_path / "pt.txt").write_text("".join(f"Texto {2 * k:05}.\n" for k in range(20)))
    after = [plan(empty(**keys, choose_by=by)).identity for by in ("unlabelled", "oracle")]
    assert [one == other for one, other in zip(before, after, strict=True)] == [False, True]
    mine = plan(empty(**QUICK)).identity
    monkeypatch.setattr(Scoring, "said", lambda *_: "by pieces of another model")
    assert plan(empty(**QUICK)).identity != mine


def test_an_identity_does_not_depend_on_what_is_there_already(empty: Labs, lab: Labs, told: Any) -> None:
    before = plan(empty(**QUICK)).identity
    there = lab(**QUICK)
    there.task("summaries", 0, "en")
    there.vectors(["headlines[en]"])
    assert plan(lab(**QUICK)).identity == plan(there).identity == before


def test_fingerprints_of_the_data(lab: Labs) -> None:
    one = lab(targets=("pt", "xx"))
    test = one.labels("summaries", "pt", "test").fingerprint
    assert fingerprints(one, "test") == {"summaries/pt": test}
    assert fingerprints(one, "validation").keys() == {"summaries/pt"}
    assert fingerprints(lab("vectors"), "test") == {}


def test_a_dialect_or_another_script_is_a_language_of_its_own(empty: Labs, idle: None) -> None:
    for source, *targets in (("pt", "pt-BR", "pt-PT"), ("en", "en-GB")):
        one = empty("table1", **QUICK, sources=(source,), targets=targets)
        assert {place.target for place in places(one)} == {*targets}
        plan(one)
    with pytest.raises(LingarithError, match="the newsroom does not write 'zh-Hant'"):  # and that is all
        plan(empty("table1", **QUICK, sources=("zh-Hans",), targets=("zh-Hant",)))


# ---------------------------------------------------------------- what cannot be planned


@pytest.mark.parametrize(
    ("table", "keys", "sentence"),
    [
        ("table9", {}, "no table is named 'table9'; did you mean table"),
        ("adapd", {}, r"no table is named 'adapd'; did you mean adapt\?"),
        ("table1", {"targets": ("en",)}, "en is a target and a source; its own labels would make arithmetic needless"),
        ("table1", {"targets": ("pt", "eng")}, "eng is a target and en a source, and they are one language; its own"),
        ("table1", {"sources": ("en", "zh"), "targets": ("cmn_Hans",)}, "cmn_Hans is a target and zh a source, and"),
        ("adapt", {"targets": ("pt", "por_Latn")}, "pt and por_Latn in 'targets' are one language; name it once"),
        ("table6", {"sources": ("fa", "fas")}, "fa and fas in 'sources' are one language; name it once"),
        (
            "table6",
            {"sources": TWO["sources"]},
            "full fine-tuning has no factors and no rank, and sums are taken in 'f",
        ),
        (
            "table1",
            {"adapter": "full", "rank": None},
            "taken in 'factors'; set space=delta and no rank_out or merging$",
        ),
        (
            "table1",
            {"adapter": "full", "rank": None, "space": "delta", "rank_out": 2},
            "sums are taken in 'delta, rank 2'; set space=delta and no rank_out",
        ),
        ("adapt", {"adapter": "full", "rank": None, "space": "delta"}, "no adapter to hand over; choose lora or kron"),
        ("adapt", {"kronecker": (4, 2), "rank": None}, "with m = 4 and n = 2; choose m = n and space 'factors'"),
        ("adapt", {"space": "delta", "rank_out": 2, "kronecker_out": (4, 4)}, "PEFT holds one Kronecker product"),
        ("adapt", {"kronecker": (4, 4), "rank": None, "space": "delta"}, "PEFT holds one Kronecker product"),
        ("table1", {"targets": ("xx",)}, "the newsroom does not write 'xx'"),
        ("adapt", {"targets": ("xx",)}, "the newsroom does not write 'xx'"),
        ("table1", {"targets": ("../pt",)}, "'../pt' is no language code"),
        ("table1", {"labels": "newsrom"}, r"there is no source 'newsrom'; did you mean newsroom\?"),
        ("table1", {"labels": "a/b.jsonl"}, r"'labels' is 'a/b.jsonl', the same for every language; put \{language\}"),
        ("table1", {"labels": "a/{language}.csv"}, r"'labels' is 'a/\{language\}.csv', the same for every split"),
        (
            "table1",
            {"text": "a.txt"},
            r"'text' is 'a.txt', the same for every language; put \{language\} into the path",
        ),
        ("table1", {"choose_by": "sources"}, "protocol 'sources' lets each labelled source play the target"),
        (
            "table4",
            {"tasks": ("questions",), "choose_by": "unlabelled"},
            "'unlabelled' has no question to ask of plain t",
        ),
        ("table1", {"kronecker": (3, 2), "rank": None}, "m=3 does not divide the 16 inputs"),
        ("table1", {"characters": 0}, "limit_characters is 0; it must be at least 1"),
        (
            "table1",
            {"tasks": [{"task": "topics", "metric": "acuracy"}]},
            r"no metric 'acuracy'; did you mean accuracy\?",
        ),
        ("table1", {"tasks": [{"task": "summaries", "metric": "no_module:f"}]}, "'no_module:f' cannot be imported"),
    ],
)
def test_what_cannot_be_planned(table: str, keys: dict[str, Any], sentence: str, lab: Labs, idle: None) -> None:
    with pytest.raises(LingarithError, match=sentence):
        plan(lab(table, **keys))


def test_compositions_of_a_table_are_ready_before_data_are_read(lab: Labs) -> None:
    one = lab("table1", labels="nowhere/{language}/{split}.csv", controls=())
    assert all(isinstance(c, Combination) for method in place_of(one, *PT).methods for c in method.tried.values())
