"""What to train next: from facts whose right order is known by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lingarith.errors import LingarithError
from lingarith.plain import toml_table
from lingarith.report.plan import (
    Cost,
    Evidence,
    Fact,
    as_json,
    evidence_of,
    labels_instead,
    shipped,
    steps_of,
    stop,
    study_file,
)
from lingarith.study.study import read_study

COSTS = [Cost("t", "task", 200, 3600.0), Cost("t", "language", 100, 1800.0), Cost("t", "task", 200, 7200.0)]


def fact(target: str, method: str, gain: float, base: float = 40.0) -> Fact:
    return Fact("t", "summaries", "ROUGE-2", target, method, base, gain)


def told(**gains: float) -> Evidence:
    """For three targets: each method's gain, the same everywhere but for a little."""
    facts = [
        fact(target, method.replace("__", "+:").replace("_of_", ":"), gain + little)
        for method, gain in gains.items()
        for target, little in (("pt", 0.1), ("uk", 0.0), ("fa", -0.1))
    ]
    return Evidence(facts, COSTS)


def test_the_most_gain_for_an_hour_comes_first() -> None:
    evidence = told(scaled=1.0, add=3.0, add_subtract=3.5, nearest_of_2=8.0)
    task, more, language = steps_of(evidence, ["yo"], ["en", "ru"], "summaries", 10)
    assert (task.vectors, task.hours) == (("task[en]",), 1.5)  # the median of what task vectors took
    assert (more.vectors, more.hours, round(more.gain, 6)) == (("task[ru]",), 1.5, 8.0)
    assert language.vectors == ("language[yo]", "language[en]")
    assert (language.hours, round(language.gain, 6)) == (1.0, 2.5)  # beyond scaling, which is free
    assert language.evidence == "3 targets, t"


def test_a_vector_is_paid_once_and_more_sources_count_beyond_fewer() -> None:
    evidence = told(nearest_of_2=8.0, nearest_of_4=9.0)
    steps = steps_of(evidence, ["yo", "so"], ["en", "ru", "ja", "ko"], "summaries", 100)
    assert sum(step.hours for step in steps) == 1.5 * len({v for step in steps for v in step.vectors})
    assert sorted((step.method, round(step.gain, 6)) for step in steps[1:]) == [
        ("nearest:2", 8.0), ("nearest:2", 8.0), ("nearest:4", 1.0), ("nearest:4", 1.0),
    ]  # fmt: skip


def test_a_target_of_the_records_counts_by_itself() -> None:
    _, step = steps_of(told(scaled=0.0, add=2.0), ["pt"], ["en"], "summaries", 10)
    assert step.itself is not None
    assert round(step.itself, 6) == 2.0  # 2.1 − 0.1 of scaling there
    assert step.evidence == "3 targets, t"
    [_, other] = steps_of(told(scaled=0.0, add=2.0), ["yo"], ["en"], "summaries", 10)
    assert (other.gain, other.low, other.high, other.itself) == (step.gain, step.low, step.high, None)


@given(gains=st.lists(st.floats(-20, 20), min_size=1, max_size=6))
def test_the_gain_lies_in_its_interval_and_what_a_target_lost_itself_is_not_worth_it(gains: list[float]) -> None:
    targets = ["pt", "uk", "fa", "yo", "so", "si"][: len(gains)]
    evidence = Evidence([fact(target, "add", gain) for target, gain in zip(targets, gains, strict=True)], COSTS)
    for target, gain in zip(targets, gains, strict=True):
        _, step = steps_of(evidence, [target], ["en"], "summaries", 10)
        assert step.low - 1e-9 <= step.gain <= step.high + 1e-9
        assert step.gain == pytest.approx(sum(gains) / len(gains))
        assert (step.itself, step.expected) == (gain, gain)
        assert step.worth == (step.low > 0 and gain > 0)


def test_what_a_control_does_as_well_is_not_worth_training() -> None:
    evidence = told(scaled=3.0, add=3.0, add_subtract=2.0)
    steps = steps_of(evidence, ["yo"], ["en"], "summaries", 10)
    assert [step.worth for step in steps] == [True, False]
    assert stop(steps, 1.5, 10).startswith("Stop after the task vector")


def test_the_budget_ends_the_plan() -> None:
    steps = steps_of(told(scaled=0.0, add=2.0), ["yo", "so"], ["en"], "summaries", 2.1)
    assert [step.worth for step in steps] == [True, True, False]
    assert "beyond the budget" in steps[-1].evidence
    assert "the budget ends there" in stop(steps, 2.0, 2.1)


def test_few_labels_that_bring_more_are_said() -> None:
    evidence = told(scaled=0.0, add=2.0)
    steps = steps_of(evidence, ["yo"], ["en"], "summaries", 10)
    assert "no method with few labels" in labels_instead(evidence, "summaries", steps)
    some = Evidence([*evidence.facts, *(fact(t, "few:16", 9.0) for t in ("pt", "uk", "fa"))], COSTS)
    assert "16 labels of a target" in labels_instead(some, "summaries", steps)
    some = Evidence([*evidence.facts, *(fact(t, "few:16", 1.0) for t in ("pt", "uk", "fa"))], COSTS)
    assert "none brought more" in labels_instead(some, "summaries", steps)


def test_a_task_without_records_is_refused() -> None:
    with pytest.raises(LingarithError, match="know no gain or cost of 'topics'"):
        steps_of(told(add=2.0), ["yo"], ["en"], "topics", 1)


def test_the_study_file_is_one_that_run_takes(tmp_path: Path) -> None:
    for gain, weights in ((2.0, None), (-2.0, [1.0])):
        steps = steps_of(told(scaled=0.0, add=gain), ["yo"], ["en"], "summaries", 10)
        path = tmp_path / "next.toml"
        path.write_text(text := study_file(steps, ["yo"], "summaries"), encoding="utf-8")
        assert toml_table(text)["newsroom"].get("weights") == weights
        study = read_study(str(path))
        assert (study.table, study.languages.sources, study.languages.targets) == ("adapt", ("en",), ("yo",))


def test_evidence_is_written_and_read_again(make_study) -> None:  # type: ignore[no-untyped-def]
    found = evidence_of({"one": make_study()})
    assert {fact.method for fact in found.facts} >= {"add"}
    assert as_json(found).count("\n") >= len(found.facts)
    assert shipped().facts
    assert shipped().costs
