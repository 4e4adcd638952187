"""Searching λ by halving against the full grid, replayed on what a run with the full grid has generated.

    lingarith adapt mr gu zh ne pt si so vi yo uk fa --out RUN
    python benchmarks/search.py --run RUN --out search.json
    lingarith adapt mr gu zh ne pt si so vi yo uk fa --search halving --out RACED
    python benchmarks/search.py --run RUN --raced RACED

The run's records hold the validation outputs of every weight, so a race can be held without generating
anything: it sees of each weight only the examples that it would have asked for. Printed are, by
equation, the generated tokens as a share of the grid's, how often the race chooses the grid's weight,
how much of the grid's validation score the chosen weight gives up, and for how many targets that is
within the noise: two standard errors of the difference between the two weights on these examples. Under
"all", compositions that the equations share (the task vector alone) count once for a target on both
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

from lingarith.model.backbone import load
from lingarith.scores.resample import bootstrap_difference, paired_test
from lingarith.study.choose import NEUTRAL, best
from lingarith.study.halving import race
from lingarith.study.records import BASELINE, Record, Run, read_run

Weighed = dict[float, list[tuple[float, int]]]
"""Weight → score and tokens of each validation example, in their order."""


@dataclass(frozen=True)
class Replay:
    """A race against the grid: tokens of both, without those of the task vector alone; the chosen weights."""

    target: str
    equation: str
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


def replay(target: str, equation: str, found: Weighed) -> Replay:
    """The race for one target and equation."""
    neutral = NEUTRAL[equation]
    scores = {weight: [score for score, _ in pairs] for weight, pairs in found.items()}
    examples = len(scores[neutral])
    held = race(
        sorted(scores), neutral, examples, lambda weights, count: [scores[weight][:count] for weight in weights]
    )
    seen = dict.fromkeys(scores, 0) | {weight: count for weight, _, count in held.points}
    chosen = best(equation, [(weight, value) for weight, value, _ in held.points if weight in held.finalists])[0]
    means = {weight: statistics.fmean(values) for weight, values in scores.items()}
    top = best(equation, sorted(means.items()))[0]
    apart = [one - other for one, other in zip(scores[top], scores[chosen], strict=True)]

    def tokens(weight: float) -> tuple[int, int]:
        counts = [count for _, count in found[weight]]
        return sum(counts), sum(counts[: seen[weight]])

    others = [tokens(weight) for weight in found if weight != neutral]
    return Replay(
        target, equation, examples, tokens(neutral), (sum(a for a, _ in others), sum(b for _, b in others)),
        (top, chosen), (means[top], means[chosen]), statistics.stdev(apart) / math.sqrt(examples),
    )  # fmt: skip


def replays(folder: Path, backbone: str) -> list[Replay]:
    """A race for each target and equation of a run."""
    run, tokenizer = read_run(folder), load(backbone).tokenizer
    records = [r for r in run.records if r.split == "validation" and r.equation != BASELINE and r.weight is not None]
    lengths = [1 + len(ids) for ids in tokenizer([r.output for r in records], add_special_tokens=False)["input_ids"]]
    found: dict[tuple[str, str], Weighed] = defaultdict(lambda: defaultdict(list))
    record: Record
    for record, length in zip(records, lengths, strict=True):
        assert record.weight is not None
        found[record.target, record.equation][record.weight].append((record.score, length))
    return [replay(target, equation, weighed) for (target, equation), weighed in found.items()]


def share(made: list[Replay]) -> float:
    """Tokens of the races as a share of the grids'; what the equations of a target share counts once."""
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


def generated(run: Run, backbone: str) -> int:
    """Tokens of a run's validation outputs; the task vector alone counts once for a target."""
    tried = {
        (r.target, r.id, *(() if r.weight == NEUTRAL[r.equation] else (r.equation, r.weight))): r.output
        for r in run.records
        if r.split == "validation" and r.weight is not None
    }
    ids = load(backbone).tokenizer(list(tried.values()), add_special_tokens=False)["input_ids"]
    return sum(1 + len(own) for own in ids)


def tested(run: Run) -> dict[str, dict[tuple[str, str], float]]:
    """Test scores of the chosen weights: equation → (target, article) → score."""
    chosen = {(c.target, c.equation, c.weight) for c in run.choices if c.protocol == "oracle"}
    found: dict[str, dict[tuple[str, str], float]] = defaultdict(dict)
    for r in run.records:
        if r.split == "test" and (r.target, r.equation, r.weight) in chosen:
            found[r.equation][r.target, r.id] = r.score
    return found


def compare(raced: Run, grid: Run, backbone: str) -> None:
    """Print what a real race cost and gave against the grid."""
    weights = [
        {(c.target, c.equation): c.weight for c in run.choices if c.protocol == "oracle"} for run in (raced, grid)
    ]
    same = sum(weights[0][key] == weight for key, weight in weights[1].items())
    share = generated(raced, backbone) / generated(grid, backbone)
    print(f"\nraced: {share:.0%} of the tokens, the same weight in {same}/{len(weights[1])}; test:")
    ours, theirs = tested(raced), tested(grid)
    for equation in theirs:
        keys = sorted(theirs[equation])
        a, b = [ours[equation][key] for key in keys], [theirs[equation][key] for key in keys]
        low, high = bootstrap_difference(a, b)
        print(
            f"{equation:<14}race {statistics.fmean(a):.1f}, grid {statistics.fmean(b):.1f}, difference "
            f"{statistics.fmean(a) - statistics.fmean(b):+.1f} ({low:+.1f} to {high:+.1f}, p = {paired_test(a, b):.2f})"
        )


def main() -> None:
    """Print a small table; write the replays as JSON."""
    parser = argparse.ArgumentParser(description="λ by halving against the full grid")
    parser.add_argument("--run", type=Path, required=True, help="the folder of an `adapt` with the full grid")
    parser.add_argument("--raced", type=Path, help="the folder of the same with --search halving")
    parser.add_argument("--backbone", default="newsroom", help="whose tokens are counted")
    parser.add_argument("--out", type=Path, help="a JSON file")
    arguments = parser.parse_args()
    made = replays(arguments.run, arguments.backbone)
    print(f"{'':<14}{'tokens':>8}{'same weight':>14}{'given up':>12}{'within noise':>16}")
    for equation in dict.fromkeys(r.equation for r in made):
        print(line(equation, [r for r in made if r.equation == equation]))
    print(line("all", made))
    if arguments.raced:
        compare(read_run(arguments.raced), read_run(arguments.run), arguments.backbone)
    if arguments.out:
        arguments.out.write_text(json.dumps([asdict(r) for r in made], indent=1) + "\n")


if __name__ == "__main__":
    main()
