"""What an adaptation needs, resolved to data before anything is trained."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

from ..adapters.kronecker import Kronecker
from ..errors import LingarithError, MissingData, did_you_mean
from ..languages.codes import language
from ..languages.related import related
from ..model.backbone import NEWSROOM, Backbone
from ..model.generate import Decoding
from ..model.options import TrainOptions
from ..scores.output import recognisable
from ..scores.rouge import SentencePieceTokenizer
from ..store.store import Store
from ..text.corpora import PlainText, held_out, plain_text, text_name
from ..text.tasks.labelled import Labelled
from ..text.tasks.summarisation import summaries, task_name
from ..vectors.realise import Space
from . import choose
from .ingredients import Job, Progress, fetching


@dataclass(frozen=True)
class AdaptOptions:
    """What to adapt from what, and how."""

    task: str = NEWSROOM
    """Labelled data: ``newsroom``, ``xlsum``, or a path pattern with {language} and {split}."""
    text: str = NEWSROOM
    """Plain text: ``newsroom``, ``fineweb2``, ``mc4``, or a path pattern with {language}."""
    sources: tuple[str, ...] = ("en",)
    related: bool = False
    """For each target, take of the sources those alone that URIEL's distances call related (Eq. 3, 4)."""
    text_field: str = "text"
    """The article's, in labelled data."""
    plain_field: str = "text"
    """Of plain text."""
    summary_field: str = "summary"
    prompt: str = "summarize: {text}"
    space: Space = field(default_factory=lambda: Space("factors"))
    protocol: str = "auto"
    """Where λ comes from: oracle, sources, unlabelled; auto takes the first that the data allow."""
    search: str = choose.GRID
    """How its values are searched with labels: grid, halving."""
    task_training: TrainOptions = field(default_factory=TrainOptions)
    language_training: TrainOptions = field(default_factory=TrainOptions)
    decoding: Decoding = field(default_factory=Decoding)
    train_limit: int | None = None
    validation_limit: int | None = 128
    test_limit: int | None = None
    text_characters: int = 2_000_000
    score_model: Path | None = None
    """A SentencePiece ``.model`` for ROUGE-2 in other languages than English."""
    seed: int = 0

    @property
    def handed_over(self) -> tuple[int, int] | None:
        """(m, n) of the Kronecker products that are handed over, as PEFT's LoKr; None for LoRA."""
        if self.space.rank is not None:
            return self.space.kronecker
        adapter = self.task_training.adapter
        return (adapter.m, adapter.n) if isinstance(adapter, Kronecker) else None


def defaults(backbone: str) -> AdaptOptions:
    """The options to begin with: the paper's for a real model, short ones for the newsroom's small one."""
    if backbone != NEWSROOM:
        return AdaptOptions()
    return AdaptOptions(
        task_training=TrainOptions(steps=200, batch_size=32, learning_rate=3e-3, max_input=128, max_target=48),
        language_training=TrainOptions(steps=100, batch_size=32, learning_rate=1e-3, max_input=128, max_target=48),
        decoding=Decoding(max_output=40),
        validation_limit=64,
    )


def full_learning_rate(backbone: str) -> float:
    """The learning rate to begin with where the whole backbone is fine-tuned, which takes less than an adapter.

    On the newsroom the best of 1e-4, 3e-4, 1e-3 and 3e-3, by the loss on validation labels of Japanese.
    """
    return 1e-3 if backbone == NEWSROOM else 1e-4


@dataclass(frozen=True)
class Grounds:
    """What a weight for one target is chosen on: labelled validation examples of languages, and plain text."""

    target: str
    sources: Sequence[str]
    options: AdaptOptions
    validation: Mapping[str, Labelled]
    text: Callable[[], PlainText]
    """Text of the target, best such as no vector was trained on."""


@dataclass(frozen=True)
class Plan:
    """What an adaptation needs, resolved to data: nothing is trained yet.

    ``sources`` are those of each target; ``validation`` and ``test`` have the targets (and sources)
    that have such labels. ``notes`` are what a reader of the results must know.
    """

    targets: tuple[str, ...]
    sources: Mapping[str, tuple[str, ...]]
    options: AdaptOptions
    protocol: str
    tasks: Mapping[str, Job]
    languages: Mapping[str, Job]
    validation: Mapping[str, Labelled]
    test: Mapping[str, Labelled]
    notes: tuple[str, ...] = ()

    @property
    def jobs(self) -> list[Job]:
        """Every vector that is needed, task vectors first."""
        return [*self.tasks.values(), *self.languages.values()]

    def terms(self, target: str) -> choose.Terms:
        """The names that stand in the equations for a target."""
        sources = self.sources[target]
        return choose.Terms(
            tuple(self.tasks[s].name for s in sources),
            tuple(self.languages[s].name for s in sources),
            self.languages[target].name,
        )

    def probe(self, target: str) -> PlainText:
        """The plain text on which compositions are judged without labels; see :attr:`notes`."""
        job = self.languages[target]
        text = job.validation or job.data
        assert isinstance(text, PlainText)
        return text

    def grounds(self, target: str) -> Grounds:
        """What a weight for a target is chosen on."""
        return Grounds(target, self.sources[target], self.options, self.validation, lambda: self.probe(target))

    def identity(self, backbone: Backbone) -> str:
        """Hash of all that the records depend on: a run folder belongs to one identity."""
        options = asdict(self.options) | {"task_training": None, "language_training": None}
        model = self.options.score_model
        facts = {
            "targets": self.targets,
            "sources": self.sources,
            "options": options,
            "protocol": self.protocol,
            "jobs": [job.recipe(backbone) for job in self.jobs],
            "score_model": model and SentencePieceTokenizer(model).sha256,
            "data": {
                f"{d.language}/{d.split}": d.fingerprint for d in [*self.validation.values(), *self.test.values()]
            },
        }
        if self.protocol == "unlabelled":
            facts["probes"] = [self.probe(target).fingerprint for target in self.targets]
        return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()


def is_path(source: str) -> bool:
    """Whether data are given as a path (pattern), not by a name such as ``xlsum`` or ``mc4@<commit>``.

    >>> is_path("summ/{language}.jsonl"), is_path("mc4@3f2a")
    (True, False)
    """
    return re.fullmatch(r"[\w-]+(@\w+)?", source) is None


@dataclass(frozen=True)
class Reading:
    """The data that options speak of; what comes from a hub is kept in ``folder``, and ``progress`` hears of it."""

    options: AdaptOptions
    folder: Path
    progress: Progress | None = None

    def labelled(self, language: str, split: str, limit: int | None) -> Labelled:
        """Labelled examples. Raises :class:`MissingData` if there are none of the language and split."""
        o = self.options
        return summaries(
            o.task, language, split, text_field=o.text_field, summary_field=o.summary_field, prompt=o.prompt,
            limit=limit, seed=o.seed, folder=self.folder, progress=fetching(o.task, language, self.progress),
        )  # fmt: skip

    def optional(self, languages: Sequence[str], split: str, limit: int | None) -> dict[str, Labelled]:
        """Labelled examples of those languages that have any."""
        found = {}
        for code in languages:
            with suppress(MissingData):
                found[code] = self.labelled(code, split, limit)
        return found

    def validation(self, languages: Sequence[str]) -> dict[str, Labelled]:
        """Validation examples of those languages that have any.

        For a race they come in an order without meaning, each language's own: it judges by the first few.
        """
        o, found = self.options, self.optional(languages, "validation", self.options.validation_limit)
        if o.search == choose.HALVING:
            for code, data in found.items():
                order = Random(f"{o.seed}/{code}").sample(data.examples, len(data.examples))
                found[code] = replace(data, examples=tuple(order))
        return found

    def plain(self, language: str) -> PlainText:
        """Plain text of a language."""
        return plain_text(self.options.text, language, **self._how(language))

    def held_out(self, language: str) -> PlainText | None:
        """Plain text of a language that no vector is trained on; None where the source has no more."""
        with suppress(MissingData):
            return held_out(self.options.text, language, **self._how(language))
        return None

    def _how(self, language: str) -> dict[str, Any]:
        o = self.options
        return {
            "field": o.plain_field, "limit_characters": o.text_characters, "folder": self.folder,
            "progress": fetching(o.text, language, self.progress),
        }  # fmt: skip

    def names(self) -> tuple[str, str]:
        """What vectors trained on these data are called: of the task, of the language."""
        return task_name(self.options.task), text_name(self.options.text)


def plan(targets: Sequence[str], options: AdaptOptions, store: Store, *, progress: Progress | None = None) -> Plan:
    """Read the data and say which vectors are needed; ``progress`` hears of what comes from a hub.

    Raises :class:`LingarithError` for bad data, a target that is a source, an unknown space or
    protocol, and a protocol that the data do not allow.
    """
    _check(targets, options)
    judged = {target: sources_of(target, options) for target in targets}
    chosen = {target: sources for target, (sources, _) in judged.items()}
    notes = tuple(note for _, note in judged.values() if note)
    needed = [source for source in options.sources if any(source in some for some in chosen.values())]
    read = Reading(options, store.folder / "text", progress)
    validation = read.validation([*needed, *targets])
    test = read.optional(targets, "test", options.test_limit)
    tasks = {
        source: Job(read.labelled(source, "train", options.train_limit), options.task_training, validation.get(source))
        for source in needed
    }
    languages = {
        code: Job(read.plain(code), options.language_training, read.held_out(code)) for code in [*needed, *targets]
    }
    protocol = protocol_of(chosen, options, validation)
    for target in targets:
        notes += notes_on(target, protocol, held_out=languages[target].validation is not None)
    return Plan(tuple(targets), chosen, options, protocol, tasks, languages, validation, test, notes)


def notes_on(target: str, protocol: str, *, held_out: bool) -> tuple[str, ...]:
    """What a reader must know of a target's weights: ``held_out`` says whether there is text that no vector saw."""
    said = {
        choose.UNGUIDED: protocol == "unlabelled",
        choose.PROBED_ON_TRAINED: protocol == "unlabelled" and not held_out,
        choose.UNRECOGNISABLE: not recognisable(target),
    }
    return tuple(sentence.format(target) for sentence, holds in said.items() if holds)


def sources_of(target: str, options: AdaptOptions) -> tuple[tuple[str, ...], str]:
    """The sources of a target and how they were chosen: all, or those that are related to it.

    Raises as :func:`~..related.related` does.
    """
    if not options.related:
        return options.sources, ""
    found = related(target, options.sources)
    near = tuple(source for source in options.sources if language(source).code in found.chosen)
    among, taken = ", ".join(options.sources), found.note or ", ".join(near)
    return near, f"{target}: sources among {among} by the rule {found.rule}: {taken}"


def _check(targets: Sequence[str], options: AdaptOptions) -> None:
    """Raise :class:`LingarithError` for what is wrong whatever the data are."""
    for kind, names in (("target", targets), ("source", options.sources)):
        if not names:
            raise LingarithError(f"no {kind} language is named; name at least one, such as pt")
        for name in names:
            if names.count(name) > 1:
                raise LingarithError(f"{kind} {name} is named twice; name it once")
    if is_path(options.task) and not ("{language}" in options.task and "{split}" in options.task):
        raise LingarithError(
            f"the labelled data '{options.task}' would be the same for all languages or splits; "
            "put {language} and {split} into the path, such as summ/{language}/{split}.jsonl"
        )
    if is_path(options.text) and "{language}" not in options.text:
        raise LingarithError(
            f"the plain text '{options.text}' would be the same for all languages; put {{language}} into the path"
        )
    size, space = options.handed_over, options.space
    if size and (size[0] != size[1] or (space.name == "delta" and space.rank != 1)):
        raise LingarithError(
            f"PEFT holds one Kronecker product with m = n in a projection, not a sum in {space} with m = {size[0]} and "
            f"n = {size[1]}; choose m = n and space 'factors', or cut the sum to LoRA (--space delta --rank-out 8)"
        )
    for target in targets:
        if target in options.sources:
            raise LingarithError(f"{target} is a target and a source; its own labels would make arithmetic needless")


def protocol_of(
    sources: Mapping[str, tuple[str, ...]], options: AdaptOptions, validation: Mapping[str, Labelled]
) -> str:
    """The protocol that the options ask for or, with auto, the first that the data allow.

    ``sources`` are those of each target. Raises :class:`LingarithError` when the data do not allow
    the protocol that is asked for.
    """
    wanted = options.protocol
    if options.search not in choose.SEARCHES:
        raise LingarithError(f"no search is named {options.search!r}{did_you_mean(options.search, choose.SEARCHES)}")
    if wanted not in ("auto", *choose.PROTOCOLS):
        raise LingarithError(f"no protocol named {wanted!r}{did_you_mean(wanted, choose.PROTOCOLS)}")
    lacking = [target for target in sources if target not in validation]
    unvalidated = [source for some in sources.values() for source in some if source not in validation]
    alone = any(len(some) < 2 for some in sources.values())
    if wanted == "oracle" and lacking:
        raise LingarithError(f"protocol 'oracle' needs labelled validation data of {lacking[0]}; choose 'unlabelled'")
    if wanted == "sources" and (unvalidated or alone):
        raise LingarithError(
            "protocol 'sources' needs two or more sources with labelled validation data; choose another protocol"
        )
    if wanted != "auto":
        return wanted
    if not lacking:
        return "oracle"
    return "sources" if not alone and not unvalidated else "unlabelled"
