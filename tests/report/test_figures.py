import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import pytest

from lingarith.report import figures
from lingarith.report.cells import cells, kinds
from lingarith.report.figures import Curve, alone_value, curves_of
from lingarith.study.records import Choice, Run

TASK = "summaries"


def texts(svg):
    found = ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")
    return {"".join(text.itertext()) for text in found}


@pytest.fixture(scope="module")
def drawn(run):
    return figures.curves(run, TASK)


def test_one_panel_per_target_with_text_as_text(drawn):
    assert list(drawn) == ["pt", "uk", "fa"]
    assert {"fa", "λ", "β", "validation ROUGE-2", "0", "0.5", "1"} <= texts(drawn["fa"])


def test_the_page_decides_the_colours(drawn):
    assert "var(--add, #0a6ebd)" in drawn["pt"]
    assert set(re.findall(r"(?<!, )#[0-9a-f]{6}\b", drawn["pt"])) == set()


def test_identifiers_are_unique_over_all_figures_and_resolve(run, drawn):
    svgs = [
        *drawn.values(),
        *figures.kinds(kinds(cells(run, draws=50))).values(),
        *figures.legends(figures.drawn(run)).values(),
    ]
    ids = [i for svg in svgs for i in re.findall(r'\bid="([^"]*)"', svg)]
    assert len(ids) == len(set(ids))
    for svg in svgs:
        used = set(re.findall(r'href="#([^"]*)"', svg)) | set(re.findall(r"url\(#([^)]*)\)", svg))
        assert used <= set(re.findall(r'\bid="([^"]*)"', svg))


def test_figures_are_the_same_each_time(run, drawn):
    assert figures.curves(run, TASK) == drawn


def test_the_task_vector_alone_is_read_where_a_composition_is_nothing_else(run):
    found = curves_of(run, TASK, "pt", "sources")
    assert [curve.method for curve in found] == ["add", "add_subtract", "uncoupled"]
    assert alone_value(found) == 40.0
    assert alone_value([replace(c, lines=[{0.5: 1.0}]) for c in found]) is None


def test_a_protocol_without_choices_has_no_curves(run):
    assert figures.curves(run, TASK, "unlabelled") == {}


@pytest.mark.parametrize("curve", [[(0.9, 1.0)], [(0.0, float("nan")), (1.0, 2.0)], [(0.5, 1.0), (0.6, 2.0)]])
def test_odd_curves_are_drawn_too(curve, make_run):
    choice = Choice("a&b", "add", "oracle", curve[0][0], curve[0][1], "e", curve, TASK)
    about = make_run(n=2, protocol="oracle", targets=["a&b"]).about
    svg = figures.curves(Run(about, choices=[choice]), TASK)["a&b"]
    ElementTree.fromstring(svg)
    nothing = replace(choice, curve=[(0.5, float("-inf"))])
    assert figures.curves(Run(about, choices=[nothing]), TASK) == {}


def test_several_lines_are_differences_with_their_choices_below(make_study):
    run = make_study((0, 1, 2, 3))
    weights = {0: 1.0, 1: 0.9}
    others = [replace(c, weight=weights.get(c.seed, 0.0)) if c.method == "add" else c for c in run.choices]
    run = replace(run, choices=others)
    [add, *_] = curves_of(run, TASK, "pt", "oracle")
    assert sorted(add.chosen) == [0.0, 0.0, 0.9, 1.0]
    assert add.mean == {0.0: 1.0, 0.9: 35.0, 1.0: 30.0}
    assert add.over_alone().mean == {0.0: -29.0, 0.9: 5.0, 1.0: 0.0}
    svg = figures.curves(run, TASK)["pt"]
    assert "gain in validation ROUGE-2" in texts(svg)
    lacking = [replace(c, curve=[(0.0, 1.0), (0.9, 2.0)]) for c in others]
    assert "validation ROUGE-2" in texts(figures.curves(replace(run, choices=lacking), TASK)["pt"])
    by_loss = replace(run.about, study=run.about.study | {"search": "loss"})
    assert "gain in validation likelihood" in texts(figures.curves(replace(run, about=by_loss), TASK)["pt"])


def test_the_mean_is_over_the_lines_that_have_the_weight():
    assert Curve("add", [{0.5: 1.0, 1.0: 2.0}, {1.0: 4.0}], [1.0, 1.0]).mean == {0.5: 1.0, 1.0: 3.0}


def test_kinds_are_hatched(run):
    svg = figures.kinds(kinds(cells(run, draws=50)))["uk"]
    assert svg.count("<pattern") == 4  # all but the right language
    assert "Add and Subtract" in svg


def test_the_legend_has_what_is_drawn(run):
    assert figures.drawn(run) == ["add", "add_subtract", "uncoupled"]
    alone = texts(figures.legends(["add"])["curves"])
    assert alone == {"Add", "Task vector alone", "Chosen weight"}
    assert texts(figures.legends(["add"], several=True)["curves"]) == {"Add", "Task vector alone"}
