"""All of the work in this process: vectors first, side by side, then one method after another."""

from __future__ import annotations

from ..records import name_of
from .units import Runner, Work, perform


class Here(Runner):
    """A loop."""

    def run(self, work: Work) -> None:
        if work.training:
            work.lab.vectors((name for unit in work.training for name in unit.what), work.together)
        for number, unit in enumerate(work.testing, 1):
            _, target, _, method, _ = unit.what
            title = f"{name_of(method).short}, {target}, {number} of {len(work.testing)}"
            perform(work.lab, unit, work.protocol, title)
