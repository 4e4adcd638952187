"""Searching λ by halving against the full grid, replayed on what a study has generated.

    lingarith run table1 --store STORE
    python benchmarks/search.py --store STORE --out search.json

Every `choose` step of the store has the outputs of each weight for the same validation examples, so a
race can be held without generating anything: it sees of each weight only the examples it would have
asked for. Printed are, by method, the tokens that a race needs as a share of the grid's (each
composition counted once for a language, as both would generate it), how often it chooses the grid's
weight, and how much of the grid's validation score the chosen weight gives up, with the standard error of that
score as the measure of noise.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lingarith.model.backbone import load
from lingarith.study.choose import ALONE, NEUTRAL, best
from lingarith.study.halving import race


@dataclass(frozen=True)
class Replay:
    """A race against the grid: tokens of both, the chosen weights, and their scores on all examples."""

    language: str
    method: str
    examples: int
    grid_tokens: int
    race_tokens: int
    grid_weight: float
    race_weight: float
    grid_value: float
    race_value: float
    noise: float
    """Standard error of the mean difference between the two weights, over the examples."""


def replay(choice: dict[str, Any], read: Any, tokens: Any) -> Replay | None:
    """The race of one `choose` step; None where it is no weight of ours that was searched with one target's labels."""
    method = choice["method"]
    candidates = choice["candidates"]
    if method not in NEUTRAL and ALONE not in [candidate["weight"] for candidate in candidates]:
        return None
    if len(candidates) < 3 or any(len(candidate["steps"]) != 1 for candidate in candidates):
        return None
    neutral = NEUTRAL.get(method, ALONE)
    found = {candidate["weight"]: read(candidate["steps"][0]) for candidate in candidates}
    if neutral not in found or any(step["function"] != "outputs" for step in found.values()):
        return None
    data = next(iter(found.values()))["arguments"]["data"]
    if data["split"] != "validation":
        return None
    scores = {w: [outcome["score"] for outcome in step["result"]["outcomes"]] for w, step in found.items()}
    lengths = {w: tokens([outcome["output"] for outcome in step["result"]["outcomes"]]) for w, step in found.items()}
    examples = len(scores[neutral])
    held = race(sorted(scores), neutral, examples, lambda weight, count: scores[weight][:count])
    chosen = best(method, [(weight, value) for weight, value, _ in held.points if weight in held.finalists])[0]
    means = {weight: statistics.fmean(values) for weight, values in scores.items()}
    top = best(method, sorted(means.items()))[0]
    apart = [one - other for one, other in zip(scores[top], scores[chosen], strict=True)]
    return Replay(
        language=data["language"], method=method, examples=examples,
        grid_tokens=sum(map(sum, lengths.values())),
        race_tokens=sum(sum(lengths[weight][:count]) for weight, _, count in held.points),
        grid_weight=top, race_weight=chosen, grid_value=means[top], race_value=means[chosen],
        noise=statistics.stdev(apart) / math.sqrt(examples) if examples > 1 else 0.0,
    )  # fmt: skip


def main() -> None:
    """Print a small table; write the replays as JSON."""
    parser = argparse.ArgumentParser(description="λ by halving against the full grid")
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--backbone", default="newsroom", help="whose tokens are counted")
    parser.add_argument("--out", type=Path, help="a JSON file")
    arguments = parser.parse_args()
    tokenizer = load(arguments.backbone).tokenizer
    steps = {path.stem: json.loads(path.read_text()) for path in (arguments.store / "steps").glob("*.json")}

    def tokens(outputs: list[str]) -> list[int]:
        return [1 + len(ids) for ids in tokenizer(outputs, add_special_tokens=False)["input_ids"]]

    made = [
        replay(step["arguments"], steps.__getitem__, tokens) for step in steps.values() if step["function"] == "choose"
    ]
    by_method: dict[str, list[Replay]] = defaultdict(list)
    for found in made:
        if found:
            by_method[found.method].append(found)
    print(
        f"{'':<14} {'languages':>9} {'examples':>8} {'tokens':>7}"
        f" {'same λ':>7} {'score given up':>15} {'within noise':>13}"
    )
    for method, replays in sorted(by_method.items()):
        share = sum(r.race_tokens for r in replays) / sum(r.grid_tokens for r in replays)
        same = sum(r.race_weight == r.grid_weight for r in replays)
        lost = statistics.fmean(r.grid_value - r.race_value for r in replays)
        within = sum(r.grid_value - r.race_value <= 2 * r.noise for r in replays)
        print(
            f"{method:<14} {len(replays):>9} {replays[0].examples:>8} {share:>7.0%} {same:>4}/{len(replays):<2}"
            f" {lost:>15.2f} {within:>10}/{len(replays):<2}"
        )
    if arguments.out:
        arguments.out.write_text(json.dumps([asdict(r) for rs in by_method.values() for r in rs], indent=1) + "\n")


if __name__ == "__main__":
    main()
