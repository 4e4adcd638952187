"""What one plays with: an expression as it is typed, its figures, and what the backbone writes with it. No Gradio."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from .. import __version__
from ..adapters.terms import norm
from ..algebra import Combination, add, add_subtract, parse, uncoupled, vector
from ..disk.files import must_be_ours, replacing, write_file
from ..errors import LingarithError, did_you_mean
from ..formats.card import source_of, strictest
from ..languages.codes import OF_THE_PAPER, SEEN, language, spoken, standard
from ..languages.related import related
from ..model.generate import generate
from ..newsroom import NEWSROOM
from ..newsroom.rows import SIZES, rows
from ..newsroom.writer import LANGUAGES
from ..scores.output import copied, language_of, recognisable
from ..store.parts import same_backbone
from ..store.small import Entry
from ..store.store import Store
from ..study.evaluate import asked
from ..study.lab import Lab
from ..vectors.composition import Composition, Space, compose

LAM, BETA = 0.8, 0.4
"""The weights that one begins with."""
ALONE = "Task vector alone"
KINDS = ("task", "language")
FILES = ("app.py", "requirements.txt", "README.md", "store")
"""What a Space holds."""


@dataclass(frozen=True)
class Output:
    """A text, the English name of its language ("" where nothing tells), and the share of it that is copied, 0..1."""

    text: str
    language: str
    copied: float


@dataclass(frozen=True, eq=False)
class Desk:
    """The vectors of a store that belong to a backbone, by their names, and what can be asked of them."""

    lab: Lab
    entries: Mapping[str, Entry]

    def heard(self, text: str) -> Combination:
        """The combination that a text writes. Raises :class:`LingarithError` as the parser, and for unknown names."""
        combination = parse(text)
        for name in combination.names:
            if name.partition("@")[0] not in self.entries:
                raise LingarithError(f"no vector named '{name}'{did_you_mean(name, self.entries)}")
        return combination

    def alone(self, combination: Combination) -> Combination:
        """The task vector that a combination is held against: its first one, or the store's."""
        kinds = {name: self.entries[name.partition("@")[0]].kind for name in (*combination.names, *self.entries)}
        return vector(next((name for name, kind in kinds.items() if kind == "task"), next(iter(kinds))))

    def sums(self, target: str) -> dict[str, Combination]:
        """What there is to begin with for a target: its task vector, and the equations as far as there are vectors."""
        task = self.alone(Combination())
        found = {ALONE: task}
        theirs, ours = self._language(target), self._language(self.entries[task.names[0]].language or "")
        if theirs:
            found["Add (Eq. 1)"] = add(task, theirs, LAM)
        if theirs and ours and theirs != ours:
            found["Add and Subtract (Eq. 2)"] = add_subtract(task, theirs, ours, LAM)
            found["Uncoupled"] = uncoupled(task, theirs, ours, BETA)
        return found

    def composed(self, combination: Combination, space: Space) -> Composition:
        """The combination over the vectors of the store. Raises :class:`LingarithError` where they do not fit."""
        for name in combination.names:
            self.lab.stored(name)
        return compose(combination, self.lab.vectors(combination.names), space.over(combination))

    def figures(self, combination: Combination, space: Space) -> str:
        """What a sum is, in a sentence: its adapter, the size of its update, and how long it took."""
        began = time.perf_counter()
        update = self.composed(combination, space).update()
        took = 1000 * (time.perf_counter() - began)
        if update is None:
            return "0: the bare backbone"
        size, where = math.hypot(*map(norm, update.terms.values())), space.over(combination)
        return (
            f"{combination} in {where}: |ΔW| {size:.3g} over {len(update.terms)} projections, composed in {took:.0f} ms"
        )

    @lru_cache(maxsize=256)  # noqa: B019 - a desk lives as long as its page
    def written(self, combination: Combination, space: Space, article: str, target: str) -> Output:
        """What the backbone writes for an article with a sum on it."""
        [(text, read)] = asked(self.lab, target, [article])
        with self.lab.backbone.using(self.composed(combination, space).update()):
            [output] = generate(self.lab.backbone, [read], self.lab.study.writing)
        # A headline alone is too short to be told from its language's neighbours among all languages.
        among = [code for code in dict.fromkeys((*OF_THE_PAPER, target)) if recognisable(code)]
        found = language_of(output, among) if any(map(str.isalpha, output)) else None
        return Output(output, language(found).name if found else "", copied(output, text))

    def targets(self) -> dict[str, str]:
        """Languages by "name (code)": first those that have a language vector and no task vector, then the paper's."""
        of = {
            kind: [one.language for one in self.entries.values() if one.kind == kind and one.language] for kind in KINDS
        }
        unlabelled = [code for code in of["language"] if code not in of["task"]]
        codes = dict.fromkeys(language(code).code for code in (*unlabelled, *of["language"], *OF_THE_PAPER))
        return {f"{language(code).name} ({code})": code for code in codes}

    def kin(self, target: str) -> str:
        """Which of the paper's languages URIEL calls related to a target, in a sentence."""
        with suppress(LingarithError):
            found = related(target, [code for code in SEEN if standard(code) != standard(target)])
            named = ", ".join(f"{language(code).name} ({code})" for code in found.chosen)
            return f"Related to {language(target).name} by URIEL: {named}" + (f" ({found.note})" if found.note else "")
        return f"URIEL has no distances of {language(target).name}"

    def article(self, target: str, number: int) -> tuple[str, str]:
        """A test article of the newsroom and its headline, in the target if the newsroom has it, else in English."""
        [row] = list(rows(target if target in LANGUAGES else "en", "test", number % SIZES["test"] + 1, ("text",)))[-1:]
        return row["text"], row["summary"]

    def _language(self, code: str) -> Combination | None:
        """The language vector of a language."""
        for name, entry in self.entries.items():
            if code and entry.kind == "language" and entry.language and spoken(entry.language) == spoken(code):
                return vector(name)
        return None


def desk(lab: Lab) -> Desk:
    """The vectors of a lab's store. Raises :class:`LingarithError` where it has none for the lab's backbone."""
    entries = lab.store.entries() if lab.store.exists() else []
    own = lab.backbone
    ours = {e.name: e for e in entries if e.current and same_backbone(e.origin, own.fingerprint, own.parts)}
    if not ours:
        chosen = "" if lab.backbone.name == NEWSROOM else f" -b {lab.backbone.name}"
        raise LingarithError(
            f"{lab.store.place} has no vector of {lab.backbone.name}; first train some: `lingarith train task newsroom "
            f"en{chosen}`, `lingarith train language en{chosen}`, `lingarith train language pt{chosen}`"
        )
    return Desk(lab, ours)


def export(desk: Desk, folder: Path, options: Mapping[str, Any], sdk: str) -> None:
    """Write a Space with the vectors of a desk: the same command with these options, by Gradio's version ``sdk``.

    Raises :class:`LingarithError` where an option names what lies on this machine alone, and where the folder holds
    what was not written here.
    """
    own = desk.lab.backbone
    for named in (own.name, *options.values()):
        if named != NEWSROOM and Path(str(named)).exists():
            raise LingarithError(f"{named} lies on this machine, where a Space does not find it; name one of the hub")
    must_be_ours(folder, FILES, "app.py")
    with replacing(folder) as place:
        sources = set()
        for name in desk.entries:
            vector = desk.lab.store.open(name, own.fingerprint, own.parts)
            sources.add(source_of(vector.origin))
            Store(place / "store").put(vector)
        words = ["lingarith", "play", "--store=store", "--host=0.0.0.0"]
        words += [f"--{key.replace('_', '-')}={value}" for key, value in options.items()]
        write_file(
            place / "app.py",
            f"import sys\n\nfrom lingarith.cli.main import main\n\nsys.argv = {words!r}\nmain()\n",
        )
        write_file(place / "requirements.txt", f"lingarith[play]=={__version__}\n")
        names, licence = ", ".join(desk.entries), strictest(sources) or "other"  # of the data that vectors hold
        write_file(place / "README.md", SPACE.format(sdk=sdk, backbone=own.name, names=names, licence=licence))


SPACE = """---
title: Language and task arithmetic
emoji: ➕
colorFrom: green
colorTo: blue
sdk: gradio
sdk_version: {sdk}
python_version: "3.11"
app_file: app.py
license: {licence}
short_description: Add and subtract small adapters
---

Sums of vectors on {backbone}, as `lingarith play` shows them: {names}.
"""
