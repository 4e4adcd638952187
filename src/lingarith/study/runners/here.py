"""The steps one after another in this process."""

from __future__ import annotations

from dataclasses import dataclass

from ..steps import Step
from .shares import Todo


@dataclass(frozen=True)
class Here:
    """All trainings first, as one group; then the others one by one."""

    workers: int = 1

    def estimate(self, todo: Todo) -> float:
        return sum(map(todo.seconds, todo.steps))

    def run(self, todo: Todo) -> None:
        before = 0.0
        training = [step for step in todo.steps if step.function == "train"]  # which need nothing that others make
        for steps in [training, *([step] for step in todo.steps if step.function != "train")]:
            before += self._share(steps, todo, before)

    def _share(self, steps: list[Step], todo: Todo, before: float) -> float:
        """Do some steps; the seconds of work that they were."""
        seconds = sum(map(todo.seconds, steps))

        def watch(what: str, done: int, size: int) -> None:
            todo.told(before + seconds * done / size)

        watch("", 0, 1)
        todo.shop.train(steps, watch, together=todo.together)
        for step in steps:
            todo.shop.perform(step, watch)
        return seconds
