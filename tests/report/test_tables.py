"""Tables of cells: a block for each target where results are few, else a column for each method; the paper beside."""

from dataclasses import replace

import pytest

from lingarith.report import cells as numbers
from lingarith.report.cells import cells
from lingarith.report.tables import few, tables, tables_of
from lingarith.study.records import METHODS, About, Grid, Ingredient, Run

TASK = "summaries"


@pytest.fixture(scope="module")
def blocks(run):
    return tables(run, cells(run, draws=1000))[0]


def test_few_results_have_a_row_each(blocks):
    assert blocks.title == "Summaries in pt, uk and fa from English labels"
    assert list(blocks.heads) == ["", "Method", "λ, β", "ROUGE-2", "95 %", "Gain", "95 %", "Right", "chrF", "Oracle"]
    assert [row[:3] for row in blocks.rows] == [
        [target, name, weight]
        for target in ("pt", "uk", "fa", "average")
        for name, weight in (("Baseline", ""), ("Add", "0.95"), ("Add−Sub", "0.9"), ("Uncoupled", "0.4"))
    ][:12] + [["average", name, ""] for name in ("Baseline", "Add", "Add−Sub", "Uncoupled")]
    assert blocks.rows[0][5:7] == ["", ""]
    assert blocks.rows[2][5].endswith("*")
    assert blocks.rows[2][9].startswith("0.9: ")
    assert blocks.caption == (
        "ROUGE-2: on the test split, with 95 % bootstrap interval. Gain: over Baseline on the same examples; "
        "* better, † worse, p < 0.05 after Holm. Right: outputs in the right language. "
        "Oracle: the weight that the target's own labels would have chosen, and its score."
    )


def test_labels_are_in_no_language(make_run):
    run = make_run(n=5, protocol="oracle")
    labels = replace(run, records=[replace(r, kind="") for r in run.records])
    [grid] = tables(labels, cells(labels, draws=10))
    assert list(grid.heads) == ["", "Method", "λ, β", "ROUGE-2", "95 %", "Gain", "95 %", "chrF"]
    assert "Right" not in grid.caption


def test_figures_beside_the_metric_have_columns(make_run, monkeypatch):
    monkeypatch.setattr(numbers, "beside_of", lambda metric: {"length": lambda outputs, right: float(len(outputs))})
    run = make_run(n=5)
    found = cells(run, draws=10)
    grid, _ = tables(run, found)
    assert grid.heads[8] == "length"
    assert {row[8] for row in grid.rows} == {"5.0"}
    many = [replace(cell, method=f"{cell.method}{k}") for k in range(3) for cell in found]
    about = replace(run.about, methods={cell.method: "" for cell in many})
    _, _, beside, *_ = tables(replace(run, about=about), many)
    assert beside.title == "Summaries in pt, uk and fa from English labels, summaries: length"
    assert beside.rows[0][:2] == ["pt", "5.0"]


@pytest.fixture
def many(make_study):
    """More results than have a row each: seven languages."""
    run = make_study(table="mine")
    other = {"pt": "mr", "uk": "gu", "fa": "zh"}
    twice = [
        [*lines, *(replace(line, target=other[line.target]) for line in lines)]
        for lines in (run.examples, run.records, run.choices)
    ]
    about = replace(run.about, targets=[*run.about.targets, *other.values()])
    return Run(about, *twice, run.ingredients)


def test_many_results_have_a_column_for_each_method(many):
    found = cells(many, draws=1000)
    assert not few(found)
    matrix, averages, *_ = tables(many, found)
    assert list(matrix.heads) == ["", "Baseline", "Add", "Add−Sub", "λ·task"]
    assert [list(row) for row in matrix.rows][:4] == [
        ["pt", "24.5", "29.5*", "29.5*", "24.5"], ["uk", "24.5", "24.5", "24.5", "24.5"],
        ["fa", "24.5", "24.5", "24.5", "24.5"], ["mr", "24.5", "29.5*", "29.5*", "24.5"],
    ]  # fmt: skip
    assert (
        matrix.caption == "ROUGE-2. * better, † worse than Baseline: paired test, p < 0.05 after Holm over languages."
    )
    assert averages.rows[0][:2] == ["Baseline", "24.5"]
    assert averages.rows[1][:2] == ["Add", "26.2"]
    assert averages.rows[1][3] == "+1.7"


def test_a_method_that_was_not_run_somewhere_is_a_dash(many):
    lacking = replace(many, records=[r for r in many.records if (r.target, r.method) != ("uk", "add")])
    assert tables(lacking, cells(lacking, draws=10))[0].rows[1][2] == "–"


def test_every_source_with_every_target(make_study):
    run = make_study(by_source=True)
    [grid] = tables(run, cells(run, draws=1000))
    assert list(grid.heads) == ["from / to", "pt", "uk", "fa"]
    assert grid.rows == [["en", "+20.4*", "0.0", "0.0"], ["ru", "+20.4*", "0.0", "0.0"]]
    assert "ROUGE-2" in grid.caption


def test_beside_the_paper(make_study):
    run = make_study()
    *_, grid = tables(run, cells(run, draws=100))
    assert list(grid.heads) == ["", "Baseline", "Paper", "Add", "Paper", "Add−Sub", "Paper"]
    by_name = {row[0]: list(row[1:]) for row in grid.rows}
    assert by_name["pt"] == ["24.5", "22.3", "29.5", "–", "29.5", "–"]
    assert by_name["gain"] == ["", "", "+1.7", "+0.2", "+1.7", "+0.8"]
    assert "arXiv 2311.09344" in grid.caption
    assert "gu, mr, ne, si, so, vi, yo, zh among them" in grid.caption


def test_another_metric_is_not_beside_the_papers(make_study):
    run = make_study(tasks={TASK: "chrF"})
    assert not any("beside the paper" in grid.title for grid in tables(run, cells(run, draws=10)))


def test_a_listing_stands_beside_the_papers_sizes():
    grid = Grid("Sizes", ["Language", "", "Train"], [["English", "en", "2,000"]], "Ours.")
    [found] = tables(Run(About("7", "Sizes", "table7", grid=grid)), [])
    assert (found.heads, found.rows) == (
        ["Language", "", "Train", "Paper: train"],
        [["English", "en", "2,000", "306,000"]],
    )
    assert tables(Run(About("5", "Related", "table5", grid=grid)), []) == [grid]


def test_without_cells_there_is_no_table(run):
    assert tables(replace(run, records=[]), []) == tables_of(run, TASK, []) == []


def test_the_best_source_is_named(make_study):
    run = make_study(table="mine", tried=["add"])
    records = [replace(r, method="best", weight="ru") if r.method == "add" else r for r in run.records]
    choices = [
        replace(c, method="best", weight="ru", curve=[("ru", 1.0)]) if c.method == "add" else c for c in run.choices
    ]
    about = replace(run.about, methods={"baseline": "", "best": METHODS["best"].full}, tried=["best"])
    run = replace(run, about=about, records=records, choices=choices)
    grid, *_ = tables(run, cells(run, draws=10))
    assert grid.rows[1][:3] == ["pt", "Best", "ru"]


def half_right(run):
    """Of the baseline's outputs every second one is in the source's language and scores 0."""

    def changed(record):
        odd = int(record.id.rpartition("-")[2]) % 2
        return replace(record, kind="source", score=0.0) if odd else replace(record, kind="target")

    return replace(run, records=[changed(r) if r.method == "baseline" else r for r in run.records])


def test_outputs_in_the_right_language_have_a_table_of_their_own(make_study, many):
    run = half_right(make_study(table="mine"))
    whole, right = tables(run, cells(run, draws=100))
    assert right.title == "A study by hand: outputs in the right language"
    assert list(right.heads) == ["", "Method", "Right", "Gain", "Outputs", "ROUGE-2", "chrF"]
    assert right.rows[0][:6] == ["pt", "Baseline", "50 %", "", "5", "24.0"]
    assert right.rows[1][:6] == ["pt", "Add", "100 %", "+50.0", "10", "29.5"]  # five that differ show nothing
    assert right.rows[-3][:5] == ["average", "Add", "100 %", "+50.0*", "30"]
    assert whole.rows[0][3] == "12.0"
    assert "differ from method to method" in right.caption
    wide = half_right(many)
    titles = {grid.title.rpartition(": ")[2]: grid for grid in tables(wide, cells(wide, draws=100))}
    rate, among = titles["outputs in the right language"], titles["outputs in the right language, ROUGE-2"]
    assert rate.rows[0][1:3] == ["50 %", "100 % +50.0"]
    assert among.rows[0][1:3] == ["24.0 (5)", "29.5 (10)"]


def test_a_target_without_right_outputs_has_no_score_of_these(make_study):
    run = make_study(table="mine")
    run = replace(run, records=[replace(r, kind="other") if r.target == "pt" else r for r in run.records])
    _, right = tables(run, cells(run, draws=50))
    by_place = {tuple(row[:2]): row for row in right.rows}
    assert by_place["pt", "Add"][2:6] == ["0 %", "0.0", "0", "–"]
    assert by_place["average", "Add"][5] == "24.5"  # of the two that have some


def test_doses_have_a_table_and_what_has_none_is_said(make_study):
    run = make_study()
    dose = {"kind": "language", "dose": {"before": 2.0, "after": 1.25}}
    vectors = [Ingredient(f"news[{code}]", code * 32, 1.0, 1, 1, 5, origin)
               for code, origin in (("pt", dose), ("uk", {"kind": "language"}), ("fa", {"kind": "task"}))]  # fmt: skip
    *_, grid = tables(replace(run, ingredients=vectors), [])
    assert grid.rows == [
        ["news[pt]", "ptptptpt", "5", "2.000", "1.250", "−0.750"], ["news[uk]", "ukukukuk", "5", "–", "–", "–"],
    ]  # fmt: skip
    assert "No dose is known of news[uk]" in grid.caption
    assert "Nothing is claimed" in grid.caption
