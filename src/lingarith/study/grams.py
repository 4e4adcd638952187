"""The Gram matrices of a study's vectors, for the ways to merge that need them: found beside the vectors, or made now.

What a vector was trained on is what its matrix is measured on, once, on a few thousand tokens.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import numpy as np

from ..adapters.lora import LoraTerm
from ..algebra import Combination
from ..disk.files import inside
from ..disk.locks import alone
from ..errors import LingarithError, MissingData
from ..model.backbone import Backbone
from ..model.batches import Item
from ..model.gram import TOKENS, grams
from ..store.objects import GRAM
from ..text.corpora import PlainText
from ..text.labelled import Labelled
from ..vectors.composition import Space
from ..vectors.gram import Gram, gram_file
from ..vectors.merged import LANGUAGES, TASK
from ..vectors.outline import outline
from ..vectors.vector import Vector
from .jobs import Job
from .lab import Lab

CHARACTERS = 16 * TOKENS
"""So much of the data is tokenised, since all of it would take long; hardly any text has so many letters to a token."""
OTHER_DATA = (
    "{0} was trained on other data than its Gram matrix is measured on now: another file, or other limits, fields or "
    "prompt. If that is not meant, give those of its training (lingarith vectors show '{0}')."
)
Part = TypeVar("Part")


def merged_by_grams(space: Space, composition: Combination) -> bool:
    """Whether a composition asks for the Gram matrices of its vectors."""
    merging = space.over(composition).merging
    return merging is not None and merging.grams


def vectors_of(lab: Lab, compositions: Sequence[Combination], space: Space) -> dict[str, Vector]:
    """The vectors of some compositions, those that are merged by their Gram matrices with them.

    What lacks and cannot be made here, since nobody says on which data, stays without one.
    """
    vectors = lab.vectors(name for composition in compositions for name in composition.names)
    asked = [composition.names for composition in compositions if merged_by_grams(space, composition)]
    for name in dict.fromkeys(name for names in asked for name in names):
        content = lab.content(name)
        assert content  # it is there, since its vector is
        if not lab.store.objects.gram(content) and (job := job_of(lab, name)):
            measure(lab, content, vectors[name], job)
        vectors[name] = replace(vectors[name], gram=partial(lab.store.objects.gram, content))
    return vectors


def data_of(lab: Lab, name: str) -> str:
    """The fingerprint of what the Gram matrix of a vector is measured on, or will be; empty where nobody knows."""
    if gram := gram_of(lab, name):
        return gram.data
    job = job_of(lab, name)
    return job.data.fingerprint if job else ""


def gram_of(lab: Lab, name: str) -> Gram | None:
    """What lies beside a vector; None where it, or the vector itself, is not there yet."""
    content = lab.content(name)
    gram = lab.store.objects.gram(content) if content else None
    return gram if isinstance(gram, Gram) else None


def bytes_of(job: Job, backbone: Backbone) -> int:
    """What the Gram matrix of a vector that is trained so takes on the disk."""
    return sum(4 * inner**2 for _, inner in backbone.shapes_of(job.options.projections).values())


def measure(lab: Lab, content: str, vector: Vector, job: Job, *, anew: bool = False) -> Gram:
    """The Gram matrix beside a vector of the store, measured on the data of a training unless it is there.

    With ``anew`` it takes the place of one that is there. Raises :class:`LingarithError` for what is no LoRA.
    """
    store, sizes = lab.store, {}
    for path, terms in sorted(outline(vector.terms).items()):
        if len(terms) > 1 or not isinstance(terms[0], LoraTerm) or vector.rest:
            raise LingarithError(
                f"{vector.name} is {vector.adapter}, and Gram matrices are for LoRA alone; take the sum, or another "
                "method"
            )
        sizes[path] = terms[0].size[1]
    with alone(inside(store.folder, "objects", content, GRAM)):
        if anew or not store.objects.gram(content):
            lab.progress(f"measuring the inputs of {vector.name}", 0, 1)
            items, backbone = _items(job, lab.backbone), vector.origin["backbone"]
            its = backbone.get("sampled", backbone["fingerprint"])  # as the store has it
            tokens = sum(len(source) + len(target) for source, target in items)
            measured = grams(lab.backbone, items, sizes)
            store.objects.put_gram(content, gram_file(sizes, measured, its, job.data.fingerprint, tokens))
    made = store.objects.gram(content)
    assert isinstance(made, Gram)
    return made


def measure_of(lab: Lab, name: str, kind: str = "", language: str = "") -> Gram:
    """The Gram matrix of a vector that the store has under a name, measured anew on the data of the lab's study.

    ``kind`` is ``task`` for labelled data and ``language`` for plain text; it and the ``language`` are those of the
    vector's origin where they are not given. Raises :class:`LingarithError` where that does not say them either.
    """
    lab.stored(name)
    [vector], study = lab.vectors([name]).values(), lab.study
    origin, (seed, *_) = vector.origin, study.vectors.seeds
    kind, language = kind or str(origin.get("kind")), language or str(origin.get("language") or "")
    if kind not in (TASK, *LANGUAGES) or not language:
        raise LingarithError(
            f"{name} does not say on what it was trained; give --text or --labels, and --lang, the language's code"
        )
    labels = kind == TASK
    data = lab.labels(next(iter(study.tasks)), language, "train") if labels else lab.plain(language)
    options, its = study.training(seed, labels=labels), origin.get("options", {})
    lengths: dict[str, Any] = {
        key: its[key] for key in ("max_input", "max_target") if key not in study.keys and isinstance(its.get(key), int)
    }
    made = measure(lab, lab.content(name) or "", vector, Job(data, replace(options, **lengths)), anew=True)
    if origin.get("data", {}).get("fingerprint", made.data) != made.data:
        lab.notes[OTHER_DATA.format(name)] = None
    return made


def job_of(lab: Lab, name: str) -> Job | None:
    """The training of a vector, or of the one that a random vector is like; None where its data are not known here."""
    order = lab.orders[name]
    if order.like:
        return job_of(lab, order.like)
    if order.job:
        return lab.job(name)
    with suppress(MissingData):
        if order.known and (job := order.known()).data.fingerprint == _trained_on(lab, order.content):
            return job
    return None


def _trained_on(lab: Lab, content: str) -> object:
    return lab.store.objects.manifest(content)["origin"].get("data", {}).get("fingerprint")


def _items(job: Job, backbone: Backbone) -> list[Item]:
    """Examples of a training, drawn from all of its data, up to :data:`TOKENS` tokens."""
    data: Labelled | PlainText
    if isinstance(job.data, Labelled):
        sizes = [len(example.input) + len(example.target) for example in job.data.examples]
        data = replace(job.data, examples=tuple(_drawn(job.data.examples, sizes)))
    else:
        data = replace(job.data, documents=tuple(_drawn(job.data.documents, map(len, job.data.documents))))
    items, some, tokens = job.items(backbone, data), [], 0
    for number in map(int, np.random.default_rng(0).permutation(len(items))):
        if tokens >= TOKENS:
            break
        some.append(items.item(number, 0, number))
        tokens += sum(map(len, some[-1]))
    return some


def _drawn(parts: Sequence[Part], sizes: Iterable[int]) -> list[Part]:
    """Parts of some data, drawn until they have :data:`CHARACTERS`."""
    lengths, some, characters = list(sizes), [], 0
    for number in map(int, np.random.default_rng(0).permutation(len(parts))):
        if characters >= CHARACTERS:
            break
        some.append(parts[number])
        characters += lengths[number]
    return some
