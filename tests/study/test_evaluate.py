"""Expressions of vectors that are there: scored, held against each other, and put to use."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lingarith.algebra import parse
from lingarith.errors import LingarithError
from lingarith.scores.resample import bootstrap_difference, bootstrap_interval, paired_test
from lingarith.store.store import Store
from lingarith.study.evaluate import asked, evaluate, write
from lingarith.study.lab import Lab
from lingarith.study.outputs import Stored, Wanted, mean
from lingarith.study.study import Study
from lingarith.text.labelled import Asked
from lingarith.vectors.composition import compose

Labs = Callable[..., Lab]
Studies = Callable[..., Study]


@pytest.fixture
def there(lab: Labs, copied: Callable[[Lab], Store]) -> Labs:
    """``there(…)``: a lab that trains nothing, on a store with headlines[en] and news[pt]."""
    trained = lab()
    _ = trained.task("summaries", 0, "en"), trained.language(0, "pt")
    place = copied(trained)

    def make(**keys: Any) -> Lab:
        made = lab(place=place, **keys)
        made.trains = False
        return made

    return make


def test_an_expression_against_itself(there: Labs) -> None:
    sum_ = parse("0.5*headlines[en] + 0.5*news[pt]")
    found = evaluate(there(), sum_, "pt", "test", sum_)
    assert (found.expression, found.space, found.metric, found.examples) == (str(sum_), "factors", "ROUGE-2", 4)
    assert found.score == pytest.approx(sum(outcome.score for outcome in found.outcomes) / 4)
    assert found.interval[0] <= found.score <= found.interval[1]
    assert found.against
    assert (found.against.gain, found.against.interval, found.against.p) == (0.0, (0.0, 0.0), 1.0)
    assert sum(found.kinds.values()) == pytest.approx(1)


def test_an_expression_against_another(there: Labs) -> None:
    """Outputs are those of the store, where other commands find them."""
    one, (ours, alone) = there(), map(parse, ("0.5*headlines[en] + 0.5*news[pt]", "headlines[en]"))
    found = evaluate(one, ours, "pt", "test", alone)
    data = one.labels("summaries", "pt", "test")
    after, before = Stored(one).written(Wanted("summaries", data, [ours, alone]))
    scores, others = ([outcome.score for outcome in outcomes] for outcomes in (after, before))
    assert (found.outcomes, found.score, found.interval) == (after, mean(after), bootstrap_interval(scores))
    assert (found.language, found.split, found.task, found.scoring) == (
        "pt", "test", "summaries", one.scoring("summaries").said_of(data),
    )  # fmt: skip
    assert found.against
    assert (found.against.expression, found.against.score) == (str(alone), mean(before))
    assert found.against.gain == pytest.approx(mean(after) - mean(before))
    assert found.against.interval == bootstrap_difference(scores, others)
    assert found.against.p == paired_test(scores, others)
    assert write(one, ours, [example.input for example in data.examples]) == [o.output for o in after]


def test_figures_stand_beside_the_metric(there: Labs) -> None:
    found = evaluate(there(tasks=("questions",)), parse("headlines[en]"), "pt", "test")
    assert (found.metric, found.beside.keys(), found.against) == ("F1", {"Exact match"}, None)


def test_a_vector_that_is_not_there(there: Labs, idle: None) -> None:
    one, alone, unknown = there(), parse("headlines[en]"), parse("headline[en]")
    for expression, baseline in ((unknown, None), (alone, unknown)):
        with pytest.raises(LingarithError, match=r"no vector named .*; did you mean headlines\[en\]\?"):
            evaluate(one, expression, "pt", "test", baseline)


def test_what_a_vector_has_seen_is_known_from_the_store(there: Labs) -> None:
    """An output in English is a source's where the sum has seen English labels, by itself or in its parents."""
    one = there()
    mixed = one.store.get("headlines[en]")
    hashes = {"headlines[en]": one.store.resolve("headlines[en]")}
    one.store.put(compose(parse("2*headlines[en]"), {"headlines[en]": mixed}, "delta").vector("mixed", hashes))
    for name, labels in (("headlines[en]", ("en",)), ("news[pt]", ()), ("mixed", ("en",))):
        one.stored(name)
        assert one.orders[name].labels == labels


def test_the_bare_backbone_and_a_vector_write(there: Labs) -> None:
    inputs = ["summarize: Choveu no norte.", "summarize: A ponte abriu."]
    assert len(write(there(), parse("news[pt]"), inputs)) == 2
    assert len(write(there(), parse("0"), inputs)) == 2
    with pytest.raises(LingarithError, match="rank 5 is too high"):
        write(there(space="delta", rank_out=5), parse("news[pt]"), inputs)


def test_what_the_model_reads(lab: Labs, tmp_path: Path) -> None:
    assert asked(lab(), "", ["Olá."]) == [("Olá.", Asked("summarize: Olá.", ((11, 15),)))]
    named = lab(prompt="{language_name}: {text}")
    assert asked(named, "yo", ["Olá."]) == [("Olá.", Asked("Yoruba: Olá.", ((8, 12),)))]
    with pytest.raises(LingarithError, match="say by --lang"):
        asked(named, "", ["Olá."])
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps({"question": "Quem?", "passage": "A Ana."}))
    questions = lab(tasks="questions", fields="context=passage")
    [(article, read)] = asked(questions, "", [], file)
    assert (article, read) == ("A Ana.", Asked("question: Quem? context: A Ana.", ((10, 15), (25, 31))))
    with pytest.raises(LingarithError, match="reads question and context; give a --file"):
        asked(questions, "", ["A Ana."])
    with pytest.raises(LingarithError, match="one task at a time"):
        asked(lab(tasks=["summaries", "topics"]), "", ["Olá."])
    with pytest.raises(LingarithError, match="there is no article"):
        asked(lab(), "", [])
