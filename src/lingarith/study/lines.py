"""The lines of a study: plain code over the outputs that it asks for.

With :class:`.outputs.Counted` the same code is a dry run; with :class:`.outputs.Stored` it makes what is not there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import NamedTuple

from ..algebra import Combination
from ..disk.files import json_hash
from ..errors import LingarithError, did_you_mean
from ..languages.codes import variety
from . import choose
from .hand_over import check_handed_over
from .lab import Lab
from .listings import LISTINGS
from .options import FULL as FULL_ADAPTER
from .options import LORA, must_vary
from .outputs import Counted, Outputs, Wanted
from .place import Method, Place
from .recipes import TABLES, places, rows
from .records import BEST, BEST_ON_TEST, FULL, LINEAR, RETENTION, Choice, Example, Fixed, Record, Weight, shots
from .study import ADAPT, Study
from .weights import NOT_CHOSEN, SOURCES, UNLABELLED

Line = Example | Choice | Record | Fixed


def name_vectors(lab: Lab, protocol: str) -> None:
    """Ask for every vector of a study, as its lines do; no data are read for it."""
    for place, method in rows(lab):
        if protocol == SOURCES and len(method.tried) > 1 and not method.by:
            list(choose.played(place, method))


def choices(outputs: Outputs, place: Place, method: Method, protocol: str) -> Iterator[Choice]:
    """The weight of a method for a target, chosen by each protocol: the study's first."""
    for by in choose.protocols(place, method, protocol):
        pick = choose.chosen(outputs, place, method, by)
        expression = place.lab.said(method.tried[pick.weight])
        yield Choice(
            place.target, method.name, by, pick.weight, pick.value, expression, pick.curve,
            place.task, method.source, place.seed, pick.seen,
            outputs.error(method.tried[pick.weight], method.sums),
        )  # fmt: skip


def choice(lab: Lab, outputs: Outputs, name: str) -> Choice:
    """The weight of one method for the study's first target and only task.

    Raises :class:`LingarithError` as :func:`plan` does, for several tasks, and for a method that is none of those with
    a weight.
    """
    _check(lab.study)
    task, protocol = lab.study.only_task, choose.protocol_of(lab)
    place = next(place for place in places(lab) if place.task == task)
    methods = {method.name: method for method in place.methods if len(method.tried) > 1}
    if name not in methods:
        raise LingarithError(f"no method with a weight is named '{name}'{did_you_mean(name, methods)}")
    if protocol == NOT_CHOSEN:
        raise LingarithError(choose.NO_GROUNDS.format(place.target))
    lab.notes |= dict.fromkeys(choose.notes_on(lab, place.target, protocol, chosen=True))
    return next(choices(outputs, place, methods[name], protocol))


def tested(outputs: Outputs, place: Place, method: Method, protocol: str) -> Iterator[Choice | Record | Fixed]:
    """All lines about one method and target: its weight, chosen by each protocol, and its outputs on the test split."""
    lab, task, target, seed = place.lab, place.task, place.target, place.seed
    asked = method.asks or task
    compositions: dict[Weight | None, Combination] = {}
    if len(method.tried) == 1:
        (compositions[None],) = method.tried.values()
        yield Fixed(task, target, method.name, method.source, seed, lab.said(compositions[None]))
    else:
        for line in choices(outputs, place, method, protocol):
            # The oracle beside a protocol may choose as that does: then the outputs are listed once.
            compositions[line.weight] = method.tried[line.weight]
            yield line
    table = TABLES[lab.study.table]
    if lab.study.choice.retention and method.name in (table.reference, *table.tried):
        yield from _retained(outputs, place, method, *next(iter(compositions.items())))
    if not lab.has_labels(task, target, "test"):
        return
    data = lab.labels(asked, target, "test")
    for weight, composition in compositions.items():
        [outcomes] = outputs.written(Wanted(asked, data, [composition], sums=method.sums))
        source = method.source
        if method.name in (BEST, BEST_ON_TEST):
            source = str(next(iter(method.tried)) if weight is None else weight)
        for o in outcomes:
            yield Record(target, "test", method.name, weight, o.id, o.output, o.score, o.kind, task, source, seed)


def _retained(
    outputs: Outputs, place: Place, method: Method, weight: Weight | None, composition: Combination
) -> Iterator[Record]:
    """What a composition for a target writes for the test data of the languages of its labels."""
    task, target = method.asks or place.task, place.target
    for source in [method.source] if method.source else place.sources:
        if place.lab.has_labels(task, source, "test"):
            data = place.lab.labels(task, source, "test")
            [outcomes] = outputs.written(Wanted(task, data, [composition], sums=method.sums))
            for o in outcomes:
                yield Record(
                    target, RETENTION, method.name, weight, o.id, o.output, o.score, o.kind, place.task, source,
                    place.seed,
                )  # fmt: skip
        else:
            place.lab.notes[f"retention: there are no labelled test data of {source}."] = None


def lines_of(lab: Lab, outputs: Outputs, protocol: str) -> list[Line]:
    """Every line of a study but those about its vectors."""
    lines: list[Line] = []
    for task, target in dict.fromkeys((place.task, place.target) for place in places(lab)):
        if TABLES[lab.study.table].reference and lab.has_labels(task, target, "test"):
            for e in lab.labels(task, target, "test").examples:
                lines.append(Example(target, "test", e.id, e.article, e.target, e.alternatives, task))
    for place, method in rows(lab):
        lines += tested(outputs, place, method, protocol)
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
    needs_choice = any(len(method.tried) > 1 for place in places(lab)[:1] for method in place.methods)
    protocol = choose.protocol_of(lab) if table.reference and needs_choice else NOT_CHOSEN
    for place in places(lab):
        if table.reference and table.tests:
            lab.labels(place.task, place.target, "test")
    counted = Counted(lab)
    lines_of(lab, counted, protocol)
    # What has no weight to choose is handed over or listed even where there is nothing to test it on.
    counted.need(one for _, method in rows(lab) if len(method.tried) == 1 for one in method.tried.values())
    if not table.reference:
        counted.needed |= dict.fromkeys(lab.orders)
    for target in dict.fromkeys(place.target for place in places(lab)) if table.reference else ():
        lab.notes |= dict.fromkeys(choose.notes_on(lab, target, protocol, chosen=needs_choice))
    facts = [
        study.settings(),
        asdict(study.writing),  # of which max_input may be another than that of training
        sorted(lab.recipe(name) for name in lab.orders),
        {
            f"{place}/{split}": data
            for split in ("test", "validation")
            for place, data in fingerprints(lab, split).items()
        },
        [[lab.scoring(task).version, *map(lab.scoring(task).said, one.targets)] for task, one in study.tasks.items()],
        [choose.probed(lab, place.target).fingerprint for place in places(lab)] if protocol == UNLABELLED else [],
    ]
    identity = json_hash(facts)
    return Plan(protocol, counted, identity)


def _check(study: Study) -> None:
    """Raise :class:`LingarithError` for what is wrong whatever the data are."""
    if study.table not in TABLES:
        raise LingarithError(f"no table is named '{study.table}'{did_you_mean(study.table, (*TABLES, *LISTINGS))}")
    table = TABLES[study.table]
    if table.own_sums and study.sums.merging is not None:
        raise LingarithError(f"the rows of '{study.table}' say themselves how they are summed; leave out --method")
    if study.sums.value.merging and study.sums.value.merging.grams and study.vectors.kind != LORA:
        raise LingarithError(
            f"'{study.sums.value.merging.name}' merges LoRA alone, and {study.vectors.kind} is trained; take the sum, "
            "or another method"
        )
    must_vary("text", study.data.text, ("language",))
    sources = _must_be_others("sources", study.languages.sources)
    for labels in study.tasks.values():
        must_vary("labels", labels.source, ("language", "split"))
        _must_be_others("targets", labels.targets)
        for target in () if table.own_labels else labels.targets:
            if source := sources.get(variety(target)):
                both = f"{target} is a target and {source} a source, and they are one language"
                both = f"{target} is a target and a source" if source == target else both
                raise LingarithError(f"{both}; its own labels would make arithmetic needless")
    named = [name for name in study.choice.controls or () if study.vectors.kind == FULL_ADAPTER]
    for name in (name for name in named if name == LINEAR or shots(name)):
        raise LingarithError(f"'{name}' is about adapters, and full fine-tuning has none; leave it out of 'controls'")
    full = study.vectors.kind == FULL_ADAPTER or (FULL in table.tried and study.full_rate)
    if full and (study.sums.space != "delta" or study.sums.rank_out or study.sums.value.merging):
        leave = "" if study.vectors.kind == FULL_ADAPTER else ", or full_learning_rate=0 to do without"
        raise LingarithError(
            f"full fine-tuning has no factors and no rank, and sums are taken in '{study.sums.value}'; set space=delta "
            f"and no rank_out or merging{leave}"
        )
    if study.table == ADAPT:
        check_handed_over(study)


def _must_be_others(key: str, codes: Sequence[str]) -> dict[str, str]:
    """The codes by the variety that each means. Raises :class:`LingarithError` where two mean one."""
    meant: dict[str, str] = {}
    for code in codes:
        other = meant.setdefault(variety(code), code)
        if other != code:
            raise LingarithError(f"{other} and {code} in '{key}' are one language; name it once")
    return meant


def fingerprints(lab: Lab, split: str) -> dict[str, str]:
    """Those of the labelled data of a split, by "task/target"."""
    return {
        f"{task}/{target}": lab.labels(task, target, split).fingerprint
        for task, labels in lab.study.tasks.items()
        for target in labels.targets
        if TABLES[lab.study.table].reference and lab.has_labels(task, target, split)
    }
