"""Searching λ by halving and by loss against the full grid, replayed on what a run with the full grid has generated.

    lingarith adapt mr gu zh ne pt si so vi yo uk fa --out RUN
    python benchmarks/search.py --run RUN --store lingarith-store --out search.json
    lingarith adapt mr gu zh ne pt si so vi yo uk fa --search halving --out RACED
    python benchmarks/search.py --run RUN --store lingarith-store --raced RACED

The store holds the validation outputs of every weight, so a race can be held without generating
anything: it sees of each weight only the examples that it would have asked for. For the search by loss the references
are read, and for the test outputs of every weight are made, unless they are there. Printed are, by
method and search, the generated tokens as a share of the grid's, how often it chooses the grid's weight,
how much of the grid's validation score the chosen weight gives up, and for how many targets that is
within the noise: two standard errors of the difference between the two weights on these examples. Under
"all", compositions that the methods share (the task vector alone) count once for a target on both
sides, as they are generated once. Then, on the test split: the mean score of the chosen weights, the mean regret (how
far below the best weight there), and the difference from the grid with its interval and a paired test over the
articles of all curves, each curve alike. Last, what reading takes of the time of writing, by the processor's clock.

With a run that really raced, the test scores of both runs' weights are compared too, over all articles. Such
a run takes the validation articles in another order, each language its own.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from lingarith.model.generate import generate_each
from lingarith.model.likelihood import reference_bits
from lingarith.scores.resample import bootstrap_difference, difference_of_groups, paired_test
from lingarith.store.store import Store
from lingarith.study.halving import race
from lingarith.study.lab import Lab
from lingarith.study.outputs import Stored, Wanted
from lingarith.study.place import Method, Place
from lingarith.study.recipes import TABLES, places
from lingarith.study.records import Run
from lingarith.study.run_folder import read_run
from lingarith.study.scoring import Outcome
from lingarith.study.study import READ_TASK, study_of
from lingarith.study.weights import GRID, HALVING, LOSS, SEARCHES, best
from lingarith.study.weights import neutral as neutral_of
from lingarith.vectors.composition import compose

Weighed = Mapping[float, list[tuple[float, int]]]
"""Weight → score and tokens of each validation example, in their order."""
Scored = Mapping[float, list[float]]
BEST = "best"


@dataclass(frozen=True)
class Replay:
    """The searches of a curve: tokens without those of the task vector alone, and what each search chose."""

    target: str
    method: str
    examples: int
    alone: tuple[int, int]
    """Tokens of the task vector alone that the grid and the race need."""
    tokens: tuple[int, int]
    """All other tokens."""
    weights: dict[str, float]
    values: dict[str, float]
    """Mean validation scores of the chosen weights on all examples."""
    noise: dict[str, float]
    test: dict[str, list[float]]
    """Scores of the chosen weights for the test articles, and under ``best`` those of the best weight there."""

    def within(self, search: str) -> bool:
        """Whether what is given up is no more than noise."""
        return self.given_up(search) <= 2 * self.noise[search]

    def given_up(self, search: str) -> float:
        """How far the validation score of a search's weight is below that of the grid's."""
        return self.values[GRID] - self.values[search]


def replay(target: str, method: str, found: Weighed, read: Scored, test: Scored) -> Replay:
    """The searches for one target and method."""
    neutral = neutral_of(method)
    scores = {weight: [score for score, _ in pairs] for weight, pairs in found.items()}
    examples = len(scores[neutral])
    held = race(
        sorted(scores), neutral, examples, lambda weights, count: [scores[weight][:count] for weight in weights]
    )
    seen = dict.fromkeys(scores, 0) | {weight: count for weight, _, count in held.points}
    means = {weight: statistics.fmean(values) for weight, values in scores.items()}
    curves = {
        GRID: sorted(means.items()),
        HALVING: [(weight, value) for weight, value, _ in held.points if weight in held.finalists],
        LOSS: sorted((weight, statistics.fmean(values)) for weight, values in read.items()),
    }
    chosen = {search: float(best(method, curve)[0]) for search, curve in curves.items()}
    apart = {s: [a - b for a, b in zip(scores[chosen[GRID]], scores[w], strict=True)] for s, w in chosen.items()}
    top = max(test, key=lambda weight: statistics.fmean(test[weight]))

    def tokens(weight: float) -> tuple[int, int]:
        counts = [count for _, count in found[weight]]
        return sum(counts), sum(counts[: seen[weight]])

    others = [tokens(weight) for weight in found if weight != neutral]
    return Replay(
        target, method, examples, tokens(neutral), (sum(a for a, _ in others), sum(b for _, b in others)),
        chosen, {search: means[weight] for search, weight in chosen.items()},
        {search: statistics.stdev(values) / math.sqrt(examples) for search, values in apart.items()},
        {search: test[weight] for search, weight in (chosen | {BEST: top}).items()},
    )  # fmt: skip


def lab_of(run: Path, store: Path) -> Lab:
    """The lab of the study that a run was made by."""
    about = read_run(run).about
    keys = {key: value for key, value in about.study.items() if value is not None}
    tasks = [{key: value for key, value in task.items() if key != "labels"} for task in keys["tasks"]]
    return Lab(study_of(about.table, about.table, keys | {"tasks": tasks, "controls": ()}), Store.at(store))


def curves_of(lab: Lab) -> Iterator[tuple[Place, Method]]:
    """The three equations for each target."""
    for place in places(lab):
        yield from ((place, method) for method in place.methods if method.name in TABLES[lab.study.table].tried)


def replays(lab: Lab) -> Iterator[Replay]:
    """The searches of each curve; what the store lacks of it is made."""
    stored = Stored(lab)
    for place, method in curves_of(lab):
        tried = list(method.tried.values())
        test, data = (lab.labels(place.task, place.target, split) for split in ("test", "validation"))
        written, tested = (stored.written(Wanted(place.task, some, tried)) for some in (data, test))
        read = stored.written(Wanted(place.task + READ_TASK, data, tried))
        pairs = zip(method.tried, written, strict=True)
        yield replay(
            place.target, method.name,
            {float(weight): [(o.score, 1 + len(_tokens(lab, o.output))) for o in some] for weight, some in pairs},
            *(scores_of(method, some) for some in (read, tested)),
        )  # fmt: skip


def scores_of(method: Method, written: Sequence[Sequence[Outcome]]) -> dict[float, list[float]]:
    return {float(weight): [o.score for o in outcomes] for weight, outcomes in zip(method.tried, written, strict=True)}


def seconds(lab: Lab) -> dict[str, float]:
    """What the grid and the loss take for the first curve: nothing of it is kept, and each is done in turn, twice."""
    place, method = next(curves_of(lab))
    data = lab.labels(place.task, place.target, "validation")
    names = dict.fromkeys(name for one in method.tried.values() for name in one.names)
    vectors = lab.vectors(names)
    updates = [compose(one, vectors, lab.study.sums.value).update() for one in method.tried.values()]
    taken: dict[str, list[float]] = {GRID: [], LOSS: []}
    for _ in range(2):
        began = time.process_time()
        list(generate_each(lab.backbone, updates, [example.asked for example in data.examples], lab.study.writing))
        taken[GRID].append(time.process_time() - began)
        began = time.process_time()
        for update in updates:
            with lab.backbone.using(update):
                reference_bits(lab.backbone, data, lab.study.writing.max_input)
        taken[LOSS].append(time.process_time() - began)
    return {search: min(times) for search, times in taken.items()}


def _tokens(lab: Lab, text: str) -> list[int]:
    return list(lab.backbone.tokenizer(text, add_special_tokens=False)["input_ids"])


def share(made: list[Replay]) -> float:
    """Tokens of the races as a share of the grids'; what the methods of a target share counts once."""
    grid, raced = (sum(r.tokens[side] for r in made) for side in (0, 1))
    for target in {r.target for r in made}:
        own = [r.alone for r in made if r.target == target]
        grid, raced = grid + max(a for a, _ in own), raced + max(b for _, b in own)
    return raced / grid


def line(name: str, made: list[Replay], search: str) -> str:
    """A row of the table of validation."""
    same, within = sum(r.weights[GRID] == r.weights[search] for r in made), sum(r.within(search) for r in made)
    lost, tokens = statistics.fmean(r.given_up(search) for r in made), share(made) if search == HALVING else 0.0
    return f"{name:<14}{search:<9}{tokens:>7.0%}{same:>10}/{len(made):<3}{lost:>12.2f}{within:>12}/{len(made):<3}"


def test_line(name: str, made: list[Replay], search: str) -> str:
    """A row of the table of test: the mean regret, and the difference from the grid over all curves and articles."""
    regret = statistics.fmean(statistics.fmean(r.test[BEST]) - statistics.fmean(r.test[search]) for r in made)
    text = (
        f"{name:<14}{search:<9}{statistics.fmean(statistics.fmean(r.test[search]) for r in made):>7.2f}{regret:>8.2f}"
    )
    if search != GRID:
        ours, theirs = ([np.array([r.test[which]]) for r in made] for which in (search, GRID))
        mean, low, high, p = difference_of_groups(ours, theirs)
        text += f"{mean:>+8.2f} ({low:+.2f} to {high:+.2f}, p = {p:.2f})"
    return text


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
    """Print two tables and the time ratio; write the replays as JSON."""
    parser = argparse.ArgumentParser(description="λ by halving and by loss against the full grid")
    parser.add_argument("--run", type=Path, required=True, help="the folder of a study with the full grid")
    parser.add_argument("--raced", type=Path, help="the folder of the same with --search halving")
    parser.add_argument("--store", type=Path, default=Path("lingarith-store"), help="the store of that run")
    parser.add_argument("--out", type=Path, help="a JSON file")
    arguments = parser.parse_args()
    lab = lab_of(arguments.run, arguments.store)
    made = list(replays(lab))
    groups = {name: [r for r in made if r.method == name] for name in dict.fromkeys(r.method for r in made)}
    groups["all"] = made
    print(f"{'validation':<23}{'tokens':>7}{'same weight':>14}{'given up':>12}{'within noise':>16}")
    for name, some in groups.items():
        for search in (HALVING, LOSS):
            print(line(name, some, search))
    print(f"\n{'test':<23}{'score':>7}{'regret':>8}{'from the grid':>16}")
    for name, some in groups.items():
        for search in SEARCHES:
            print(test_line(name, some, search))
    taken = seconds(lab)
    print(
        f"\nreading takes {taken[LOSS] / taken[GRID]:.0%} of writing's time ({taken[LOSS]:.1f} of {taken[GRID]:.1f} s)"
    )
    if arguments.raced:
        compare(read_run(arguments.raced), read_run(arguments.run))
    if arguments.out:
        facts = {"seconds": taken, "curves": [asdict(r) for r in made]}
        arguments.out.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
