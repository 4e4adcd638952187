"""A task is data: what the model reads of a row, under which prompt, what it writes, and how that is scored."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from .. import plain
from ..disk.files import expanded
from ..errors import LingarithError, MissingData, did_you_mean
from ..languages.codes import language_name, spoken
from ..unicode import composed
from . import hub
from .labelled import Asked, Labelled, TaskExample, filled, labelled, own_id, texts_of
from .patterns import SPLITS
from .rows import Row, text_of
from .sources import FILES, SOURCES, Request, rows_of

NO_COLUMNS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Task:
    """What is asked of a text. A task of one's own is one of these, or the same keys in a TOML file.

    Raises :class:`LingarithError` for a prompt and fields that do not fit each other.

    >>> task = Task("moods", "{language_name}: {text} Mood?", "mood", "accuracy", writes=None, labels=("glad", "sad"))
    >>> task.asked("pt", {"text": "Que dia!"})
    Asked(text='Portuguese: Que dia! Mood?', slots=((12, 20),))
    """

    name: str
    """What studies, records and reports call it: ``summaries``."""
    prompt: str
    """What the model reads; each ``{slot}`` is filled from a field, or is {language} (its code) or {language_name}."""
    target: str
    """The field that is to be written: a text, or a list of texts that are all right."""
    metric: str = "rouge2"
    """A key of :data:`.scores.metrics.METRICS`, or ``module:function``."""
    fields: Mapping[str, str] = field(default_factory=lambda: {"text": "text"})
    """Slot of the prompt → field of a row."""
    article: str = "text"
    """The slot of the text itself: what an output may be copied from, and what plain text fills without labels."""
    writes: str | None = "target"
    """The language of outputs: the one that is asked for (``target``), a code (``en``), or none (labels)."""
    vectors: Mapping[str, str] = field(default_factory=dict)
    """What task vectors are called, by the name of the data or ``files``; else as the task is."""
    labels: tuple[str, ...] = ()
    """The closed set of answers, where there is one."""
    other: str = ""
    """The language in whose row of the same id the target stands (``en``); empty where it stands in the row itself."""
    only: Mapping[str, str] = field(default_factory=dict)
    """Field → text: rows that hold another text there are left out."""
    decoder_prompt: str = ""
    """The prompt where the backbone is decoder-only, with a cue at its end; empty where it is the same."""

    def __post_init__(self) -> None:
        # What is typed into a TOML file or a terminal is compared with texts in the one form.
        for key in ("prompt", "decoder_prompt"):
            object.__setattr__(self, key, composed(getattr(self, key)))
        object.__setattr__(self, "labels", tuple(map(composed, self.labels)))
        object.__setattr__(self, "only", {name: composed(text) for name, text in self.only.items()})
        for name in (self.name, *self.vectors.values()):
            if not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII):
                raise LingarithError(f"'{name}' cannot name a task; write letters, digits and _, such as summaries")
        slots = [*self.fields, "language", "language_name"]
        if len(set(slots)) < len(slots):
            raise LingarithError("the slots {language} and {language_name} are filled with the language, not a field")
        for prompt in (self.prompt, self.decoder_prompt or self.prompt):
            self._check(prompt, slots)
        if self.article not in self.fields:
            raise LingarithError(
                f"the article is no slot of the prompt: '{self.article}'{did_you_mean(self.article, self.fields)}"
            )

    def _check(self, prompt: str, slots: Sequence[str]) -> None:
        for slot in self.fields:
            if f"{{{slot}}}" not in prompt:
                meant = "article" if slot == self.article else slot
                raise LingarithError(
                    f"the prompt '{prompt}' does not say where the {meant} goes; write {{{slot}}} there"
                )
        for slot in re.findall(r"{(\w+)}", prompt):
            if slot not in slots:
                known = ", ".join(f"{{{one}}}" for one in slots)
                raise LingarithError(f"the prompt '{prompt}' holds {{{slot}}}, and only {known} can be filled in")

    def for_decoders(self) -> Task:
        """The task under the prompt for backbones that only decode."""
        return replace(self, prompt=self.decoder_prompt or self.prompt, decoder_prompt="")

    @property
    def columns(self) -> tuple[str, ...]:
        """The fields of a row that it speaks of."""
        return tuple(dict.fromkeys([*self.fields.values(), self.target, *self.only]))

    def vector_name(self, source: str) -> str:
        """What a vector trained on those labels is called.

        >>> [TASKS["summaries"].vector_name(source) for source in ("newsroom", "xlsum@3f2a", "summ/{language}.jsonl")]
        ['headlines', 'xlsum', 'summaries']
        """
        known = source.partition("@")[0]
        return self.vectors.get(known if known in SOURCES else FILES, self.name)

    def asked(self, language: str, texts: Mapping[str, str]) -> Asked:
        """What the model reads for the texts of the slots; slots without a text stay blank."""
        blank = dict.fromkeys(self.fields, "")
        return filled(self.prompt, blank | dict(texts), language=language, language_name=language_name(language))


TASKS: Mapping[str, Task] = {
    "summaries": Task(
        "summaries", "summarize: {text}", "summary", vectors={"newsroom": "headlines", "xlsum": "xlsum"},
        decoder_prompt="{text}\n\nSummary:\n",
    ),
    "questions": Task(
        "questions", "question: {question} context: {context}", "answers", "f1",
        fields={"question": "question", "context": "context"}, article="context",
        vectors={"newsroom": "questions", "tydiqa": "tydiqa", FILES: "answers"},
        decoder_prompt="{context}\n\nQuestion: {question}\nAnswer:\n",
    ),
    "topics": Task(
        "topics", "topic: {text}", "category", "accuracy", writes=None, vectors={"sib200": "sib200"},
        decoder_prompt="{text}\n\nTopic:\n",
    ),
    "entities": Task(
        "entities", "entities: {text}", "entities", "span_f1", writes=None, vectors={"masakhaner": "masakhaner"},
        decoder_prompt="{text}\n\nEntities:\n",
    ),
    "translations": Task(
        "translations", "translate to English: {text}", "english", "chrf", writes="en",
        decoder_prompt="{text}\n\nEnglish:\n",
    ),
}  # fmt: skip
"""Prompts of decoder-only backbones end with a line of their own, after which a target begins a word in every kind of
vocabulary: behind a space one would begin with two. The other prompt of ``questions`` is T5's for SQuAD (Raffel et al.,
2020, appendix D). A passage that is too long loses its end, never the question."""


def task_of(which: str) -> Task:
    """The task of a name, or of a TOML file whose keys are the fields of :class:`Task`.

    In a file ``name`` may be left out (the file's own is taken), and ``writes = ""`` is none. Raises
    :class:`LingarithError` for an unknown name, and a file that cannot be read or has other keys.

    >>> task_of("topics").metric
    'accuracy'
    """
    if which in TASKS:
        return TASKS[which]
    path = expanded(which)
    if path.suffix != ".toml":
        near = did_you_mean(which, TASKS)
        raise LingarithError(f"there is no task '{which}'{near}{'' if near.endswith('?') else '; or give a TOML file'}")
    try:
        given = {"name": path.stem} | plain.toml_table(path.read_text(encoding="utf-8"))
        return Task(**_checked(given))
    except OSError as error:
        raise LingarithError(f"the task {path} cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise LingarithError(f"the task {path} is no TOML: {error}") from error
    except LingarithError as error:
        raise LingarithError(f"the task {path}: {error}") from error


KINDS: Mapping[str, tuple[type, str]] = {
    **dict.fromkeys(("fields", "vectors", "only"), (dict, "a table of texts")),
    "labels": (list, "a list of texts"),
}
"""What the keys of a TOML file hold that are no text."""


def _checked(given: dict[str, Any]) -> dict[str, Any]:
    """The keys of a TOML file as arguments of :class:`Task`."""
    known = {key.name: key for key in fields(Task)}
    for key, value in given.items():
        if key not in known:
            raise LingarithError(f"it has no key '{key}'{did_you_mean(key, known)}")
        kind, wanted = KINDS.get(key, (str, "a text"))
        texts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        if not isinstance(value, kind) or not all(isinstance(text, str) for text in texts):
            raise LingarithError(f"'{key}' is {value!r}, and {wanted} is needed")
    for key, about in known.items():
        if key not in given and about.default is MISSING and about.default_factory is MISSING:
            raise LingarithError(f"the key '{key}' is missing")
    writes = {"writes": given["writes"] or None} if "writes" in given else {}
    return given | writes | {"labels": tuple(given.get("labels", ()))}


def examples(
    task: Task,
    source: str,
    language: str,
    split: str,
    *,
    columns: Mapping[str, str] = NO_COLUMNS,
    limit: int | None = None,
    seed: int = 0,
    folder: Path,
    progress: hub.Progress | None = None,
) -> Labelled:
    """The labelled examples of a task in a language and split (``train``, ``validation``, ``test``).

    ``source`` is one of :data:`.sources.SOURCES` (what comes from the hub is kept in ``folder``, and
    ``xlsum@<commit>`` is a stated revision) or a path pattern with ``{language}`` and ``{split}``.
    ``columns`` says what files call the task's fields: ``{"text": "article"}``; their rows may have an
    ``id``. The first text of the target is what is written, all are references. Rows with a blank
    text or target are left out.

    ``limit`` takes that many: the first stories of the newsroom, elsewhere a sample drawn by ``seed``,
    of which a smaller limit takes a part. Raises :class:`LingarithError` for an unknown source, split or
    field, rows that are not as the task says, an id that stands twice and where no example is left;
    :class:`MissingData` for a language that is not there.

    >>> [example] = examples(TASKS["summaries"], "newsroom", "pt", "test", limit=1, folder=Path("unused")).examples
    >>> example.id, example.input == f"summarize: {example.article}"
    ('test-0', True)
    """
    if split not in SPLITS:
        raise LingarithError(f"there is no split '{split}'{did_you_mean(split, SPLITS)}")
    if limit is not None and limit < 1:
        raise LingarithError(f"limit is {limit}; it must be at least 1")
    known, _, revision = source.partition("@")
    renamed = {} if known in SOURCES else columns
    paired = split != "train" or bool(task.other)
    request = Request(source, split, task.columns, renamed, limit, seed, folder, revision, progress, paired)
    sides = list(_sides(task, request, language))
    made = [one for side in sides if (one := _example(task, request, language, *side))]
    if not made:
        needed = " or ".join(f"'{request.column(name)}'" for name in (*task.fields.values(), task.target))
        only = " and ".join(f"'{text}' in '{request.column(name)}'" for name, text in task.only.items())
        lacking = f": every {needed} is blank" if sides else only and f" with {only}"
        raise LingarithError(f"{source} holds no example of '{language}' ({split}){lacking}")
    if task.writes and spoken(language) == spoken(task.writes) and all(one.target == one.article for one in made):
        raise MissingData(f"{source}: in '{language}' ({split}) every target is the text itself: nothing is to learn")
    return labelled(task.vector_name(source), language, split, source, made, limit=limit, seed=seed, prompt=task.prompt)


Side = tuple[str, Row]
"""A row, after its place for errors."""


def _sides(task: Task, request: Request, language: str) -> Iterator[tuple[str, Side, Side]]:
    """Each id with the row that is read and the one that holds the target: the same, or its twin in ``other``.

    Twins have one id, or ids that differ in the language's code alone: ``ntrex:pt:7`` and ``ntrex:en:7``.
    """
    twins: dict[str, Side] = {}
    if task.other:
        twins = {id: (where, row) for id, where, row in rows_of(request, task.other) if own_id(row)}
    code = re.compile(rf"(?<![A-Za-z0-9]){re.escape(language)}(?![A-Za-z0-9])")
    for id, where, row in rows_of(request, language):
        if any(text_of(row, request.column(name), where) != text for name, text in task.only.items()):
            continue
        twin = twins.get(id) or twins.get(code.sub(task.other, id, count=1)) if task.other else (where, row)
        if twin is None:
            raise LingarithError(f"{where}: the target of '{id}' is not there; no row of '{task.other}' has that id")
        yield id, (where, row), twin


def _example(task: Task, request: Request, language: str, id: str, read: Side, written: Side) -> TaskExample | None:
    """The example of a row and of the one that holds its target; None where a text or the target is blank."""
    (where, row), (there, target) = read, written
    texts = {slot: text_of(row, request.column(name), where) for slot, name in task.fields.items()}
    targets = texts_of(target, request.column(task.target), there)
    for text in targets:
        if task.labels and text not in task.labels:
            raise LingarithError(f"{there}: '{text}' is no label of {task.name}{did_you_mean(text, task.labels)}")
    if not targets or not all(texts.values()):
        return None
    asked = task.asked(language, texts)
    return TaskExample(id, asked.text, targets[0], texts[task.article], targets[1:], asked.slots)
