import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import pytest

from lingarith.errors import LingarithError
from lingarith.report import figures
from lingarith.report.selection import curve
from lingarith.report.table import rows
from lingarith.study.records import Choice, Run


@pytest.fixture(scope="module")
def drawn(run):
    return figures.curves(run)


def test_one_panel_per_target_with_text_as_text(drawn):
    assert list(drawn) == ["pt", "uk", "fa"]
    texts = [
        "".join(t.itertext()) for t in ElementTree.fromstring(drawn["fa"]).iter("{http://www.w3.org/2000/svg}text")
    ]
    assert {"fa", "λ", "β", "validation ROUGE-2", "0", "0.5", "1"} <= set(texts)


def test_the_page_decides_the_colours(drawn):
    assert "var(--add, #0a6ebd)" in drawn["pt"]
    assert set(re.findall(r"(?<!, )#[0-9a-f]{6}\b", drawn["pt"])) == set()


def test_identifiers_are_unique_over_all_figures_and_resolve(run, drawn):
    svgs = [
        *drawn.values(),
        *figures.kinds(figures.kinds_of(rows(run, draws=50))).values(),
        *figures.legends().values(),
    ]
    ids = [i for svg in svgs for i in re.findall(r'\bid="([^"]*)"', svg)]
    assert len(ids) == len(set(ids))
    for svg in svgs:
        used = set(re.findall(r'href="#([^"]*)"', svg)) | set(re.findall(r"url\(#([^)]*)\)", svg))
        assert used <= set(re.findall(r'\bid="([^"]*)"', svg))


def test_figures_are_the_same_each_time(run, drawn):
    assert figures.curves(run) == drawn


def test_the_baseline_is_read_where_a_composition_is_the_task_vector_alone(run):
    found = [curve(run, "pt", equation, "sources") for equation in ("add", "add_subtract", "uncoupled")]
    assert figures.baseline_value(found) == 40.0
    assert figures.baseline_value([replace(c, curve=[(0.5, 1.0)]) for c in found]) is None


def test_a_protocol_without_choices_has_no_curves(run):
    assert figures.curves(run, "unlabelled") == {}


@pytest.mark.parametrize("curve", [[(0.9, 1.0)], [(0.0, float("nan")), (1.0, 2.0)], [(0.5, float("-inf"))]])
def test_odd_curves_are_drawn_too(curve):
    choice = Choice("a&b", "add", "oracle", curve[0][0], curve[0][1], "e", curve)
    svg = figures.curves(Run({"protocol": "oracle"}, choices=[choice]))["a&b"]
    ElementTree.fromstring(svg)


def test_kinds_are_hatched(run):
    svg = figures.kinds(figures.kinds_of(rows(run, draws=50)))["uk"]
    assert svg.count("<pattern") == 4  # all but the right language
    assert "Add and Subtract" in svg


def test_png(run, tmp_path):
    figures.save_png(run, tmp_path / "run.png")
    assert (tmp_path / "run.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(LingarithError, match="nothing to draw"):
        figures.save_png(Run({}), tmp_path / "none.png")
    with pytest.raises(LingarithError, match="cannot be written"):
        figures.save_png(run, tmp_path / "no folder" / "run.png")
