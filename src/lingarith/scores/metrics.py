"""The metrics of tasks by their names, and metrics of one's own."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from ..errors import LingarithError, did_you_mean
from ..unicode import visible
from . import answers, chrf, labels, spans
from .rouge import Tokenizer, rouge2

References = Sequence[Sequence[str]]
"""Of each output, the texts that are right: one or more."""
Figure = Callable[[Sequence[str], References], float]
"""A figure of all outputs together."""
VERSION = 2
"""Of scores: raised when an output that stays the same gets another, so that none is taken from an earlier run."""


@dataclass(frozen=True)
class Metric:
    """How outputs are scored: a number for each, which paired tests need, and figures of all beside it.

    All are of what is :func:`~..unicode.visible` of a text, so no two encodings of it score otherwise.
    """

    name: str
    """As tables print it: ``ROUGE-2``."""
    each: Callable[[Sequence[str], References, Tokenizer | None], Sequence[float] | NDArray[np.float64]]
    """Visible outputs, references and a tokenizer (or None) → a score of each output, 0 to 100, higher is better."""
    about: str
    """The same in a few words, for reports."""
    url: str
    """Its source."""
    together: Mapping[str, Figure] = field(default_factory=dict)
    """Figures of all visible outputs that stand beside the mean score, 0 to 100, by their names."""
    predicted: bool = False
    """Whether nothing is generated, and an output is the text of a number: bits per UTF-8 byte of the reference."""
    tokenizer: bool = False
    """Whether ``score`` takes the tokenizer of a language: ROUGE-2 of languages other than English does."""

    def score(
        self, outputs: Sequence[str], references: References, tokenizer: Tokenizer | None = None
    ) -> Sequence[float] | NDArray[np.float64]:
        """A score of each output, 0 to 100. Raises :class:`LingarithError` where texts and references do not match."""
        return self.each(*_visible(outputs, references), tokenizer)

    @property
    def beside(self) -> Mapping[str, Figure]:
        """The figures of all outputs together, of any texts."""
        return {name: partial(_figure, of) for name, of in self.together.items()}


def _figure(of: Figure, outputs: Sequence[str], references: References) -> float:
    return of(*_visible(outputs, references))


def _visible(outputs: Sequence[str], references: References) -> tuple[list[str], References]:
    some = [one if isinstance(one, str) else list(map(visible, one)) for one in references]
    return list(map(visible, outputs)), some


def _rouge2(outputs: Sequence[str], references: References, tokenizer: Tokenizer | None) -> NDArray[np.float64]:
    """With the best of its references, as for several answers."""
    answers.best_of(outputs, references, lambda output, one: 0.0)  # that there are some, for each
    pairs = [(output, one) for output, some in zip(outputs, references, strict=True) for one in some]
    scores = rouge2([output for output, _ in pairs], [one for _, one in pairs], tokenizer)
    starts = [0, *accumulate(map(len, references))][:-1]
    return np.maximum.reduceat(scores, starts)


def _exact_match(outputs: Sequence[str], references: References) -> float:
    return float(answers.exact_match(outputs, references).mean())


def _bits(outputs: Sequence[str], references: References) -> float:
    return float(np.mean([float(output) for output in outputs]))


METRICS: dict[str, Metric] = {
    "rouge2": Metric(
        "ROUGE-2",
        _rouge2,
        "ROUGE-2 F over the pieces of a tokenizer, for English over the words of rouge_score, no stemmer",
        "https://aclanthology.org/W04-1013",
        {"chrF": chrf.corpus_chrf},
        tokenizer=True,
    ),
    "f1": Metric(
        "F1",
        lambda outputs, references, _: answers.f1(outputs, references),
        "F1 over words, normalised as SQuAD does",
        "https://aclanthology.org/D16-1264",
        {"Exact match": _exact_match},
    ),
    "accuracy": Metric(
        "Accuracy",
        lambda outputs, references, _: labels.accuracy(outputs, references),
        "share of right labels, whatever their case",
        "https://aclanthology.org/2024.eacl-long.14",
        {"Macro-F1": labels.macro_f1},
    ),
    "span_f1": Metric(
        "Span F1",
        lambda outputs, references, _: spans.span_f1(outputs, references),
        "F1 over entities whose kind and text are exactly right, example by example",
        "https://aclanthology.org/W03-0419",
        {"Micro-F1": spans.micro_f1},
    ),
    "chrf": Metric(
        "chrF",
        lambda outputs, references, _: chrf.chrf(outputs, references),
        "chrF2 of sacrebleu, example by example",
        "https://aclanthology.org/W15-3049",
        {"Corpus chrF": chrf.corpus_chrf, "BLEU": chrf.corpus_bleu},
    ),
    "likelihood": Metric(
        "Likelihood",
        lambda outputs, references, _: [100 * 2.0 ** -float(output) for output in outputs],
        "100 · 2^(−b) of the first reference, with b its bits per UTF-8 byte; nothing is generated",
        "https://aclanthology.org/J92-1002",
        {"Bits per byte": _bits},
        predicted=True,
    ),
}


def metric_of(which: str) -> Metric:
    """The metric of a name, or a function of one's own as ``module:function``.

    Such a function takes the outputs and the references of each, and returns a score of each output,
    0 to 100. Raises :class:`LingarithError` for an unknown name, a function that cannot be imported,
    and, when outputs are scored, for other scores than these.

    >>> metric_of("chrf").name
    'chrF'
    """
    if which in METRICS:
        return METRICS[which]
    module, colon, name = which.partition(":")
    if not colon:
        raise LingarithError(f"there is no metric '{which}'{did_you_mean(which, METRICS)}, or give module:function")
    try:
        there = vars(importlib.import_module(module))
    except Exception as error:  # whatever a module of users raises
        raise LingarithError(
            f"the metric '{which}' cannot be imported ({type(error).__name__}: {error}); "
            "its folder must stand in PYTHONPATH"
        ) from error
    if not callable(there.get(name)):
        functions = [known for known, value in there.items() if callable(value) and not known.startswith("_")]
        raise LingarithError(f"the module of '{which}' has no function '{name}'{did_you_mean(name, functions)}")
    return Metric(name, partial(_checked, which, there[name]), f"{which}, 0 to 100", "")


def _checked(
    which: str,
    function: Callable[[Sequence[str], References], Sequence[float]],
    outputs: Sequence[str],
    references: References,
    tokenizer: Tokenizer | None = None,
) -> NDArray[np.float64]:
    """The scores of a function of users, which are numbers from 0 to 100, one for each output."""
    try:
        scores = np.asarray(function(outputs, references), dtype=np.float64)
    except Exception as error:  # whatever it raises
        raise LingarithError(f"the metric '{which}' failed ({type(error).__name__}: {error})") from error
    if scores.shape != (len(outputs),):
        raise LingarithError(
            f"the metric '{which}' gave scores of shape {scores.shape} for {len(outputs)} outputs; "
            "it must return a list of one number for each"
        )
    for number in np.flatnonzero(~((scores >= 0) & (scores <= 100))):
        raise LingarithError(f"the metric '{which}' gave output {number} the score {scores[number]}; 0 to 100 is right")
    return scores
