"""Distances from data: worked by hand on small factors and texts, and against transformers on tiny models."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from lingarith.adapters.kronecker import KroneckerTerm
from lingarith.adapters.lora import LoraTerm
from lingarith.errors import LingarithError
from lingarith.languages.related import Nearest, related
from lingarith.model.backbone import Backbone
from lingarith.model.loading import wrap
from lingarith.newsroom.pages import page
from lingarith.study import relatedness
from lingarith.text.corpora import PlainText
from lingarith.vectors.vector import Vector

ORIGIN = {"backbone": {"fingerprint": "0f"}}


def text(language: str, *documents: str) -> PlainText:
    return PlainText(language, "newsroom", "news", documents, "")


def pages(language: str) -> PlainText:
    return text(language, *(page("text", language, number)[:300] for number in range(2)))


def vector(name: str, *factors: tuple[list[list[float]], list[list[float]]], scale: float = 1.0) -> Vector:
    """Each pair is a (r × in) and b (out × r) at one projection."""
    terms = {f"p{k}": (LoraTerm(torch.tensor(a), torch.tensor(b)),) for k, (a, b) in enumerate(factors)}
    return Vector(name, terms, scale, ORIGIN)


def test_cosines_of_updates_not_of_factors() -> None:
    a = [[1.0, 0.0]]
    one = vector("news[en]", (a, [[1.0], [0.0]]), (a, [[1.0], [0.0]]))
    half = vector("news[pt]", (a, [[1.0], [0.0]]), (a, [[0.0], [1.0]]), scale=3.0)
    opposite = vector("news[uk]", ([[-1.0, 0.0]], [[1.0], [0.0]]), (a, [[-1.0], [0.0]]))
    nothing = vector("news[fa]", (a, [[0.0], [0.0]]), (a, [[0.0], [0.0]]))
    table = relatedness.vectors({"en": one, "pt": half, "uk": opposite, "fa": nothing})
    assert relatedness.vectors({"en": half, "pt": half}).between("en", "pt") == pytest.approx(0, abs=1e-9)
    assert table.between("en", "pt") == pytest.approx(0.5)
    assert table.between("en", "uk") == pytest.approx(2.0)
    assert table.between("en", "fa") is None
    assert str(table) == "vectors (news[en], news[pt], news[uk], news[fa])"


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10**6))
def test_cosines_are_those_of_dense_updates(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)

    def draw(*size: int) -> Tensor:
        return torch.randn(size, generator=generator)

    def made(kind: str) -> tuple[LoraTerm | KroneckerTerm, ...]:
        lora, kronecker = LoraTerm(draw(2, 6), draw(4, 2)), KroneckerTerm(draw(1, 2, 3), draw(1, 2, 2))
        return {"lora": (lora,), "kronecker": (kronecker,), "both": (lora, kronecker)}[kind]

    of = {
        code: Vector(f"news[{code}]", {path: made(kind) for path in ("p", "q")}, 0.5, ORIGIN)
        for code, kind in (("en", "lora"), ("pt", "kronecker"), ("uk", "both"))
    }
    dense = {
        code: torch.cat([sum(term.delta() for term in one.terms[path]).flatten() for path in ("p", "q")])  # type: ignore[union-attr]
        for code, one in of.items()
    }
    table = relatedness.vectors(of)
    for one, other in (("en", "pt"), ("en", "uk"), ("uk", "pt")):
        expected = 1 - torch.cosine_similarity(dense[one].double(), dense[other].double(), dim=0).item()
        assert table.between(one, other) == pytest.approx(expected, abs=1e-6)


def test_vectors_of_two_backbones_are_refused() -> None:
    one = vector("news[en]", ([[1.0, 0.0]], [[1.0], [0.0]]))
    elsewhere = Vector("news[uk]", one.terms, 1.0, {"backbone": {"fingerprint": "1e"}})
    with pytest.raises(LingarithError, match=r"news\[en\] and news\[uk\] are not of one backbone"):
        relatedness.vectors({"en": one, "xx": elsewhere})


def test_a_projection_that_a_vector_lacks_is_zero() -> None:
    pair = ([[1.0, 0.0]], [[1.0], [0.0]])
    few, more = vector("news[en]", pair), vector("news[pt]", pair, pair)
    for of in ({"en": few, "pt": more}, {"pt": more, "en": few}):
        assert relatedness.vectors(of).between("en", "pt") == pytest.approx(1 - 0.5**0.5)


def causal(of: Backbone) -> Backbone:
    """A decoder-only model that reads with the same pieces."""
    config = LlamaConfig(
        vocab_size=len(of.tokenizer), hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2,
        pad_token_id=0, eos_token_id=1,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        if parameter.ndim == 2:
            parameter.data.normal_(0, 0.3, generator=generator)
    return wrap(model, of.tokenizer, name="causal")


def states(on: Backbone, ids: list[int]) -> Tensor:
    """The states of one input's own tokens by the whole model, without batch and padding."""
    model: Any = on.model
    rows = torch.tensor([[*on.opening, *ids, *on.closing]])
    with torch.inference_mode():
        if on.encoder_decoder:
            last = model(input_ids=rows, decoder_input_ids=rows[:, :1]).encoder_last_hidden_state
        else:
            last = model(input_ids=rows, output_hidden_states=True).hidden_states[-1]
    return last[0, len(on.opening) : len(on.opening) + len(ids)]


@pytest.mark.parametrize("kind", ["encoder-decoder", "decoder-only"])
def test_hidden_states(kind: str, backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relatedness, "LENGTH", 16)
    monkeypatch.setattr(relatedness, "BATCH", 3)
    model = backbone if kind == "encoder-decoder" else causal(backbone)
    texts = {code: pages(code) for code in ("en", "pt", "uk", "fi")}
    heard: list[tuple[str, int, int]] = []
    table = relatedness.hidden_states(model, texts, lambda *said: heard.append(said))
    means = {}
    for code, one in texts.items():
        pieces = [ids[k : k + 16] for ids in model.encode(one.documents) for k in range(0, len(ids), 16)]
        means[code] = torch.cat([states(model, ids) for ids in pieces if len(ids) > 1]).double().mean(0)
    shared = sum(means.values()) / 4
    for one, other in (("en", "pt"), ("uk", "fi"), ("pt", "uk")):
        expected = 1 - torch.cosine_similarity(means[one] - shared, means[other] - shared, dim=0).item()
        assert table.between(one, other) == pytest.approx(expected, abs=1e-4)
    assert heard == [("reading plain text", done, 4) for done in (1, 2, 3, 4)]
    assert related("pt", ["en", "uk", "fi"], Nearest(1), distances=[table]).measures == (
        f"hidden-states ({model.name} on newsroom)",
    )


def test_languages_of_one_text_have_no_distance_that_is_known(backbone: Backbone) -> None:
    same = pages("en")
    assert relatedness.hidden_states(backbone, {"en": same, "pt": same, "uk": same}).between("en", "pt") is None


def test_two_languages_are_too_few_for_hidden_states(backbone: Backbone) -> None:
    with pytest.raises(LingarithError, match="hidden states of 2 languages cannot be compared"):
        relatedness.hidden_states(backbone, {"en": pages("en"), "pt": pages("pt")})


def test_hidden_states_of_no_text(backbone: Backbone) -> None:
    texts = {"en": pages("en"), "pt": pages("pt"), "uk": text("uk", "")}
    with pytest.raises(LingarithError, match="the text of 'uk' in newsroom has no two tokens"):
        relatedness.hidden_states(backbone, texts)


def test_subwords_by_hand(backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shares (¾, ¼, 0) and (¼, ¼, ½): Σ min = ½, Σ max = 1½."""
    pieces = {"x": [1, 1], "y": [1, 2], "z": [1, 2, 3, 3]}
    monkeypatch.setattr(Backbone, "encode", lambda self, texts: [pieces[each] for each in texts])
    table = relatedness.subwords(backbone, {"en": text("en", "x", "y"), "pt": text("pt", "z"), "uk": text("uk", "x")})
    assert table.between("en", "pt") == pytest.approx(1 - 0.5 / 1.5)
    assert table.between("en", "uk") == pytest.approx(1 - 0.75 / 1.25)


def test_subwords_of_real_text(backbone: Backbone) -> None:
    table = relatedness.subwords(backbone, {code: pages(code) for code in ("en", "pt", "uk")})
    near, far = table.between("en", "pt"), table.between("en", "uk")
    assert near is not None
    assert far is not None
    assert 0 < near < far < 1  # two scripts
