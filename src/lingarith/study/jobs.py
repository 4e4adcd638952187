"""The vectors that a study needs: taken from the store, or trained and put there."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from ..algebra import vector as named
from ..disk.files import inside, json_hash, must_be_plain
from ..disk.locks import alone
from ..errors import LingarithError
from ..model.backbone import Backbone
from ..model.batches import MixedItems, PrefixItems, TrainingData, task_items
from ..model.inputs import cut_within
from ..model.likelihood import bits_per_byte
from ..model.members import CHECKPOINT, LOG, Training, logged
from ..model.options import TrainOptions
from ..model.parallel import processes
from ..model.together import best_together
from ..model.train import train
from ..progress import Progress, quiet
from ..store.objects import vector_hash
from ..store.store import ANSWER_MEND, Store
from ..text import hub
from ..text.corpora import PlainText
from ..text.labelled import Labelled
from ..unicode import FORM
from ..vectors.composition import Composition, Space
from ..vectors.vector import Update, Vector
from .tracking import Tracker

ON = ".on"
"""What marks the names of vectors that were trained on top of others."""


@dataclass(frozen=True)
class Job:
    """One vector to be had: what it is trained on and how. ``data`` is labelled or plain text.

    ``validation`` is more of the same that is not trained on: its loss stands in the log. ``on`` is what is added to
    the backbone meanwhile, as its origin says it (expression, space, parents). ``mixed`` is plain text among labelled
    examples, and the steps of the options that it would take by itself. ``start`` is the training that this one goes on
    from, ``begun`` the vector that it gave; ``beneath`` the training of the vector that ``on`` is, where that is not
    there yet. ``label`` stands in brackets in the name, where that is not the language of the data.
    """

    data: Labelled | PlainText
    options: TrainOptions
    validation: Labelled | PlainText | None = None
    on: Mapping[str, Any] | None = None
    mixed: tuple[PlainText, int] | None = None
    start: Job | None = None
    begun: Vector | None = None
    beneath: Job | None = None
    label: str = ""

    @property
    def name(self) -> str:
        """What expressions call the vector: ``xlsum[en]``, ``mc4[pt]``."""
        kind = self.data.task if isinstance(self.data, Labelled) else self.data.name
        return f"{kind}{ON if self.on else ''}[{self.label or self.data.language}]"

    def origin(self) -> dict[str, Any]:
        """What the vector's origin says of its data."""
        facts = self._facts()
        parents = {"parents": {self.begun.name: vector_hash(self.begun)}} if self.begun else {}
        prompt = {"prompt": self.data.prompt} if isinstance(self.data, Labelled) and self.data.prompt else {}
        return facts | {"data": facts["data"] | {"form": FORM}} | prompt | parents

    def _facts(self) -> dict[str, Any]:
        """The part of the origin on which the recipe depends: the form of a text shows in its fingerprint."""
        task = isinstance(self.data, Labelled)
        about: dict[str, Any] = {"source": self.data.source, "fingerprint": self.data.fingerprint}
        if isinstance(self.data, Labelled):
            about |= {"task": self.data.task, "split": self.data.split, "examples": len(self.data.examples)}
        else:
            about |= {"documents": len(self.data.documents)}
        if self.mixed:
            text, steps = self.mixed
            about["mixed"] = {
                "language": text.language, "source": text.source, "fingerprint": text.fingerprint, "steps": steps,
            }  # fmt: skip
        on = {"on": dict(self.on)} if self.on else {}
        return {"kind": "task" if task else "language", "language": self.data.language, "data": about, **on}

    def upon(self, vector: Vector) -> Job:
        """The same now that the vector is there from which it goes on, or on top of which it is trained."""
        if not self.beneath:
            return replace(self, begun=vector)
        parents = {vector.name: vector_hash(vector)}
        return replace(self, on={"expression": vector.name, "space": "delta", "parents": parents})

    def recipe(self, backbone: Backbone) -> str:
        """Hash of all that the trained tensors depend on; equal recipes are trained once."""
        adapter = self.options.adapter.facts
        settings = self.options.facts | {"adapter": {key: adapter[key] for key in adapter if key != "kind"}}
        for irrelevant in ("checkpoint_every", "activation_checkpointing"):
            settings.pop(irrelevant)
        if self.options.patience:
            settings["validation"] = self.validation and self.validation.fingerprint
        else:  # validation is looked at, and changes nothing
            del settings["validate_every"], settings["patience"]
        facts = {"origin": self._facts(), "options": settings, "backbone": backbone.fingerprint, **_weights(backbone)}
        if self.beneath:  # stands for `on`, which is known later
            facts |= {"origin": replace(self, on=None)._facts(), "beneath": self.beneath.recipe(backbone)}
        if self.start:
            facts["start"] = self.start.recipe(backbone)
        read = [self.data, self.validation] if self.options.patience else [self.data]
        if any(isinstance(some, Labelled) and cut_within(backbone, some, self.options.max_input) for some in read):
            facts["cut"] = "texts"  # said only where it makes a difference: else what was trained before is found
        return json_hash(facts)

    def made(self, store: Store, recipe: str) -> Vector | None:
        """The vector that came out of the recipe of this job, if the store has it.

        Raises :class:`LingarithError` where its origin says that it was trained on something else.
        """
        vector, facts = store.by_recipe(recipe), self._facts()
        if vector is not None:
            its = {**vector.origin, "data": vector.origin.get("data", {}).get("fingerprint")}
            if its != {**its, **facts, "data": self.data.fingerprint}:
                raise LingarithError(
                    f"recipes/{recipe}.json in {store.place} means {vector.name}, which was trained on something else; "
                    "delete that file and run the same command again"
                )
        return vector

    def training(self, backbone: Backbone, folder: Path) -> Training:
        """What is to be trained, its examples as token numbers."""
        data = self.items(backbone, self.data, folder / "text")
        if self.mixed:
            text, own = self.mixed
            counts = [steps * self.options.batch_size for steps in (self.options.steps - own, own)]
            data = MixedItems((data, self.items(backbone, text, folder / "text")), counts)
        validation = self.items(backbone, self.validation, folder / "held out") if self.validation else None
        return Training(self.name, data, self.options, folder, self.origin(), validation, start=self.begun)

    def items(self, backbone: Backbone, data: Labelled | PlainText, folder: Path | None = None) -> TrainingData:
        """Data as token numbers, cut as in this training; those of plain text are kept in the folder, if any."""
        options = self.options
        if isinstance(data, Labelled):
            return task_items(backbone, data, max_input=options.max_input, max_target=options.max_target)
        return PrefixItems(backbone, data, options.max_input, folder)


def fetching(source: str, language: str, progress: Progress) -> hub.Progress:
    """What tells ``progress`` of the characters of a language that come from a hub.

    >>> fetching("mc4", "pt", print)(500, 2000)
    fetching mc4 (pt), characters 500 2000
    """
    return lambda come, total: progress(f"fetching {source} ({language}), characters", come, total or 0)


def obtain_all(
    jobs: Sequence[Job],
    backbone: Backbone,
    store: Store,
    progress: Progress = quiet,
    *,
    together: int | None = None,
    on: Update | None = None,
    track: Tracker | None = None,
) -> list[tuple[Vector, str, bool]]:
    """The vectors of the jobs, their content hashes, and whether they were trained now, ``together`` in a pass.

    Without ``together`` a few passes tell how many do best. Training keeps a vector's checkpoint in the store's
    ``training`` folder until it is complete, so that one that was stopped goes on; it is stored as soon as it is
    finished, and the log of losses ends up beside it. ``on`` is added to the backbone meanwhile, and ``track``
    hears of each step. What another process is training is waited for, and taken from the store. Raises
    :class:`LingarithError` when all others are stored, if a training failed.
    """
    recipes = [job.recipe(backbone) for job in jobs]
    wanted = dict(zip(recipes, jobs, strict=True))
    vectors = {recipe: job.made(store, recipe) for recipe, job in wanted.items()}
    hashes: dict[str, str] = {}
    with ExitStack() as locks:
        unfinished = [
            recipe for recipe, held in vectors.items() if not held or inside(store.folder, _folder(recipe)).exists()
        ]
        locks_of = _locked(locks, {recipe: wanted[recipe] for recipe in unfinished}, store, progress)
        processes().meet()
        # Another process may have made it meanwhile.
        vectors |= {recipe: wanted[recipe].made(store, recipe) for recipe in locks_of}

        def keep(recipe: str, vector: Vector) -> None:
            vectors[recipe], hashes[recipe] = vector, _kept(vector, recipe, store, backbone.fingerprint)
            if recipe in locks_of:
                locks_of[recipe].close()

        for recipe, held in vectors.items():
            if held:
                keep(recipe, held)
        missing = [recipe for recipe, held in vectors.items() if held is None]
        trainings = [_training(wanted[recipe], recipe, backbone, store) for recipe in missing]
        if track and not processes().rank:
            locks.callback(track.close)
            trainings = [replace(training, logged=partial(track.log, training)) for training in trainings]
        locks.enter_context(backbone.using(on))
        count = together or best_together(backbone, trainings)
        steps = dict.fromkeys(range(len(trainings)), 0)
        what = f"training {trainings[0].name}" if len(trainings) == 1 else f"training {len(trainings)} vectors"
        what += f", {count} at a time" if count > 1 else ""

        def watch(position: int, step: int, loss: float) -> None:
            steps[position] = step
            progress(what, sum(steps.values()), sum(training.options.steps for training in trainings))

        for position, vector in train(backbone, trainings, together=count, watch=watch) if trainings else ():
            job = wanted[missing[position]]
            keep(missing[position], _with_dose(vector, job, backbone, store, progress))
            if vector.rest and not processes().rank:  # as large as its backbone: it is left on the disk
                vectors[missing[position]] = store.by_recipe(missing[position])
    return [(held, hashes[recipe], recipe in missing) for recipe in recipes if (held := vectors[recipe])]


def _locked(locks: ExitStack, jobs: Mapping[str, Job], store: Store, progress: Progress) -> dict[str, ExitStack]:
    """A lock on the training of each recipe, which whoever has its vector opens; the others that have it wait."""
    locks_of = {recipe: locks.enter_context(ExitStack()) for recipe in jobs}
    if locks_of and not processes().rank:
        store.catch_up()
    for recipe in sorted(locks_of):  # in one order, so that no two processes wait for each other
        if not processes().rank:  # the first one locks for those that train with it
            waits = partial(progress, f"waiting for another process, which trains {jobs[recipe].name}", 0, 1)
            locks_of[recipe].enter_context(alone(inside(store.folder, _folder(recipe)), waits))
    return locks_of


def _with_dose(vector: Vector, job: Job, backbone: Backbone, store: Store, progress: Progress) -> Vector:
    """A language vector with what it brought: bits per byte of held-out text of its language, before and after.

    Without held-out text there is no dose. That of the bare backbone is measured once and kept in the store.
    """
    text, length = job.validation, job.options.max_input
    if not isinstance(job.data, PlainText) or not isinstance(text, PlainText):
        return vector
    progress(f"measuring the dose of {vector.name}", 0, 1)
    # What it was trained on top of is there before it, too.
    more = [some for some in (_weights(backbone), dict(job.on or {})) if some]
    key = f"losses/{json_hash(['bits per byte', backbone.fingerprint, text.fingerprint, length, *more])}.json"
    kept = store.read(key, ANSWER_MEND)
    if kept is None or not isinstance(kept.get("bits"), float):
        kept = {"bits": round(bits_per_byte(backbone, text, length), 4)}
        if not processes().rank:
            store.keep(key, kept)
    update = Composition(named(vector.name), {vector.name: vector}, Space("delta")).update()
    with backbone.using(update):
        after = round(bits_per_byte(backbone, text, length), 4)
    dose = {"before": kept["bits"], "after": after, "documents": len(text.documents), "text": text.fingerprint}
    return replace(vector, origin={**vector.origin, "dose": dose})


def _weights(backbone: Backbone) -> dict[str, str]:
    """The type of the backbone's numbers, which its fingerprint does not say, where it is a half that was asked for."""
    return {"weights": backbone.made["weights"]} if "weights" in backbone.made else {}


def steps_done(store: Store, recipe: str) -> int:
    """How many steps the last checkpoint of a training holds; 0 where there is none (yet, or any more)."""
    try:
        return _steps(inside(store.folder, _folder(recipe), LOG).read_bytes())
    except (FileNotFoundError, LingarithError):  # whoever trains says what is wrong
        return 0


def _folder(recipe: str) -> str:
    return f"training/{recipe}"


def _training(job: Job, recipe: str, backbone: Backbone, store: Store) -> Training:
    """What is to be trained, going on from the last checkpoint, also where that was another machine's."""
    folder, place = _folder(recipe), inside(store.folder, _folder(recipe))
    must_be_plain(place)
    log, checkpoint = f"{folder}/{LOG}", f"{folder}/{CHECKPOINT}"
    if store.remote and store.remote.has(checkpoint):
        there = store.remote.read(log) or b""
        if _steps(there) > steps_done(store, recipe):
            store.fetch(checkpoint, log)
    return replace(job.training(backbone, place), saved=partial(store.push, log, checkpoint))


def _steps(log: bytes) -> int:
    """How far a training was when it wrote its log, which it does at each checkpoint."""
    lines = log.splitlines()
    return int(logged(lines[-1], LOG)["step"]) if lines else 0


def _kept(vector: Vector, recipe: str, store: Store, backbone: str) -> str:
    """The content hash of a vector that is in the store from here on, its log beside it."""
    processes().meet()  # all are done with the folder that goes away now
    if processes().rank:  # the first one writes
        return vector_hash(vector)
    content, folder = store.made(recipe) or store.put(vector, recipe), inside(store.folder, _folder(recipe))
    store.refer(vector.name, content, backbone)  # writes nothing where a store is read-only and it means this one
    if folder.exists():  # trained now, or stopped right after the vector was stored
        kept = f"objects/{content}/{LOG}"
        if (folder / LOG).exists() and not store.has(kept):
            store.write(kept, (folder / LOG).read_bytes())
        shutil.rmtree(folder)
        if store.remote:
            store.remote.remove(_folder(recipe))
    return content
