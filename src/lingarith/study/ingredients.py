"""The vectors that a study needs: taken from the store, or trained and put there."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from ..model.backbone import Backbone
from ..model.batches import TrainingData, prefix_items, task_items
from ..model.train import LOG, TrainOptions, train
from ..text import hub
from ..text.corpora import PlainText
from ..text.tasks.labelled import Labelled
from ..vectors.files import write_atomically
from ..vectors.store import Store
from ..vectors.vector import Vector

Progress = Callable[[str, int, int], None]
"""Called with (what is being done, units done, units in all; 0 where that is not known)."""


@dataclass(frozen=True)
class Job:
    """One vector to be had: what it is trained on and how. ``data`` is labelled or plain text.

    ``validation`` is more of the same that is not trained on: its loss stands in the log.
    """

    data: Labelled | PlainText
    options: TrainOptions
    validation: Labelled | PlainText | None = None

    @property
    def name(self) -> str:
        """What expressions call the vector: ``xlsum[en]``, ``mc4[pt]``."""
        kind = self.data.task if isinstance(self.data, Labelled) else self.data.name
        return f"{kind}[{self.data.language}]"

    def origin(self) -> dict[str, Any]:
        """What the vector's origin says of its data."""
        task = isinstance(self.data, Labelled)
        about: dict[str, Any] = {"source": self.data.source, "fingerprint": self.data.fingerprint}
        if isinstance(self.data, Labelled):
            about |= {"task": self.data.task, "split": self.data.split, "examples": len(self.data.examples)}
        else:
            about |= {"documents": len(self.data.documents)}
        return {"kind": "task" if task else "language", "language": self.data.language, "data": about}

    def recipe(self, backbone: Backbone) -> str:
        """Hash of all that the trained tensors depend on; equal recipes are trained once."""
        settings = asdict(self.options)
        for irrelevant in ("checkpoint_every", "validate_every", "activation_checkpointing"):
            settings.pop(irrelevant)
        facts = {"origin": self.origin(), "options": settings, "backbone": backbone.fingerprint}
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    def items(self, backbone: Backbone) -> TrainingData:
        """The training examples as token numbers."""
        return self._items(backbone, self.data)

    def validation_items(self, backbone: Backbone) -> TrainingData | None:
        """The validation examples as token numbers, if there are any."""
        return self._items(backbone, self.validation) if self.validation else None

    def _items(self, backbone: Backbone, data: Labelled | PlainText) -> TrainingData:
        options = self.options
        if isinstance(data, Labelled):
            return task_items(backbone, data, max_input=options.max_input, max_target=options.max_target)
        return prefix_items(backbone, data, length=options.max_input)


def fetching(source: str, language: str, progress: Progress | None) -> hub.Progress | None:
    """What tells ``progress`` of the characters of a language that come from a hub.

    >>> fetching("mc4", "pt", print)(500, 2000)
    fetching mc4 (pt), characters 500 2000
    """
    if progress is None:
        return None
    return lambda come, total: progress(f"fetching {source} ({language}), characters", come, total or 0)


def have(job: Job, backbone: Backbone, store: Store) -> bool:
    """Whether the store holds the job's vector."""
    return store.by_recipe(job.recipe(backbone)) is not None


def obtain(job: Job, backbone: Backbone, store: Store, progress: Progress | None = None) -> tuple[Vector, str]:
    """The job's vector and its content hash, from the store or trained now.

    Training keeps its checkpoint in the store's ``training`` folder until the vector is complete,
    so that one that was stopped goes on; the log of losses ends up beside the vector.
    """
    recipe = job.recipe(backbone)
    folder = store.folder / "training" / recipe
    vector = store.by_recipe(recipe)
    if vector is None:

        def watch(step: int, steps: int, loss: float) -> None:
            if progress:
                progress(f"training {job.name}", step, steps)

        vector = train(
            backbone,
            job.items(backbone),
            job.options,
            name=job.name,
            origin=job.origin(),
            folder=folder,
            validation=job.validation_items(backbone),
            watch=watch,
        )
    content = store.put(vector, recipe)
    if (folder / LOG).exists():  # trained now, or stopped right after the vector was stored
        write_atomically(store.folder / "objects" / content / LOG, (folder / LOG).read_bytes())
        shutil.rmtree(folder)
    return vector, content
