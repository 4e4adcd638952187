import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from lingarith.report.examples import examples
from lingarith.report.page import chosen, page
from lingarith.report.results import results
from lingarith.study.records import Example, Record, Run

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
    return page(results(run))


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
    run = make_run(n=3, title=bad, notes=[bad], command=bad, task=bad, score={bad: bad}, backbone={bad: bad})
    run = replace(
        run,
        examples=[replace(e, input=bad, reference=bad) for e in run.examples],
        records=[replace(r, output=bad, target=bad if r.target == "uk" else r.target) for r in run.records],
        choices=[replace(c, expression=bad, target=bad if c.target == "uk" else c.target) for c in run.choices],
        ingredients=[replace(i, name=bad, hash=bad, origin={bad: bad}) for i in run.ingredients],
    )
    text = page(results(run))
    assert "<script" not in text
    assert "script" not in {tag for tag, _ in Tree(text).elements}


def test_examples_go_from_the_largest_gain_to_the_largest_loss():
    articles = [Example("pt", "test", str(i), "a", "r") for i in range(7)]
    records = [
        Record("pt", "test", equation, None, str(i), "o", score, "source")
        for i, gain in enumerate([0, 5, -7, 1, 9, -2, 3])
        for equation, score in (("baseline", 50), ("add", 50 + gain))
    ]
    run = Run({"sources": ["en"], "handed_over": {"pt": "add"}}, articles, records)
    shown = examples(run, "pt")
    assert [item.outputs[1].score - item.outputs[0].score for item in shown] == [9, 3, 0, -7]
    assert {output.language for item in shown for output in item.outputs} == {"en"}
    assert [item.example.id for item in examples(replace(run, records=records[:2]), "pt")] == ["0"]


def test_chosen_weights_put_the_own_protocol_first(run):
    line = chosen(run)[0]
    assert list(line["by"]) == ["sources", "oracle"]
    assert line["expression"].startswith("0.95*")


@pytest.mark.parametrize("about", [{}, {"targets": ["pt"]}, {"handed_over": {"pt": "add"}, "targets": ["pt"]}])
def test_an_empty_run_makes_a_page_that_says_so(about):
    text = page(results(Run(about)))
    Tree(text)
    assert "No test records" in text


def test_a_run_of_one_equation_without_choices(run):
    text = page(results(replace(run, choices=[], records=[r for r in run.records if r.equation == "baseline"])))
    Tree(text)
    assert "nothing to compare it with" in text
