"""What compositions write and predict: counted for a dry run, or made once, kept in the store and read from there.

A study is ordinary code over these two questions, and each way to answer them is a class: :class:`Counted` looks
what is there and counts what is not, :class:`Stored` makes it. Keys are hashes of all that an answer depends on, so
whatever one study or command has made, all others find.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from types import MappingProxyType
from typing import Any, Protocol

from .. import plain
from ..algebra import Combination
from ..disk.files import inside, json_hash
from ..disk.locks import alone
from ..errors import LingarithError
from ..model.batches import PrefixItems
from ..model.generate import generate_each
from ..model.inputs import cut_within
from ..model.likelihood import reference_bits
from ..model.options import TrainOptions
from ..model.train import mean_loss
from ..scores.metrics import VERSION
from ..store.store import ANSWER_MEND as MEND
from ..text.corpora import PlainText
from ..text.labelled import Labelled
from ..vectors.composition import Composition, Space
from ..vectors.vector import Update
from .grams import data_of, merged_by_grams, vectors_of
from .lab import Lab
from .records import must_be_score
from .scoring import Outcome

UNCHANGED: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class Wanted:
    """Outputs that are asked for: what each of these compositions writes for the first examples of the data.

    ``first`` is how many; all of them without it. ``sums`` are keys of sums that differ from the study's.
    """

    task: str
    data: Labelled
    compositions: Sequence[Combination]
    first: int | None = None
    sums: Mapping[str, Any] = field(default_factory=dict)

    @property
    def examples(self) -> Labelled:
        return replace(self.data, examples=self.data.examples[: self.first])


class Outputs(Protocol):
    """The two questions that a study asks of compositions."""

    def written(self, wanted: Wanted) -> list[list[Outcome]]:
        """For each composition its outcomes, in the order of the examples."""

    def losses(self, text: PlainText, length: int, compositions: Sequence[Combination]) -> list[float]:
        """For each composition the mean loss (nats a token) on plain text, in chunks of ``length`` tokens."""

    def error(self, composition: Combination, sums: Mapping[str, Any]) -> float:
        """What a cut or merging loses of a composition (:attr:`.Composition.error`)."""


def space_of(lab: Lab, sums: Mapping[str, Any] = UNCHANGED) -> Space:
    """Where compositions are made: as the study says, but for keys that are given."""
    return replace(lab.study.sums, **sums).value


def facts_of(lab: Lab, composition: Combination, sums: Mapping[str, Any] = UNCHANGED) -> dict[str, Any]:
    """What any answer about a composition depends on."""
    options = lab.study.backbone
    space = space_of(lab, sums)
    facts: dict[str, Any] = {
        "backbone": [lab.backbone.fingerprint, options.dtype, options.bits],
        "composition": sorted((lab.recipe(name), weight) for name, weight in composition.terms),
        "space": str(space.over(composition)),
    }
    if merged_by_grams(space, composition):
        facts["grams"] = sorted((lab.recipe(name), data_of(lab, name)) for name in composition.names)
    return facts


def key_of(lab: Lab, wanted: Wanted, composition: Combination) -> str:
    """Where the outcomes of a composition are kept."""
    scoring = lab.scoring(wanted.task)
    facts = facts_of(lab, composition, wanted.sums) | {
        "data": [wanted.data.language, wanted.data.fingerprint],
        "writing": asdict(lab.study.writing),
        "scoring": [VERSION, scoring.version, scoring.said(wanted.data.language)],
        "sources": label_languages(lab, composition),
    }
    if cut_within(lab.backbone, wanted.data, lab.study.writing.max_input):
        facts["cut"] = "texts"
    if kinds := scoring.kinds:
        facts["kinds"] = kinds
    return f"outputs/{json_hash(facts)}.json"


def loss_key_of(lab: Lab, text: PlainText, length: int, composition: Combination) -> str:
    """Where the loss of a composition on plain text is kept."""
    return f"losses/{json_hash(facts_of(lab, composition) | {'text': text.fingerprint, 'length': length})}.json"


def label_languages(lab: Lab, composition: Combination) -> list[str]:
    """What an output can be in instead of the language that is asked for: that of labels which the model saw."""
    return sorted({code for name in composition.names for code in lab.orders[name].labels})


@dataclass
class Stored:
    """Answers from the store; what is not there is made now, the compositions of one question side by side."""

    lab: Lab
    title: str = ""
    """What progress calls it."""

    def written(self, wanted: Wanted) -> list[list[Outcome]]:
        lab, examples = self.lab, wanted.examples
        size = len(examples.examples)
        keys = [key_of(lab, wanted, composition) for composition in wanted.compositions]
        kept = {key: read_outcomes(lab, key, wanted.data) for key in keys}
        with ExitStack() as locks:
            # In one order, so that no two wait for each other.
            for key in sorted(key for key, outcomes in kept.items() if len(outcomes) < size):
                locks.enter_context(alone(inside(lab.store.folder, key)))
                kept[key] = read_outcomes(lab, key, wanted.data)  # another process may have made it meanwhile
            by_key = dict(zip(keys, wanted.compositions, strict=True))
            for known in sorted({len(outcomes) for outcomes in kept.values() if len(outcomes) < size}):
                lacking = {key: composition for key, composition in by_key.items() if len(kept[key]) == known}
                rest = replace(examples, examples=examples.examples[known:])
                self._make(replace(wanted, data=rest), lacking, kept)
        return [kept[key][:size] for key in keys]

    def _make(self, wanted: Wanted, lacking: Mapping[str, Combination], kept: dict[str, list[Outcome]]) -> None:
        """Generate for compositions of which equally many examples are done, and keep each as soon as it is there."""
        lab, data, scoring = self.lab, wanted.data, self.lab.scoring(wanted.task)
        vectors = vectors_of(lab, [*lacking.values()], space_of(lab, wanted.sums))
        updates = (_update(lab, composition, vectors, wanted.sums) for composition in lacking.values())
        title, total = f"{self.title or 'writing'} ({data.language}, {data.split})", len(lacking) * len(data.examples)

        def watch(done: int) -> None:
            lab.progress(title, done, total)

        if scoring.metric.predicted:
            written = _predicted(lab, updates, data, watch)
        else:
            inputs = [example.asked for example in data.examples]
            written = generate_each(lab.backbone, updates, inputs, lab.study.writing, watch=watch)
        for (key, composition), outputs in zip(lacking.items(), written, strict=True):
            kept[key] = [*kept[key], *scoring.score(outputs, data, label_languages(lab, composition))]
            lab.store.keep(key, {"outcomes": [asdict(outcome) for outcome in kept[key]]})

    def losses(self, text: PlainText, length: int, compositions: Sequence[Combination]) -> list[float]:
        lab, answers = self.lab, []
        items: PrefixItems | None = None
        for number, composition in enumerate(compositions):
            key = loss_key_of(lab, text, length, composition)
            if (kept := lab.store.read(key, MEND)) is None:
                with alone(inside(lab.store.folder, key)):
                    if (kept := lab.store.read(key, MEND)) is None:
                        lab.progress(f"judging on plain text of {text.language}", number, len(compositions))
                        items = items or PrefixItems(lab.backbone, text, length)
                        vectors = vectors_of(lab, [composition], space_of(lab))
                        with lab.backbone.using(_update(lab, composition, vectors)):
                            loss = mean_loss(lab.backbone, items, TrainOptions(max_input=length), limit=64)
                        if not math.isfinite(loss):
                            raise LingarithError(
                                f"the loss of {composition} on plain text of {text.language} is no number; take "
                                "smaller coefficients, or --dtype float32"
                            )
                        kept = {"loss": loss}
                        lab.store.keep(key, kept)
            answers.append(_loss_in(kept, f"{lab.store.place}/{key}"))
        return answers

    def error(self, composition: Combination, sums: Mapping[str, Any]) -> float:
        space = space_of(self.lab, sums)
        if not composition.names or (space.rank is None and space.over(composition).merging is None):
            return 0.0
        return round(Composition(composition, vectors_of(self.lab, [composition], space), space).error, 6)


def _predicted(
    lab: Lab, updates: Iterable[Update | None], data: Labelled, watch: Callable[[int], None]
) -> Iterator[list[str]]:
    """For each update the bits per byte of each reference, as texts."""
    for number, update in enumerate(updates):
        before = number * len(data.examples)

        def further(done: int, before: int = before) -> None:
            watch(before + done)

        with lab.backbone.using(update):
            bits = reference_bits(lab.backbone, data, lab.study.writing.max_input, further)
        yield [f"{each:.5f}" for each in bits]


@dataclass
class Counted:
    """A dry run: what is there is read, what is not is counted, and all weights that lack score alike.

    So a race takes its longest way. ``lacking`` holds how many outputs each key lacks, ``asked`` how many there are in
    all. A test whose weight is not known yet counts by itself, whichever weight it will be.
    """

    lab: Lab
    asked: dict[str, int] = field(default_factory=dict)
    lacking: dict[str, int] = field(default_factory=dict)
    needed: dict[str, None] = field(default_factory=dict)
    """The vectors that are asked about, and those which they are like or go on from."""
    measured: dict[str, None] = field(default_factory=dict)
    """The vectors whose Gram matrices what lacks is merged by."""

    def need(self, compositions: Iterable[Combination]) -> None:
        """Note the vectors of some compositions as needed."""
        for name in (name for composition in compositions for name in composition.names):
            order = self.lab.orders[name]
            self.needed |= dict.fromkeys(filter(None, (order.like, order.after, name)))

    def written(self, wanted: Wanted) -> list[list[Outcome]]:
        answers = []
        self.need(wanted.compositions)
        size = len(wanted.examples.examples)
        for composition in wanted.compositions:
            key = key_of(self.lab, wanted, composition)
            kept = read_outcomes(self.lab, key, wanted.data)[:size]
            missing = size - len(kept)
            label = f"{wanted.data.split} {key}"
            if missing and wanted.data.split == "test" and label in self.asked:
                label += f" {len(self.asked)}"
            self.asked[label] = max(size, self.asked.get(label, 0))
            if missing:
                self.lacking[label] = max(missing, self.lacking.get(label, 0))
                self._merge(composition, wanted.sums)
            rest = wanted.examples.examples[len(kept) :]
            answers.append([*kept, *(Outcome(example.id, "", 0.0, "other") for example in rest)])
        return answers

    def losses(self, text: PlainText, length: int, compositions: Sequence[Combination]) -> list[float]:
        answers = []
        self.need(compositions)
        for composition in compositions:
            key = loss_key_of(self.lab, text, length, composition)
            kept = self.lab.store.read(key, MEND)
            self.asked[f"plain {key}"] = 64
            if kept is None:
                self.lacking[f"plain {key}"] = 64
                self._merge(composition)
            answers.append(0.0 if kept is None else _loss_in(kept, f"{self.lab.store.place}/{key}"))
        return answers

    def error(self, composition: Combination, sums: Mapping[str, Any]) -> float:
        return 0.0

    def _merge(self, composition: Combination, sums: Mapping[str, Any] = UNCHANGED) -> None:
        if merged_by_grams(space_of(self.lab, sums), composition):
            self.measured |= dict.fromkeys(composition.names)


def read_outcomes(lab: Lab, key: str, data: Labelled) -> list[Outcome]:
    """The outcomes that are kept under a key, with the ids of the data; none where nothing is kept.

    Other data may hold the same examples under other ids: a split that is a copy of another. Raises
    :class:`LingarithError` for a damaged file.
    """
    kept = lab.store.read(key, MEND)
    if kept is None:
        return []
    where = f"{lab.store.place}/{key}"
    if not isinstance(listed := kept.get("outcomes"), list) or not all(isinstance(one, dict) for one in listed):
        raise LingarithError(f"{where} holds no outcomes; {MEND}")
    outcomes = [plain.record(Outcome, one, f"{where}: outcome {n}", mend=MEND) for n, one in enumerate(listed, 1)]
    for outcome in outcomes:
        must_be_score(outcome.score, where, MEND)
    return [replace(outcome, id=example.id) for outcome, example in zip(outcomes, data.examples, strict=False)]


@dataclass(frozen=True)
class _Loss:
    loss: float


def _loss_in(kept: Mapping[str, Any], where: str) -> float:
    """The loss that a file of the store says. Raises :class:`LingarithError` where it says none."""
    return plain.record(_Loss, kept, where, mend=MEND).loss


def _update(
    lab: Lab, composition: Combination, vectors: Mapping[str, Any], sums: Mapping[str, Any] = UNCHANGED
) -> Update | None:
    """The update of a composition; None for the empty one, which is the bare backbone."""
    return Composition(composition, vectors, space_of(lab, sums)).update()


def mean(outcomes: Sequence[Outcome]) -> float:
    """Mean score, 0..100. Raises :class:`LingarithError` where there is nothing to average."""
    if not outcomes:
        raise LingarithError("nothing was evaluated: the data has no examples")
    return sum(outcome.score for outcome in outcomes) / len(outcomes)
