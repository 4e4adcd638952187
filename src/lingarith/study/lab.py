"""The vectors and data that a study speaks of: named at once, trained and read when they are needed.

A recipe asks a lab for vectors by what they are (the task vector of English) and gets a combination with one name in
it. Which training that name stands for, the lab remembers; nothing is trained until someone asks for tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from random import Random
from typing import Any

from ..adapters.kinds import Factored
from ..algebra import Combination, vector
from ..disk.files import inside, json_hash
from ..errors import LingarithError, MissingData
from ..model.backbone import Backbone
from ..model.loading import load
from ..model.options import TrainOptions
from ..newsroom import NEWSROOM
from ..progress import Progress, quiet
from ..scores.rouge import SentencePieceTokenizer
from ..store.store import Store
from ..text.corpora import PlainText, held_out, plain_text, text_name
from ..text.labelled import Labelled
from ..text.patterns import check_code, is_path
from ..text.rows import fingerprint
from ..text.tasks import examples
from ..vectors.composition import compose
from ..vectors.noise import noise
from ..vectors.vector import Update, Vector
from .jobs import ON, Job, fetching, obtain_all
from .orders import Order, marks_of, over_mark, taught
from .scoring import Scoring
from .study import READ_TASK, Labels, Study, naming
from .tracking import Tracker
from .weights import HALVING

SEVERAL = "mul"  # the language of labels of several languages, as BCP-47 has it
RANDOM = "random"  # what random vectors are called
KEPT = 64  # how many vectors stay in memory for the next question
SAMPLED = (
    "Vectors of this store are older than fingerprints that cover every number of a backbone: as far as fingerprints "
    "saw then it is the same one."
)


@dataclass
class Lab:
    """A study with its store, its backbone (loaded when needed), its data and the vectors asked for so far.

    ``recipes`` are those that another process has worked out already, by name: then no training data are read for
    them. Without ``trains`` vectors are those that the store has by name. ``on`` is a composition that is on the
    backbone while vectors are trained, with what origins say of it; ``track`` hears of their losses.
    """

    study: Study
    store: Store
    recipes: dict[str, str] = field(default_factory=dict)
    progress: Progress = quiet
    trains: bool = True
    orders: dict[str, Order] = field(default_factory=dict)
    notes: dict[str, None] = field(default_factory=dict)
    """What a reader of the results must know."""
    trained: set[str] = field(default_factory=set)
    """The vectors that were trained here, and not by another process that was waited for."""
    given: Backbone | None = None
    on: tuple[Update, Mapping[str, Any]] | None = None
    track: Tracker | None = None
    _labelled: dict[tuple[str, str, str], Labelled] = field(default_factory=dict)
    _missing: set[tuple[str, str, str]] = field(default_factory=set)
    _plain: dict[tuple[str, int], PlainText] = field(default_factory=dict)
    _held_out: dict[str, PlainText | None] = field(default_factory=dict)
    _jobs: dict[str, Job] = field(default_factory=dict)
    _scoring: dict[str, Scoring] = field(default_factory=dict)
    _vectors: dict[str, Vector] = field(default_factory=dict)

    @cached_property
    def backbone(self) -> Backbone:
        options = self.study.backbone
        loaded = self.given or load(
            options.backbone,
            dtype=options.dtype,
            bits=options.bits,
            device_map=options.device_map,
            progress=self.progress,
        )
        if how := loaded.made.get("computed"):
            self.notes[f"The backbone is computed {how}."] = None
        return loaded

    def asked(self, task: str) -> Labels:
        """A task under the prompt that suits the backbone: its kind's, in its chat template if wanted.

        ``summaries:named`` is the same under a prompt that names the language, ``summaries:likelihood`` judged by how
        likely references are. Raises :class:`LingarithError` where a chat template is wanted and there is none.
        """
        study, (name, colon, how) = self.study, task.partition(":")
        asked = study.tasks[name].task
        usual = self.given is None and study.backbone.backbone == NEWSROOM  # which is loaded when it is needed
        if not usual and not self.backbone.encoder_decoder:
            asked = asked.for_decoders()
        if colon + how == READ_TASK:
            asked = replace(asked, metric=how)
        elif how:
            asked = naming(asked, study.data.named_prompt)
        if study.data.chat:
            asked = replace(asked, prompt=self.backbone.as_turn(asked.prompt), decoder_prompt="")
        return replace(study.tasks[name], task=asked)

    def scoring(self, task: str) -> Scoring:
        """How outputs of a task are scored."""
        if task not in self._scoring:
            model = self.study.choice.score_model
            # What is wrong with the model is said before anything is generated.
            pieces = SentencePieceTokenizer(Path(model)) if model else None
            self._scoring[task] = Scoring(self.asked(task).task, self.backbone, pieces)
        return self._scoring[task]

    # -- data

    def labels(self, task: str, languages: str | Sequence[str], split: str) -> Labelled:
        """Labelled examples of one language or, in a row, of several. Raises :class:`MissingData` if there are none."""
        if not isinstance(languages, str):
            parts = [self.labels(task, code, split) for code in languages]
            rows = tuple(example for part in parts for example in part.examples)
            contents = fingerprint(part.fingerprint for part in parts)
            return replace(parts[0], language=SEVERAL, examples=rows, fingerprint=contents)
        key = (task, languages, split)
        if key not in self._labelled:
            self._labelled[key] = self._examples(self.asked(task), languages, split)
        return self._labelled[key]

    def has_labels(self, task: str, language: str, split: str) -> bool:
        """Whether there are labelled examples of that language and split; what lacks is looked for once."""
        place = (task, language, split)
        if place not in self._missing:
            with suppress(MissingData):
                return bool(self.labels(*place).examples)
            self._missing.add(place)
        return False

    def _examples(self, labels: Labels, code: str, split: str) -> Labelled:
        options = self.study.data
        data = examples(
            labels.task, labels.source, code, split, columns=options.columns,
            limit=getattr(options, f"{split}_limit", None), seed=options.sample_seed,
            folder=inside(self.store.folder, "text"), progress=fetching(labels.source, code, self.progress),
        )  # fmt: skip
        if split == "validation" and self.study.choice.search == HALVING:
            # A race judges by the first few, so they come in an order without meaning, each language's own.
            order = Random(f"{options.sample_seed}/{code}").sample(data.examples, len(data.examples))
            contents = fingerprint([data.fingerprint, "in an order of its own"])
            data = replace(data, examples=tuple(order), fingerprint=contents)
        return data

    def plain(self, code: str, characters: int | None = None) -> PlainText:
        """Plain text of a language: as much as the study says, or so many characters at most."""
        key = code, characters or self.study.data.characters
        if key not in self._plain:
            self._plain[key] = self._text(plain_text, *key)
        return self._plain[key]

    def held_out(self, code: str) -> PlainText | None:
        """Plain text of a language that no vector is trained on; None where the source has no more."""
        if code not in self._held_out:
            self._held_out[code] = None
            with suppress(MissingData):
                self._held_out[code] = self._text(held_out, code, self.study.data.characters)
        return self._held_out[code]

    @property
    def read_from(self) -> set[str]:
        """Where the data that were read so far came from, as the study names it: ``newsroom``, ``mc4``, a pattern."""
        labels = {self.study.tasks[task.partition(":")[0]].source for task, _, _ in self._labelled}
        return labels | ({self.study.data.text} if self._plain or any(self._held_out.values()) else set())

    def _text(self, read: Callable[..., PlainText], code: str, characters: int) -> PlainText:
        options = self.study.data
        return read(
            options.text, code, field=options.plain_field, limit_characters=characters,
            folder=inside(self.store.folder, "text"), progress=fetching(options.text, code, self.progress),
        )  # fmt: skip

    # -- vectors: named now, had later

    def task(
        self,
        task: str,
        seed: int,
        *languages: str,
        rate: float | None = None,
        adapter: str = "",
        projections: str = "",
        start: int | None = None,
        variant: str = "",
        over: str = "",
    ) -> Combination:
        """The task vector of a language; of several, the one that is trained on all their labels together.

        ``start`` is the seed whose factors it begins with, if another; ``variant`` says other keys of its training,
        and ``over`` names the vector on top of which it is trained.
        """
        labels, study = self.asked(task), self.study.varied(variant)
        spoken: str | Sequence[str] = languages[0] if len(languages) == 1 else languages
        options = study.training(seed, labels=True, rate=rate, kind=adapter, projections=projections, start=start)

        def job() -> Job:
            split = "{split}" in labels.source or not is_path(labels.source)  # else they would be the training data
            alone = isinstance(spoken, str) and split and self.has_labels(task, spoken, "validation")
            validation = self.labels(task, spoken, "validation") if alone else None
            return self._job(self.labels(task, spoken, "train"), options, validation, over)

        code = spoken if isinstance(spoken, str) else SEVERAL
        order = Order(self._called(labels.task.vector_name(labels.source), code, over), languages, job, after=over)
        return self.ordered(self.task_name(task) + over_mark(over), code, options, order, variant)

    def task_name(self, task: str) -> str:
        """What vectors of a task are called here: as in the store, with the task where another has that name."""
        labels = self.asked(task)
        base = labels.task.vector_name(labels.source)
        others = [self.asked(name) for name in self.study.tasks if name != task]
        names = [other.task.vector_name(other.source) for other in others]
        return base + (f".{task}" if base in (*names, text_name(self.study.data.text), RANDOM) else "")

    def language(self, seed: int, code: str, variant: str = "", over: str = "") -> Combination:
        """The vector of a language; ``variant`` says other keys of its training, of which more text is none, and
        ``over`` names the vector on top of which it is trained."""
        study, base = self.study.varied(variant), text_name(self.study.data.text)
        options = study.training(seed, labels=False)
        if study.data.characters > self.study.data.characters:
            raise LingarithError(
                f"'{variant}' takes more than the study's {self.study.data.characters:,} characters, and what is held "
                "out lies beyond these; raise 'characters'"
            )

        def job() -> Job:
            return self._job(self.plain(code, study.data.characters), options, self.held_out(code), over)

        order = Order(self._called(base, code, over), (), job, after=over)
        return self.ordered(base + over_mark(over), code, options, order, variant)

    def _job(
        self, data: Labelled | PlainText, options: TrainOptions, more: Labelled | PlainText | None, over: str
    ) -> Job:
        return Job(data, options, more, self.on and self.on[1], beneath=self.job(over) if over else None)

    def _called(self, base: str, code: str, over: str) -> str:
        return f"{base}{ON if self.on or over else ''}[{code}]"

    def random(self, seed: int, code: str, variant: str = "") -> Combination:
        """A random vector as large as the language vector."""
        (like,) = self.language(seed, code, variant).names
        name = like.replace(text_name(self.study.data.text), RANDOM, 1)
        self.orders[name] = Order(f"{RANDOM}[{code}]", like=like, seed=seed)
        return vector(name)

    def stored(self, name: str, known: Callable[[], Job] | None = None) -> Combination:
        """A vector that the store has under that name; ``known`` makes the training that gives such a one here.

        Raises :class:`LingarithError` where there is none.
        """
        if name not in self.orders:
            content = self.store.resolve(name, self.backbone.fingerprint, self.backbone.parts)
            self.orders[name] = Order(name, taught(self.store, content), content=content, known=known)
        return vector(name)

    def put_on(self, expression: Combination) -> None:
        """From now on vectors are trained on top of an expression of vectors that the store has.

        Raises :class:`LingarithError` where it has none of that name for this backbone, and as :func:`compose` does.
        """
        for name in expression.names:
            self.stored(name)
        space = self.study.sums.value.over(expression)
        update = compose(expression, self.vectors(expression.names), space).update()
        if update is None:
            raise LingarithError("there is nothing in 0 to train on top of; leave out --on, or name a vector")
        parents = {name: self.content(name) for name in expression.names}
        self.on = update, {"expression": str(expression), "space": str(space), "parents": parents}

    def ordered(self, base: str, code: str, options: TrainOptions, order: Order, variant: str = "") -> Combination:
        """A vector by its name in this study, which says what tells it from others of that name in the store."""
        for spoken in (code, *order.labels):
            check_code(spoken)
        if not self.trains:
            return self.stored(order.stored, order.job)
        if isinstance(options.adapter, Factored):
            options.adapter.check(self.backbone.shapes_of(options.projections))
        marks = marks_of(self.study.varied(variant), options, order.labels, variant)
        name = f"{base}{ON if self.on else ''}{marks}[{code}]"
        self.orders.setdefault(name, order)
        return vector(name)

    def job(self, name: str) -> Job:
        """The training that a name stands for; its data are read now."""
        if name not in self._jobs:
            make = self.orders[name].job
            assert make, f"{name} is not trained"
            self._jobs[name] = make()
        return self._jobs[name]

    def recipe(self, name: str) -> str:
        """Hash of all that a vector's numbers depend on: of its training, or its content hash where it is given."""
        order = self.orders[name]
        if name not in self.recipes:
            if order.content:  # by the recipe that it came out of, outputs made with it are found
                self.recipes[name] = self._made_by.get(order.content, order.content)
            elif order.job:
                self.recipes[name] = self.job(name).recipe(self.backbone)
            else:
                facts = {"like": self.recipe(order.like), "name": order.stored, "seed": order.seed}
                self.recipes[name] = json_hash(["noise", facts])
        return self.recipes[name]

    @cached_property
    def _made_by(self) -> dict[str, str]:
        """The recipes of the store by the content that came out of them."""
        return self.store.recipes()

    def is_there(self, name: str) -> bool:
        """Whether the store holds a vector already."""
        return bool(self.orders[name].content) or self.store.made(self.recipe(name)) is not None

    def vectors(self, names: Iterable[str], together: int | None = 1) -> dict[str, Vector]:
        """The vectors of those names, from the store, or trained now, ``together`` of them in a pass."""
        names = list(dict.fromkeys(names))
        lacking = [name for name in names if name not in self._vectors]
        bases = [self.orders[name].like or name for name in lacking]
        trained = [name for name in dict.fromkeys(bases) if self.orders[name].job and name not in self._vectors]
        missing = [name for name in trained if not self._take(name)]
        groups: dict[tuple[str, bool], list[str]] = {}
        for name in missing:
            groups.setdefault((self.orders[name].after, bool(self.job(name).beneath)), []).append(name)
        for (after, beneath), some in sorted(groups.items()):  # what needs another vector comes when that is there
            jobs, on, track = [self.job(name) for name in some], self.on and self.on[0], self.track
            if after:
                begun = self.vectors([after], together)
                on = compose(vector(after), begun, "delta").update() if beneath else on
                jobs = [job.upon(begun[after]) for job in jobs]
            had = obtain_all(jobs, self.backbone, self.store, self.progress, together=together, on=on, track=track)
            self._vectors |= {name: held for name, (held, *_) in zip(some, had, strict=True)}
            self.trained |= {name for name, (*_, now) in zip(some, had, strict=True) if now}
        for name in dict.fromkeys([*bases, *lacking]):
            order = self.orders[name]
            if order.content and name not in self._vectors:
                own = self.backbone
                self._vectors[name] = self.store.get(order.content, own.fingerprint, own.parts)
                if "sampled" in self._vectors[name].origin["backbone"]:
                    self.notes[SAMPLED] = None
            elif order.like and not self._take(name):
                self._vectors[name] = noise(self._vectors[order.like], order.stored, order.seed)
                self.store.put(self._vectors[name], self.recipe(name))
        vectors = {name: self._vectors.pop(name) for name in names}
        self._vectors |= vectors  # those asked for last are kept longest
        for name in list(self._vectors)[:-KEPT]:
            del self._vectors[name]
        return vectors

    def _take(self, name: str) -> bool:
        """Take a vector from the store, if it is there and nothing is left of its training."""
        recipe = self.recipe(name)
        if inside(self.store.folder, "training", recipe).exists():
            return False
        job = self.job(name) if self.orders[name].job else None
        held = job.made(self.store, recipe) if job else self.store.by_recipe(recipe)
        if held is not None:
            self._vectors[name] = held
            # Its name means this one from now on, as if it had been trained now: expressions are printed by names.
            self.store.refer(held.name, self.store.made(recipe) or "", self.backbone.fingerprint)
        return held is not None

    # -- how compositions are said

    def said(self, composition: Combination) -> str:
        """The expression as the store understands it: ``name@hash`` where vectors of one name are in this study.

        Vectors must be there.
        """
        names: dict[str, str] = {}
        for name in composition.names:
            stored = self.orders[name].stored
            several = sum(order.stored == stored for order in self.orders.values()) > 1
            content = self.content(name) if several and "@" not in stored else None
            names[name] = f"{stored}@{content[:12]}" if content else stored
        return str(Combination(tuple((names[name], weight) for name, weight in composition.terms)))

    def content(self, name: str) -> str | None:
        """The content hash of a vector; None where it is not there yet."""
        return self.orders[name].content or self.store.made(self.recipe(name))
