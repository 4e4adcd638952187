"""The verdict in words: target by target where adapters were handed over, else method by method, or in pairs."""

import re
from dataclasses import replace

import pytest

from lingarith.report.findings import findings, spoken_of
from lingarith.study.records import METHODS, About, Choice, Record, Run

TASK = "summaries"


def by_target(run):
    return {finding.target: finding for finding in findings(run, draws=1000).verdict}


@pytest.fixture(scope="module")
def found(run):
    return by_target(run)


def test_helps(found):
    assert found["pt"].outcome == "helps"
    assert re.fullmatch(
        r"pt: Add and Subtract \(λ = 0\.9\) scores \d\d\.\d ROUGE-2, [34]\.\d more than the task vector alone "
        r"\(95 % interval of the difference \d\.\d to \d\.\d, p = 0\.00\d after Holm\): composition helps\. "
        r"Handed over: Add and Subtract \(λ = 0\.9\)\.",
        found["pt"].text,
    )


def test_no_difference(found):
    assert found["uk"].text.endswith("no difference that 40 examples can show. Handed over: the task vector alone.")


def test_hurts_and_is_handed_over_all_the_same(found):
    assert "less than the task vector alone (95 % interval of the difference −" in found["fa"].text
    assert found["fa"].text.endswith(
        "composition hurts. Handed over, as validation decided before the test: Uncoupled (β = 0.4)."
    )


def test_helps_though_the_baseline_was_handed_over(make_run):
    text = by_target(make_run(handed_over={"pt": "baseline"}))["pt"].text
    assert text.endswith("helps. Handed over, as validation decided before the test: the task vector alone.")


def test_nothing_to_evaluate_on(run):
    finding = by_target(replace(run, records=[]))["pt"]
    assert finding.outcome == "nothing to evaluate on"
    assert finding.text == (
        "pt: nothing to evaluate on: there are no labelled test examples. Handed over: Add and Subtract (λ = 0.9)."
    )


def test_nothing_to_compare_with(run):
    alone = by_target(replace(run, records=[r for r in run.records if r.method == "baseline"]))["pt"].text
    assert re.match(
        r"pt: Baseline scores \d\d\.\d ROUGE-2 \(95 % interval .*\); there is nothing to compare it with\.", alone
    )


def test_the_method_is_chosen_on_validation_never_on_test(run):
    assert spoken_of(run, TASK, "uk") == "add_subtract"  # the baseline is handed over: the best validation value
    flattered = replace(run, records=[replace(r, score=100.0) if r.method == "add" else r for r in run.records])
    assert spoken_of(flattered, TASK, "uk") == "add_subtract"
    assert spoken_of(run, TASK, "fa") == "uncoupled"
    assert spoken_of(replace(run, choices=[]), TASK, "uk") is None


def test_the_metric_is_the_runs_own(make_run):
    text = by_target(make_run(n=5, tasks={TASK: "chrF"}))["pt"].text
    assert "chrF" in text
    assert "ROUGE" not in text


# ---------------------------------------------------------------- studies

UP, FLAT = [float(10 + k % 2) for k in range(20)], [float(5 + k % 2) for k in range(20)]


def study(*lines, **about):
    """Records of (method, target, scores); all weights are 0.9."""
    records = [
        Record(t, "test", m, None if m == "baseline" else 0.9, str(k), "…", v, "target", TASK)
        for m, t, values in lines
        for k, v in enumerate(values)
    ]
    choices = [Choice(t, m, "oracle", 0.9, 1.0, "x", [], TASK) for m, t, _ in lines if m != "baseline"]
    methods = {m: METHODS[m].full for m, _, _ in lines}
    usual = {"tasks": {TASK: "ROUGE-2"}, "targets": ["pt", "uk"], "methods": methods, "protocol": "oracle"}
    return Run(
        About("3f", "A study", "", **usual | {"tried": ["add"], "against": ["scaled"]} | about), [], records, choices
    )


def test_the_verdict_of_a_study():
    lines = [(m, t, values) for t in ("pt", "uk") for m, values in (("baseline", FLAT), ("add", UP), ("scaled", FLAT))]
    [finding] = findings(study(*lines), draws=1000).verdict
    assert finding.outcome == "helps"
    assert finding.text == (
        "Add: +5.0 (+5.0 to +5.0, p < 0.001) ROUGE-2 over Baseline, and +5.0 (+5.0 to +5.0, p < 0.001) over the "
        "strongest control (λ · task alone): it helps, and more than the control does. "
        "After Holm's correction it is better in pt, uk."
    )


@pytest.mark.parametrize(
    ("ours", "control", "outcome", "sentence"),
    [
        (FLAT, FLAT, "no difference", "no difference that these examples can show"),
        (UP, UP, "helps, not above a control", "it helps, and the control may do as well"),
        ([5 + v for v in FLAT], [6 + v for v in FLAT], "helps, not above a control", "and less than the control does"),
        ([v - 2 for v in FLAT], FLAT, "hurts", "it hurts. After Holm's correction it is worse in pt."),
    ],
)
def test_conclusions(ours, control, outcome, sentence):
    [finding] = findings(
        study(("baseline", "pt", FLAT), ("add", "pt", ours), ("scaled", "pt", control)), draws=1000
    ).verdict
    assert finding.outcome == outcome
    assert sentence in finding.text


def test_of_several_tasks_each_is_named():
    one = study(("baseline", "pt", FLAT), ("add", "pt", UP))
    two = [[replace(line, task="questions") for line in lines] for lines in (one.records, one.choices)]
    about = replace(one.about, tasks=one.about.tasks | {"questions": "F1"}, against=[])
    both = Run(about, [], one.records + two[0], one.choices + two[1])
    first, second = findings(both, draws=100).sentences
    assert first.startswith("Add, summaries: +5.0 (+5.0 to +5.0, p = 0.0099) ROUGE-2 over Baseline: it helps.")
    assert second.startswith("Add, questions: +5.0 (+5.0 to +5.0, p = 0.0099) F1 over Baseline: it helps.")


def test_pairs_are_counted():
    one = study(("baseline", "pt", FLAT), ("add", "pt", [v + 5 for v in FLAT]), ("scaled", "pt", FLAT))
    records = [replace(r, source="en") for r in one.records]
    records += [replace(r, source="ru", score=r.score - (6 if r.method == "add" else 0)) for r in one.records]
    choices = [replace(c, source=source) for c in one.choices for source in ("en", "ru")]
    about = replace(one.about, by_source=True, sources=["en", "ru"])
    assert findings(Run(about, [], records, choices), draws=1000).sentences == [
        "Add: significantly better than the task vector alone in 1 of 2 pairs, worse in 1; "
        "+2.0 points on average (from 5.5).",
        "Control: λ · task alone: significantly better than the task vector alone in 0 of 2 pairs, worse in 0; "
        "0.0 points on average (from 5.5).",
    ]
