"""Searching λ by halving against the full grid, replayed on what a run with the full grid has generated.

    lingarith adapt mr gu zh ne pt si so vi yo uk fa --out RUN
    python benchmarks/search.py --run RUN --store lingarith-store --out search.json
    lingarith adapt mr gu zh ne pt si so vi yo uk fa --search halving --out RACED
    python benchmarks/search.py --run RUN --store lingarith-store --raced RACED

The store holds the validation outputs of every weight, so a race can be held without generating
anything: it sees of each weight only the examples that it would have asked for. Printed are, by
method, the generated tokens as a share of the grid's, how often the race chooses the grid's weight,
how much of the grid's validation score the chosen weight gives up, and for how many targets that is
within the noise: two standard errors of the difference between the two weights on these examples. Under
"all", compositions that the methods share (the task vector alone) count once for a target on both
sides, as they are generated once.

With a run that really raced, the test scores of both runs' weights are compared too, over all articles. Such
a run takes the validation articles in another order, each language its own.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path

from lingarith.scores.resample import bootstrap_difference, paired_test
from lingarith.store.store import Store
from lingarith.study.halving import race
from lingarith.study.lab import Lab
from lingarith.study.outputs import Stored, Wanted
from lingarith.study.recipes import places
from lingarith.study.records import Run, Weight
from lingarith.study.run_folder import read_run
from lingarith.study.study import study_of
from lingarith.study.weights import best
from lingarith.study.weights import neutral as neutral_of

Weighed = dict[Weight, list[tuple[float, int]]]
"""Weight → score and tokens of each validation example, in their order."""


@dataclass(frozen=True)
class Replay:
    """A race against the grid: tokens of both, without those of the task vector alone; the chosen weights."""

    target: str
    method: str
    examples: int
    alone: tuple[int, int]
    """Tokens of the task vector alone that the grid and the race need."""
    tokens: tuple[int, int]
    """All other tokens."""
    weights: tuple[float, float]
    values: tuple[float, float]
    """Mean validation scores of the two weights on all examples."""
    noise: float

    @property
    def within(self) -> bool:
        """Whether what is given up is no more than noise."""
        return self.values[0] - self.values[1] <= 2 * self.noise


def replay(target: str, method: str, found: Weighed) -> Replay:
    """The race for one target and method."""
    neutral = neutral_of(method)
    scores = {weight: [score for score, _ in pairs] for weight, pairs in found.items()}
    examples = len(scores[neutral])
    held = race(
        sorted(scores), neutral, examples, lambda weights, count: [scores[weight][:count] for weight in weights]
    )
    seen = dict.fromkeys(scores, 0) | {weight: count for weight, _, count in held.points}
    chosen = best(method, [(weight, value) for weight, value, _ in held.points if weight in held.finalists])[0]
    means = {weight: statistics.fmean(values) for weight, values in scores.items()}
    top = best(method, sorted(means.items()))[0]
    apart = [one - other for one, other in zip(scores[top], scores[chosen], strict=True)]

    def tokens(weight: float) -> tuple[int, int]:
        counts = [count for _, count in found[weight]]
        return sum(counts), sum(counts[: seen[weight]])

    others = [tokens(weight) for weight in found if weight != neutral]
    return Replay(
        target, method, examples, tokens(neutral), (sum(a for a, _ in others), sum(b for _, b in others)),
        (top, chosen), (means[top], means[chosen]), statistics.stdev(apart) / math.sqrt(examples),
    )  # fmt: skip


def replays(run: Run, store: Path) -> list[Replay]:
    """A race for each target and method of a run, whose outputs for validation are in the store."""
    keys = {"targets": run.about.targets, "sources": run.about.sources, "backbone": run.about.study["backbone"]}
    lab = Lab(study_of("search", "adapt", keys), Store.at(store))
    found: dict[tuple[str, str], Weighed] = {}
    for place in places(lab):
        data = lab.labels(place.task, place.target, "validation")
        for method in (method for method in place.methods if len(method.tried) > 1):
            written = Stored(lab).written(Wanted(place.task, data, list(method.tried.values())))
            pairs = zip(method.tried, written, strict=True)
            found[place.target, method.name] = {
                weight: [(o.score, 1 + len(_tokens(lab, o.output))) for o in outcomes] for weight, outcomes in pairs
            }
    return [replay(target, method, weighed) for (target, method), weighed in found.items()]


def _tokens(lab: Lab, text: str) -> list[int]:
    return lab.backbone.tokenizer(text, add_special_tokens=False)["input_ids"]


def share(made: list[Replay]) -> float:
    """Tokens of the races as a share of the grids'; what the methods of a target share counts once."""
    grid, raced = (sum(r.tokens[side] for r in made) for side in (0, 1))
    for target in {r.target for r in made}:
        own = [r.alone for r in made if r.target == target]
        grid, raced = grid + max(a for a, _ in own), raced + max(b for _, b in own)
    return raced / grid


def line(name: str, made: list[Replay]) -> str:
    """A row of the table."""
    same, within = sum(r.weights[0] == r.weights[1] for r in made), sum(r.within for r in made)
    lost = statistics.fmean(r.values[0] - r.values[1] for r in made)
    return f"{name:<14}{share(made):>8.0%}{same:>10}/{len(made):<3}{lost:>12.2f}{within:>12}/{len(made):<3}"


def generated(run: Run) -> int:
    """How many validation outputs the searches of a run have asked for."""
    examples = run.about.study["validation_limit"]
    made = [c for c in run.choices if c.protocol == "oracle"]
    return sum(sum(c.seen) if c.seen else len(c.curve) * examples for c in made)


def tested(run: Run) -> dict[str, dict[tuple[str, str], float]]:
    """Test scores of the chosen weights: method → (target, article) → score."""
    chosen = {(c.target, c.method, c.weight) for c in run.choices if c.protocol == "oracle"}
    found: dict[str, dict[tuple[str, str], float]] = defaultdict(dict)
    for r in run.records:
        if r.split == "test" and (r.target, r.method, r.weight) in chosen:
            found[r.method][r.target, r.id] = r.score
    return found


def compare(raced: Run, grid: Run) -> None:
    """Print what a real race cost and gave against the grid."""
    weights = [{(c.target, c.method): c.weight for c in run.choices if c.protocol == "oracle"} for run in (raced, grid)]
    same = sum(weights[0][key] == weight for key, weight in weights[1].items())
    share = generated(raced) / generated(grid)
    print(f"\nraced: {share:.0%} of the outputs, the same weight in {same}/{len(weights[1])}; test:")
    ours, theirs = tested(raced), tested(grid)
    for method in theirs:
        keys = sorted(theirs[method])
        a, b = [ours[method][key] for key in keys], [theirs[method][key] for key in keys]
        low, high = bootstrap_difference(a, b)
        print(
            f"{method:<14}race {statistics.fmean(a):.1f}, grid {statistics.fmean(b):.1f}, difference "
            f"{statistics.fmean(a) - statistics.fmean(b):+.1f} ({low:+.1f} to {high:+.1f}, p = {paired_test(a, b):.2f})"
        )


def main() -> None:
    """Print a small table; write the replays as JSON."""
    parser = argparse.ArgumentParser(description="λ by halving against the full grid")
    parser.add_argument("--run", type=Path, required=True, help="the folder of an `adapt` with the full grid")
    parser.add_argument("--raced", type=Path, help="the folder of the same with --search halving")
    parser.add_argument("--store", type=Path, default=Path("lingarith-store"), help="the store of that run")
    parser.add_argument("--out", type=Path, help="a JSON file")
    arguments = parser.parse_args()
    run = read_run(arguments.run)
    made = replays(run, arguments.store)
    print(f"{'':<14}{'tokens':>8}{'same weight':>14}{'given up':>12}{'within noise':>16}")
    for method in dict.fromkeys(r.method for r in made):
        print(line(method, [r for r in made if r.method == method]))
    print(line("all", made))
    if arguments.raced:
        compare(read_run(arguments.raced), run)
    if arguments.out:
        arguments.out.write_text(json.dumps([asdict(r) for r in made], indent=1) + "\n")


if __name__ == "__main__":
    main()
