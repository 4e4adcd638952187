"""What stands in each table, written out for vectors that need no training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from lingarith.algebra import Combination, parse, vector
from lingarith.languages.related import Related, related
from lingarith.study.actions import Workshop
from lingarith.study.recipes import TABLES
from lingarith.study.recipes.in_domain import in_domain
from lingarith.study.recipes.listings import related_languages, sizes
from lingarith.study.recipes.many_sources import many_sources
from lingarith.study.recipes.methods import Method
from lingarith.study.recipes.one_source import each_source, one_source
from lingarith.study.records import METHODS
from lingarith.study.studies import Study


class Names:
    """Vectors that are names alone."""

    def __init__(self, **keys: object) -> None:
        self.study = Study("x", weights=(0.5,), betas=(0.5,), learning_rates=(0.1,), **keys)  # type: ignore[arg-type]

    def task(self, *languages: str, rate: float | None = None, adapter: str = "") -> Combination:
        marks = [adapter] if adapter else [f"r{round(1000 * rate)}"] if rate else []
        return vector(f"{'.'.join(['task', *marks])}[{'-'.join(languages)}]")

    def language(self, language: str) -> Combination:
        return vector(f"lm[{language}]")

    def random(self, language: str) -> Combination:
        return vector(f"random[{language}]")

    def wrong(self, target: str) -> str | None:
        return "uk" if target == "pt" else None

    def related(self, target: str, sources: Sequence[str]) -> Related:
        return related(target, sources)


def at(methods: Sequence[Method], weight: float) -> dict[str, str]:
    """The composition of each method at a weight, or its only one."""
    return {m.name: str(m.tried[weight] if weight in m.tried else next(iter(m.tried.values()))) for m in methods}


def test_one_source() -> None:
    made = list(one_source(Names(controls=("scaled", "wrong", "random")), "pt", ["en", "ru"]))
    assert at(made, 0.5) == {
        "baseline": "task[en]",
        "add": "0.5*(lm[pt] + task[en])",
        "add_subtract": "0.5*(lm[pt] + task[en] - lm[en])",
        "uncoupled": str(parse("task[en] + 0.5*(lm[pt] - lm[en])")),
        "scaled": "0.5*task[en]",
        "wrong": "0.5*(lm[uk] + task[en] - lm[en])",
        "random": "0.5*(random[pt] + task[en] - lm[en])",
    }
    alone = at(made, 1.0)
    assert {alone[name] for name in ("add", "add_subtract", "scaled", "wrong", "random")} == {"task[en]"}


def test_rates_are_tried_on_the_task_vector_alone() -> None:
    v = Names(controls=("rates",))
    [rates] = [m for m in one_source(v, "pt", ["en"]) if m.name == "rates"]
    assert rates.by == "oracle"
    assert [str(c) for c in rates.tried.values()] == ["task.r3[en]", "task.r100[en]"]


def test_no_wrong_language_where_there_is_no_other_target() -> None:
    assert "wrong" not in {m.name for m in one_source(Names(), "uk", ["en"])}


def test_many_sources() -> None:
    made = list(many_sources(Names(controls=("scaled", "wrong")), "pt", ["en", "ja", "ru"]))
    found = at(made, 0.5)
    assert found["multilingual"] == "task[en-ja-ru]"
    assert parse(found["add_all"]) == parse("(task[en] + task[ja] + task[ru]) / 3")
    assert parse(found["add_related"]) == parse("(task[en] + task[ru]) / 2")  # Japanese is too far
    whole = "0.5*(task[en] + task[ru]) / 2 + 0.5*(lm[{}] - (lm[en] + lm[ru]) / 2)"
    assert parse(found["add_subtract_related"]) == parse(whole.format("pt"))
    assert parse(found["wrong"]) == parse(whole.format("uk"))
    assert parse(found["scaled"]) == parse("0.25*(task[en] + task[ru])")
    best, on_test = made[:2]
    assert (best.by, on_test.by) == ("oracle", "test")
    assert {place: str(c) for place, c in best.tried.items()} == {0: "task[en]", 1: "task[ja]", 2: "task[ru]"}


def test_each_source() -> None:
    made = list(each_source(Names(controls=("scaled",)), "pt", ["en", "ru"]))
    assert [(m.name, m.source) for m in made] == [
        (name, source) for source in ("en", "ru") for name in ("baseline", "add_subtract", "scaled")
    ]
    assert str(made[4].tried[0.5]) == "0.5*(lm[pt] + task[ru] - lm[ru])"


def test_in_domain() -> None:
    assert at(list(in_domain(Names(controls=()), "ru", ["en", "ru"])), 1.0) == {
        "lora": "task.lora[ru]",
        "multi_lora": "task.lora[en-ru]",
        "kronecker": "task.kronecker[ru]",
        "multi_kronecker": "task.kronecker[en-ru]",
        "full": "task.full[ru]",
    }
    without = in_domain(Names(controls=(), full_learning_rate=0.0), "ru", ["en", "ru"])
    assert "full" not in {method.name for method in without}


@pytest.mark.parametrize("table", TABLES)
def test_methods_have_names(table: str) -> None:
    about = TABLES[table]
    made = {m.name for m in about.methods(Names(), "pt", ["en", "ru"])}
    assert made <= METHODS.keys()
    assert {about.reference, *about.tried, *about.baselines} - {""} <= made


def test_related_languages_beside_the_papers() -> None:
    study = Study("table5", "table5", sources=("ar", "en", "ru", "tr"), targets=("pt", "so"))
    made = related_languages(study, None)  # type: ignore[arg-type]
    assert made.rows[0] == ["pt", "en ru ar tr", "en ru ar", "+tr"]
    assert made.rows[1][0] == "so"


def test_sizes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lingarith.text.corpora.NEWSROOM_PAGES", 3)
    limits = {"train_limit": 5, "validation_limit": 3, "test_limit": 2}
    made = sizes(Study("table7", "table7", targets=("pt",), **limits), Workshop(tmp_path))
    assert [row[:5] for row in made.rows] == [["English", "en", "5", "3", "2"], ["Portuguese", "pt", "5", "3", "2"]]
    assert all(int(row[5]) > 300 for row in made.rows)
