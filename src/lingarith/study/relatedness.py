"""How far languages are from each other by what is in a model and its data, for ``languages.related``.

Three measures, each a table of all pairs: between language vectors, between the backbone's hidden
states, and between the subwords of plain text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any, TypeVar

import torch
from torch import Tensor

from ..adapters.terms import inner
from ..errors import LingarithError
from ..languages.distances import Table
from ..model.backbone import Backbone
from ..progress import Progress, quiet
from ..text.corpora import PlainText, text_name
from ..text.prefix_lm import chunks
from ..vectors.vector import Vector
from .lab import Lab

LENGTH, BATCH = 128, 32
"""Tokens of a chunk and chunks of a batch, where hidden states are computed."""
ROUNDING = 1e-12
"""Where all texts are alike, what is left of a mean state beside the shared one is rounding."""

T = TypeVar("T")


def measured(lab: Lab, measure: str, codes: Sequence[str]) -> Table:
    """One of :data:`..languages.related.FROM_DATA` between all these languages, by what a lab has."""
    if measure == "vectors":
        return vectors({code: lab.store.get(f"{text_name(lab.study.data.text)}[{code}]") for code in codes})
    texts = {code: lab.plain(code) for code in codes}
    if measure == "subwords":
        return subwords(lab.backbone, texts)
    return hidden_states(lab.backbone, texts, lab.progress)


def vectors(of: Mapping[str, Vector]) -> Table:
    """1 − the cosine of two language vectors: of their updates ΔW, over all that they change. In [0, 2].

    Cosines of factors would say little, since all vectors start from one initialisation. ``of`` maps
    languages to their vectors. Raises :class:`LingarithError` where two are not of one backbone.
    """
    first = next(iter(of.values()), None)
    for vector in of.values():
        if first and _backbone(vector) != _backbone(first):
            raise LingarithError(
                f"{first.name} and {vector.name} are not of one backbone and cannot be compared; train both on the same"
            )
    norms = {language: max(0.0, _inner(vector, vector)) ** 0.5 for language, vector in of.items()}

    def distance(one: str, other: str) -> float | None:
        size = norms[one] * norms[other]
        return max(0.0, 1 - _inner(of[one], of[other]) / size) if size else None

    return _table("vectors", ", ".join(vector.name for vector in of.values()), of, distance)


def hidden_states(backbone: Backbone, texts: Mapping[str, PlainText], progress: Progress = quiet) -> Table:
    """1 − the cosine of two languages' mean hidden states on plain text, in [0, 2].

    Of the encoder's last layer, or the decoder's where there is no encoder; the mean is over the tokens of the text,
    without what stands around it. The mean over the languages is subtracted first: hidden states of all languages share
    most of their direction, and cosines between them as they are would all be near 1. So a distance depends on which
    languages are compared; the average over n languages is about 1 + 1/(n − 1), and two alone would always be 2 apart.
    Fewer than three raise :class:`LingarithError`.
    """
    if len(texts) < 3:
        raise LingarithError(
            f"hidden states of {len(texts)} languages cannot be compared, since their mean is subtracted; "
            "take three or more"
        )
    means = {}
    for done, (language, text) in enumerate(texts.items(), start=1):
        means[language] = _mean_state(backbone, text)
        progress("reading plain text", done, len(texts))
    shared = torch.stack(list(means.values())).mean(0)
    centred = {language: mean - shared for language, mean in means.items()}

    def distance(one: str, other: str) -> float | None:
        a, b = centred[one], centred[other]
        size = float(a.norm() * b.norm())
        return max(0.0, 1 - float(a @ b) / size) if size > ROUNDING * float(shared @ shared) else None

    return _table("hidden-states", _origin(backbone, texts), texts, distance)


def subwords(backbone: Backbone, texts: Mapping[str, PlainText]) -> Table:
    """How little two languages share of the backbone's subwords on plain text, in [0, 1].

    1 − Σ min(p, q) / Σ max(p, q), where p and q are a subword's shares in the texts: the Jaccard
    distance weighted by use, so that rare foreign words and the amount of text count for little.
    """
    shares: dict[str, dict[int, float]] = {}
    for language, text in texts.items():
        counts = Counter(piece for ids in backbone.encode(text.documents) for piece in ids)
        shares[language] = {piece: count / counts.total() for piece, count in counts.items()}

    def distance(one: str, other: str) -> float:
        p, q = shares[one], shares[other]
        common = sum(min(p[piece], q[piece]) for piece in p.keys() & q.keys())
        return max(0.0, 1 - common / (2 - common))  # Σ max = Σp + Σq − Σ min

    return _table("subwords", _origin(backbone, texts), texts, distance)


def _table(name: str, origin: str, of: Mapping[str, T], distance: Callable[[str, str], float | None]) -> Table:
    return Table(name, {frozenset(pair): distance(*pair) for pair in combinations(of, 2)}, origin)


def _origin(backbone: Backbone, texts: Mapping[str, PlainText]) -> str:
    return f"{backbone.name} on {' and '.join(sorted({text.source for text in texts.values()}))}"


def _backbone(vector: Vector) -> object:
    return vector.origin.get("backbone", {}).get("fingerprint")


def _inner(one: Vector, other: Vector) -> float:
    paths = dict.fromkeys([*one.terms, *other.terms])
    terms = sum(inner(a, b) for path in paths for a in one.scaled(path) for b in other.scaled(path))
    both = (one.rest.keys() & other.rest.keys()) - {f"{path}.weight" for path in paths}
    rest = sum(float((one.rest[name].double() * other.rest[name]).sum()) for name in sorted(both))
    return terms + one.scale * other.scale * rest


def _mean_state(backbone: Backbone, text: PlainText) -> Tensor:
    """The mean state (width) of the text's tokens, in float64 on the CPU."""
    model: Any = backbone.model
    reader = model.get_encoder() if backbone.encoder_decoder else model.base_model
    pieces = sorted(chunks(backbone.encode(text.documents), LENGTH), key=len)
    if not pieces:
        raise LingarithError(f"the text of '{text.language}' in {text.source} has no two tokens; give more of it")
    start, total = len(backbone.opening), torch.zeros((), dtype=torch.float64)
    for begin in range(0, len(pieces), BATCH):
        rows = pieces[begin : begin + BATCH]
        framed = {"input_ids": [backbone.framed(row) for row in rows]}
        batch = backbone.tokenizer.pad(framed, padding_side="right", return_tensors="pt").to(backbone.device)
        with torch.inference_mode():
            states = reader(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).last_hidden_state
        for row, state in zip(rows, states, strict=True):
            total = total + state[start : start + len(row)].double().sum(0).cpu()
    return total / sum(map(len, pieces))
