"""Reports written from folders: what is in them, what is refused, and seeds that are taken together."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import lingarith
from lingarith.errors import LingarithError
from lingarith.report.files import read_runs, write_report
from lingarith.report.results import results
from lingarith.study.records import Run

SOURCE = str(Path(lingarith.__file__).parents[1])
Build, Write = Callable[..., Run], Callable[..., Path]


def test_a_report_is_four_files(make_study: Build, folder_of: Write, tmp_path: Path) -> None:
    found = {name: results(run) for name, run in read_runs([folder_of(make_study())]).items()}
    page, markdown, latex, table = write_report(found, tmp_path / "out")
    assert "A study by hand" in page.read_text()
    assert "| pt | 24.5 | 29.5\\* | 29.5\\* | 24.5 |" in markdown.read_text()
    assert r"pt & 24.5 & 29.5\textsuperscript{*}" in latex.read_text()
    rows = {(row["target"], row["method"]): row for row in csv.DictReader(table.read_text().splitlines())}
    assert len(rows) == 4 * 4  # three targets and the average
    assert (rows["pt", "add"]["score"], rows["pt", "add"]["gain"], rows["pt", "add"]["right"]) == ("29.5", "5.0", "1.0")
    assert (rows["pt", "baseline"]["paper"], rows["pt", "baseline"]["gain"], rows["pt", "baseline"]["run"]) == (
        "22.3",
        "",
        "a",
    )


def test_runs_that_differ_in_their_seeds_are_one(make_study: Build, folder_of: Write) -> None:
    folders = [folder_of(make_study((seed,)), str(seed)) for seed in (0, 2)]
    [(name, run)] = read_runs(folders).items()
    assert (name, run.about["seeds"]) == ("0", [0, 2])
    cell = next(c for c in results(run).cells if (c.target, c.method) == ("pt", "add"))
    assert (cell.seeds, cell.score, cell.gain) == (2, 30.5, 5.0)  # 29.5 and 31.5
    assert cell.low < 29.5 < 31.5 < cell.high
    assert len(run.ingredients) == 1
    with pytest.raises(LingarithError, match="is the same run as another one"):
        read_runs([folders[0], folders[0]])


def test_other_runs_stay_apart(make_study: Build, make_run: Build, folder_of: Write) -> None:
    other = make_study(data={"summaries/pt": "0"})
    grid = {"title": "Sizes", "heads": ["Language", "", "Train"], "rows": [["English", "en", "2,000"]], "caption": "."}
    listing = Run({"title": "Sizes", "table": "table7", "grid": grid})
    folders = [folder_of(run, str(k)) for k, run in enumerate((make_study(), other, make_run(n=5), listing))]
    found = {name: results(run) for name, run in read_runs(folders).items()}
    assert list(found) == ["0", "1", "2", "3"]
    text = write_report(found, folders[0].parent / "out")[3].read_text()
    assert 'English,en,"2,000","306,000"' in text  # beside the paper's
    assert "2,,,pt,add_subtract," in text


@pytest.mark.parametrize(
    ("file", "change", "sentence"),
    [
        ("records.jsonl", lambda text: text[:-20], r"records\.jsonl, line 120: cut off; run the command again"),
        ("records.jsonl", lambda text: text.replace('"score"', '"scor"', 1), r"line 1: no field 'score'"),
        ("records.jsonl", lambda text: text.replace("20.0", '"20"', 1), r"line 1: 'score' is '20'"),
        ("records.jsonl", lambda text: text[:50] + "\n" + text[50:], r"line 1: no JSON object"),
        ("choices.jsonl", lambda text: text.replace('"curve"', '"c"', 1), r"choices\.jsonl, line 1: no field 'curve'"),
        ("run.json", lambda text: text.replace('"reference"', '"referenc"'), r"run\.json: no field 'reference'"),
        ("run.json", lambda text: text.replace('"by_source": f', '"by_source": 0, "f": f'), "in field 'by_source'"),
        ("run.json", lambda text: text[:-9], "it has no readable run.json"),
    ],
)  # fmt: skip
def test_what_is_broken_is_said(
    file: str, change: Callable[[str], str], sentence: str, make_study: Build, folder_of: Write
) -> None:
    path = folder_of(make_study()) / file
    path.write_text(change(path.read_text()))
    with pytest.raises(LingarithError, match=sentence):
        read_runs([path.parent])


def test_a_run_without_records_is_not_reported(make_study: Build, folder_of: Write) -> None:
    with pytest.raises(LingarithError, match="has no records yet; run the command again"):
        read_runs([folder_of(Run(make_study().about))])


def test_no_model_is_loaded(make_study: Build, folder_of: Write) -> None:
    folder = folder_of(make_study())
    code = (
        "import sys; from pathlib import Path\n"
        "from lingarith.report.files import read_runs, write_report\nfrom lingarith.report.results import results\n"
        "folder = Path(sys.argv[1])\n"
        "write_report({name: results(run) for name, run in read_runs([folder]).items()}, folder)\n"
        "print(sorted({'torch', 'transformers'} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, folder], capture_output=True, text=True, env=os.environ | {"PYTHONPATH": SOURCE}
    )
    assert done.stdout == "[]\n", done.stderr
