"""The lines of a study: plain code over the outputs that it asks for.

With :class:`.outputs.Counted` the same code is a dry run; with :class:`.outputs.Stored` it makes what is not there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import NamedTuple

from ..algebra import Combination
from ..errors import LingarithError, did_you_mean
from . import choose
from .hand_over import check_handed_over
from .lab import Lab
from .listings import LISTINGS
from .options import FULL as FULL_ADAPTER
from .options import must_vary
from .outputs import Counted, Outputs, Wanted
from .recipes import TABLES, Ask, Method, sources_of
from .records import BEST, BEST_ON_TEST, FULL, Choice, Example, Fixed, Record, Weight
from .study import ADAPT, Study
from .weights import NOT_CHOSEN, SOURCES, UNLABELLED

Line = Example | Choice | Record | Fixed


class Place(NamedTuple):
    """One of the parts that a study consists of: a task for a target, by vectors of one seed."""

    task: str
    target: str
    seed: int


def places(study: Study) -> list[Place]:
    """The parts of a study, in the order of its records."""
    return [
        Place(task, target, seed)
        for task, labels in study.tasks.items()
        for target in labels.targets
        for seed in study.vectors.seeds
    ]


def methods_of(lab: Lab, place: Place) -> list[Method]:
    """The methods that a study has for a target."""
    ask = Ask(lab, place.task, place.seed)
    return list(TABLES[lab.study.table].methods(ask, place.target, sources_of(lab, place.target)))


def name_vectors(lab: Lab, protocol: str) -> None:
    """Ask for every vector of a study, as its lines do; no data are read for it."""
    for place in places(lab.study):
        ask, sources = Ask(lab, place.task, place.seed), sources_of(lab, place.target)
        for method in methods_of(lab, place):
            if protocol == SOURCES and len(method.tried) > 1 and not method.by:
                list(choose.played(lab, ask, method, sources))


def choices(lab: Lab, outputs: Outputs, place: Place, method: Method, protocol: str) -> Iterator[Choice]:
    """The weight of a method for a target, chosen by each protocol: the study's first."""
    task, target, seed = place
    ask, sources = Ask(lab, task, seed), sources_of(lab, target)
    for by in choose.protocols(lab, ask, method, target, protocol):
        pick = choose.chosen(lab, outputs, ask, method, target, sources, by)
        yield Choice(
            target, method.name, by, pick.weight, pick.value, lab.said(method.tried[pick.weight]), pick.curve,
            task, method.source, seed, pick.seen,
        )  # fmt: skip


def choice(lab: Lab, outputs: Outputs, name: str) -> Choice:
    """The weight of one method for the study's first target.

    Raises :class:`LingarithError` as :func:`plan` does, and for a method that is none of those with a weight.
    """
    _check(lab.study)
    protocol, place = choose.protocol_of(lab), places(lab.study)[0]
    methods = {method.name: method for method in methods_of(lab, place) if len(method.tried) > 1}
    if name not in methods:
        raise LingarithError(f"no method with a weight is named '{name}'{did_you_mean(name, methods)}")
    if protocol == NOT_CHOSEN:
        raise LingarithError(choose.NO_GROUNDS.format(place.target))
    lab.notes |= dict.fromkeys(choose.notes_on(lab, place.target, protocol))
    return next(choices(lab, outputs, place, methods[name], protocol))


def tested(
    lab: Lab, outputs: Outputs, place: Place, method: Method, protocol: str
) -> Iterator[Choice | Record | Fixed]:
    """All lines about one method and target: its weight, chosen by each protocol, and its outputs on the test split."""
    task, target, seed = place
    compositions: dict[Weight | None, Combination] = {}
    if len(method.tried) == 1:
        (compositions[None],) = method.tried.values()
        yield Fixed(task, target, method.name, method.source, seed, lab.said(compositions[None]))
    else:
        for line in choices(lab, outputs, place, method, protocol):
            # The oracle beside a protocol may choose as that does: then the outputs are listed once.
            compositions[line.weight] = method.tried[line.weight]
            yield line
    if not lab.has_labels(task, target, "test"):
        return
    data = lab.labels(task, target, "test")
    for weight, composition in compositions.items():
        [outcomes] = outputs.written(Wanted(task, data, [composition]))
        source = method.source
        if method.name in (BEST, BEST_ON_TEST):
            source = str(next(iter(method.tried)) if weight is None else weight)
        for o in outcomes:
            yield Record(target, "test", method.name, weight, o.id, o.output, o.score, o.kind, task, source, seed)


def lines_of(lab: Lab, outputs: Outputs, protocol: str) -> list[Line]:
    """Every line of a study but those about its vectors."""
    lines: list[Line] = []
    for task, target in dict.fromkeys(place[:2] for place in places(lab.study)):
        if TABLES[lab.study.table].reference and lab.has_labels(task, target, "test"):
            for e in lab.labels(task, target, "test").examples:
                lines.append(Example(target, "test", e.id, e.article, e.target, e.alternatives, task))
    for place in places(lab.study):
        for method in methods_of(lab, place):
            lines += tested(lab, outputs, place, method, protocol)
    return lines


class Plan(NamedTuple):
    """What a study comes to: how weights are chosen, what is there and what is not, and who it is.

    ``identity`` is a hash of all that the results depend on.
    """

    protocol: str
    counted: Counted
    identity: str


def plan(lab: Lab) -> Plan:
    """Look what a study needs: data are read and vectors named, nothing is trained or written.

    Raises :class:`LingarithError` for an unknown table, a source that is also a target, a protocol that the data do
    not allow, and data that are not there.
    """
    study = lab.study
    _check(study)
    table = TABLES[study.table]
    needs_choice = any(len(method.tried) > 1 for place in places(study)[:1] for method in methods_of(lab, place))
    protocol = choose.protocol_of(lab) if table.reference and needs_choice else NOT_CHOSEN
    for place in places(study):
        if table.reference and table.tests:
            lab.labels(place.task, place.target, "test")
    counted = Counted(lab)
    lines_of(lab, counted, protocol)
    for target in dict.fromkeys(place.target for place in places(study)) if needs_choice else ():
        lab.notes |= dict.fromkeys(choose.notes_on(lab, target, protocol))
    facts = [
        study.settings(),
        asdict(study.writing),  # of which max_input may be another than that of training
        sorted(lab.recipe(name) for name in lab.orders),
        fingerprints(lab, ("test", "validation")),
        [lab.scoring(task).version for task in study.tasks],
    ]
    identity = hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()
    return Plan(protocol, counted, identity)


def _check(study: Study) -> None:
    """Raise :class:`LingarithError` for what is wrong whatever the data are."""
    if study.table not in TABLES:
        raise LingarithError(f"no table is named '{study.table}'{did_you_mean(study.table, (*TABLES, *LISTINGS))}")
    table = TABLES[study.table]
    must_vary("text", study.data.text, ("language",))
    for labels in study.tasks.values():
        must_vary("labels", labels.source, ("language", "split"))
        for target in labels.targets:
            if target in study.languages.sources and not table.own_labels:
                raise LingarithError(
                    f"{target} is a target and a source; its own labels would make arithmetic needless"
                )
    full = study.vectors.kind == FULL_ADAPTER or (FULL in table.tried and study.full_rate)
    if full and (study.sums.space != "delta" or study.sums.rank_out):
        leave = "" if study.vectors.kind == FULL_ADAPTER else ", or full_learning_rate=0 to do without"
        raise LingarithError(
            f"full fine-tuning has no factors and no rank, and sums are taken in '{study.sums.value}'; set space=delta "
            f"and no rank_out{leave}"
        )
    if study.choice.choose_by == UNLABELLED:
        for labels in study.tasks.values():
            choose.check_probes(labels)
    if study.table == ADAPT:
        check_handed_over(study)


def fingerprints(lab: Lab, splits: Sequence[str]) -> dict[str, str]:
    """Those of the labelled data of these splits, by task and target (and split, where there are several)."""
    return {
        "/".join((task, target, *([split] if len(splits) > 1 else []))): lab.labels(task, target, split).fingerprint
        for task, labels in lab.study.tasks.items()
        for target in labels.targets
        for split in splits
        if TABLES[lab.study.table].reference and lab.has_labels(task, target, split)
    }
