"""A random vector has the size of another in every sense, and nothing else of it."""

from __future__ import annotations

import pytest
import torch

from lingarith.adapters.kronecker import Kronecker, KroneckerTerm
from lingarith.adapters.lora import Lora, LoraTerm
from lingarith.algebra import parse
from lingarith.errors import LingarithError
from lingarith.vectors.composition import realise
from lingarith.vectors.noise import noise
from lingarith.vectors.outline import FlatTensors
from lingarith.vectors.vector import Vector, content_hash

SHAPES = {"q": (6, 8), "o": (8, 6)}


def trained(adapter: Lora | Kronecker) -> Vector:
    """A vector that went somewhere from its start."""
    start = adapter.init(SHAPES, 3)
    generator = torch.Generator().manual_seed(1)
    terms = {p: (type(t)(*(f + 0.3 * torch.randn(f.shape, generator=generator) for f in t)),) for p, t in start.items()}
    begun = content_hash(FlatTensors({path: (term,) for path, term in start.items()}))
    origin = {"language": "pt", "init_seed": 3, "init_hash": begun}
    return Vector("news[pt]", terms, 1.0, {**origin, "backbone": {"fingerprint": "f"}})


@pytest.mark.parametrize("adapter", [Lora(2), Kronecker(2, 2)])
def test_sizes_are_kept(adapter: Lora | Kronecker) -> None:
    like = trained(adapter)
    made = noise(like, "random[pt]", 0)
    start = adapter.init(SHAPES, 3)
    for path, (term,) in made.terms.items():
        (other,) = like.terms[path]
        torch.testing.assert_close(term.delta().norm(), other.delta().norm())
        cosine = torch.cosine_similarity(term.delta().flatten(), other.delta().flatten(), dim=0)
        assert abs(cosine) < 0.7
        zero, began, drawn, old = (0, start[path].b, term.b, other.b) if isinstance(term, KroneckerTerm) else (
            1, start[path].a, term.a, other.a
        )  # fmt: skip
        torch.testing.assert_close((drawn - began).norm(), (old - began).norm())
        assert not start[path][zero].any()
    assert made.origin["kind"] == "random"
    assert (made.name, made.origin["like"]) == ("random[pt]", "news[pt]")


@pytest.mark.parametrize("space", ["factors", "anchored", "delta"])
def test_it_can_stand_for_the_other_in_every_space(space: str) -> None:
    like = trained(Lora(2))
    vectors = {"news": like, "random": noise(like, "random", 0)}
    realise(parse("0.4*news + 0.6*random"), vectors, space)


def test_seeds_tell_vectors_apart() -> None:
    like = trained(Lora(2))
    hashes = [content_hash(FlatTensors.of(noise(like, "random", seed))) for seed in (0, 0, 1)]
    assert hashes[0] == hashes[1] != hashes[2]


def test_an_unknown_start_is_refused() -> None:
    like = trained(Lora(2))
    with pytest.raises(LingarithError, match="does not say what it started from"):
        noise(Vector("x", like.terms, 1.0, {}), "random", 0)


def test_a_vector_that_never_moved_has_no_noise() -> None:
    start = Lora(2).init(SHAPES, 3)
    begun = Vector("x", {path: (term,) for path, term in start.items()}, 1.0)
    still = Vector("x", begun.terms, 1.0, {"init_seed": 3, "init_hash": content_hash(FlatTensors.of(begun))})
    for (term,) in noise(still, "random", 0).terms.values():
        assert isinstance(term, LoraTerm)
        assert not term.delta().any()
