"""Terms that are made when they are asked for, and what is known of them before."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lingarith.adapters.kronecker import KroneckerTerm
from lingarith.adapters.lora import LoraTerm
from lingarith.adapters.terms import Term, collected
from lingarith.disk.tensors import TensorFile, write_safetensors
from lingarith.errors import LingarithError
from lingarith.vectors.outline import FlatTensors, LazyTerms, Terms, outliers, outline, terms_in
from lingarith.vectors.vector import Vector

LORA = LoraTerm(torch.ones(2, 6), torch.ones(4, 2))
SMALL, LARGE = (KroneckerTerm(torch.ones(r, 2, m), torch.ones(r, 2, 6 // m)) for r, m in ((3, 2), (1, 3)))
TERMS: Terms = {"q": (LORA, SMALL, LARGE), "q.l": (LORA,), "r": (SMALL,)}


def shapes(terms: tuple[Term, ...]) -> list[object]:
    return [(type(term), term.a.shape, term.b.shape) for term in terms]


def test_flat_tensors_are_those_of_a_vector() -> None:
    norm = torch.ones(5)
    flat = FlatTensors.of(Vector("x", TERMS, 1.0, rest={"norm": norm}))
    theirs = {
        f"{path}.{term.kind}.{which}": tensor
        for path, terms in TERMS.items()
        for term in terms
        for which, tensor in zip("ab", term, strict=True)
    } | {"norm.rest": norm}
    assert list(flat) == sorted(theirs)
    assert len(flat) == len(theirs) == 11
    assert all(flat[name] is theirs[name] for name in theirs)


def test_flat_tensors_ask_for_a_projection_once() -> None:
    asked: list[str] = []

    def read(path: str) -> tuple[Term, ...]:
        asked.append(path)
        return TERMS[path]

    lazy = LazyTerms(outline(TERMS), read)
    assert (len(lazy), list(lazy), asked) == (3, ["q", "q.l", "r"], [])
    for name, tensor in FlatTensors(lazy).items():
        assert FlatTensors(lazy.outline)[name].shape == tensor.shape
    # In the order of the names, q.l.lora stands between q.kronecker-2x2 and q.lora.
    assert asked == ["q", "q.l", "q", "r"]


def test_an_outline_has_shapes_and_no_numbers() -> None:
    made = outline(TERMS)
    assert {path: shapes(terms) for path, terms in made.items()} == {path: shapes(TERMS[path]) for path in TERMS}
    assert {tensor.device.type for terms in made.values() for term in terms for tensor in term} == {"meta"}
    assert outline(LazyTerms(made, lambda _: ())) is made


def test_an_outline_is_collected_as_the_terms_are() -> None:
    for terms in ((LARGE, LORA, SMALL, LORA, LARGE), (SMALL,)):
        collected_outline = collected(outline({"q": terms})["q"])
        assert shapes(collected_outline) == shapes(collected(terms))
        assert {tensor.device.type for term in collected_outline for tensor in term} == {"meta"}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"q.lora.a": None}, "'q.lora' has no float32 factors"),
        ({"q.lora.a": torch.ones(6)}, "'q.lora' has no float32 factors"),
        ({"q.lora.a": torch.ones(3, 6)}, "'q.lora' has no float32 factors"),
        ({"q.lora.a": torch.ones(2, 6).double()}, "'q' has no float32 factors"),
        ({"q.lora.a": torch.ones(2, 5)}, "'q' has no float32 factors"),
        ({"q.dora.a": torch.ones(2, 6), "q.dora.b": torch.ones(4, 2)}, "'q.dora' has no float32 factors"),
        ({"q.loras.a": torch.ones(2, 6), "q.loras.b": torch.ones(4, 2)}, "'q.loras' has no float32 factors"),
        ({"q.kronecker-3x3.a": torch.ones(1, 2, 3)}, "'q.kronecker-3x3' has no float32 factors"),
        ({"stray": torch.ones(1)}, "'' has no float32 factors"),
        (dict.fromkeys(FlatTensors(TERMS)), "there is no projection in it; make it again"),
    ],
)
def test_files_that_hold_no_terms(tmp_path: Path, change: dict[str, torch.Tensor | None], sentence: str) -> None:
    path = tmp_path / "x.safetensors"
    tensors = dict(FlatTensors(TERMS))
    tensors |= {"s.lora.a": torch.ones(3, 6), "s.lora.b": torch.ones(4, 3)}  # of another rank
    write_safetensors(path, tensors)
    assert {p: shapes(terms) for p, terms in terms_in(TensorFile(path)).items() if p != "s"} == {
        p: shapes(TERMS[p]) for p in TERMS
    }
    tensors = {name: tensor for name, tensor in tensors.items() if not name.startswith("s.")}
    write_safetensors(path, {name: tensor for name, tensor in (tensors | change).items() if tensor is not None})
    with pytest.raises(LingarithError, match=sentence):
        terms_in(TensorFile(path, mend="make it again"))


def test_outliers_are_named() -> None:
    def term(a: float, b: float, inputs: int = 6) -> tuple[Term, ...]:
        return (LoraTerm(torch.full((2, inputs), float(a)), torch.full((4, 2), float(b))),)

    usual = {f"layer.{number}": term(1 + number / 10, 0.0 if number < 5 else 1e-3, 6 + number) for number in range(9)}
    assert outliers(usual) == []
    (said,) = outliers(usual | {"layer.4": term(1, 0.2)})
    assert said == "tensor 'layer.4.lora.b' is 200 times as large as its siblings (root mean square 0.2)"
    huge = outliers(usual | {"layer.4": term(2e30, 0), "layer.7": term(1, 1.0)})
    assert [sentence.split()[1] for sentence in huge] == ["'layer.4.lora.a'", "'layer.7.lora.b'"]
    assert outliers({path: term(0, 0) for path in usual}) == []
