"""Choosing the weight of an equation, λ or β, on stated grounds and never on a test split.

============== ============================================================================
``oracle``     the target's own labelled validation set: target labels are used, so the result
               is not zero-shot (most likely what the paper's "held-out validation data" means)
``sources``    each labelled source in turn plays the unseen target; the best on average
``unlabelled`` no label: how often the output is in the target language, and how well the
               composition predicts plain text of the target
============== ============================================================================
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from ..algebra import Combination, add, add_subtract_related, average, uncoupled
from ..errors import LingarithError, did_you_mean
from ..model.backbone import Backbone
from ..model.batches import PrefixItems
from ..model.options import TrainOptions
from ..model.train import mean_loss
from ..scores.output import recognisable, shares
from ..text.corpora import PlainText
from ..text.tasks.labelled import Labelled, TaskExample
from ..vectors.realise import Space
from .evaluate import Bench, Outcome, mean
from .halving import Race, race
from .ingredients import Progress
from .records import ADD, ADD_SUBTRACT, BASELINE, BEST, BEST_ON_TEST, EQUATIONS, RATES, UNCOUPLED, Choice

PROTOCOLS = ("oracle", "sources", "unlabelled")
GRID, HALVING = SEARCHES = ("grid", "halving")
"""Every weight on all validation examples, or a race in which the worse half drops out (:mod:`.halving`)."""
PROBE = 64
"""Articles of the target that the protocol ``unlabelled`` generates for, and prefixes it predicts."""
PROBED_ON_TRAINED = (
    "{}: the source has no plain text beyond what the language vector is trained on, so 'unlabelled' was measured on "
    "that text, which favours the language vector; training on fewer characters leaves some over."
)
UNGUIDED = (
    "{}: λ is chosen without any label. On the newsroom that scored 11 to 13 ROUGE-2 below the task vector alone; "
    "labelled validation examples of the target, or of a second source, give better grounds."
)
UNRECOGNISABLE = (
    "{}: py3langid, which tells the language of an output, does not know this one, so no output counts as being in "
    "the right language."
)
ALONE = 1.0
NEUTRAL = {ADD: ALONE, ADD_SUBTRACT: ALONE, UNCOUPLED: 0.0, RATES: 0.0, BEST: 0.0, BEST_ON_TEST: 0.0}
"""The weight at which an equation is the task vector alone; λ = 1 for others that have a λ.

Where the weight is a learning rate or the place of a source, the lowest is taken among equals.
"""
TENTHS = tuple(k / 10 for k in range(11))
NEAR_ONE = (0.92, 0.94, 0.96, 0.98)
"""In ``factors`` a coefficient c scales a vector's update by c²: most happens near λ = 1."""


def grid(equation: str, space: str) -> tuple[float, ...]:
    """The weights that are tried: λ or β, both ends of [0, 1] included.

    >>> grid("add", "delta")[-3:], grid("add", "factors")[-3:]
    ((0.8, 0.9, 1.0), (0.96, 0.98, 1.0))
    """
    fine = space == "factors" and equation != UNCOUPLED
    return tuple(sorted({*TENTHS, *(NEAR_ONE if fine else ())}))


@dataclass(frozen=True)
class Terms:
    """The names that the equations are about: task vectors and language vectors of the sources, in
    the same order, and the language vector of the target."""

    tasks: tuple[str, ...]
    sources: tuple[str, ...]
    target: str

    def at(self, equation: str, weight: float | None) -> Combination:
        """The composition of an equation at a weight. With several sources Eq. 1 and 2 take averages (Eq. 4).

        >>> str(Terms(("xlsum[en]",), ("mc4[en]",), "mc4[pt]").at("add_subtract", 0.6))
        '0.6*xlsum[en] + 0.4*(mc4[pt] - mc4[en])'
        """
        task, source = average(self.tasks), average(self.sources)
        if equation == BASELINE or weight is None:
            return task
        if equation == ADD:
            return add(task, self.target, weight)
        if equation == ADD_SUBTRACT:
            return add_subtract_related(self.tasks, self.target, self.sources, weight)
        if equation == UNCOUPLED:
            return uncoupled(task, self.target, source, weight)
        raise LingarithError(f"no equation named {equation!r}{did_you_mean(equation, EQUATIONS)}")


Curve = list[tuple[float, float]]


def best(equation: str, curve: Curve) -> tuple[float, float]:
    """The (weight, value) with the highest value; among equals, the one nearest the task vector alone.

    >>> best("add", [(0.0, 1.0), (0.5, 3.0), (1.0, 3.0)])
    (1.0, 3.0)
    """
    return max(curve, key=lambda point: (point[1], -abs(point[0] - NEUTRAL.get(equation, ALONE))))


Play = tuple[Terms, Labelled]
"""The names for a language in the place of the target, and its labelled validation examples."""


def labelled(
    bench: Bench,
    plays: Sequence[Play],
    equation: str,
    progress: Progress | None = None,
    keep: Callable[[float, list[Outcome]], None] | None = None,
) -> Curve:
    """Mean score (0..100) on validation examples at each weight of the grid; with several plays their mean.

    ``keep`` hears of each weight's outcomes as they come. Raises :class:`LingarithError` for a test split.
    """
    _must_be_validation(plays)
    values: dict[float, list[float]] = {}
    for terms, data in plays:
        for weight, outcomes in _tried(bench, terms, equation, data, f"choosing λ on {data.language}", progress):
            if keep:
                keep(weight, outcomes)
            values.setdefault(weight, []).append(mean(outcomes))
    return [(weight, round(sum(some) / len(some), 4)) for weight, some in values.items()]


def played(terms: Terms, data: Sequence[Labelled]) -> list[Play]:
    """Each source in the place of the target, with the terms of the others and its own validation examples.

    ``data`` holds the sources' validation examples in the order of ``terms``.
    Raises :class:`LingarithError` with fewer than two sources.
    """
    if len(data) < 2:
        raise LingarithError(
            "protocol 'sources' lets each labelled source play the target, so it needs two or more; "
            "add a source or choose 'oracle' or 'unlabelled'"
        )
    plays = []
    for k, held_out in enumerate(data):
        others = [j for j in range(len(data)) if j != k]
        tasks, away = tuple(terms.tasks[j] for j in others), tuple(terms.sources[j] for j in others)
        plays.append((Terms(tasks, away, terms.sources[k]), held_out))
    return plays


def halved(
    bench: Bench,
    plays: Sequence[Play],
    equation: str,
    progress: Progress | None = None,
    keep: Callable[[float, list[Outcome]], None] | None = None,
) -> Race:
    """The weights of the grid raced by :func:`.halving.race` on labelled validation examples.

    With several plays every play counts alike, as in the grid, however many examples it has.
    ``keep`` hears of outcomes as they come. Raises :class:`LingarithError` for a test split.
    """
    _must_be_validation(plays)
    neutral, most = NEUTRAL.get(equation, ALONE), max(len(data.examples) for _, data in plays)

    def scores(weights: Sequence[float], count: int) -> list[list[float]]:
        found: list[list[float]] = [[] for _ in weights]
        taken = [replace(data, examples=data.examples[:count]) for _, data in plays]
        usual = sum(len(data.examples) for data in taken) / len(taken)
        for (terms, _), data in zip(plays, taken, strict=True):
            compositions, share = [terms.at(equation, weight) for weight in weights], usual / len(data.examples)
            for weight, own, outcomes in zip(weights, found, bench.outcomes_of(compositions, data), strict=True):
                if keep:
                    keep(weight, outcomes)
                own += [share * outcome.score for outcome in outcomes]
        if progress:
            progress(f"choosing λ on {plays[0][1].language}, {equation}", count, most)
        return found

    return race(grid(equation, Space.of(bench.space).name), neutral, most, scores)


def unlabelled(
    bench: Bench,
    terms: Terms,
    equation: str,
    articles: Labelled,
    text: PrefixItems,
    options: TrainOptions,
    progress: Progress | None = None,
) -> Curve:
    """Evidence at each weight without any label, 0..100.

    It is the share of outputs for ``articles`` (of the target, without references) that are in the
    target language (1 where none can be told to be), times the geometric mean probability of a token of
    plain ``text``, which is best text that the language vector was not trained on.
    """
    label = f"choosing λ without labels on {articles.language}"
    return [
        (weight, evidence(bench, terms.at(equation, weight), outcomes, text, options))
        for weight, outcomes in _tried(bench, terms, equation, articles, label, progress)
    ]


def probe_articles(text: PlainText, prompt: str) -> Labelled:
    """Documents of plain text as articles without references, for the protocol ``unlabelled``."""
    documents = text.documents[:: max(1, len(text.documents) // PROBE)][:PROBE]
    examples = tuple(
        TaskExample(id=f"probe-{k}", input=prompt.replace("{text}", document), target="", article=document)
        for k, document in enumerate(documents)
    )
    return Labelled(
        task="probe",
        language=text.language,
        split="unlabelled",
        source=text.source,
        examples=examples,
        fingerprint=text.fingerprint,
    )


def probe_prefixes(backbone: Backbone, text: PlainText, articles: Labelled, length: int) -> PrefixItems:
    """The documents of :func:`probe_articles` as plain text to go on with, in chunks of ``length`` tokens."""
    return PrefixItems(backbone, replace(text, documents=[e.article for e in articles.examples]), length)


def evidence(
    bench: Bench, expression: Combination, outcomes: Sequence[Outcome], text: PrefixItems, options: TrainOptions
) -> float:
    """The evidence of :func:`unlabelled` for one composition, whose ``outcomes`` are given."""
    told = recognisable(text.text.language)
    share = shares([outcome.kind for outcome in outcomes])["target"] if told else 1.0
    with bench.backbone.using(bench.update(expression)):
        loss = mean_loss(bench.backbone, text, options, limit=64)
    return round(100 * share * math.exp(-loss), 4)


def _tried(
    bench: Bench, terms: Terms, equation: str, data: Labelled, label: str, progress: Progress | None
) -> Iterator[tuple[float, list[Outcome]]]:
    """Each weight of the grid with what its composition writes."""
    weights = grid(equation, Space.of(bench.space).name)

    def watch(done: int) -> None:
        if progress:
            progress(f"{label}, {equation}", done, len(weights) * len(data.examples))

    outcomes = bench.outcomes_of([terms.at(equation, weight) for weight in weights], data, watch)
    return zip(weights, outcomes, strict=True)


def choice(target: str, terms: Terms, protocol: str, equation: str, found: Curve | Race) -> Choice:
    """The choice that a protocol's curve of an equation, or a race, amounts to."""
    if isinstance(found, Race):
        curve, seen = [(weight, round(value, 4)) for weight, value, _ in found.points], [n for *_, n in found.points]
        weight, value = best(equation, [point for point in curve if point[0] in found.finalists])
    else:
        curve, seen = found, []
        weight, value = best(equation, curve)
    return Choice(target, equation, protocol, weight, value, str(terms.at(equation, weight)), curve, seen=seen)


def hand_over(made: Sequence[Choice]) -> str:
    """The equation that gains most over the task vector alone; the latter if none gains.

    All curves contain it (λ = 1, β = 0), so this never looks at a test split.
    """

    def gain(choice: Choice) -> float:
        return choice.value - dict(choice.curve)[NEUTRAL[choice.equation]]

    top = max(made, key=gain)
    return top.equation if gain(top) > 0 and top.weight != NEUTRAL[top.equation] else BASELINE


def _must_be_validation(plays: Sequence[Play]) -> None:
    if any(data.split == "test" for _, data in plays):
        raise LingarithError("a weight is never chosen on a test split; give validation data")
