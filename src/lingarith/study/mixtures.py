"""What the paper leaves open about mixtures of vectors: kinds of adapters in one sum, what a language vector costs,
vectors that are made to be added, and the line between two vectors. docs/open-questions.md has the answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from ..algebra import Combination, add, add_subtract, average
from ..errors import LingarithError
from . import records as r
from .outputs import UNCHANGED
from .paper import controls
from .place import Method, Place, alone, weighed

CUT = 8
"""Sums that mix kinds are also cut to this rank, and to Kronecker products with about as many parameters."""
ONE_START, TWO_STARTS = "one start", "two starts"


def mixed(v: Place, sources: Sequence[str]) -> Iterator[Method]:
    """Eq. 2 from the first source with task and language vectors of any two kinds: the study's own adapter, that of
    each variant, and ``both``, the mean of the first two; what mixes the first two exact and cut."""
    adapters = {variant: v.study.varied(variant).vectors for variant in ("", *v.study.vectors.variants)}
    kinds = {r.kind_of(vectors.of(vectors.kind).facts): variant for variant, vectors in adapters.items()}
    parts = {
        kind: [v.task_vector(sources[0], variant=variant)]
        + [v.language_vector(code, variant) for code in (v.target, sources[0])]
        for kind, variant in kinds.items()
    }
    first = list(parts)[:2]
    parts["both"] = [average(pair) for pair in zip(*(parts[kind] for kind in first), strict=True)]
    own, *_ = parts
    for kind, (task, *_) in parts.items():
        yield alone(r.BASELINE if kind == own else f"{kind} alone", task)
    cuts: list[dict[str, Any]] = [{"rank_out": CUT}]
    for m, n in (adapters[variant].kronecker for kind, variant in kinds.items() if kind in first[1:]):
        cuts.append({"rank_out": 2, "kronecker_out": (m, n)})
    for kind, (task, *_) in parts.items():
        for other, (_, there, away) in parts.items():
            if kind != other and "both" in (kind, other):
                continue
            name = kind if kind == other else f"{kind} + {other}"
            yield (method := weighed(v.study, name, partial(add_subtract, task, there, away)))
            if {kind, other} <= {*first, "both"} and name not in first:
                for cut in cuts:
                    space = replace(v.study.sums, **cut).value
                    yield replace(method, name=f"{name} ({str(space).partition(', ')[2]})", sums=cut)
    task, _, away = parts[own]
    yield from controls(v, sources, task, away, lambda rate: v.task_vector(sources[0], rate=rate))


def cost(v: Place, sources: Sequence[str]) -> Iterator[Method]:
    """Eq. 1 from the first source with language vectors that cost more or less: the study's own, and each variant."""
    task = v.task_vector(sources[0])
    yield alone(r.BASELINE, task)
    for variant in ("", *v.study.vectors.variants):
        there = v.language_vector(v.target, variant)
        yield weighed(v.study, variant or r.ADD, partial(add, task, there))
    yield from controls(v, sources, task, 0 * task, lambda rate: v.task_vector(sources[0], rate=rate))


def addition(v: Place, sources: Sequence[str]) -> Iterator[Method]:
    """Sums of vectors that are made to be added, beside those of the study's own: each variant (such as A frozen), and
    vectors that are trained on top of those they are added to, the target's language on the task, the task on its own
    language.

    Eq. 1 and 2 in the study's space; vectors that share a start in ``anchored`` too, and cut to their own rank unless A
    is frozen; and the whole task vector with (1 − λ)·language. All from the first source.
    """
    source, own = sources[0], v.study.vectors.of(v.study.vectors.kind).facts
    for variant in ("", *v.study.vectors.variants):
        study = v.study.varied(variant)
        adapter, frozen = study.vectors.of(study.vectors.kind).facts, study.task_training.freeze_a
        others = [part for part in variant.split() if part.partition("=")[0] not in ("freeze_a", "rank", "kronecker")]
        kind = " ".join([r.kind_of(adapter) + (r.FROZEN if frozen else ""), *others])
        task, (there, away) = v.task_vector(source, variant=variant), _pair(v, source, variant)
        yield alone(f"{kind}, task" if variant else r.BASELINE, task)
        for control in controls(v, [source], task, away, lambda rate: v.task_vector(source, rate=rate), variant):
            yield replace(control, name=f"{kind}, {control.name}") if variant else control
        cut = [] if frozen or adapter["kind"] != r.LORA else [{"rank_out": adapter["rank"]}]
        for sums in ({}, {"space": "anchored"}, *cut):
            yield from _equations(v, kind, task, there, away, sums)
    task, (there, away) = v.task_vector(source), _pair(v, source)
    on, (above, below) = v.task_vector(source, over=away.names[0]), _pair(v, source, over=task.names[0])
    yield alone(f"{r.TASK_ON}, task", on)
    yield from _equations(v, r.TASK_ON, on, there, away)
    yield from _equations(v, r.LANGUAGE_ON, task, above, below)
    for kind, one, language in ((r.kind_of(own), task, there), (r.TASK_ON, on, there), (r.LANGUAGE_ON, task, above)):
        weights = sorted({0.0, *v.study.weights_of(kind)})
        yield Method(f"{kind}, whole task, {v.study.sums.value}", {w: one + (1 - w) * language for w in weights})


def _pair(v: Place, source: str, variant: str = "", over: str = "") -> list[Combination]:
    """The language vectors of target and source."""
    return [v.language_vector(code, variant, over) for code in (v.target, source)]


def _equations(
    v: Place, kind: str, task: Combination, there: Combination, away: Combination, sums: Mapping[str, Any] = UNCHANGED
) -> Iterator[Method]:
    space = replace(v.study.sums, **sums).value
    for name, at in (("Eq. 1", partial(add, task, there)), ("Eq. 2", partial(add_subtract, task, there, away))):
        yield replace(weighed(v.study, f"{kind}, {name}, {space}", at), sums=sums)


def linearity(v: Place, sources: Sequence[str]) -> Iterator[Method]:
    """The line w·θ + (1 − w)·θ′ from a task vector θ to another vector θ′, in ``delta`` and on the factors.

    θ′ is the task vector of another order of examples, that of the second source, or the target's language vector, of
    the start of θ or another one. ``factors`` refuses two starts, so there it is PEFT's arithmetic, which does not.
    Both ends are on every line. Raises :class:`LingarithError` where scores are no losses.
    """
    lab, seed, (source, *others) = v.lab, v.seed, sources
    if (metric := lab.asked(v.task).task.metric) != "likelihood":
        raise LingarithError(
            f"the line between two vectors is drawn from losses, and {v.task} has the metric '{metric}'; write "
            f'tasks=[{{ task = "{v.task}", metric = "likelihood" }}]'
        )
    task = v.task_vector(source)
    ends = {
        (f"task {source} again", ONE_START): lab.task(v.task, seed + 1, source, start=seed),
        (f"task {source} again", TWO_STARTS): lab.task(v.task, seed + 1, source),
        ("language", ONE_START): v.language_vector(v.target),
        ("language", TWO_STARTS): lab.language(seed + 1, v.target),
    }
    for other in others[:1]:
        ends[f"task {other}", ONE_START] = v.task_vector(other)
    yield alone(r.BASELINE, task)
    for (what, start), end in ends.items():
        for space in ("delta", "factors" if start == ONE_START else "peft-linear"):
            name = f"{what}, {start}, {space}"
            weights = sorted({0.0, 1.0, *v.study.weights_of(name)})
            yield Method(name, {w: w * task + (1 - w) * end for w in weights}, sums={"space": space})
