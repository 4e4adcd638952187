"""The page: well-formed, escaped, complete; and what its parts hold."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from lingarith.report.cells import cells
from lingarith.report.findings import findings
from lingarith.report.page import chapter, fingerprints, page, picks, shade, vectors
from lingarith.study.records import About, Grid, Run

VOID = {"meta", "link", "br", "hr", "img", "input", "path"}


class Tree(HTMLParser):
    """Checks that every element is closed in order, and keeps attributes, ids and text."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.text = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def html(run):
    return page(findings(run))


@pytest.fixture(scope="module")
def tree(html):
    return Tree(html)


def test_well_formed_with_unique_identifiers(tree):
    ids = [attributes["id"] for _, attributes in tree.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    labelled = {a["aria-labelledby"] for _, a in tree.elements if "aria-labelledby" in a}
    assert labelled <= set(ids)


def test_loads_nothing_and_runs_nothing(html, tree):
    assert {"script", "link", "img", "iframe", "object"}.isdisjoint(tag for tag, _ in tree.elements)
    for _, attributes in tree.elements:
        for name, value in attributes.items():
            assert name.startswith("xmlns") or "://" not in (value or "")
    assert not re.search(r"@import|url\((?!#)", html)


def test_right_to_left_text_says_so(tree):
    directions = {a["dir"] for _, a in tree.elements if a.get("lang") == "fa"}
    assert directions == {"rtl"}
    assert {a["dir"] for _, a in tree.elements if a.get("lang") in {"pt", "uk", "en"} and "dir" in a} == {"ltr"}


def test_everything_a_reader_looks_for_is_there(tree):
    text = " ".join(" ".join(tree.text).split())
    for expected in (
        "Summaries in pt, uk and fa from English labels",
        "composition helps",
        "Add and Subtract (Eq. 2)",
        "no benchmark of any language",
        "Землетрус у Полтаві: 12 поранених",
        "Article fa-",
        "sources (used)",
        "oracle",
        "SentencePiece tokens of newsroom.model",
        "newsroom[en] + 0.4*(text[fa] - text[en])",
        "lingarith adapt pt uk fa",
        "3 300 000",
        "copied",
    ):
        assert expected in text, expected


def test_all_text_is_escaped(make_run):
    bad = '<script>alert("x")</script>&'
    told = {"title": bad, "notes": [bad], "command": bad, "score": {"summaries": {"pt": bad}}, "backbone": {bad: bad}}
    run = make_run(n=3, **told, study={"labels": bad}, targets=["pt", bad, "fa"])
    run = replace(
        run,
        examples=[replace(e, input=bad, reference=bad) for e in run.examples],
        records=[replace(r, output=bad, target=bad if r.target == "uk" else r.target) for r in run.records],
        choices=[replace(c, expression=bad, target=bad if c.target == "uk" else c.target) for c in run.choices],
        ingredients=[replace(i, name=bad, hash=bad, origin={bad: bad}) for i in run.ingredients],
    )
    text = page(findings(run))
    assert "<script" not in text
    assert "script" not in {tag for tag, _ in Tree(text).elements}


def test_picks_put_the_own_protocol_first(run):
    line = picks(run)[0]
    assert list(line["by"]) == ["sources", "oracle"]
    assert (line["said"]["sources"], line["said"]["oracle"]) == ("λ = 0.95", "λ = 1")
    assert line["expression"].startswith("0.95*")


def test_a_run_without_tests_makes_a_page_that_says_so(run):
    text = page(findings(replace(run, records=[])))
    Tree(text)
    assert "No test records" in text
    assert "Choosing the weight" in text
    Tree(page(findings(Run(About("3f", "Nothing", "adapt")))))


def test_a_run_of_one_method_without_choices(run):
    text = page(findings(replace(run, choices=[], records=[r for r in run.records if r.method == "baseline"])))
    Tree(text)
    assert "nothing to compare it with" in text


# ---------------------------------------------------------------- studies


def test_a_study_has_every_part(make_study):
    run = make_study()
    [section] = chapter(findings(run)).sections
    assert list(section.curves) == list(section.kinds) == list(section.examples) == ["pt", "uk", "fa"]
    assert section.oracle == {}
    assert [grid.title for grid in section.grids] == [
        "A study by hand: outputs in the right language", "A study by hand, summaries: beside the paper",
    ]  # fmt: skip
    assert '<th scope="col" class="number">ROUGE-2</th>' in page(findings(run))


def test_the_oracle_stands_beside_another_protocol(make_study):
    run = make_study(protocol="sources")
    ours = [replace(c, protocol="sources", weight=1.0) for c in run.choices]
    records = [*run.records] + [replace(r, weight=1.0, score=1.0) for r in run.records if r.weight]
    found = findings(replace(run, choices=[*run.choices, *ours], records=records))
    add = next(cell for cell in found.cells if (cell.target, cell.method) == ("pt", "add"))
    assert (add.weights, add.score, add.oracle_weights, add.oracle_score) == ((1.0,), 1.0, (0.9,), 29.5)
    assert list(chapter(found).sections[0].oracle) == ["pt", "uk", "fa"]
    assert "0.9: 29.5" in page(found)


def test_labels_have_no_kinds(make_study):
    run = make_study()
    text = page(findings(replace(run, records=[replace(r, kind="") for r in run.records])))
    Tree(text)
    assert "What comes out" not in text
    assert "Right language" not in text


def test_the_heat_map(make_study):
    run = make_study(by_source=True)
    own = [cell for cell in cells(run, draws=50) if cell.method == "add_subtract"]
    assert (own[0].change, own[0].mark, shade(own[0], own)) == (pytest.approx(100 * 5 / 24.5), "*", 1.0)
    text = page(findings(run))
    assert 'class=" marked" style="--shade: 1.0"' in text
    assert "+20.4*" in text
    assert "Thin lines, one for each source," in text


def test_gains_are_shown_where_there_are_languages_enough(make_study):
    assert "What gains go with" not in page(findings(make_study()))
    [section] = chapter(findings(make_study(by_source=True))).sections  # six pairs
    assert list(section.gains) == ["syntactic similarity", "geographic similarity"]
    assert section.correlation.startswith("Spearman's rank correlation: syntactic similarity: ρ = ")


def test_runs_of_several_learning_rates_have_a_figure_of_their_own(make_study):
    runs = [findings(make_study(identity=f"{rate}", study={"learning_rate": rate})) for rate in (1e-3, 1e-4)]
    tree = Tree(page(*runs))
    labels = {a["aria-label"] for name, a in tree.elements if name == "svg"}
    assert {f"Outputs in the right language against the learning rate, {t}" for t in ("pt", "uk", "fa")} <= labels
    assert "learning rate of the task vector" not in page(runs[0])


def test_every_number_has_an_origin(make_study):
    run = make_study((0, 1))
    text = page(findings(run))
    lines = picks(run)
    names = {
        name for method in ("Add", "Add and Subtract", "λ · task alone", "Baseline") for name in (f"{method}, seed 0",)
    }
    assert names < {line["name"] for line in lines}
    assert {line["expression"] for line in lines if line["name"].startswith("Baseline")} == {"x[en]"}
    assert fingerprints(run)[0] == ("summaries/pt", 10, "3f2a" * 16, "ROUGE-2 over pieces")
    [vector] = vectors(run)
    assert (vector["data"], vector["rate"], vector["tokens"]) == ("91c0" * 4, "0.002", 1_250_000)
    assert vector["data"] in text
    assert "1\u202f250\u202f000" in text


def test_several_runs_on_one_page_have_identifiers_of_their_own(make_study, make_run):
    grid = Grid("Sizes", ["Language", "", "Train"], [["English", "en", "2,000"]], ".")
    listing = Run(About("7", "Sizes", "table7", grid=grid))
    runs = [make_study((0, 1)), make_study(by_source=True), make_run(n=5), listing]
    text = page(*map(findings, runs))
    ids = re.findall(r'\bid="([^"]*)"', text)
    assert len(ids) == len(set(ids))
    assert {f"#run-{k}" for k in range(1, 5)} <= set(re.findall(r'href="(#run-\d)"', text))
    assert "over seeds and examples" in text
    assert "306,000" in text
