"""Choosing the weight of a method on stated grounds, and never on a test split, by what compositions write or predict.

The protocols are those of :mod:`.weights`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ..algebra import Combination
from ..errors import LingarithError
from ..scores.metrics import metric_of
from ..scores.output import recognisable
from ..text.corpora import PlainText
from ..text.labelled import Labelled, TaskExample
from ..text.rows import fingerprint
from .halving import race
from .lab import Lab
from .options import AUTO
from .outputs import Outputs, Wanted, mean
from .place import Method, Place
from .recipes import places
from .records import Weight, name_of
from .study import READ_TASK, Labels
from .weights import HALVING, LOSS, NOT_CHOSEN, ON_TEST, ORACLE, SOURCES, UNLABELLED, Curve, best, neutral

PROBE = 64
"""Articles of the target that the protocol ``unlabelled`` generates for, and prefixes it predicts."""
LOST = 0.02
"""How much of the task that protocol gives away: a share of what the bare backbone lacks of it."""
PROBED_ON_TRAINED = (
    "{}: the source has no plain text beyond what the language vector is trained on, so 'unlabelled' was measured on "
    "that text, which favours the language vector; training on fewer characters leaves some over."
)
UNGUIDED = (
    "{}: λ is chosen without any label, as near to the language as keeps what the task vector writes; what that gains "
    "and risks was measured on the newsroom alone (docs/unlabelled.md)."
)
NO_GROUNDS = (
    "{}: there are too few labels to choose λ by, so the task vector alone is left; a few labelled validation "
    "examples of every target, or of two sources, give grounds. What chooses without any (--choose-by unlabelled) "
    "gains little and at times loses much (docs/unlabelled.md)."
)
UNRECOGNISABLE = (
    "{}: py3langid, which tells the language of an output, does not know this one, so no output counts as being in "
    "the right language."
)


@dataclass(frozen=True)
class Pick:
    """A weight that was chosen, its value, and the value of each weight that was tried.

    ``seen`` says how many examples each point of the curve rests on, where they are not the same for all.
    """

    weight: Weight
    value: float
    curve: Curve
    seen: list[int] = field(default_factory=list)


Play = tuple[str, Mapping[Weight, Combination]]
"""A language in the place of the target, and a method's compositions for it."""


def protocol_of(lab: Lab) -> str:
    """The protocol that the study asks for or, with auto, the first that labels allow, for all its targets alike.

    With auto and too few labels it is :data:`NOT_CHOSEN`: the task vector alone is tested and handed over, since no
    choice without labels does little enough harm (docs/unlabelled.md). Raises :class:`LingarithError` when the data do
    not allow the protocol that is asked for.
    """
    wanted = lab.study.choice.choose_by
    if wanted == AUTO:
        return next((protocol for protocol in (ORACLE, SOURCES) if not _objection(lab, protocol)), NOT_CHOSEN)
    if objection := _objection(lab, wanted):
        raise LingarithError(objection)
    return wanted


def _objection(lab: Lab, protocol: str) -> str:
    """Why the data do not allow a protocol; nothing where they do."""
    if protocol == ORACLE:
        for place in places(lab):
            if not lab.has_labels(place.task, place.target, "validation"):
                return f"protocol 'oracle' needs labelled validation data of {place.target}; choose 'unlabelled'"
    parts = places(lab) if protocol == SOURCES else []
    if any(len(place.sources) < 2 for place in parts) or not all(
        lab.has_labels(place.task, source, "validation") for place in parts for source in place.sources
    ):
        return (
            "protocol 'sources' lets each labelled source play the target, so it needs two or more with labelled "
            "validation data; add a source or choose another protocol"
        )
    if protocol == UNLABELLED:
        named = next((method.name for place in places(lab) for method in place.methods if method.sums), "")
        if named:
            return f"'{named}' is judged by labels; choose protocol oracle or sources"
        return next(filter(None, map(_unasked, lab.study.tasks.values())), "")
    return ""


def protocols(place: Place, method: Method, protocol: str) -> list[str]:
    """The protocols by which a method's weight is chosen: its own, or the study's and the oracle beside it."""
    if method.by:
        return [method.by]
    beside = [ORACLE] if place.lab.has_labels(place.task, place.target, "validation") else []
    return list(dict.fromkeys([*([protocol] if protocol else []), *beside]))


def chosen(outputs: Outputs, place: Place, method: Method, protocol: str) -> Pick:
    """The best of a method's compositions for a target by a protocol."""
    lab, task = place.lab, place.task
    if protocol == UNLABELLED:
        curve = list(zip(method.tried, _evidence(outputs, place, method), strict=True))
        return Pick(*best(method.name, curve), curve)
    plays = list(played(place, method)) if protocol == SOURCES else [(place.target, method.tried)]
    if not plays:
        raise LingarithError(
            f"protocol 'sources' cannot choose for '{name_of(method.name).short}': it is not there where one of the "
            "sources is the target; choose protocol oracle"
        )
    split = "test" if protocol == ON_TEST else "validation"
    data = [lab.labels(task, language, split) for language, _ in plays]
    weights = list(method.tried)
    search = lab.study.choice.search
    if search == LOSS and split != "test":
        task += READ_TASK
    if search != HALVING or split == "test" or neutral(method.name) not in method.tried:
        means: dict[Weight, list[float]] = {weight: [] for weight in weights}
        for (_, tried), examples in zip(plays, data, strict=True):
            wanted = Wanted(task, examples, [tried[weight] for weight in weights], sums=method.sums)
            for weight, outcomes in zip(weights, outputs.written(wanted), strict=True):
                means[weight].append(round(mean(outcomes), 4))
        curve = [(weight, round(sum(scores) / len(scores), 4)) for weight, scores in means.items()]
        return Pick(*best(method.name, curve), curve)
    return _raced(outputs, task, method, plays, data)


def _raced(outputs: Outputs, task: str, method: Method, plays: Sequence[Play], data: Sequence[Labelled]) -> Pick:
    """The weights raced by :func:`.halving.race`; with several plays every play counts alike, as in the grid."""

    def scores(weights: Sequence[float], count: int) -> list[list[float]]:
        points: list[list[float]] = [[] for _ in weights]
        usual = sum(min(count, len(examples.examples)) for examples in data) / len(data)
        for (_, tried), examples in zip(plays, data, strict=True):
            wanted = Wanted(task, examples, [tried[weight] for weight in weights], count, method.sums)
            share = usual / len(wanted.examples.examples)
            for point, outcomes in zip(points, outputs.written(wanted), strict=True):
                point += [share * outcome.score for outcome in outcomes]
        return points

    most = max(len(examples.examples) for examples in data)
    numbers = [weight for weight in method.tried if not isinstance(weight, str)]
    raced = race(numbers, neutral(method.name), most, scores)
    curve: Curve = [(weight, round(value, 4)) for weight, value, _ in raced.points]
    finalists = [point for point in curve if point[0] in raced.finalists]
    return Pick(*best(method.name, finalists), curve, [seen for *_, seen in raced.points])


def played(place: Place, method: Method) -> Iterator[Play]:
    """Each source as the target of the same method from the others, where it exists."""
    lab, sources = place.lab, place.sources
    for held_out in sources:
        orders = dict(lab.orders)
        others = [source for source in sources if source != held_out]
        for like in list(place.table.methods(replace(place, target=held_out), others)):
            if (like.name, like.source) == (method.name, method.source):
                needed = {name for composition in like.tried.values() for name in composition.names}
                needed |= {other for name in needed for other in (lab.orders[name].like, lab.orders[name].after)}
                orders |= {name: order for name, order in lab.orders.items() if name in needed}
                yield held_out, like.tried
        lab.orders = orders  # what the other methods would need is asked for by nobody


def _evidence(outputs: Outputs, place: Place, method: Method) -> list[float]:
    """Evidence for each composition without any label: how well it predicts plain text, where it keeps the task.

    It is 100·exp(−loss) on plain text of the target (nats a token), best such as the language vector was not trained
    on, where at most :data:`LOST` of the task is lost, and −100 times what is lost elsewhere: (b − b_T)/(b_bare − b_T),
    b the bits that a composition finds in all that the task vector alone (T) writes for articles of the target: in all
    together, for an output of a letter or two can take many bits a byte. Where T writes nothing all evidence is 0.
    After the two distances of https://arxiv.org/abs/2509.25712, whose sum does harm (docs/unlabelled.md).
    """
    lab, compositions = place.lab, list(method.tried.values())
    text = probed(lab, place.target)
    articles = probe_articles(text, lab.asked(place.task))
    alone = method.tried[neutral(method.name)]
    [wrote] = outputs.written(Wanted(place.task, articles, [alone]))
    pairs = zip(articles.examples, wrote, strict=True)
    taught = tuple(replace(example, target=outcome.output) for example, outcome in pairs if outcome.output)
    prefixes = replace(text, documents=[example.article for example in articles.examples])
    losses = outputs.losses(prefixes, lab.study.language_training.max_input, compositions)
    if not taught:
        return [0.0] * len(compositions)
    contents = fingerprint([articles.fingerprint, *(outcome.output for outcome in wrote)])
    data = replace(articles, examples=taught, fingerprint=contents)
    read = outputs.written(Wanted(place.task + READ_TASK, data, [alone, Combination(), *compositions]))
    sizes = [len(example.target.encode()) for example in taught]
    kept, bare, *bits = [
        sum(size * float(outcome.output or 0) for size, outcome in zip(sizes, outcomes, strict=True))
        for outcomes in read
    ]
    lost = [(each - kept) / max(bare - kept, 1e-9) for each in bits]
    return [
        round(100 * (math.exp(-loss) if share <= LOST else -share), 4) for loss, share in zip(losses, lost, strict=True)
    ]


def probed(lab: Lab, target: str) -> PlainText:
    """The plain text by which compositions are judged without labels."""
    return lab.held_out(target) or lab.plain(target)


def probe_articles(text: PlainText, labels: Labels) -> Labelled:
    """Documents of plain text as articles without references, for the protocol ``unlabelled``."""
    documents = text.documents[:: max(1, len(text.documents) // PROBE)][:PROBE]
    task = labels.task
    asked = [task.asked(text.language, {task.article: document}) for document in documents]
    examples = tuple(
        TaskExample(f"probe-{k}", one.text, "", document, (), one.slots)
        for k, (one, document) in enumerate(zip(asked, documents, strict=True))
    )
    contents = fingerprint(example.input for example in examples)  # not the text's: another prompt is other data
    return Labelled("probe", text.language, "unlabelled", text.source, examples, contents)


def _unasked(labels: Labels) -> str:
    """Why plain text alone cannot be asked of a task; nothing where it can."""
    task = labels.task
    if set(task.fields) != {task.article}:
        return (
            f"protocol 'unlabelled' has no {' or '.join(sorted({*task.fields} - {task.article}))} to ask of plain "
            f"text for the task '{task.name}'; choose another"
        )
    if metric_of(task.metric).predicted:
        return (
            f"protocol 'unlabelled' goes by outputs, and the task '{task.name}' is judged without any; choose another"
        )
    return ""


def notes_on(lab: Lab, target: str, protocol: str, *, chosen: bool) -> list[str]:
    """What a reader must know of a target's outputs and, where any are ``chosen``, of its weights."""
    written = any(target in labels.targets and labels.task.writes == "target" for labels in lab.study.tasks.values())
    sentences = {
        NO_GROUNDS: chosen and protocol == NOT_CHOSEN,
        UNGUIDED: protocol == UNLABELLED,
        PROBED_ON_TRAINED: protocol == UNLABELLED and lab.held_out(target) is None,
        UNRECOGNISABLE: written and not recognisable(target),
    }
    return [sentence.format(target) for sentence, holds in sentences.items() if holds]
