"""What stands in each table, written out for vectors that need no training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lingarith.adapters.merging import MERGINGS
from lingarith.algebra import parse
from lingarith.study.lab import Lab
from lingarith.study.neighbours import far
from lingarith.study.paper import wrong_language
from lingarith.study.place import Method
from lingarith.study.recipes import TABLES, place_of
from lingarith.study.records import MERGED, METHODS, counted

TRIED = {"weights": (0.5,), "betas": (0.5,), "learning_rates": (0.1,), "targets": ("pt", "uk"), "kronecker": (4, 2)}
BY_VARIANT = ("mixed", "cost", "addition", "linearity")
"""Their rows are named by adapters, keys and ends of lines."""
Labs = Callable[..., Lab]


def methods(lab: Lab, target: str, *sources: str) -> list[Method]:
    return list(TABLES[lab.study.table].methods(place_of(lab, "summaries", target, 0), sources))


def at(made: list[Method], weight: float) -> dict[str, str]:
    """The composition of each method at a weight, or its only one."""
    return {m.name: str(m.tried.get(weight, next(iter(m.tried.values())))) for m in made}


def test_one_source(lab: Labs) -> None:
    made = methods(lab("table1", **TRIED, adapter="lora", controls=("scaled", "wrong", "random")), "pt", "en", "ru")
    assert at(made, 0.5) == {
        "baseline": "headlines[en]",
        "add": "0.5*(headlines[en] + news[pt])",
        "add_subtract": "0.5*(headlines[en] + news[pt] - news[en])",
        "uncoupled": str(parse("headlines[en] + 0.5*(news[pt] - news[en])")),
        "scaled": "0.5*headlines[en]",
        "wrong": "0.5*(headlines[en] + news[uk] - news[en])",
        "random": "0.5*(headlines[en] + random[pt] - news[en])",
    }
    alone = at(made, 1.0)
    assert {alone[name] for name in ("add", "add_subtract", "scaled", "wrong", "random")} == {"headlines[en]"}


@pytest.mark.parametrize(
    ("method", "weight", "text"),
    [
        ("add", 0.9, "0.9*headlines[en] + 0.1*news[pt]"),
        ("add_subtract", 0.9, "0.9*headlines[en] + 0.1*(news[pt] - news[en])"),
        ("uncoupled", 0.4, "headlines[en] + 0.4*(news[pt] - news[en])"),
        ("uncoupled", 0.0, "headlines[en]"),
        ("add", 0.0, "news[pt]"),
    ],
)
def test_equations_by_hand(method: str, weight: float, text: str, lab: Labs) -> None:
    made = {m.name: m.tried for m in methods(lab(weights=(0.0, 0.9), betas=(0.4,)), "pt", "en")}
    assert made[method][weight] == parse(text)


def test_an_adaptation_averages_its_sources(lab: Labs) -> None:
    made = methods(lab(weights=(0.8,), betas=(0.4,)), "pt", "en", "ru")
    found = {m.name: m.tried for m in made}
    assert [*found] == ["baseline", "add", "add_subtract", "uncoupled"]  # and no control
    assert found["baseline"] == {1.0: parse("0.5*(headlines[en] + headlines[ru])")}
    whole = parse("0.4*(headlines[en] + headlines[ru]) + 0.2*news[pt] - 0.1*(news[en] + news[ru])")
    assert found["add_subtract"][0.8] == whole


def test_rates_are_tried_on_the_task_vector_alone(lab: Labs) -> None:
    made = lab("table1", controls=("rates",), learning_rates=(0.1, 0.5))
    [rates] = [m for m in methods(made, "pt", "en") if m.name == "rates"]
    assert rates.by == "oracle"
    assert {rate: str(c) for rate, c in rates.tried.items()} == {0.1: "headlines.rate0.1[en]", 0.5: "headlines[en]"}


def test_the_wrong_language_is_the_farthest_of_the_other_targets(lab: Labs) -> None:
    one = lab("table1", targets=("pt", "uk", "yo", "fa"))
    assert wrong_language(place_of(one, "summaries", "pt", 0)) == max(
        ("uk", "yo", "fa"), key=lambda other: far("pt", other)
    )
    alone = lab("table1", targets=("uk",))
    assert "wrong" not in {m.name for m in methods(alone, "uk", "en")}
    assert list(alone.notes) == ["uk is the only target, so there is no vector of a wrong language."]


def test_many_sources(lab: Labs) -> None:
    one = lab("table2", **TRIED, adapter="lora", sources=("en", "ja", "ru"), controls=("scaled", "wrong", "rates"))
    made = methods(one, "pt", "en", "ja", "ru")
    found = at(made, 0.5)
    assert found["multilingual"] == "headlines[mul]"
    assert one.orders["headlines[mul]"].labels == ("en", "ja", "ru")
    assert parse(found["add_all"]) == parse("(headlines[en] + headlines[ja] + headlines[ru]) / 3")
    assert parse(found["add_related"]) == parse("(headlines[en] + headlines[ru]) / 2")  # Japanese is too far
    whole = "0.5*(headlines[en] + headlines[ru]) / 2 + 0.5*(news[{}] - (news[en] + news[ru]) / 2)"
    assert parse(found["add_subtract_related"]) == parse(whole.format("pt"))
    assert parse(found["wrong"]) == parse(whole.format("uk"))
    assert parse(found["scaled"]) == parse("0.25*(headlines[en] + headlines[ru])")
    assert found["rates"] == "headlines[mul]"
    best, on_test = made[:2]
    assert (best.by, on_test.by) == ("oracle", "test")
    assert best.tried == {code: parse(f"headlines[{code}]") for code in ("en", "ja", "ru")}


def test_each_source(lab: Labs) -> None:
    made = methods(lab("figure2", **TRIED, adapter="lora", controls=("scaled",)), "pt", "en", "ru")
    assert [(m.name, m.source) for m in made] == [
        (name, source) for source in ("en", "ru") for name in ("baseline", "add_subtract", "scaled")
    ]
    assert str(made[4].tried[0.5]) == "0.5*(headlines[ru] + news[pt] - news[ru])"


def test_in_domain(lab: Labs) -> None:
    keys: dict[str, Any] = {"sources": ("en", "ru"), "targets": ("en", "ru"), "kronecker": (4, 2), "adapter": "lora"}
    assert at(methods(lab("table6", **keys, controls=()), "ru", "en", "ru"), 1.0) == {
        "lora": "headlines[ru]",
        "multi_lora": "headlines[mul]",
        "kronecker": "headlines.kronecker[ru]",
        "multi_kronecker": "headlines.kronecker[mul]",
        "full": "headlines.full[ru]",
    }
    without = methods(lab("table6", **keys, full_learning_rate=0), "ru", "en", "ru")
    assert [m.name for m in without] == ["lora", "multi_lora", "kronecker", "multi_kronecker", "rates"]


@pytest.mark.parametrize("table", TABLES)
def test_methods_have_names(table: str, lab: Labs) -> None:
    about = TABLES[table]
    tasks = ({"task": "summaries", "metric": "likelihood"},) if table == "linearity" else ("summaries",)
    one = lab(table, **TRIED, adapter="lora", sources=("en", "ru"), space="delta", tasks=tasks)
    made = methods(one, "pt", "en", "ru")
    assert table in BY_VARIANT or all(m.name in METHODS or counted(m.name)[1] for m in made)
    assert {about.reference, *about.tried, *about.baselines} - {""} <= {m.name for m in made}
    assert all(len(m.tried) > 1 or m.by in ("", "oracle", "test") for m in made)
    assert len({(m.name, m.source) for m in made}) == len(made)


def test_only_related_sources_of_an_adaptation(lab: Labs) -> None:
    sources = ("ar", "ja", "te", "en")
    narrow = lab(targets=("pt", "si"), sources=sources, related="uriel")
    assert {target: place_of(narrow, "summaries", target, 0).sources for target in ("pt", "si")} == {
        "pt": ("ar", "en"),
        "si": ("te",),
    }
    rule = "sources among ar, ja, te, en by the rule syntactic < 0.7 and geographic < 0.3"
    assert list(narrow.notes) == [f"pt: {rule}: ar, en", f"si: {rule}: te"]
    assert place_of(lab(targets=("pt",), sources=sources), "summaries", "pt", 0).sources == sources
    table = lab("table2", targets=("pt",), sources=sources, related="uriel")
    assert place_of(table, "summaries", "pt", 0).sources == sources
    far_away = lab(targets=("si",), sources=("en", "ja"), related="uriel")
    assert place_of(far_away, "summaries", "si", 0).sources == ("ja",)
    [note] = far_away.notes
    rule = "sources among en, ja by the rule syntactic < 0.7 and geographic < 0.3"
    assert note.startswith(f"si: {rule}: no source meets the rule; ja is taken, the nearest by syntactic (")


def test_that_no_source_is_near_is_noted_once(lab: Labs) -> None:
    table = lab("table2", targets=("si",), sources=("en", "ja"), related="uriel", controls=())
    assert methods(table, "si", "en", "ja")[4].tried == {1.0: parse("headlines[ja]")}
    [note] = table.notes
    assert note.startswith("si: no source meets the rule; ja is taken, the nearest by syntactic (")


def test_related_as_the_paper_prints_it(lab: Labs) -> None:
    printed = lab(targets=("pt", "uk"), sources=("ar", "ja", "en", "ru", "tr"), related="paper-table5")
    assert place_of(printed, "summaries", "pt", 0).sources == ("ar", "en", "ru")


def test_ways_to_merge_are_one_equation(lab: Labs) -> None:
    made = {m.name: m for m in methods(lab("methods", **TRIED, adapter="lora", space="delta"), "pt", "en")}
    assert {name for name, method in made.items() if method.sums} == {*MERGINGS} - {"sum"} == {*MERGED}
    assert all(made[name].tried == made["add_subtract"].tried for name in MERGED)
    assert all(made[name].sums == {"merging": name} for name in MERGED)
    assert {*made} - {*MERGED} == {"baseline", "add", "add_subtract", "uncoupled", "scaled", "wrong", "random"}
