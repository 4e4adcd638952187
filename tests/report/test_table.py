import json
from dataclasses import replace
from statistics import fmean

import numpy as np
import pytest
from rich.console import Console

from lingarith.report.table import AVERAGE, as_json, as_markdown, as_text, rows
from lingarith.study.records import Choice, Record, Run


@pytest.fixture(scope="module")
def of(run):
    return rows(run, draws=1000)


def find(of, target, equation):
    return next(row for row in of if (row.target, row.equation) == (target, equation))


def by_hand():
    """Two languages of 4 and 2 examples; Add gains exactly 10 in one and loses exactly 4 in the other."""
    records = []
    for target, scores, gain in (("pt", [10, 20, 30, 40], 10), ("yo", [50, 60], -4)):
        for i, score in enumerate(scores):
            records.append(Record(target, "test", "baseline", None, str(i), "x", score, "target"))
            kind = "target" if i else "empty"
            records.append(Record(target, "test", "add", 0.3, str(i), "x", score + gain, kind))
    choices = [Choice(t, "add", "unlabelled", 0.1 + 0.2, -1.0, f"{t}!", []) for t in ("pt", "yo")]
    return Run({"protocol": "unlabelled", "targets": ["yo", "pt"]}, records=records, choices=choices)


def test_rows_worked_out_by_hand():
    of = rows(by_hand(), draws=200)
    assert [(r.target, r.equation) for r in of] == [
        (target, equation) for target in ("yo", "pt") for equation in ("baseline", "add")
    ] + [(AVERAGE, "baseline"), (AVERAGE, "add")]
    pt = find(of, "pt", "add")
    assert (pt.n, pt.score, pt.gain, pt.gain_low, pt.gain_high) == (4, 35, 10, 10, 10)
    assert pt.kinds == {"target": 0.75, "source": 0, "other": 0, "empty": 0.25, "copied": 0}
    assert pt.expression == "pt!"
    # all differences have one sign: 2 of 2^4 sign flips are as extreme, and 2 of 2^2
    assert (pt.p, find(of, "yo", "add").p) == (0.125, 0.5)
    assert (pt.p_holm, find(of, "yo", "add").p_holm) == (0.25, 0.5)
    average = find(of, AVERAGE, "add")
    assert (average.n, average.score, average.gain) == (6, 43, 3)  # the languages weigh the same, not the examples
    assert (average.gain_low, average.gain_high) == (3, 3)
    assert average.kinds["empty"] == 0.375
    assert find(of, "pt", "baseline").gain is None


def test_the_interval_of_the_average_agrees_with_theory():
    generator = np.random.default_rng(0)
    records = [
        Record(t, "test", "baseline", None, f"{t}{i}", "", float(s), "target")
        for t, n in (("pt", 400), ("yo", 100))
        for i, s in enumerate(generator.normal(40, 10, n))
    ]
    average = rows(Run({}, records=records), draws=2000)[-1]
    error = 1.96 * np.sqrt(10**2 / 400 + 10**2 / 100) / 2
    assert average.high - average.low == pytest.approx(2 * error, rel=0.1)


def test_gain_compares_only_examples_that_both_have(run):
    one_lost = replace(run, records=[r for r in run.records if (r.equation, r.id) != ("baseline", "pt-3")])
    row = find(rows(one_lost, draws=100), "pt", "add_subtract")
    differences = [
        r.score - b.score
        for r in run.records
        for b in run.records
        if (r.equation, r.weight, r.target, b.equation) == ("add_subtract", 0.9, "pt", "baseline")
        and r.id == b.id != "pt-3"
    ]
    assert row.n == 40
    assert row.gain == pytest.approx(fmean(differences))


def test_signs_and_significance_of_a_known_run(of):
    assert find(of, "pt", "add_subtract").significant
    assert find(of, "pt", "add_subtract").gain > 0
    assert find(of, "fa", "uncoupled").significant
    assert find(of, "fa", "uncoupled").gain < 0
    assert not find(of, "uk", "uncoupled").significant


def test_holm_is_over_the_languages_of_one_equation(of):
    for equation in ("add", "add_subtract", "uncoupled"):
        family = sorted((find(of, t, equation) for t in ("pt", "uk", "fa")), key=lambda row: row.p)
        assert family[0].p_holm == pytest.approx(min(1, 3 * family[0].p))
        assert all(row.p_holm >= row.p for row in family)


def test_the_oracle_stands_beside_another_protocol_only(of, make_run):
    assert find(of, "pt", "add").oracle_weight == 1.0
    assert find(of, "pt", "add").oracle_score != find(of, "pt", "add").score
    assert find(of, "pt", "add_subtract").oracle_score == find(of, "pt", "add_subtract").score
    oracle = rows(make_run(protocol="oracle"), draws=100)
    assert all(row.oracle_weight is None for row in oracle)


def test_an_equation_that_lacks_a_language_has_no_average(run):
    partial = replace(run, records=[r for r in run.records if (r.target, r.equation) != ("fa", "add")])
    found = [row.equation for row in rows(partial, draws=100) if row.target == AVERAGE]
    assert found == ["baseline", "add_subtract", "uncoupled"]


def test_without_test_records_there_are_no_rows_and_it_is_said(run):
    validation = replace(run, records=[replace(r, split="validation") for r in run.records])
    assert rows(validation) == []
    assert "No test records" in as_markdown([])
    assert "No test records" in printed([], 80)
    assert json.loads(as_json([])) == []


def printed(of, width):
    console = Console(width=width, no_color=True)
    with console.capture() as captured:
        console.print(as_text(of))
    return captured.get()


def test_the_terminal_table_is_whole_at_80_columns(of):
    text = printed(of, 80)
    assert "…" not in text
    for expected in ("pt", "uk", "fa", "average", "Add and Subtract", "0.95", " %", "1: "):
        assert expected in text
    assert max(map(len, text.splitlines())) <= 80


def test_markdown_has_one_width_and_no_stray_emphasis(of):
    lines = [line for line in as_markdown(of).splitlines() if line.startswith("|")]
    assert len(lines) == 2 + 16
    assert len({line.count("|") for line in lines}) == 1
    assert all("*" not in line.replace("\\*", "") for line in lines)


def test_json_carries_every_field(of):
    found = json.loads(as_json(of))
    assert len(found) == 16
    assert found[1]["kinds"]["target"] == of[1].kinds["target"]
    assert found[1]["p_holm"] == of[1].p_holm
