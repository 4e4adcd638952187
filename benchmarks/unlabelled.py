"""λ without labels of the target: what was tried to choose it, and what each choice would have cost on the test split.

    lingarith run table1 --out runs/table1
    python benchmarks/unlabelled.py --run runs/table1 --store lingarith-store --curves curves.jsonl

A candidate is a function from a curve (:class:`.unlabelled_curves.Curve`) and those of the same equation for other
languages to :class:`Evidence`; the weight with most of it is chosen, behind the gate only where a paired test prefers
it to the task vector alone. Printed are, for the languages that were looked at while candidates were written and for
all others: mean gain over the task vector alone, mean regret (how far below the best weight on test), harm (share of
curves more than a point below the task vector alone), how often another weight than the task vector's is chosen, and
Kendall's τ of the evidence with the test curve. Higher is better but for regret and harm.
"""

from __future__ import annotations

import argparse
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from unlabelled_curves import Curve, Rows, read_curves

from lingarith.scores.resample import paired_test
from lingarith.study.weights import best

DESIGN = ("mr", "gu", "zh", "ne")
"""The languages that were looked at."""
HARM = 1.0
"""Points below the task vector alone that count as harm."""
SURE = 0.05
KAPPA = 16
"""Labels of the target that count as much as all other languages together."""
KEPT = 0.05
"""How much of the task expert may be gone by :func:`budget`."""


@dataclass(frozen=True)
class Evidence:
    """What speaks for each weight; ``rows`` hold it by article, for the gate's paired test, where there are such."""

    values: Sequence[float]
    rows: Rows | None = None


Candidate = Callable[[Curve, Sequence[Curve]], Evidence]


def paired(rows: Rows) -> Evidence:
    return Evidence([fmean(row or [0.0]) for row in rows], rows)


# ---------------------------------------------------------------- candidates


def task_alone(curve: Curve, others: Sequence[Curve]) -> Evidence:
    """No evidence at all: the task vector alone."""
    return Evidence([0.0] * len(curve.weights))


def labelled(curve: Curve, others: Sequence[Curve]) -> Evidence:
    """Not a candidate but what they are held against: the target's own validation labels (protocol ``oracle``)."""
    return paired(curve.validation)


def reference_loss(curve: Curve, others: Sequence[Curve]) -> Evidence:
    """The same by ``--search loss``: how likely the references of the target's validation articles are."""
    return paired(curve.likelihood)


def share_and_loss(curve: Curve, others: Sequence[Curve]) -> Evidence:
    """Share of right-language outputs × exp(−loss on plain text): the protocol ``unlabelled``."""
    return Evidence([fmean(row) * math.exp(-loss) for row, loss in zip(curve.right, curve.loss, strict=True)])


def right_language(curve: Curve, others: Sequence[Curve]) -> Evidence:
    """Share of right-language outputs alone, with its ties at the task vector."""
    return paired(curve.right)


def two_sided(curve: Curve, others: Sequence[Curve]) -> Evidence:
    """−D_T(λ)/D_T(bare) − D_L(λ)/D_L(task alone), D a mean KL from the task expert on what it writes for the target's
    articles, and from the language expert on held-out text. After https://arxiv.org/abs/2509.25712."""
    task, language = (list(map(fmean, rows)) for rows in (curve.from_task, curve.from_language))
    return Evidence([-a - b for a, b in zip(task, language, strict=True)])


def budget(curve: Curve, others: Sequence[Curve]) -> Evidence:
    """−D_L(λ) among weights with D_T(λ)/D_T(bare) of at most 0.05: as near to the language expert as leaves the task
    whole; ours, from the same two distances."""
    task, language = (list(map(fmean, rows)) for rows in (curve.from_task, curve.from_language))
    return Evidence([-b if a <= KEPT else -10 - a for a, b in zip(task, language, strict=True)])


def consensus(curve: Curve, others: Sequence[Curve]) -> Evidence:
    """mean over articles of Σ_{v≠λ} w_v · metric(y_λ, y_v) / Σ w_v; voters v are the curve's other weights, w_v the
    share of a voter's outputs in the right language. After minimum Bayes risk, https://aclanthology.org/N04-1022."""
    weights = list(map(fmean, curve.right))
    return voted(curve, [[0.0 if v == k else w for v, w in enumerate(weights)] for k in range(len(weights))], 0)


def consensus_of_seeds(curve: Curve, others: Sequence[Curve]) -> Evidence:
    """The same with the outputs of all weights of another seed's task vector as voters, the same for every λ."""
    weights = list(map(fmean, curve.seeds_right))
    return voted(curve, [weights] * len(weights), len(weights))


def voted(curve: Curve, weights: Sequence[Sequence[float]], first: int) -> Evidence:
    """Agreement by weight and article, from voters of which the first is the one of that number."""
    rows = []
    for voters, own in zip(curve.agreement, weights, strict=True):
        total = sum(own) or 1.0
        voting = list(zip(own, voters[first : first + len(own)], strict=True))
        rows.append([sum(w * v[k] for w, v in voting) / total for k in range(len(voters[0]))])
    return paired(rows)


def round_trip(curve: Curve, others: Sequence[Curve]) -> Evidence:
    """mean over articles of [log p_J(x|y_λ(x)) − log p_J(x|y_λ(x′))]/|x|, x′ the next article, J the backbone with the
    language vector for every λ. After reconstruction, https://aclanthology.org/2020.acl-main.459."""
    return paired(curve.back)


def prior(curve: Curve, others: Sequence[Curve]) -> Evidence:
    """The mean gain over the task vector alone on labelled validation articles of other languages, each in the place
    of the target (protocol ``others``)."""
    rows = [[] for _ in curve.weights]
    for other in others:
        for row, scores in zip(rows, other.validation, strict=True):
            row += [score - alone for score, alone in zip(scores, other.validation[other.neutral], strict=True)]
    return paired(rows)


def prior_of_design(curve: Curve, others: Sequence[Curve]) -> Evidence:
    """The same from the languages alone that were looked at."""
    return prior(curve, [other for other in others if other.target in DESIGN])


def shrunk_prior(curve: Curve, others: Sequence[Curve]) -> Evidence:
    """The prior's weight drawn to the task vector alone by Model Stock's t = K·c/(1 + (K − 1)·c), c the cosine of task
    vectors of K = 2 seeds: λ = neutral + t·(λ₀ − neutral). After https://arxiv.org/abs/2403.19522."""
    neutral = curve.weights[curve.neutral]
    found = best(curve.method, list(zip(curve.weights, prior(curve, others).values, strict=True)))[0]
    return nearest(curve, neutral + curve.stock * (float(found) - neutral))


def stock(curve: Curve, others: Sequence[Curve]) -> Evidence:
    """Model Stock's t itself as λ (1 − t as β): how far towards the mean of seeds the noise allows, no label at all."""
    return nearest(curve, curve.stock if curve.method != "uncoupled" else 1 - curve.stock)


def nearest(curve: Curve, weight: float) -> Evidence:
    return Evidence([-abs(one - weight) for one in curve.weights])


def few(count: int) -> Candidate:
    """k labels of the target: n/(n + κ) of its curve of gains + κ/(n + κ) of the other languages', κ = 16."""

    def shrunk(curve: Curve, others: Sequence[Curve]) -> Evidence:
        own = [row[:count] for row in curve.validation]
        share = len(own[0]) / (len(own[0]) + KAPPA)
        general = prior(curve, others).values
        alone = fmean(own[curve.neutral])
        values = [share * (fmean(row) - alone) + (1 - share) * d for row, d in zip(own, general, strict=True)]
        return Evidence(values, own)

    return shrunk


CANDIDATES: Mapping[str, Candidate] = {
    "task vector alone": task_alone,
    "oracle (32 labels)": labelled,
    "oracle, by loss": reference_loss,
    "share × likelihood": share_and_loss,
    "right language": right_language,
    "two-sided": two_sided,
    "budget": budget,
    "consensus": consensus,
    "consensus of seeds": consensus_of_seeds,
    "round trip": round_trip,
    "prior": prior,
    "prior of design": prior_of_design,
    "prior, shrunk": shrunk_prior,
    "Model Stock's t": stock,
    **{f"few:{k}": few(k) for k in (4, 8, 16, 32)},
}


# ---------------------------------------------------------------- judged


@dataclass(frozen=True)
class Judged:
    """A choice on the test split: its gain over the task vector alone, how far it is below the best, and τ."""

    gain: float
    regret: float
    moved: bool
    tau: float


def judge(curve: Curve, others: Sequence[Curve], candidate: Candidate, gated: bool) -> Judged:
    """What a candidate chooses for a curve, and what that is worth."""
    found = candidate(curve, others)
    rounded = [round(value, 6) for value in found.values]
    chosen = curve.weights.index(float(best(curve.method, list(zip(curve.weights, rounded, strict=True)))[0]))
    if gated and found.rows and found.rows[0] and not passes(found.rows[chosen], found.rows[curve.neutral]):
        chosen = curve.neutral
    test = list(map(fmean, curve.test))
    return Judged(
        test[chosen] - test[curve.neutral], max(test) - test[chosen], chosen != curve.neutral, tau(rounded, test)
    )


def passes(ours: Sequence[float], alone: Sequence[float]) -> bool:
    """The gate: whether a paired test prefers what was chosen to the task vector alone."""
    return fmean(ours) > fmean(alone) and paired_test(ours, alone) < SURE


def tau(one: Sequence[float], other: Sequence[float]) -> float:
    """Kendall's τ-b; 0 where all values of a side are the same."""
    signs = [
        ((a > b) - (a < b), (c > d) - (c < d))
        for (a, c), (b, d) in itertools.combinations(zip(one, other, strict=True), 2)
    ]
    norm = math.sqrt(sum(a * a for a, _ in signs) * sum(b * b for _, b in signs))
    return sum(a * b for a, b in signs) / norm if norm else 0.0


def summary(judged: Sequence[Judged]) -> str:
    """The columns of a group of curves."""
    moved, harm = (fmean(of) for of in ([j.moved for j in judged], [j.gain < -HARM for j in judged]))
    gain, regret, agreement = (fmean(getattr(j, key) for j in judged) for key in ("gain", "regret", "tau"))
    return f"{gain:>+7.1f}{regret:>8.1f}{harm:>7.0%}{moved:>7.0%}{agreement:>7.2f}"


def table(curves: Sequence[Curve], *, gated: bool, only: Sequence[str] = ()) -> None:
    """Print the table of all candidates; those without evidence by article have no gate."""
    groups = {
        "looked at": [c for c in curves if c.target in DESIGN],
        "not looked at": [c for c in curves if c.target not in DESIGN],
    }
    groups = {f"{name} ({len(some)} curves)": some for name, some in groups.items() if some}
    print(f"{'behind the gate' if gated else '':<20}" + "".join(f"{name:^36}" for name in groups))
    print(" " * 20 + f"{'gain':>7}{'regret':>8}{'harm':>7}{'moved':>7}{'τ':>7}" * len(groups))
    for name, candidate in CANDIDATES.items():
        rows = []
        for some in groups.values():
            judged = []
            for curve in some:
                others = [c for c in curves if c.method == curve.method and c.target != curve.target]
                judged.append(judge(curve, others, candidate, gated))
            rows.append(summary(judged))
        print(f"{name:<20}" + "".join(rows))


def main() -> None:
    """Measure what is not measured yet, and print the tables."""
    parser = argparse.ArgumentParser(description="λ without labels: candidates on the curves of runs")
    parser.add_argument("--curves", type=Path, required=True, help="a file of unlabelled_curves.py")
    parser.add_argument("--method", help="one equation alone: add, add_subtract or uncoupled")
    arguments = parser.parse_args()
    curves = [c for c in read_curves(arguments.curves) if arguments.method in (None, c.method)]
    table(curves, gated=False)
    table(curves, gated=True)


if __name__ == "__main__":
    main()
