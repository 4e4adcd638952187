"""What the page shows of a study: charts, heat map, examples, origins."""

import re
from dataclasses import replace

import pytest

from lingarith.report.chapter import chapter, vectors
from lingarith.report.page import chosen, fingerprints, page
from lingarith.report.results import results
from lingarith.study.records import Run


def test_a_study_has_every_part(make_study):
    made = chapter(results(make_study()))
    [charts] = made.charts
    assert list(charts.curves) == list(charts.kinds) == list(charts.examples) == ["pt", "uk", "fa"]
    assert list(charts.similarity) == ["syntactic", "geographic"]
    assert charts.correlation.startswith("Spearman's rank correlation: syntactic: ρ = ")
    assert charts.oracle == {}
    assert made.heat is None


def test_the_oracle_stands_beside_another_protocol(make_study):
    run = make_study(protocol="sources")
    ours = [replace(c, protocol="sources", weight=1.0) for c in run.choices]
    records = [*run.records] + [replace(r, weight=1.0, score=1.0) for r in run.records if r.weight]
    found = results(replace(run, choices=[*run.choices, *ours], records=records))
    line = next(line for line in found.lines[0].groups["pt"] if line.name == "Add")
    assert (line.weight, line.of.score, line.oracle) == ("λ = 1", 1.0, "λ = 0.9: 29.5")
    assert list(chapter(found).charts[0].oracle) == ["pt", "uk", "fa"]


def test_the_heat_map(make_study):
    made = chapter(results(make_study(by_source=True)))
    assert made.heat is not None
    assert list(made.heat.targets) == ["pt", "uk", "fa"]
    pair = made.heat.rows[0][1][0]
    assert (pair.change, pair.mark, made.heat.shade(pair)) == (pytest.approx(100 * 5 / 24.5), "*", 1.0)
    text = page(made.results)
    assert 'class=" marked" style="--shade: 1.0"' in text
    assert "+20.4*" in text


def test_outputs_say_in_which_language_they_are(make_study):
    [charts] = chapter(results(make_study())).charts
    for target, direction in (("pt", "ltr"), ("fa", "rtl")):
        baseline, *composed = charts.examples[target][0].outputs
        assert (baseline.language, baseline.direction) == ("en", "ltr")
        assert {(output.language, output.direction) for output in composed} == {(target, direction)}


def test_every_number_has_an_origin(make_study):
    run = make_study()
    text = page(results(run))
    lines = chosen(run)
    assert {line["name"] for line in lines} == {"Add", "Add and Subtract", "λ · task vector alone", "Baseline"}
    assert {line["expression"] for line in lines if line["name"] == "Baseline"} == {"x[en]"}
    assert fingerprints(run)[0] == ("summaries/pt", 10, "3f2a" * 16, "ROUGE-2 over pieces")
    [vector] = vectors(run)
    assert (vector["data"], vector["rate"], vector["tokens"]) == ("91c0" * 4, "0.002", 1_250_000)
    assert vector["data"] in text
    assert "1\u202f250\u202f000" in text


def test_several_runs_on_one_page_have_identifiers_of_their_own(make_study, make_run):
    grid = {"title": "Sizes", "heads": ["Language", "", "Train"], "rows": [["English", "en", "2,000"]], "caption": "."}
    runs = [make_study((0, 1)), make_study(by_source=True), make_run(n=5), Run({"table": "table7", "grid": grid})]
    text = page(*map(results, runs))
    ids = re.findall(r'\bid="([^"]*)"', text)
    assert len(ids) == len(set(ids))
    assert {f"#run-{k}" for k in range(1, 5)} <= set(re.findall(r'href="(#run-\d)"', text))
    assert "over seeds and examples" in text
    assert "306,000" in text
