"""How the outputs of a task are scored, and which kind of output each is."""

from __future__ import annotations

import hashlib
import importlib
import inspect
from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import LingarithError
from ..languages.codes import SEEN, UNSEEN, spoken
from ..model.backbone import Backbone
from ..scores.metrics import Metric, metric_of
from ..scores.output import kind_of_output, recognisable
from ..scores.rouge import CallableTokenizer, SentencePieceTokenizer
from ..scores.units import Units
from ..text.labelled import Labelled
from ..text.tasks import TASKS, Task
from ..unicode import composed


@dataclass(frozen=True)
class Outcome:
    """One output with its score (0..100) and its kind (target, source, other, empty, copied; none for labels)."""

    id: str
    output: str
    score: float
    kind: str


@dataclass(frozen=True)
class Scoring:
    """A task's metric with the tokenizer that it may need: a SentencePiece model's, or the backbone's own."""

    task: Task
    backbone: Backbone
    model: SentencePieceTokenizer | None = None

    @property
    def metric(self) -> Metric:
        return metric_of(self.task.metric)

    def language(self, asked: str) -> str:
        """The language in which outputs are to be, where ``asked`` is the one of the examples; '' where none are
        written, or labels."""
        if self.metric.predicted:
            return ""
        return asked if self.task.writes == "target" else self.task.writes or ""

    def tokenizer(self, language: str) -> Units | None:
        """How the metric cuts texts of a language: None is its own way."""
        if not self.metric.tokenizer or spoken(language) == "en":
            return None
        return Units(self.model or CallableTokenizer(self.backbone.tokenizer.tokenize))

    @property
    def version(self) -> str:
        """What tells this metric from others, and a user's function from what it was before an edit of its module.

        Raises :class:`LingarithError` for a metric that is not there, or whose source is not.
        """
        _ = self.metric
        module, own, _ = self.task.metric.partition(":")
        if not own:
            return module
        try:
            return hashlib.sha256(inspect.getsource(importlib.import_module(module)).encode()).hexdigest()
        except (OSError, TypeError):
            raise LingarithError(
                f"the source of the metric '{self.task.metric}' cannot be read, by which an edit of it is noticed; "
                "put the function into a .py file"
            ) from None

    @property
    def kinds(self) -> list[str | None]:
        """What kinds of outputs depend on beside the data; nothing where it is as the task of that name has it."""
        its, usual = self.task, TASKS.get(self.task.name)
        if usual and (its.writes, its.article) == (usual.writes, usual.article):
            return []  # said only where it makes a difference: else what was written before is found
        return [its.writes, its.article]

    def said(self, asked: str) -> str:
        """How outputs are scored, in words, for reports."""
        if not self.metric.tokenizer:
            return self.metric.about
        if spoken(self.language(asked)) == "en":
            return f"{self.metric.name} F of rouge_score with its English tokenizer, no stemmer"
        if self.model:
            return f"{self.metric.name} F over pieces of {self.model.path.name} (sha256 {self.model.sha256[:12]})"
        return f"{self.metric.name} F over the pieces of the backbone's own tokenizer ({self.backbone.name})"

    def said_of(self, data: Labelled) -> str:
        """The same, and what the tokenizer does not know of the references."""
        units = self.tokenizer(self.language(data.language))
        share = units.share(text for example in data.examples for text in example.references) if units else 0
        if not share:
            return self.said(data.language)
        return (
            f"{self.said(data.language)}; {max(1, round(100 * share))} % of the references' pieces are less than a "
            "letter, and words with such a piece count whole (characters, where no spaces stand between words)"
        )

    def score(self, outputs: Sequence[str], data: Labelled, sources: Sequence[str]) -> list[Outcome]:
        """Score and kind of each output; ``sources`` are the languages of labels that the model saw."""
        language, outputs = self.language(data.language), list(map(composed, outputs))
        references = [example.references for example in data.examples]
        scores = self.metric.score(outputs, references, self.tokenizer(language))
        return [
            Outcome(example.id, output, round(float(score), 4), kind)
            for example, output, score, kind in zip(
                data.examples, outputs, scores, self._kinds(outputs, data, language, sources), strict=True
            )
        ]

    def _kinds(self, outputs: Sequence[str], data: Labelled, language: str, sources: Sequence[str]) -> list[str]:
        if not language:
            return [""] * len(outputs)
        others = [source for source in sources if spoken(source) != spoken(language)]
        # A headline alone is too short to be told from its language's neighbours among all languages.
        candidates = [code for code in (*SEEN, *UNSEEN, language, *others) if recognisable(code)]
        return [
            kind_of_output(output, example.article, language, others, candidates)
            for example, output in zip(data.examples, outputs, strict=True)
        ]
