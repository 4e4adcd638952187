from dataclasses import replace
from itertools import permutations

from lingarith.report import figures
from lingarith.report.findings import findings
from lingarith.report.rates import right_shares


def of_rate(make_study, rate, **about):
    study = {"learning_rate": rate, "steps": 3, "controls": ["scaled"]} | about.pop("study", {})
    return findings(make_study(identity=f"{rate} {about}", study=study, **about), draws=10)


def test_shares_of_the_methods_that_all_have_by_rate(make_study):
    high, low = of_rate(make_study, 1e-2), of_rate(make_study, 1e-4, study={"controls": []})
    low = replace(low, cells=[cell for cell in low.cells if cell.method != "scaled"])
    [shares] = right_shares([high, low])
    assert list(shares) == ["pt", "uk", "fa"]
    assert shares["pt"] == {
        "baseline": {1e-4: 0.0, 1e-2: 0.0},
        "add": {1e-4: 100.0, 1e-2: 100.0},
        "add_subtract": {1e-4: 100.0, 1e-2: 100.0},
    }
    charts = figures.rates(shares)
    assert list(charts) == ["pt", "uk", "fa"]
    for text in ("0.0001", "0.01", "Add and Subtract", "right language, %"):
        assert text in charts["pt"]


def test_of_two_runs_at_one_rate_the_larger_counts_whichever_is_named_first(make_study):
    high, low, again = of_rate(make_study, 1e-2), of_rate(make_study, 1e-4), of_rate(make_study, 1e-2, seeds=[0, 1])
    again = replace(again, cells=[replace(cell, kinds={**cell.kinds, "target": 0.25}) for cell in again.cells])
    for order in permutations([high, low, again]):
        [shares] = right_shares(order)
        assert shares["pt"]["add"] == {1e-4: 100.0, 1e-2: 25.0}


def test_what_differs_in_more_than_its_rate_stands_apart(make_study):
    one = of_rate(make_study, 1e-3)
    assert right_shares([one]) == []
    assert right_shares([one, of_rate(make_study, 1e-2, study={"steps": 4})]) == []
    assert right_shares([one, of_rate(make_study, 1e-2, backbone={"name": "another"})]) == []
    labels = of_rate(make_study, 1e-2)
    labels = replace(labels, cells=[replace(cell, kinds={}) for cell in labels.cells])
    assert right_shares([one, labels]) == []


def test_several_tasks_are_told_apart(make_study):
    both = [of_rate(make_study, rate) for rate in (1e-3, 1e-2)]
    both = [replace(one, cells=[*one.cells, *(replace(cell, task="questions") for cell in one.cells)]) for one in both]
    [shares] = right_shares(both)
    assert {"pt, summaries", "pt, questions"} <= shares.keys()
