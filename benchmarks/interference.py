"""What foretells that a composition loses, over the compositions of several runs at once.

    python benchmarks/interference.py RUN... --store STORE --points points.jsonl.gz

`lingarith run interference` asks that of one run of its own. Here every composition whose weight was tried on
validation data in one of these runs is a point, as there; limits are chosen on all runs but one and tried on that
one, each in turn. Points that are there are read and not measured again; without runs they are all.
"""

from __future__ import annotations

import argparse
import gzip
import json
from pathlib import Path

from lingarith.cli.opening import open_lab
from lingarith.newsroom import NEWSROOM
from lingarith.progress import quiet
from lingarith.report.figures import pictures
from lingarith.report.interference import ERRORS, Point, drawing, losing, points_of, table
from lingarith.study.interference import measured
from lingarith.study.recipes import rows
from lingarith.study.run_folder import read_run
from lingarith.study.study import KEYS, NEWSROOM_DEFAULTS, study_of


def points_of_run(folder: Path, store: str) -> list[Point]:
    """The points of a run, whose vectors the store has; outputs that it lacks are made."""
    about = read_run(folder).about
    keys = {key: value for key, value in about.study.items() if key in KEYS}
    if keys["backbone"] == NEWSROOM and keys["max_input"] == NEWSROOM_DEFAULTS["training"]["max_input"]:
        del keys["max_input"]  # that of training, which for the newsroom is not that of writing
    lab = open_lab(study_of(folder.name, about.table, keys), store, quiet)
    return [{"run": folder.name, **point} for point in points_of(measured(lab, rows(lab)))]


def main() -> None:
    """Measure what is new, print the table, draw the figure."""
    parser = argparse.ArgumentParser(description="which figures of inspect foretell that a composition loses")
    parser.add_argument("runs", nargs="*", type=Path)
    parser.add_argument("--store", default="lingarith-store")
    parser.add_argument("--points", type=Path, required=True, help="a file of JSON lines, compressed: read and written")
    parser.add_argument("--errors", type=float, default=ERRORS, help="standard errors below 0 that are a loss; 0: any")
    parser.add_argument("--out", type=Path, help="a folder for the figure, as SVG and PNG")
    arguments = parser.parse_args()
    points: list[Point] = []
    if arguments.points.exists():
        with gzip.open(arguments.points, "rt", encoding="utf-8") as lines:
            points = [json.loads(line) for line in lines]
    for folder in arguments.runs:
        if folder.name not in {point["run"] for point in points}:
            points += points_of_run(folder, arguments.store)
            text = "".join(json.dumps(point) + "\n" for point in points)
            arguments.points.write_bytes(gzip.compress(text.encode(), mtime=0))
            print(f"{folder.name}: {len(points)} points so far", flush=True)
    points = [losing(point, arguments.errors) for point in points]
    print(f"{len(points)} compositions of {len({p['run'] for p in points})} runs, of which "
          f"{sum(p['loses'] for p in points)} lose")  # fmt: skip
    for row in [["figure", "AUC", "within", "limit", "found", "false", ""], *table(points, "run")]:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, (10, 5, 6, 8, 5, 5, 0), strict=True)))
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
        for path in pictures({"interference": lambda: drawing(points)}, arguments.out):
            print(path)


if __name__ == "__main__":
    main()
