"""All of the work in this process: vectors first, side by side, then one method after another."""

from __future__ import annotations

from dataclasses import dataclass

from ..records import METHODS
from .units import Work, perform


@dataclass(frozen=True)
class Here:
    """A loop."""

    workers: int = 1

    def estimate(self, work: Work) -> float:
        return work.seconds(1)

    def run(self, work: Work) -> None:
        if work.training:
            work.lab.vectors((name for unit in work.training for name in unit.what), work.together)
        for number, unit in enumerate(work.testing, 1):
            _, target, _, method, _ = unit.what
            title = f"{METHODS[method].short}, {target}, {number} of {len(work.testing)}"
            perform(work.lab, unit, work.protocol, title)
