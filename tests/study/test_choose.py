"""Which weight is chosen, on whose data, and what is noted: known answers from outputs that are known beforehand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import exp
from pathlib import Path
from typing import Any

import pytest

from lingarith.algebra import Combination, vector
from lingarith.errors import LingarithError
from lingarith.study import choose
from lingarith.study.choose import Pick, chosen, notes_on, protocol_of, protocols
from lingarith.study.lab import Lab
from lingarith.study.place import Method
from lingarith.study.recipes import place_of
from lingarith.study.weights import NOT_CHOSEN
from lingarith.text.labelled import Labelled

Labs = Callable[..., Lab]
BOTH = {"sources": ("en", "ru")}


def pick(lab: Lab, outputs: Any, name: str, target: str = "pt", protocol: str = "oracle", source: str = "") -> Pick:
    """The weight of a method, from all the sources of the target."""
    place = place_of(lab, next(iter(lab.study.tasks)), target, 0)
    [method] = [one for one in place.methods if (one.name, one.source) == (name, source)]
    return chosen(outputs, place, method, protocol)


def language_vector(data: Labelled, weights: Mapping[str, float]) -> float:
    """100 for each whole of the target's vector: the lower λ, the better."""
    return 100 * weights.get("news[pt]", 0.0)


# ---------------------------------------------------------------- oracle


def test_the_oracle_averages_validation_scores_of_the_target(lab: Labs, told: Any) -> None:
    outputs = told(language_vector)
    made = pick(lab(space="delta"), outputs, "add")
    assert made == Pick(0.0, 100.0, [(k / 10, pytest.approx(100 - 10 * k)) for k in range(11)])
    assert outputs.places == {("pt", "validation")}
    assert [len(wanted.examples.examples) for wanted in outputs.asked] == [4]


def test_the_best_source_is_chosen_on_validation_data_and_marked_where_on_test(lab: Labs, told: Any) -> None:
    table = lab("table2", sources=("en", "ru", "ar"))
    for name, by, split, best in (("best", "oracle", "validation", "ru"), ("best_on_test", "test", "test", "ar")):
        outputs = told(lambda data, weights: {"validation": "ru", "test": "ar"}[data.split] in str(weights) and 1.0)
        made = pick(table, outputs, name, protocol=by)
        assert (made.weight, [weight for weight, _ in made.curve]) == (best, ["en", "ru", "ar"])
        assert outputs.places == {("pt", split)}


# ---------------------------------------------------------------- sources


def test_sources_let_each_source_play_the_target(lab: Labs, told: Any) -> None:
    """On en the played target's vector news[en] scores, on ru news[ru] does twice as much: the mean is 1.5 as much.

    No label of the target is touched.
    """
    outputs = told(lambda _, weights: 10 * weights.get("news[en]", 0.0) + 20 * weights.get("news[ru]", 0.0))
    made = pick(lab(space="delta", **BOTH), outputs, "add", protocol="sources")
    assert made.curve == [(k / 10, pytest.approx(1.5 * (10 - k))) for k in range(11)]
    assert outputs.places == {("en", "validation"), ("ru", "validation")}
    needed = {
        wanted.data.language: {name for one in wanted.compositions for name in one.names} for wanted in outputs.asked
    }
    assert needed == {"en": {"headlines[ru]", "news[en]"}, "ru": {"headlines[en]", "news[ru]"}}


def test_a_method_from_one_source_is_played_from_that_source(lab: Labs, told: Any) -> None:
    outputs = told(lambda *_: 1.0)
    pick(lab("figure2", weights=(0.5,), **BOTH), outputs, "add_subtract", protocol="sources", source="en")
    assert outputs.places == {("ru", "validation")}


def test_what_is_not_there_for_a_source_cannot_be_played(lab: Labs, told: Any) -> None:
    """With each of two sources held out there is no source for ``subtract_other``, which takes two."""
    keys = lab("subtraction", **BOTH, weights=(0.5,))
    with pytest.raises(LingarithError, match=r"cannot choose for 'Subtract another': .* choose protocol oracle"):
        pick(keys, told(lambda *_: 1.0), "subtract_other", protocol="sources", source="en")


# ---------------------------------------------------------------- halving


def test_a_race_tries_some_on_few_examples_and_few_on_more(lab: Labs, told: Any) -> None:
    """The score rises with the language's weight, so the race ends at λ = 0, held against λ = 1."""
    outputs = told(language_vector)
    made = pick(lab(space="delta", search="halving", validation_limit=64), outputs, "add")
    assert [weight for weight, _ in made.curve] == [0.0, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0]
    assert (made.weight, made.value) == (0.0, pytest.approx(100.0))
    assert made.seen[0] == made.seen[-1] == max(made.seen)
    assert min(made.seen) == 6
    assert [wanted.first for wanted in outputs.asked] == sorted(wanted.first for wanted in outputs.asked)
    assert outputs.places == {("pt", "validation")}


def test_a_race_over_sources_counts_each_alike(lab: Labs, told: Any) -> None:
    outputs = told(lambda _, weights: 10 * weights.get("news[en]", 0.0) + 20 * weights.get("news[ru]", 0.0))
    race = lab(space="delta", search="halving", validation_limit=2, **BOTH)
    made = pick(race, outputs, "add", protocol="sources")
    assert (made.curve[0], made.seen[0]) == ((0.0, pytest.approx(15.0)), 4)  # two of each, which is all
    english = race.labels("summaries", "en", "validation")
    race._labelled["summaries", "en", "validation"] = replace(english, examples=english.examples[:1])
    made = pick(race, outputs, "add", protocol="sources")
    assert (made.curve[0], made.seen[0]) == ((0.0, pytest.approx(15.0)), 3)


def test_what_has_no_task_vector_alone_is_not_raced(lab: Labs, told: Any) -> None:
    race = lab("table2", search="halving", **BOTH)
    made = pick(race, told(lambda _, weights: 1.0 * ("headlines[ru]" in weights)), "best")
    assert (made.weight, made.seen) == ("ru", [])


# ---------------------------------------------------------------- loss


def test_by_loss_references_are_read_and_nothing_is_written(lab: Labs, told: Any) -> None:
    outputs = told(language_vector)
    made = pick(lab(space="delta", search="loss"), outputs, "add")
    assert made == Pick(0.0, 100.0, [(k / 10, pytest.approx(100 - 10 * k)) for k in range(11)])
    assert {wanted.task for wanted in outputs.asked} == {"summaries:likelihood"}
    one = lab(space="delta", search="loss")
    assert one.scoring("summaries:likelihood").metric.predicted
    assert one.scoring("summaries").metric.name == "ROUGE-2"


def test_what_is_chosen_on_test_is_chosen_by_outputs(lab: Labs, told: Any) -> None:
    table, outputs = lab("table2", sources=("en", "ru"), search="loss"), told(lambda *_: 1.0)
    for protocol in ("oracle", "test"):
        pick(table, outputs, "best", protocol=protocol)
    assert [(wanted.task, wanted.data.split) for wanted in outputs.asked] == [
        ("summaries:likelihood", "validation"), ("summaries", "test"),
    ]  # fmt: skip


# ---------------------------------------------------------------- unlabelled


def test_unlabelled_is_the_likelihood_of_text_where_the_task_is_kept(lab: Labs, told: Any) -> None:
    """Of the task 10 % are lost at λ = 0.9, and all of it at 0."""
    outputs = told(text="Choveu.", bits=lambda w: 4 - 3 * w.get("headlines[en]", 0.0), loss=lambda w: w.get("x", 2.0))
    one = lab(space="delta")
    made = pick(one, outputs, "add", protocol="unlabelled")
    assert made.weight == 1.0
    assert made.curve == [
        *((k / 10, pytest.approx(10 * k - 100)) for k in range(10)),
        (1.0, pytest.approx(100 * exp(-2), abs=1e-4)),
    ]
    wrote, read = outputs.asked
    assert [example.article for example in wrote.data.examples] == list(outputs.read[0].documents)
    assert {example.target for example in read.data.examples} == {"Choveu."}
    assert (read.task, read.compositions[:2]) == ("summaries:likelihood", [vector("headlines[en]"), Combination()])
    assert read.data.fingerprint != wrote.data.fingerprint
    assert not {*one.plain("pt").documents} & {*outputs.read[0].documents}  # on which no vector was trained
    assert notes_on(one, "pt", "unlabelled", chosen=True) == [choose.UNGUIDED.format("pt")]


def test_unlabelled_goes_as_near_to_the_language_as_the_task_allows(lab: Labs, told: Any) -> None:
    def bits(weights: Mapping[str, float]) -> float:
        return 4 - 3 * weights.get("headlines[en]", 0.0) + 0.11 * weights.get("news[pt]", 0.0)

    made = pick(
        lab(space="delta"),
        told(text="Choveu.", bits=bits, loss=lambda weights: 2 - weights.get("news[pt]", 0.0)),
        "uncoupled",
        protocol="unlabelled",
    )
    assert (made.weight, made.value) == (0.5, pytest.approx(100 * exp(-1.5), abs=1e-4))
    assert dict(made.curve)[1.0] == pytest.approx(-100 * 0.11 / 3, abs=1e-4)


def test_what_is_lost_counts_by_the_letter(lab: Labs, told: Any) -> None:
    """Of what is written one output is a digit, in which T finds 100 bits a byte more than the bare backbone does."""

    outputs = told(
        text="Choveu em Braga.",
        bits=lambda w: 4 - 3 * w.get("headlines[en]", 0.0),
        loss=lambda w: w.get("headlines[en]", 0.0),
    )
    usual = outputs.written

    def written(wanted: Any) -> Any:
        outcomes = usual(wanted)
        if not wanted.task.endswith(":likelihood"):
            outcomes[0][0] = replace(outcomes[0][0], output="5")
            return outcomes
        for row, one in zip(outcomes, wanted.compositions, strict=True):
            row[0] = replace(row[0], output=str(100.0 * one.weights.get("headlines[en]", 0.0)))
        return outcomes

    outputs.written = written
    assert pick(lab(space="delta"), outputs, "add", protocol="unlabelled").weight == 1.0


def test_where_the_task_vector_writes_nothing_it_is_left(lab: Labs, told: Any) -> None:
    made = pick(lab(weights=(0.5,)), told(loss=lambda w: 1.0 if "news[pt]" in w else 2.0), "add", protocol="unlabelled")
    assert made == Pick(1.0, 0.0, [(0.5, 0.0), (1.0, 0.0)])


def test_text_that_vectors_were_trained_on_is_judged_where_there_is_no_other(
    lab: Labs, told: Any, tmp_path: Path
) -> None:
    for code, line in (("en", "It rained for a week.\n"), ("pt", "Choveu durante uma semana.\n")):
        (tmp_path / f"{code}.txt").write_text(line)
    outputs, own = told(), lab(text=f"{tmp_path}/{{language}}.txt", weights=(0.5,))
    pick(own, outputs, "add", protocol="unlabelled")
    assert list(outputs.read[0].documents) == ["Choveu durante uma semana."]
    assert notes_on(own, "pt", "unlabelled", chosen=True) == [
        choose.UNGUIDED.format("pt"),
        choose.PROBED_ON_TRAINED.format("pt"),
    ]


def test_so_many_documents_are_articles(lab: Labs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Evenly spread, each as it is, under the task's prompt."""
    monkeypatch.setattr(choose, "PROBE", 3)
    one = lab()
    text = replace(one.plain("pt"), documents=[f"Texto {k}." for k in range(7)])
    probes = choose.probe_articles(text, one.study.tasks["summaries"])
    assert [e.article for e in probes.examples] == ["Texto 0.", "Texto 2.", "Texto 4."]
    assert (probes.examples[0].input, probes.examples[0].target) == ("summarize: Texto 0.", "")
    assert (probes.language, probes.split) == ("pt", "unlabelled")


def test_articles_under_another_prompt_are_other_data(lab: Labs) -> None:
    """At λ = 0 no task vector stands in the sum, so nothing but the data tells two prompts apart."""
    one, other = lab(), lab(prompt="tl;dr: {text}")
    probes = [choose.probe_articles(each.plain("pt"), each.study.tasks["summaries"]) for each in (one, other)]
    assert [probe.examples[0].input.partition(": ")[0] for probe in probes] == ["summarize", "tl;dr"]
    assert probes[0].fingerprint != probes[1].fingerprint


# ---------------------------------------------------------------- which protocol


@pytest.mark.parametrize(
    ("keys", "labelled", "expected"),
    [
        ({}, {"pt"}, "oracle"),
        (BOTH, {"pt", "en", "ru"}, "oracle"),
        (BOTH, {"en", "ru"}, "sources"),
        (BOTH, {"en"}, NOT_CHOSEN),
        ({}, {"en"}, NOT_CHOSEN),
        ({"targets": ("pt", "uk")}, {"pt", "en"}, NOT_CHOSEN),
        ({"targets": ("pt", "uk"), **BOTH}, {"pt", "en", "ru"}, "sources"),  # one for all targets
        ({"sources": ("en", "ja"), "targets": ("si",), "related": "uriel"}, {"en", "ja"}, NOT_CHOSEN),  # one is near
        ({"choose_by": "sources", **BOTH}, {"pt", "en", "ru"}, "sources"),
        ({"choose_by": "unlabelled"}, {"pt"}, "unlabelled"),
    ],
)
def test_the_first_protocol_that_labels_allow(
    keys: dict[str, Any], labelled: set[str], expected: str, lab: Labs
) -> None:
    assert protocol_of(having(labelled, lab(**keys))) == expected


def having(validation: set[str], lab: Lab) -> Lab:
    """The lab where these languages alone have validation data."""
    lab.has_labels = lambda task, code, split: split != "validation" or code in validation  # type: ignore[method-assign]
    return lab


@pytest.mark.parametrize(
    ("table", "keys", "labelled", "sentence"),
    [
        (
            "adapt",
            {"choose_by": "oracle", "targets": ("pt", "uk")},
            {"pt"},
            "needs labelled validation data of uk; choose 'unl",
        ),
        (
            "adapt",
            {"choose_by": "sources"},
            {"en", "pt"},
            "lets each labelled source play the target, so it needs two or more",
        ),
        (
            "adapt",
            {"choose_by": "sources", **BOTH},
            {"en"},
            "two or more with labelled validation data; add a source or choose",
        ),
        ("methods", {"choose_by": "unlabelled"}, {"en"}, "'keepnorm' is judged by labels; choose protocol oracle or"),
        ("adapt", {"choose_by": "unlabelled", "tasks": ("questions",)}, {"en"}, "has no question to ask of plain text"),
    ],
)
def test_a_protocol_that_the_data_do_not_allow(
    table: str, keys: dict[str, Any], labelled: set[str], sentence: str, lab: Labs
) -> None:
    with pytest.raises(LingarithError, match=sentence):
        protocol_of(having(labelled, lab(table, **keys)))


def test_the_oracle_stands_beside_the_protocol_where_there_are_labels(lab: Labs) -> None:
    one = lab(**BOTH)
    place, method = place_of(one, "summaries", "pt", 0), Method("add", {0.5: vector("a"), 1.0: vector("b")})
    assert protocols(place, method, "sources") == ["sources", "oracle"]
    assert protocols(place, method, "oracle") == ["oracle"]
    assert protocols(place, replace(method, by="test"), "sources") == ["test"]
    assert protocols(place, method, NOT_CHOSEN) == ["oracle"]
    having({"en"}, one)
    assert protocols(place, method, "unlabelled") == ["unlabelled"]
    assert protocols(place, method, NOT_CHOSEN) == []


# ---------------------------------------------------------------- notes


def test_notes_say_what_a_weight_rests_on(lab: Labs) -> None:
    one = lab(targets=("pt", "ceb"))
    assert notes_on(one, "pt", "oracle", chosen=True) == notes_on(one, "pt", "sources", chosen=True) == []
    assert notes_on(one, "pt", NOT_CHOSEN, chosen=True) == [choose.NO_GROUNDS.format("pt")]
    assert len(notes_on(one, "pt", "unlabelled", chosen=True)) == 1
    (unknown,) = notes_on(one, "ceb", "oracle", chosen=True)
    assert unknown.startswith("ceb: py3langid")
    assert len(notes_on(one, "ceb", "unlabelled", chosen=True)) == 3


def test_labels_need_no_language_that_can_be_told(lab: Labs) -> None:
    assert notes_on(lab(tasks=("topics",), targets=("ceb",)), "ceb", "oracle", chosen=True) == []
