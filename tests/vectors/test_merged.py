"""Compositions that merge otherwise than by the sum: what is recorded, what is refused, where layers stand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lingarith.adapters.dense import DenseTerm
from lingarith.adapters.kronecker import Kronecker
from lingarith.adapters.lora import Lora, LoraTerm
from lingarith.adapters.merging import MERGINGS, Merging
from lingarith.algebra import add, add_subtract, parse, vector
from lingarith.errors import LingarithError
from lingarith.formats.peft import open_peft, write_peft
from lingarith.vectors.composition import Composition, Space, compose, realise
from lingarith.vectors.merged import depths
from lingarith.vectors.vector import Vector

SHAPES = {"encoder.0.q": (12, 8), "encoder.1.q": (12, 8), "encoder.2.q": (12, 8), "head": (4, 8)}
LORA = Lora(2)
TASK, TARGET, SOURCE = "xlsum[en]", "mc4[pt]", "mc4[en]"
EXPRESSION = add_subtract(TASK, TARGET, SOURCE, 0.6)


def trained(name: str, kind: str, adapter: Lora | Kronecker = LORA) -> Vector:
    g = torch.Generator().manual_seed(sum(name.encode()))
    terms = {
        path: (type(term)(*(torch.randn(factor.shape, generator=g) for factor in term)),)
        for path, term in adapter.init(SHAPES, 0).items()
    }
    inputs = {path: torch.randn(40, inner, generator=g) for path, (_, inner) in SHAPES.items()}
    grams = {path: x.T @ x / len(x) for path, x in inputs.items()}
    origin = {"backbone": {"name": "tiny", "fingerprint": "f" * 64}, "kind": kind}
    return Vector(name, terms, adapter.scale, origin, gram=lambda: grams)


@pytest.fixture
def vectors() -> dict[str, Vector]:
    return {
        TASK: trained(TASK, "task", Lora(2, 1.0)),
        TARGET: trained(TARGET, "language", Lora(3)),
        SOURCE: trained(SOURCE, "language"),
    }


def by(text: str, **more: int) -> Space:
    return Space("delta", merging=Merging.of(text), **more)


@pytest.mark.parametrize("name", MERGINGS)
def test_an_adapter_comes_out(name: str, vectors: dict[str, Vector], tmp_path: Path) -> None:
    composition = compose(EXPRESSION, vectors, by(name))
    update, outline = composition.update(), composition.outline
    assert update is not None
    for path, (term,) in update.terms.items():
        assert isinstance(term, LoraTerm)
        assert [t.shape for t in term] == [t.shape for t in outline[path][0]]
    assert (update.error > 0) == (name in ("ties", "dare"))
    assert composition.norm == pytest.approx(sum(update.delta(p).norm().item() ** 2 for p in SHAPES) ** 0.5, rel=1e-4)
    write_peft(composition, tmp_path / "made", base_model="tiny", task_type="CAUSAL_LM", origin={})
    read = open_peft(tmp_path / "made", "made")
    for path in SHAPES:
        torch.testing.assert_close(read.terms[path][0].delta(), update.delta(path), rtol=1e-4, atol=1e-4)


def test_it_is_recorded(vectors: dict[str, Vector]) -> None:
    composition = compose(EXPRESSION, vectors, by("ties:density=0.5", rank=3))
    assert str(composition.space) == "delta, ties:density=0.5, rank 3"
    assert composition.vector("x", dict.fromkeys(vectors, "h")).origin["space"] == str(composition.space)
    assert 0 < composition.error < 1
    assert composition.error > compose(EXPRESSION, vectors, by("ties:density=0.5")).error


def test_the_error_of_a_cut_is_that_to_the_merged(vectors: dict[str, Vector]) -> None:
    whole, cut = (realise(EXPRESSION, vectors, by("iso", **more)) for more in ({}, {"rank": 2}))
    assert whole is not None
    assert cut is not None
    lost = sum((whole.delta(p) - cut.delta(p)).square().sum().item() for p in SHAPES)
    assert cut.error == pytest.approx(
        (lost / sum(whole.delta(p).square().sum().item() for p in SHAPES)) ** 0.5, rel=1e-4
    )


@pytest.mark.parametrize("name", MERGINGS)
def test_a_vector_alone_is_not_merged(name: str, vectors: dict[str, Vector]) -> None:
    composition = Composition(add(TASK, TARGET, 1.0), vectors, by(name))
    assert composition.space == Space("delta")
    for path in SHAPES:
        torch.testing.assert_close(composition.at(path)[0].delta(), vectors[TASK].scaled(path)[0].delta())


def test_sum_is_no_merging(vectors: dict[str, Vector]) -> None:
    assert by("sum") == Space("delta")


def test_layers_go_by_their_place(vectors: dict[str, Vector]) -> None:
    update = realise(EXPRESSION, vectors, by("layers:ramp=0"))
    plain = realise(EXPRESSION, vectors, "delta")
    assert update is not None
    assert plain is not None
    task = realise(0.6 * vector(TASK), vectors, "delta")
    away = realise(0.4 * (vector(TARGET) - vector(SOURCE)), vectors, "delta")
    assert task is not None
    assert away is not None
    for path, wanted in (("encoder.0.q", away), ("encoder.1.q", task), ("encoder.2.q", away), ("head", plain)):
        torch.testing.assert_close(update.delta(path), wanted.delta(path), rtol=1e-4, atol=1e-4)


def test_depths() -> None:
    paths = ["encoder.0.q", "encoder.4.q", "encoder.1.q", "decoder.0.q", "head"]
    assert depths(paths) == {"encoder.0.q": 0.0, "encoder.1.q": 0.25, "encoder.4.q": 1.0}
    assert depths(["base.3.layer.0.q", "base.3.layer.7.q", "decoder.4.q"]) == {}  # nobody knows which layer is the last


def test_a_projection_that_only_some_adapt(vectors: dict[str, Vector]) -> None:
    fewer = replace(
        vectors[TARGET], terms={path: terms for path, terms in vectors[TARGET].terms.items() if "0" in path}
    )
    for name in MERGINGS:
        composition = compose(EXPRESSION, vectors | {TARGET: fewer}, by(name))
        for path in SHAPES:
            assert composition.at(path)[0].a.shape == composition.outline[path][0].a.shape


def test_kronecker(vectors: dict[str, Vector]) -> None:
    kinds = {TASK: "task", TARGET: "language", SOURCE: "language"}
    alike = {name: trained(name, kind, Kronecker(4, 2)) for name, kind in kinds.items()}
    for name in MERGINGS.keys() - {"regmean"}:
        composition = compose(EXPRESSION, alike, by(name))
        for path in SHAPES:
            assert [t.shape for t in composition.at(path)[0]] == [t.shape for t in composition.outline[path][0]]
        assert compose(EXPRESSION, alike, by(name, rank=2)).at("head")[0].kind == "lora"
    refused("at encoder.0.q there are Kronecker 4 × 2", alike | {TARGET: vectors[TARGET]}, "tsv")
    refused(r"'regmean' merges LoRA alone, and xlsum\[en\] is Kronecker 4 × 2; take the sum", alike, "regmean")
    refused("adapters of one kind", alike | {TARGET: trained(TARGET, "language", Kronecker(2, 2))}, "tsv")


def refused(message: str, vectors: dict[str, Vector], name: str, text: str = str(EXPRESSION)) -> None:
    with pytest.raises(LingarithError, match=message):
        Composition(parse(text), vectors, by(name))


def test_what_cannot_be_merged(vectors: dict[str, Vector]) -> None:
    refused("nothing is added in this sum, which 'project' needs", vectors, "project", f"-{TASK} - {SOURCE}")
    stranger = replace(vectors[TARGET], origin=vectors[TARGET].origin | {"kind": "imported"})
    refused(r"'layers' must know .* mc4\[pt\] \(imported\) is neither", vectors | {TARGET: stranger}, "layers")
    compose(EXPRESSION, vectors | {TARGET: stranger}, by("tsv"))
    full = {path: (DenseTerm(torch.ones(size)),) for path, size in SHAPES.items()}
    refused(r"mc4\[pt\] is full fine-tuning", vectors | {TARGET: replace(vectors[TARGET], terms=full)}, "tsv")
    rest = replace(vectors[TARGET], rest={"norm.weight": torch.ones(3)})
    refused("'tsv' cannot carry what full fine-tuning changes", vectors | {TARGET: rest}, "tsv")
    one = {name: replace(v, terms={"encoder.3.q": v.terms["encoder.1.q"]}) for name, v in vectors.items()}
    refused("'lines' goes by the depth of layers, and the vectors change one alone", one, "lines")
    huge = {name: replace(v, scale=1e29) for name, v in vectors.items()}
    with pytest.raises(LingarithError, match="cannot be added: at encoder"):
        realise(EXPRESSION, huge, by("lines:first=10,last=10"))
    with pytest.raises(LingarithError, match="'tsv' merges exact updates, and sums are taken in 'factors'; give"):
        Space("factors", merging=Merging.of("tsv"))


def test_gram_matrices_must_be_there_and_fit(vectors: dict[str, Vector]) -> None:
    def held(gram: dict[str, torch.Tensor]) -> dict[str, Vector]:
        return vectors | {TARGET: replace(vectors[TARGET], gram=lambda: gram)}

    whole = dict(vectors[TARGET].gram())
    none = r"'regmean' needs the Gram matrix of each vector's inputs, and mc4\[pt\] has none; make it by "
    refused(none + r"`lingarith vectors gram 'mc4\[pt\]'`", held({}), "regmean")
    fewer = {path: gram for path, gram in whole.items() if path != "head"}
    refused(r"the Gram matrix of mc4\[pt\] does not fit it: head takes 8 inputs", held(fewer), "regmean")
    refused("head takes 8 inputs", held(whole | {"head": torch.eye(7)}), "regmean")
    compose(EXPRESSION, held({}), by("wudi"))  # which needs none
    alone = compose(vector(TARGET), held({}), by("regmean"))  # nor does a vector alone
    assert alone.space == Space("delta")


def test_regmean_reads_one_projection_at_a_time(vectors: dict[str, Vector]) -> None:
    read: list[str] = []

    class Noted(dict[str, torch.Tensor]):
        def __getitem__(self, path: str) -> torch.Tensor:
            read.append(path)
            return super().__getitem__(path)

    noted = {name: replace(v, gram=lambda v=v: Noted(v.gram())) for name, v in vectors.items()}
    composition = compose(EXPRESSION, noted, by("regmean"))
    assert not read
    composition.at("head")
    assert read == ["head"] * 3
    equal = {name: replace(v, gram=vectors[TASK].gram) for name, v in vectors.items()}
    ours, plain = (realise(EXPRESSION, equal, space) for space in (by("regmean"), "delta"))
    assert ours is not None
    assert plain is not None
    for path in SHAPES:
        torch.testing.assert_close(ours.delta(path), plain.delta(path), rtol=1e-4, atol=1e-4)
