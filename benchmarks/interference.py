"""What foretells that a composition loses: figures of ``inspect``, known before anything is generated, against scores.

    python benchmarks/interference.py RUN... --store STORE --points points.jsonl.gz

Each composition whose weight was tried on validation data in one of the runs is a point: the figures of its result,
and what it scores there less than the task vector alone on the same articles. It *loses* where that is ``--errors``
standard errors of the paired differences below 0 (where the store lacks the outputs: :data:`UNKNOWN` for one). The
area under the curve (AUC) is the chance that of two compositions the one that loses has the higher figure: 0.5 knows
nothing, and below it the lower figure foretells loss. ``within`` compares only compositions of one run, task and
weight, since whoever chooses λ knows λ. Thresholds are chosen on all runs but one and tried on that one, each in
turn. Compositions in which no task vector is left are left out. Points that are there are read and not measured
again; without runs they are all.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

from lingarith.algebra import Combination
from lingarith.cli.opening import open_lab
from lingarith.inspection.measure import inspect
from lingarith.newsroom import NEWSROOM
from lingarith.progress import quiet
from lingarith.report.figures import ALONE_LINE, COLOURS, blank, pictures
from lingarith.study.lab import Lab
from lingarith.study.outputs import UNCHANGED, Wanted, key_of, read_outcomes, space_of
from lingarith.study.place import Method, Place
from lingarith.study.recipes import rows
from lingarith.study.run_folder import read_run
from lingarith.study.study import KEYS, NEWSROOM_DEFAULTS, study_of
from lingarith.study.weights import neutral

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FIGURES = {
    "kept": "of the task vector in the result (1: all of it)",
    "norm": "norm of the result over the task vector's",
    "away": "norm of result − task vector over the task vector's",
    "beside": "norm of the language part over the task part's",
    "cosine": "of language part and task part",
    "opposed": "lowest cosine between two vectors",
    "conflicts": "share of entries with both signs",
    "cancelled": "share of the magnitude that cancels",
    "exact": "cosine of the result and the exact sum",
    "residual": "part of the result that no vector explains",
    "drift": "largest of a language vector from its start",
    "weight": "λ or β, for comparison",
}
UNKNOWN = 4.0
"""The standard error of a run whose single outputs the store lacks: about that of 32 headlines."""
Point = dict[str, Any]


def points_of(folder: Path, store: str) -> Iterator[Point]:
    """The points of a run, whose vectors and outputs the store has."""
    run = read_run(folder)
    about, curves = run.about, {(c.task, c.target, c.method, c.source, c.seed): dict(c.curve) for c in run.choices}
    keys = {key: value for key, value in about.study.items() if key in KEYS}
    if keys["backbone"] == NEWSROOM and keys["max_input"] == NEWSROOM_DEFAULTS["training"]["max_input"]:
        del keys["max_input"]  # that of training, which for the newsroom is not that of writing
    lab = open_lab(study_of(folder.name, about.table, keys), store, quiet)
    for place, method in rows(lab):
        if not lab.has_labels(place.task, place.target, "validation"):
            continue
        alone = neutral(method.name)
        base = scores(lab, place, method, method.tried.get(alone))
        curve = curves.get((place.task, place.target, method.name, method.source, place.seed), {})
        for weight, composition in method.tried.items():
            ours = scores(lab, place, method, composition)
            if isinstance(weight, str) or weight == alone or not {weight, alone} <= curve.keys():
                continue
            if (figures := measured(lab, method, composition)) is None:
                continue
            gain, error = float(curve[weight]) - float(curve[alone]), UNKNOWN
            if ours and base:
                gains = [one - other for one, other in zip(ours, base, strict=True)]
                gain, error = fmean(gains), stdev(gains) / math.sqrt(len(gains)) if len(gains) > 1 else 0.0
            yield {
                "run": folder.name, "task": place.task, "target": place.target, "method": method.name,
                "source": method.source, "seed": place.seed, "weight": weight, "gain": round(gain, 3),
                "error": round(error, 3),
                **{name: None if value is None else round(value, 5) for name, value in figures.items()},
            }  # fmt: skip


def scores(lab: Lab, place: Place, method: Method, composition: Combination | None) -> list[float]:
    """The scores of a composition on the validation data; nothing where the store lacks them."""
    if composition is None:
        return []
    data = lab.labels(method.asks or place.task, place.target, "validation")
    key = key_of(lab, Wanted(method.asks or place.task, data, [composition], sums=method.sums), composition)
    outcomes = read_outcomes(lab, key, data)
    return [outcome.score for outcome in outcomes] if len(outcomes) == len(data.examples) else []


def measured(lab: Lab, method: Method, composition: Combination) -> dict[str, float | None] | None:
    """The figures of a composition; None where it holds no task vector, or nothing beside one."""
    vectors = lab.vectors(composition.names)
    tasks = [vectors[name].origin.get("kind") == "task" for name in composition.names]
    share = sum(weight for is_task, weight in zip(tasks, composition.weights.values(), strict=True) if is_task)
    if len(composition.names) < 2 or not any(tasks) or share <= 0:
        return None
    space = space_of(lab, method.sums or UNCHANGED)
    inspection = inspect(composition, vectors, [space])
    if str(space) not in inspection.sums.results:
        return None
    figures = inspection.figures()
    [result] = figures.results.values()
    gram, sums = inspection.sums.gram.sum(0).tolist(), inspection.sums.results[str(space)].sum(0).tolist()
    part = {one: [k for k, is_task in enumerate(tasks) if is_task == one] for one in (True, False)}
    inner = {(a, b): sum(gram[i][j] for i, j in product(part[a], part[b])) for a, b in product(part, part)}
    task, language, size = inner[True, True] / share**2, inner[False, False], sums[-1]
    onto = sum(sums[k] for k in part[True]) / share  # ⟨result, task vector alone⟩
    cosines = [c for name, row in figures.cosines.items() for other, c in row.items() if name < other and c is not None]
    drifts = [d.drift for (_, d), is_task in zip(figures.drift.items(), tasks, strict=True) if d and not is_task]
    return {
        "kept": onto / task, "norm": math.sqrt(size / task),
        "away": math.sqrt(max(0.0, size - 2 * onto + task) / task),
        "beside": math.sqrt(language / inner[True, True]),
        "cosine": inner[True, False] / math.sqrt(language * inner[True, True]) if language else None,
        "opposed": min(cosines, default=None), "conflicts": figures.conflicts, "cancelled": figures.cancelled,
        "exact": result.cosine, "residual": result.residual, "drift": max(drifts, default=None),
    }  # fmt: skip


def auc(points: Sequence[Point], name: str, within: bool = False) -> tuple[float, int]:
    """The area under the curve of a figure, and over how many pairs."""
    groups: dict[Any, list[Point]] = defaultdict(list)
    for point in points:
        if point[name] is not None:
            groups[(point["run"], point["task"], point["weight"]) if within else None].append(point)
    above, pairs = 0.0, 0
    for group in groups.values():
        lost, other = ([p[name] for p in group if p["loses"] == loses] for loses in (True, False))
        above += sum((a > b) + 0.5 * (a == b) for a, b in product(lost, other))
        pairs += len(lost) * len(other)
    return (above / pairs if pairs else math.nan), pairs


def threshold(points: Sequence[Point], name: str) -> tuple[float, int]:
    """The threshold that tells losing ones best (share of these found + share of others left, halved), and the side:
    1 where what is above loses."""
    values = sorted({p[name] for p in points if p[name] is not None})
    sides = [(value, side) for value in values for side in (1, -1)]
    return max(sides, key=lambda at: sum(balance(points, name, *at)), default=(math.nan, 1))


def balance(points: Sequence[Point], name: str, limit: float, side: int) -> tuple[float, float]:
    """Of those that lose the share beyond the limit, and of the others the share on this side of it."""
    shares = []
    for loses in (True, False):
        some = [p[name] for p in points if p["loses"] == loses and p[name] is not None]
        shares.append(sum((side * value >= side * limit) == loses for value in some) / len(some) if some else math.nan)
    return shares[0], shares[1]


def table(points: Sequence[Point]) -> list[list[str]]:
    """A row for each figure: AUC, AUC within, its threshold, and what that finds in runs it was not chosen on."""
    rows = []
    for name, about in FIGURES.items():
        area, within = auc(points, name)[0], auc(points, name, within=True)[0]
        limit, side = threshold(points, name)
        outside = []
        for run in dict.fromkeys(p["run"] for p in points):
            there, rest = ([p for p in points if (p["run"] == run) == here] for here in (True, False))
            if len({p["loses"] for p in there}) == 2 and len({p["loses"] for p in rest}) == 2:
                outside.append(balance(there, name, *threshold(rest, name)))
        found, left = (fmean(column) for column in zip(*outside, strict=True)) if outside else (math.nan, math.nan)
        limit_text = f"{'≥' if side > 0 else '≤'} {limit:.2f}"
        rows.append([name, f"{area:.2f}", f"{within:.2f}", limit_text, f"{found:.0%}", f"{1 - left:.0%}", about])
    return rows


def drawing(points: Sequence[Point]) -> Figure:
    """The area under the curve of each figure, over all compositions and within equal weights."""
    figure = blank(5.2, 0.8 + 0.24 * len(FIGURES))
    axis = figure.subplots()
    axis.axvline(0.5, **ALONE_LINE)
    for mark, colour, within, label in (
        ("o", "add", False, "all compositions"), ("D", "add-subtract", True, "of one run, task and weight"),
    ):  # fmt: skip
        areas = [auc(points, name, within)[0] for name in FIGURES]
        axis.plot(areas, range(len(areas)), mark, color=COLOURS[colour], markersize=5, label=label)
    axis.set_yticks(range(len(FIGURES)), [f"{name}: {about}" for name, about in FIGURES.items()], fontsize=7)
    axis.invert_yaxis()
    axis.set_xlim(0, 1)
    axis.grid(axis="x")
    axis.set_xlabel("AUC")
    axis.legend(fontsize=7, frameon=False, loc="upper center", bbox_to_anchor=(0.2, -0.12), ncols=2)
    return figure


def main() -> None:
    """Measure what is new, print the table, draw the figure."""
    parser = argparse.ArgumentParser(description="which figures of inspect foretell that a composition loses")
    parser.add_argument("runs", nargs="*", type=Path)
    parser.add_argument("--store", default="lingarith-store")
    parser.add_argument("--points", type=Path, required=True, help="a file of JSON lines, compressed: read and written")
    parser.add_argument("--errors", type=float, default=2.0, help="standard errors below 0 that are a loss; 0: any")
    parser.add_argument("--out", type=Path, help="a folder for the figure, as SVG and PNG")
    arguments = parser.parse_args()
    points: list[Point] = []
    if arguments.points.exists():
        with gzip.open(arguments.points, "rt", encoding="utf-8") as lines:
            points = [json.loads(line) for line in lines]
    for folder in arguments.runs:
        if folder.name not in {point["run"] for point in points}:
            points += points_of(folder, arguments.store)
            lines = "".join(json.dumps(point) + "\n" for point in points)
            arguments.points.write_bytes(gzip.compress(lines.encode(), mtime=0))
            print(f"{folder.name}: {len(points)} points so far", flush=True)
    points = [point | {"loses": point["gain"] < -max(1e-9, arguments.errors * point["error"])} for point in points]
    print(f"{len(points)} compositions of {len({p['run'] for p in points})} runs, of which "
          f"{sum(p['loses'] for p in points)} lose")  # fmt: skip
    for row in [["figure", "AUC", "within", "limit", "found", "false", ""], *table(points)]:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, (10, 5, 6, 8, 5, 5, 0), strict=True)))
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
        for path in pictures({"interference": lambda: drawing(points)}, arguments.out):
            print(path)


if __name__ == "__main__":
    main()
