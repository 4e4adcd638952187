"""Examples side by side: which are shown, and in which language outputs are."""

from dataclasses import replace

import pytest

from lingarith.report.examples import detected, direction, examples
from lingarith.study.records import About, Example, Record, Run

TASK = "summaries"


def test_examples_go_from_the_largest_gain_to_the_largest_loss():
    articles = [Example("pt", "test", str(i), "a", "r", task=TASK) for i in range(7)]
    records = [
        Record("pt", "test", method, None, str(i), "o", score, "source", TASK)
        for i, gain in enumerate([0, 5, -7, 1, 9, -2, 3])
        for method, score in (("baseline", 50.0), ("add", 50.0 + gain))
    ]
    about = About("3f", "", "adapt", tasks={TASK: "F1"}, targets=["pt"], sources=["en"], handed_over={"pt": "add"})
    run = Run(about, articles, records)
    shown = examples(run, "pt")
    assert [item.outputs[1].score - item.outputs[0].score for item in shown] == [9, 3, 0, -7]
    assert {output.language for item in shown for output in item.outputs} == {"en"}
    assert [item.example.id for item in examples(replace(run, records=records[:2]), "pt")] == ["0"]
    assert [item.example.id for item in examples(run, "pt", 1)] == ["4"]
    assert examples(run, "uk") == []


def test_a_study_shows_what_it_tries_of_its_first_seed_and_source(make_study):
    [shown] = examples(make_study((0, 1)), "pt", 1)
    assert [output.label for output in shown.outputs] == ["Baseline", "Add (λ = 0.9)", "Add and Subtract (λ = 0.9)"]
    assert shown.outputs[0].score < 30  # seed 1 has one more
    [shown] = examples(make_study(by_source=True), "pt", 1)
    assert [output.label for output in shown.outputs] == ["Baseline", "Add and Subtract (λ = 0.9)"]


@pytest.mark.parametrize(("target", "expected"), [("pt", "ltr"), ("fa", "rtl")])
def test_outputs_say_in_which_language_they_are(target, expected, make_study):
    baseline, *composed = examples(make_study(), target)[0].outputs
    assert (baseline.language, direction(baseline.language)) == ("en", "ltr")
    assert {(output.language, direction(output.language)) for output in composed} == {(target, expected)}


def test_a_translation_is_in_the_language_that_the_task_writes_and_a_label_in_none(make_study):
    run = make_study(writes={TASK: "en"})
    right = Record("fa", "test", "add", 0.9, "a", "A quake in Shiraz", 1.0, "target", TASK)
    assert detected(run, right) == "en"
    assert detected(run, replace(right, kind="copied")) == "fa"
    assert detected(run, replace(right, kind="other")) == "en"
    assert detected(run, replace(right, kind="", output="sports")) == ""
