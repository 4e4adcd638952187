"""The page of an inspection: well-formed, self-contained, escaped, and its heat maps in their places."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
import torch

from lingarith.adapters.lora import LoraTerm
from lingarith.algebra import parse
from lingarith.inspection.measure import Inspection, inspect
from lingarith.report.heat_maps import Cell, Map, page, sections
from lingarith.vectors.vector import Vector

T5 = {
    f"{stack}.block.{layer}.layer.{number}.{kind}.{name}": (4, 4)
    for layer, stack, number, kind in (
        (0, "encoder", 0, "SelfAttention"),
        (0, "decoder", 0, "SelfAttention"),
        (0, "decoder", 1, "EncDecAttention"),
        (1, "encoder", 0, "SelfAttention"),
    )
    for name in "qkvo"
}


@pytest.fixture(scope="module")
def inspection() -> Inspection:
    g = torch.Generator().manual_seed(0)
    vectors = {
        name: Vector(
            name,
            {path: (LoraTerm(torch.randn(2, 4, generator=g), torch.randn(4, 2, generator=g)),) for path in T5},
            1.0,
            {"init_hash": "0"},
        )
        for name in ("task[en]", "text[pt]")
    }
    return inspect(parse("task[en] - 0.5*text[pt]"), vectors, ["factors", "anchored", "delta"])


class Elements(HTMLParser):
    """Checks that elements close in order, and keeps tags, attributes and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_maps_are_in_their_places(inspection: Inspection) -> None:
    made = sections(inspection)
    assert {title: [m.title for m in maps] for title, maps in made.items()} == {
        "The vectors and their exact sum": ["Norm |ΔW|", "Magnitude that cancels"],
        "factors": [
            "Cosine to the exact sum",
            "Norm against the exact sum",
            "Share of task[en]",
            "Share of text[pt]",
        ],
    }
    share = made["factors"][3]
    letters = list("qkvo")
    assert share.groups == [("encoder self", letters), ("decoder self", letters), ("decoder cross", letters)]
    assert share.starts == [4, 8]
    assert [layer for layer, _ in share.rows] == [0, 1]
    figures = inspection.figures(["encoder.block.1.layer.0.SelfAttention.v"])
    value = figures.results["factors"].shares["text[pt]"]
    assert value is not None
    cell = share.rows[1][1][2]
    assert cell is not None
    assert float(cell.text.replace("−", "-")) == pytest.approx(value, abs=0.006)
    assert cell.flipped == (value < 0)
    assert share.rows[1][1][4:] == [None] * 8


def test_what_is_far_is_strong() -> None:
    def shades(expression: str) -> dict[str, Cell | None]:
        one = torch.ones(1, 1)
        vectors = {"x": Vector("x", {"q": (LoraTerm(one, one),)}, 1.0, {"init_hash": "0"})}
        maps: list[Map] = sections(inspect(parse(expression), vectors, ["factors"]))["factors"]
        return {m.title: m.rows[0][1][0] for m in maps}

    assert shades("x") == {
        "Cosine to the exact sum": Cell("1.00", 0),
        "Norm against the exact sum": Cell("1.00", 0),
        "Share of x": Cell("1.00", 0),
    }
    assert shades("0.5*x") == {
        "Cosine to the exact sum": Cell("1.00", 0),
        "Norm against the exact sum": Cell("0.50", 0.5),
        "Share of x": Cell("0.50", 0.5),
    }
    assert shades("-x")["Share of x"] == Cell("−1.00", 1, flipped=True)


def test_well_formed_and_self_contained(inspection: Inspection) -> None:
    text = page(inspection)
    elements = Elements(text)
    ids = [attributes["id"] for _, attributes in elements.found if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {a["aria-labelledby"] for _, a in elements.found if "aria-labelledby" in a} <= set(ids)
    assert {"script", "link", "img", "iframe"}.isdisjoint(tag for tag, _ in elements.found)
    assert not re.search(r"@import|url\(|://", text)
    classes = [attributes.get("class") or "" for tag, attributes in elements.found if tag == "td"]
    assert sum("cell" in name for name in classes) == 6 * len(T5)
    for expected in ("task[en] - 0.5*text[pt]", "What a cut loses", "unknown", "Not in anchored:", "Signs differ in"):
        assert expected in elements.text, expected


def test_all_text_is_escaped() -> None:
    one = torch.ones(1, 1)
    bad = "layers.0.<script>alert(1)</script>"
    found = inspect(parse("x"), {"x": Vector("x", {bad: (LoraTerm(one, one),)}, 1.0)}, ["delta"])
    text = page(found)
    assert "<script" not in text
    assert "nothing to warn of" in Elements(text).text
