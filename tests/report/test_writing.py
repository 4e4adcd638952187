"""Tables on a terminal, as Markdown, LaTeX and CSV, and the files of a report."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from rich.console import Console

import lingarith
from lingarith.report.answer import Answer
from lingarith.report.figures import blank
from lingarith.report.findings import Findings, findings
from lingarith.report.runs import read_runs
from lingarith.report.writing import as_csv, as_latex, as_markdown, as_text, write_report
from lingarith.study.records import About, Grid, Run

SOURCE = str(Path(lingarith.__file__).parents[1])
Build, Write = Callable[..., Run], Callable[..., Path]
GRID = Grid("A & B", ["", "λ·task", "p"], [["pt", "−1.2†", "< 0.001"], ["x_y", "3|4*", "50 %"]], "100 % {sure}")


def test_latex_escapes_what_it_reads_otherwise() -> None:
    text = as_latex([GRID], ["It helps: 5 % & more."])
    assert r"\begin{tabular}{lrr}" in text
    assert r"pt & $-$1.2\textsuperscript{\dag} & $<$ 0.001 \\" in text
    assert r"x\_y & 3|4\textsuperscript{*} & 50 \% \\" in text
    assert r"\caption{A \& B. 100 \% \{sure\}}" in text
    assert r"\item It helps: 5 \% \& more." in text
    assert text.count(r"\begin{") == text.count(r"\end{") == 3
    assert text.isascii()


def test_markdown_escapes_bars_and_stars() -> None:
    text = as_markdown([GRID], ["Better*"])
    assert "| x_y | 3\\|4\\* | 50 % |" in text
    assert text.endswith("\n- Better\\*\n")


def test_without_tables_it_is_said() -> None:
    assert as_markdown([], []).startswith("No test records")


def printed(grid: Grid, width: int = 80) -> str:
    console = Console(width=width, no_color=True)
    with console.capture() as captured:
        console.print(as_text(grid))
    return captured.get()


def test_the_terminal_table_is_whole_at_80_columns(run: Run) -> None:
    grid, right = findings(run, draws=1000).tables
    assert max(map(len, printed(right).splitlines())) <= 80
    text = printed(grid)
    assert "…" not in text
    for expected in ("pt", "uk", "fa", "average", "Add−Sub", "0.95", " %", "1: "):
        assert expected in text
    assert max(map(len, text.splitlines())) <= 80
    assert sum(line.startswith("pt ") for line in text.splitlines()) == 1  # a block begins with its target


def test_a_wide_terminal_table_stands_closer() -> None:
    narrow, wide = Grid("", ["", "a"], [["x", "1"]], ""), Grid("", ["", "a"], [["x" * 40, "1" * 39]], "")
    assert "x  1" in printed(narrow)
    assert "x 1" in printed(wide)


def test_markdown_has_one_width_and_no_stray_emphasis(run: Run) -> None:
    found = findings(run, draws=1000)
    lines = [line for line in as_markdown(found.tables[:1], found.sentences).splitlines() if line.startswith("|")]
    assert len(lines) == 2 + 16
    assert len({line.count("|") for line in lines}) == 1
    assert all("*" not in line.replace("\\*", "") for line in lines)
    assert sum(line.startswith("| pt |") for line in lines) == 1
    assert lines[1] == "|---|---|" + "---:|" * 8  # words to the left, figures to the right


def test_a_report_is_four_files(make_study: Build, folder_of: Write, tmp_path: Path) -> None:
    found = {name: findings(run) for name, run in read_runs([folder_of(make_study())]).items()}
    page, markdown, latex, table = write_report(found, tmp_path / "out")
    assert "A study by hand" in page.read_text()
    assert "| pt | Baseline |  | 24.5 |" in markdown.read_text()
    assert r"pt & 24.5 & 22.3 & 29.5 & --" in latex.read_text()
    rows = {(row["target"], row["method"]): row for row in csv.DictReader(table.read_text().splitlines())}
    assert len(rows) == 4 * 4  # three targets and the average
    add, baseline = rows["pt", "add"], rows["pt", "baseline"]
    assert [add[key] for key in ("score", "gain", "right", "weights", "seeds")] == ["29.5", "5.0", "1.0", "0.9", "1"]
    assert [baseline[key] for key in ("paper", "gain", "run", "p_holm")] == ["22.3", "", "a", ""]


def test_numbers_of_several_runs_stand_in_one_file(make_study: Build) -> None:
    listing = Run(
        About("7", "", "table7", grid=Grid("Sizes", ["Language", "", "Train"], [["English", "en", "2,000"]], "."))
    )
    runs = {"one": make_study((0, 1)), "pairs": make_study(by_source=True), "sizes": listing}
    lines = as_csv({name: findings(run, draws=50) for name, run in runs.items()}).splitlines()
    assert lines[0] == (
        "run,task,source,target,method,seeds,n,score,low,high,gain,gain_low,gain_high,p,p_holm,weights,right,"
        "right_n,right_gain,right_p,chrF,ROUGE-2 if right,chrF if right,paper"
    )
    assert lines[-2:] == ["Language,,Train,Paper: train", 'English,en,"2,000","306,000"']
    rows = list(csv.DictReader(lines[:-2]))
    assert {(row["run"], row["source"]) for row in rows} == {("one", ""), ("pairs", "en"), ("pairs", "ru")}
    pair = next(row for row in rows if (row["source"], row["target"], row["method"]) == ("ru", "pt", "add_subtract"))
    assert (pair["score"], pair["gain"], pair["low"], pair["weights"]) == ("29.5", "5.0", "", "0.9")
    assert next(row for row in rows if row["method"] == "add")["weights"] == "0.9 0.9"


def test_no_model_is_loaded(make_study: Build, folder_of: Write) -> None:
    folder = folder_of(make_study())
    code = (
        "import sys; from pathlib import Path\n"
        "from lingarith.report.runs import read_runs\n"
        "from lingarith.report.findings import findings\nfrom lingarith.report.writing import write_report\n"
        "folder = Path(sys.argv[1])\n"
        "write_report({name: findings(run) for name, run in read_runs([folder]).items()}, folder)\n"
        "print(sorted({'torch', 'transformers'} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, folder], capture_output=True, text=True, env=os.environ | {"PYTHONPATH": SOURCE}
    )
    assert done.stdout == "[]\n", done.stderr


def test_figures_of_two_answers_of_one_kind_have_files_of_their_own(make_run: Build, tmp_path: Path) -> None:
    def told(run: Run) -> Findings:
        chart = {"sources": lambda: blank(1, 1), run.about.title: lambda: blank(1, 1)}
        return replace(findings(run, draws=10), answer=Answer([], chart, dict.fromkeys(chart, "A figure")))

    one, two = told(make_run(n=2, title="one")), told(make_run(n=2, title="two"))
    files = {path.name for path in write_report({"/runs/one": one, "/runs/two": two}, tmp_path)}
    assert {f"{name}.svg" for name in ("runs-one-sources", "runs-two-sources", "one", "two")} <= files
    assert "sources.svg" not in files
