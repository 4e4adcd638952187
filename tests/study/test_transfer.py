"""The studies of transfer: their rows written out, and each whole on a tiny backbone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lingarith.algebra import parse
from lingarith.errors import LingarithError
from lingarith.report.answers import answer_of
from lingarith.report.findings import findings
from lingarith.report.writing import write_report
from lingarith.study.lab import Lab
from lingarith.study.place import Method
from lingarith.study.recipes import place_of
from lingarith.study.run import run

Labs = Callable[..., Lab]
SOURCES = ("en", "ru", "id")


def methods(lab: Lab, target: str = "pt") -> list[Method]:
    return place_of(lab, "summaries", target, 0).methods


def test_the_nearest_and_random_sources(lab: Labs) -> None:
    made = {m.name: m.tried for m in methods(lab("sources", sources=SOURCES, weights=(0.5,), controls=("scaled",)))}
    near, drawn = ["nearest:1", "nearest:2", "nearest:3"], [f"drawn{d}:{n}" for d in (1, 2, 3) for n in (1, 2)]
    plus = [name.replace(":", "+:") for name in (*near, *drawn)]
    assert sorted(made) == sorted([*near, *drawn, *plus, "scaled:1", "scaled:2", "scaled:3"])
    assert made["nearest:1"] == {1.0: parse("headlines[en]")}  # the nearest to Portuguese by URIEL
    assert made["nearest:2"] == {1.0: parse("0.5*(headlines[en] + headlines[id])")}
    assert made["nearest+:1"][0.5] == parse("0.5*(headlines[en] + news[pt] - news[en])")
    assert made["scaled:2"][0.5] == parse("0.25*(headlines[en] + headlines[id])")
    for draw in (1, 2, 3):  # more holds fewer
        assert set(made[f"drawn{draw}:1"][1.0].names) < set(made[f"drawn{draw}:2"][1.0].names)


def test_the_parts_of_a_subtraction(lab: Labs) -> None:
    made = methods(lab("subtraction", sources=("en", "ja"), weights=(0.8,)))
    assert {m.source for m in made} == {"en", "ja"}
    assert {m.name: m.tried.get(0.8, m.tried[1.0]) for m in made if m.source == "en"} == {
        "baseline": parse("headlines[en]"),
        "add": parse("0.8*headlines[en] + 0.2*news[pt]"),
        "subtract": parse("0.8*headlines[en] - 0.2*news[en]"),
        "add_subtract": parse("0.8*headlines[en] + 0.2*(news[pt] - news[en])"),
        "scaled": parse("0.8*headlines[en]"),
        "subtract_other": parse("0.8*headlines[en] + 0.2*(news[pt] - news[ja])"),
    }
    assert {m.tried[1.0] for m in made if m.source == "en"} == {parse("headlines[en]")}


def test_the_language_term_alone(lab: Labs) -> None:
    made = {m.name: m.tried for m in methods(lab("tasks", weights=(0.8,), controls=("wrong",), targets=("pt", "uk")))}
    assert [*made] == ["baseline", "add", "add_subtract", "language", "wrong"]
    assert made["language"] == {1.0: parse("news[pt] - news[en]")}


def test_every_source_and_every_two(lab: Labs) -> None:
    made = {m.name: m for m in methods(lab("similarity", sources=SOURCES))}
    assert {name: m.by for name, m in made.items()} == {"best": "oracle", "best_on_test": "test", "best_pair": "test"}
    assert [*made["best_on_test"].tried] == [*SOURCES]
    assert [*made["best_pair"].tried] == ["en+ru", "en+id", "ru+id"]
    assert made["best_pair"].tried["en+id"] == parse("0.5*(headlines[en] + headlines[id])")


def test_a_measure_has_nothing_to_choose_among_one_source(lab: Labs) -> None:
    with pytest.raises(LingarithError, match="for pt there is one, en; name two or more in 'sources'"):
        methods(lab("similarity", sources=("en",)))


@pytest.mark.parametrize(
    ("table", "keys", "titles"),
    [
        ("sources", {"sources": SOURCES}, ["By the number of sources", "Differences"]),
        ("subtraction", {"sources": SOURCES}, ["What each part has", "At equal λ", "Where −S hurts"]),
        ("tasks", {"tasks": ("summaries", "topics"), "controls": ("scaled", "wrong")}, ["By task"]),
        ("similarity", {"sources": SOURCES}, ["Which measure chooses best"]),
    ],
)
def test_a_study_runs_whole_and_answers(
    table: str, keys: dict[str, Any], titles: list[str], lab: Labs, tmp_path: Path
) -> None:
    made = run(lab(table, targets=("pt", "uk"), weights=(0.5,), max_output=3, **keys), tmp_path / table, together=1)
    answer = answer_of(made)
    assert answer is not None
    assert [grid.title for grid in answer.grids] == titles
    assert all(len(row) == len(grid.heads) for grid in answer.grids for row in grid.rows)
    written = write_report({table: findings(made, draws=50)}, tmp_path / "report")
    assert {path.name for path in written} >= {f"{table}.svg", f"{table}.png"}
    assert "The answer" in written[0].read_text(encoding="utf-8")
