"""The steps one after another in this process."""

from __future__ import annotations

from dataclasses import dataclass

from .shares import Share, Todo, shares


@dataclass(frozen=True)
class Here:
    """All trainings first, as one group; then the others, as soon as what they need is there."""

    workers: int = 1

    def estimate(self, todo: Todo) -> float:
        return sum(map(todo.seconds, todo.steps))

    def run(self, todo: Todo) -> None:
        before = 0.0
        for steps in shares(todo.steps, self.workers, len(todo.steps)):
            before += self._share(steps, todo, before)

    def _share(self, steps: Share, todo: Todo, before: float) -> float:
        """Do some steps; the seconds of work that they were."""
        seconds = sum(map(todo.seconds, steps))

        def watch(what: str, done: int, size: int) -> None:
            todo.told(before + seconds * done / size)

        watch("", 0, 1)
        todo.shop.perform_all(steps, watch, together=todo.together)
        return seconds
