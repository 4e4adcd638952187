import re
from dataclasses import replace

import pytest

from lingarith.report.verdict import composition, verdict
from lingarith.study.records import Run


@pytest.fixture(scope="module")
def sentences(run):
    return dict(line.split(": ", 1) for line in verdict(run).splitlines())


def test_helps(sentences):
    assert re.fullmatch(
        r"Add and Subtract \(λ = 0\.9\) scores \d\d\.\d ROUGE-2, [34]\.\d more than the task vector alone "
        r"\(95 % interval of the difference \d\.\d to \d\.\d, p < 0\.001 after Holm\): composition helps\. "
        r"Handed over: Add and Subtract \(λ = 0\.9\)\.",
        sentences["pt"],
    )


def test_no_difference(sentences):
    assert "no difference that 40 examples can show. Handed over: the task vector alone." in sentences["uk"]


def test_hurts_and_is_handed_over_all_the_same(sentences):
    assert "less than the task vector alone (95 % interval of the difference −" in sentences["fa"]
    assert sentences["fa"].endswith(
        "composition hurts. Handed over, as validation decided before the test: Uncoupled (β = 0.4)."
    )


def test_helps_though_the_baseline_was_handed_over(make_run):
    first = verdict(make_run(handed_over={"pt": "baseline"})).splitlines()[0]
    assert first.endswith("helps. Handed over, as validation decided before the test: the task vector alone.")


def test_nothing_to_evaluate_on(run):
    untested = replace(run, records=[])
    first = verdict(untested).splitlines()[0]
    assert first == (
        "pt: nothing to evaluate on: there are no labelled test examples. Handed over: Add and Subtract (λ = 0.9)."
    )


def test_nothing_to_compare_with(run):
    alone = replace(run, records=[r for r in run.records if r.equation == "baseline"])
    assert "Baseline scores" in verdict(alone)
    assert "nothing to compare it with" in verdict(alone)


def test_the_composition_is_chosen_on_validation_never_on_test(run):
    assert composition(run, "uk") == "add_subtract"  # the baseline is handed over: the best validation value
    flattered = replace(run, records=[replace(r, score=100.0) if r.equation == "add" else r for r in run.records])
    assert composition(flattered, "uk") == "add_subtract"
    assert composition(run, "fa") == "uncoupled"
    assert composition(Run({}), "pt") is None


def test_an_empty_run_says_nothing():
    assert verdict(Run({})) == ""
