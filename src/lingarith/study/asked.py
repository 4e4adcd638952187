"""The vectors that a recipe asks for: names now, and trainings in the plan."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..algebra import Combination, vector
from ..errors import LingarithError
from ..languages.distances import Uriel
from ..languages.related import Related, preset, related
from .records import WRONG
from .steps import Step
from .studies import LIMITS, Study

if TYPE_CHECKING:
    from .planning import Planner


@dataclass(frozen=True)
class Asked:
    """The vectors of a task and a seed, as recipes ask for them; see :class:`.recipes.methods.Vectors`."""

    planner: Planner
    kind: str
    seed: int

    @property
    def study(self) -> Study:
        return self.planner.study

    def task(self, *languages: str, rate: float | None = None, adapter: str = "") -> Combination:
        language = languages[0] if len(languages) == 1 else languages
        data = self.planner.labels(self.kind, language, "train")
        options = self.study.training(self.seed, labels=True, rate=rate, kind=adapter)
        return vector(self.planner.train(data, options, languages))

    def language(self, language: str) -> Combination:
        options = self.study.training(self.seed, labels=False)
        return vector(self.planner.train(self.planner.plain(language), options, ()))

    def random(self, language: str) -> Combination:
        (like,) = self.language(language).names
        recipe = self.planner.vectors[like]["recipe"]
        facts = {"like": recipe, "name": f"random[{language}]", "seed": self.seed}
        own = hashlib.sha256(json.dumps(["noise", facts], sort_keys=True).encode()).hexdigest()
        step = Step("noise", facts | {"recipe": own}, self.planner.makers([like]))
        return vector(self.planner.name(facts["name"], own, (), self.planner.add(step)))

    def wrong(self, target: str) -> str | None:
        others = [other for other in self.study.targets_of(self.kind) if other != target]
        if not others and WRONG in self.study.controls:
            self.planner.notes[f"{target} is the only target, so there is no vector of a wrong language."] = None
        return max(others, key=lambda other: _far(target, other), default=None)

    def related(self, target: str, sources: Sequence[str]) -> Related:
        rule = None if self.study.related == LIMITS else preset(self.study.related)
        if rule and target not in rule.sets:
            rule = None  # a source that plays the target
        found = related(target, sources, rule)
        if found.note:
            self.planner.notes[f"{target}: {found.note}."] = None
        return found


def _far(one: str, other: str) -> float:
    """The syntactic distance; 0 where URIEL has none."""
    with suppress(LingarithError):
        return Uriel("syntactic").between(one, other) or 0.0
    return 0.0
