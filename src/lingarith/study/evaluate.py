"""Outputs of a composition scored against references, one record for each example."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..algebra import Combination, parse
from ..errors import LingarithError
from ..languages.codes import SEEN, UNSEEN
from ..model.backbone import Backbone
from ..model.generate import Decoding, generate_each
from ..scores.answers import f1
from ..scores.output import kind_of_output, recognisable
from ..scores.rouge import CallableTokenizer, SentencePieceTokenizer, Tokenizer, rouge2
from ..text.tasks.labelled import Labelled
from ..vectors.realise import Space, realise
from ..vectors.vector import Update, Vector

ROUGE2, F1 = "ROUGE-2", "F1"
"""How outputs are scored: summaries, answers."""


Place = tuple[str, str, str]
"""Target, split, and an expression's hash."""


@dataclass(frozen=True)
class Outcome:
    """One output with its score (0..100) and its kind (target, source, other, empty, copied)."""

    id: str
    output: str
    score: float
    kind: str


@dataclass
class Bench:
    """A backbone with what is needed to try compositions on it.

    Identical compositions are generated once: outcomes are kept by target, split and the
    expression's hash, for as many of the split's first examples as were asked for.
    """

    backbone: Backbone
    vectors: Mapping[str, Vector]
    space: str | Space
    decoding: Decoding = field(default_factory=Decoding)
    score_model: Path | None = None
    sources: Sequence[str] = ("en",)
    metric: str = ROUGE2
    done: dict[Place, list[Outcome]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.score_model is not None:
            SentencePieceTokenizer(self.score_model)  # what is wrong with it is said before anything is generated

    def update(self, expression: Combination) -> Update | None:
        """The update of an expression; None for the empty one, which is the bare backbone."""
        return realise(expression, self.vectors, self.space) if expression.names else None

    def outcomes(
        self, expression: Combination | str, data: Labelled, watch: Callable[[int], None] | None = None
    ) -> list[Outcome]:
        """What the composition writes for each example, scored; ``watch`` hears how many are done."""
        if isinstance(expression, str):
            expression = parse(expression)
        return next(self.outcomes_of([expression], data, watch))

    def outcomes_of(
        self, expressions: Sequence[Combination], data: Labelled, watch: Callable[[int], None] | None = None
    ) -> Iterator[list[Outcome]]:
        """The same of several compositions, in their order, each as soon as it is there."""
        size, places = len(data.examples), [(data.language, data.split, one.key) for one in expressions]
        have = sum(min(size, len(self.done.get(place, ()))) for place in places)
        lacking: dict[int, dict[Place, Combination]] = {}
        for place, expression in zip(places, expressions, strict=True):
            known = len(self.done.setdefault(place, []))
            if known < size:
                lacking.setdefault(known, {})[place] = expression

        def told(done: int) -> None:
            if watch:
                watch(have + done)

        making = {known: self._made(known, some, data, told) for known, some in lacking.items()}
        for place in places:
            while len(self.done[place]) < size:
                next(making[len(self.done[place])])
            yield self.done[place][:size]

    def _made(
        self, known: int, some: Mapping[Place, Combination], data: Labelled, watch: Callable[[int], None]
    ) -> Iterator[None]:
        """Compositions of which only the first ``known`` examples are done, one after another."""
        rest = replace(data, examples=data.examples[known:])
        inputs = [example.input for example in rest.examples]
        updates = map(self.update, some.values())
        written = generate_each(self.backbone, updates, inputs, self.decoding, watch=watch)
        for place, outputs in zip(some, written, strict=True):
            self.done[place] += self.score(outputs, rest)
            yield

    def score(self, outputs: Sequence[str], data: Labelled) -> list[Outcome]:
        """Score and kind of each output."""
        if self.metric == F1:
            scores = f1(outputs, [example.references for example in data.examples])
        else:
            scores = rouge2(outputs, [example.target for example in data.examples], self.tokenizer(data.language))
        sources = [source for source in self.sources if source != data.language]
        # A headline alone is too short to be told from its language's neighbours among all languages.
        candidates = [code for code in (*SEEN, *UNSEEN, data.language, *sources) if recognisable(code)]
        kinds = (
            kind_of_output(output, example.article, data.language, sources, candidates)
            for example, output in zip(data.examples, outputs, strict=True)
        )
        return [
            Outcome(example.id, output, round(float(score), 4), kind)
            for example, output, score, kind in zip(data.examples, outputs, scores, kinds, strict=True)
        ]

    def tokenizer(self, language: str) -> Tokenizer | None:
        """How ROUGE-2 cuts texts of a language: None is rouge_score's own way, for English."""
        if language == "en":
            return None
        if self.score_model is not None:
            return SentencePieceTokenizer(self.score_model)
        return CallableTokenizer(self.backbone.tokenizer.tokenize)

    def scoring(self, language: str) -> str:
        """The same in words, for reports."""
        if self.metric == F1:
            return "F1 over words, normalised as SQuAD does"
        if language == "en":
            return "ROUGE-2 F of rouge_score with its English tokenizer, no stemmer"
        if self.score_model is not None:
            model = SentencePieceTokenizer(self.score_model)
            return f"ROUGE-2 F over pieces of {self.score_model.name} (sha256 {model.sha256[:12]})"
        return f"ROUGE-2 F over the pieces of the backbone's own tokenizer ({self.backbone.name})"


def mean(outcomes: Sequence[Outcome]) -> float:
    """Mean score, 0..100. Raises :class:`LingarithError` where there is nothing to average."""
    if not outcomes:
        raise LingarithError("nothing was evaluated: the data has no examples")
    return sum(outcome.score for outcome in outcomes) / len(outcomes)
