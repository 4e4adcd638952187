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
from operator import mul
from pathlib import Path
from statistics import fmean

from unlabelled_curves import Curve, Rows, read_curves

from lingarith.scores.resample import paired_test
from lingarith.study.choose import LOST
from lingarith.study.weights import best

DESIGN = ("mr", "gu", "zh", "ne")
"""The languages that were looked at."""
HARM = 1.0
"""Points below the task vector alone that count as harm."""
SURE = 0.05
KAPPA = 16
"""Labels of the target that count as much as all other languages together."""
FEW = (4, 8, 16, 32, 64)
"""How many labels the target has."""


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
    """Share of right-language outputs × exp(−loss on plain text): what the protocol ``unlabelled`` was before."""
    return Evidence([fmean(row) * math.exp(-loss) for row, loss in zip(curve.right, curve.loss, strict=False)])


def right_language(curve: Curve, others: Sequence[Curve]) -> Evidence:
    """Share of right-language outputs alone, with its ties at the task vector."""
    return paired(curve.right)


def two_sided(curve: Curve, others: Sequence[Curve]) -> Evidence:
    """−D_T(λ)/D_T(bare) − D_L(λ)/D_L(task alone), D a mean KL from the task expert on what it writes for the target's
    articles, and from the language expert on held-out text. After https://arxiv.org/abs/2509.25712."""
    task, language = (list(map(fmean, rows)) for rows in (curve.from_task, curve.from_language))
    return Evidence([-a - b for a, b in zip(task, language, strict=True)])


def kept(curve: Curve, others: Sequence[Curve]) -> Evidence:
    """exp(−loss on plain text) where at most 2 % of the task is lost, and less the more is lost elsewhere; lost is
    (b − b_T)/(b_bare − b_T), b the bits of all that the task vector alone writes: the protocol ``unlabelled``."""
    return within(lost_of(curve, curve.sizes), LOST, curve)


def kept_by_the_output(curve: Curve, others: Sequence[Curve]) -> Evidence:
    """The same with b the mean over outputs of their bits per byte: what the protocol was before, where an output of a
    letter weighs as much as a sentence."""
    return within(lost_of(curve, [float(size > 0) for size in curve.sizes]), LOST, curve)


def lost_of(curve: Curve, counts: Sequence[float]) -> list[float]:
    """(b − b_T)/(b_bare − b_T) by weight, with outputs that count so much each."""
    if not curve.own:
        return []
    bare, *bits = (sum(map(mul, row, counts)) for row in (curve.own_bare, *curve.own))
    whole = bits[curve.neutral]
    return [(each - whole) / max(bare - whole, 1e-9) for each in bits]


def kept_by_kl(curve: Curve, others: Sequence[Curve]) -> Evidence:
    """The same by D_T(λ)/D_T(bare) of the two-sided candidate, at most 5 %."""
    return within(list(map(fmean, curve.from_task)), 0.05, curve)


def within(lost: Sequence[float], most: float, curve: Curve) -> Evidence:
    return Evidence([math.exp(-loss) if gone <= most else -gone for gone, loss in zip(lost, curve.loss, strict=False)])


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
    of the target."""
    return gains([(other.validation, other.neutral) for other in others], len(curve.weights))


def prior_by_loss(curve: Curve, others: Sequence[Curve]) -> Evidence:
    """The same by how likely their references are."""
    return gains([(other.likelihood, other.neutral) for other in others], len(curve.weights))


def gains(scored: Sequence[tuple[Rows, int]], count: int) -> Evidence:
    """Over the task vector alone, by weight and article of all these languages."""
    rows: Rows = [[] for _ in range(count)]
    for scores, neutral in scored:
        for row, some in zip(rows, scores, strict=True):
            row += [score - alone for score, alone in zip(some, scores[neutral], strict=True)]
    return paired(rows)


def prior_of_design(curve: Curve, others: Sequence[Curve]) -> Evidence:
    """The same from the languages alone that were looked at."""
    return prior(curve, [other for other in others if other.target in DESIGN])


def prior_of(count: int) -> Candidate:
    """The same from so many languages, those that follow the target in the order of the file."""

    def some(curve: Curve, others: Sequence[Curve]) -> Evidence:
        start = next((k for k, other in enumerate(others) if other.number > curve.number), 0)
        return prior(curve, [*others[start:], *others[:start]][:count])

    return some


def shrunk_prior(curve: Curve, others: Sequence[Curve]) -> Evidence:
    """The prior's weight drawn to the task vector alone by Model Stock's t = K·c/(1 + (K − 1)·c), c the cosine of task
    vectors of K = 2 seeds: λ = neutral + t·(λ₀ − neutral). After https://arxiv.org/abs/2403.19522."""
    if curve.stock is None:
        return Evidence([])
    neutral = curve.weights[curve.neutral]
    found = best(curve.method, list(zip(curve.weights, prior(curve, others).values, strict=True)))[0]
    return nearest(curve, neutral + curve.stock * (float(found) - neutral))


def stock(curve: Curve, others: Sequence[Curve]) -> Evidence:
    """Model Stock's t itself as λ (1 − t as β): how far towards the mean of seeds the noise allows, no label at all."""
    if curve.stock is None:
        return Evidence([])
    return nearest(curve, curve.stock if curve.method != "uncoupled" else 1 - curve.stock)


def nearest(curve: Curve, weight: float) -> Evidence:
    return Evidence([-abs(one - weight) for one in curve.weights])


def few(count: int, *, by_loss: bool = False, kappa: float = KAPPA) -> Candidate:
    """k labels of the target: k/(k + κ) of its curve of gains + κ/(k + κ) of the other languages', κ = 16; none where
    fewer were measured."""

    def shrunk(curve: Curve, others: Sequence[Curve]) -> Evidence:
        own = [row[:count] for row in (curve.likelihood if by_loss else curve.validation)]
        if len(own[0]) < count:
            return Evidence([])
        share = count / (count + kappa)
        general = (prior_by_loss if by_loss else prior)(curve, others).values
        alone = fmean(own[curve.neutral])
        values = [share * (fmean(row) - alone) + (1 - share) * d for row, d in zip(own, general, strict=True)]
        return Evidence(values, own)

    return shrunk


CANDIDATES: Mapping[str, Candidate] = {
    "task vector alone": task_alone,
    "oracle": labelled,
    "oracle, by loss": reference_loss,
    "share × likelihood": share_and_loss,
    "right language": right_language,
    "two-sided": two_sided,
    "task kept": kept,
    "task kept, by the output": kept_by_the_output,
    "task kept, by KL": kept_by_kl,
    "consensus": consensus,
    "consensus of seeds": consensus_of_seeds,
    "round trip": round_trip,
    "prior": prior,
    "prior, by loss": prior_by_loss,
    "prior of design": prior_of_design,
    **{f"prior of {k}": prior_of(k) for k in (1, 2, 4)},
    "prior, shrunk": shrunk_prior,
    "Model Stock's t": stock,
    **{f"few:{k}": few(k) for k in FEW},
    **{f"few:{k}, no others": few(k, kappa=0) for k in FEW},
    **{f"few:{k}, by loss": few(k, by_loss=True) for k in FEW},
}


# ---------------------------------------------------------------- judged


@dataclass(frozen=True)
class Judged:
    """A choice on the test split: its gain over the task vector alone, how far it is below the best, and τ."""

    gain: float
    regret: float
    moved: bool
    tau: float
    evidence: float
    """How much more of it the choice has than the task vector alone."""


def judge(curve: Curve, others: Sequence[Curve], candidate: Candidate, gated: bool) -> Judged | None:
    """What a candidate chooses for a curve, and what that is worth; None where what it needs was not measured."""
    found = candidate(curve, others)
    if not found.values:
        return None
    rounded = [round(value, 6) for value in found.values]
    chosen = curve.weights.index(float(best(curve.method, list(zip(curve.weights, rounded, strict=True)))[0]))
    if gated and found.rows and found.rows[0] and not passes(found.rows[chosen], found.rows[curve.neutral]):
        chosen = curve.neutral
    test = list(map(fmean, curve.test))
    return Judged(
        test[chosen] - test[curve.neutral],
        max(test) - test[chosen],
        chosen != curve.neutral,
        tau(rounded, test),
        rounded[chosen] - rounded[curve.neutral],
    )


def handed_over(measured: Sequence[Judged | None]) -> Judged | None:
    """Of the equations of a target the one that the evidence prefers most; the task vector alone where it does none."""
    judged = list(filter(None, measured))
    if len(judged) < len(measured):
        return None
    top = max(judged, key=lambda one: one.evidence)
    most = max(one.gain + one.regret for one in judged)
    gain = top.gain if top.evidence > 0 else 0.0
    return Judged(gain, most - gain, top.evidence > 0 and top.moved, fmean(one.tau for one in judged), top.evidence)


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


def summary(measured: Sequence[Judged | None]) -> str:
    """The columns of a group of curves; of those that were not all measured none."""
    judged = list(filter(None, measured))
    if not judged or len(judged) < len(measured):
        return f"{'–':>7}{'–':>8}{'–':>7}{'–':>7}{'–':>7}"
    moved, harm = (fmean(of) for of in ([j.moved for j in judged], [j.gain < -HARM for j in judged]))
    gain, regret, agreement = (fmean(getattr(j, key) for j in judged) for key in ("gain", "regret", "tau"))
    return f"{gain:>+7.1f}{regret:>8.1f}{harm:>7.0%}{moved:>7.0%}{agreement:>7.2f}"


def table(curves: Sequence[Curve], *, gated: bool) -> None:
    """Print the table of all candidates; those without evidence by article have no gate."""
    groups: dict[str, Callable[[str], bool]] = {
        "looked at": lambda target: target in DESIGN,
        "not looked at": lambda target: target not in DESIGN,
    }
    print(f"{'behind the gate' if gated else 'without a gate':<20}", end="")
    heads = [f"{name} ({sum(of(curve.target) for curve in curves)})" for name, of in groups.items()]
    print("".join(f"{name:^36}" for name in (*heads, "handed over, not looked at")))
    print(" " * 20 + f"{'gain':>7}{'regret':>8}{'harm':>7}{'moved':>7}{'τ':>7}" * 3)
    for name, candidate in CANDIDATES.items():
        judged: dict[str, list[Judged | None]] = {}
        for c in curves:
            others = [o for o in curves if o.method == c.method and o.target != c.target]
            judged.setdefault(c.target, []).append(judge(c, others, candidate, gated))
        columns = [[one for t, some in judged.items() if of(t) for one in some] for of in groups.values()]
        columns.append([handed_over(some) for t, some in judged.items() if t not in DESIGN])
        print(f"{name:<20}" + "".join(map(summary, columns)))


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
