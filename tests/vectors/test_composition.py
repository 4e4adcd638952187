"""Compositions made one projection at a time give what compositions in memory give, and say its shapes before."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lingarith.adapters.kronecker import Kronecker, KroneckerTerm
from lingarith.adapters.lora import Lora, LoraTerm
from lingarith.adapters.terms import Term, norm
from lingarith.algebra import parse
from lingarith.disk.tensors import TensorFile
from lingarith.errors import LingarithError
from lingarith.store.store import Store
from lingarith.vectors.composition import Composition, Space, compose, realise
from lingarith.vectors.outline import FlatTensors
from lingarith.vectors.vector import Update, Vector, content_hash

SIZES = {"layer.0.q": (6, 4), "layer.0.v": (2, 4), "layer.1.q": (6, 4), "layer.1.v": (2, 4)}
BACKBONE = {"name": "tiny", "fingerprint": "f" * 64}


def vector(name: str, adapter: Lora | Kronecker, seed: int, sizes: Mapping[str, tuple[int, int]] = SIZES) -> Vector:
    """A vector that started at seed 0 and moved away at random."""
    g = torch.Generator().manual_seed(seed)
    start = adapter.init(sizes, 0)
    moved: dict[str, tuple[Term, ...]] = {
        path: (type(term)(*(t + torch.randn(t.shape, generator=g) for t in term)),) for path, term in start.items()
    }
    init = content_hash(FlatTensors({path: (term,) for path, term in start.items()}))
    return Vector(name, moved, adapter.scale, {"backbone": BACKBONE, "init_seed": 0, "init_hash": init})


VECTORS = {
    "two": vector("two", Lora(2, 1.0), 1),
    "also": vector("also", Lora(2, 1.0), 2),
    "one": vector("one", Lora(1), 3),
    "small": vector("small", Kronecker(2, 2), 4),
    "large": vector("large", Kronecker(4, 1), 5),
}

CASES = [
    ("0.6*two - 0.4*also", Space("factors")),
    ("0.6*two - 0.4*also", Space("anchored")),
    ("0.6*two - 0.4*also", Space("peft-linear")),
    ("small", Space("factors")),
    ("0.6*two - 0.4*one", Space("delta")),
    ("two + small - large + small", Space("delta")),
    ("0.6*two - 0.4*one", Space("delta", 2)),
    ("0.6*two - 0.4*one", Space("delta", 9)),
    ("two + small", Space("delta", 2)),
    ("two + small", Space("delta", 9)),
    ("small - large", Space("delta", 2, (2, 2))),
    ("small", Space("delta", 9, (2, 2))),
    ("two", Space("delta", 9, (4, 2))),
]


@pytest.mark.parametrize(("expression", "space"), CASES, ids=str)
def test_it_is_what_realise_makes(expression: str, space: Space, tmp_path: Path) -> None:
    store = Store(tmp_path)
    on_disk = {name: store.open(store.put(vector)) for name, vector in VECTORS.items()}
    combination = parse(expression)
    made, update = Composition(combination, on_disk, space), realise(combination, VECTORS, space)
    shapes = {path: [(type(t), t.a.shape, t.b.shape) for t in terms] for path, terms in made.outline.items()}
    terms = dict(made.terms)
    assert {path: [(type(t), t.a.shape, t.b.shape) for t in held] for path, held in terms.items()} == shapes
    for path in SIZES:
        torch.testing.assert_close(Update(terms, "").delta(path), update.delta(path), rtol=0, atol=1e-6)
    assert made.error == pytest.approx(update.error, abs=1e-12)
    assert made.norm == pytest.approx(sum(norm(held) ** 2 for held in terms.values()) ** 0.5, rel=1e-6)


def test_the_error_needs_no_earlier_pass() -> None:
    made, used = (Composition(parse("two - one"), VECTORS, Space("delta", 1)) for _ in range(2))
    for path in reversed(used.paths):  # the order changes nothing
        used.at(path)
    assert made.error == used.error > 0.1
    assert Composition(parse("two - one"), VECTORS, Space("delta")).error == 0


@pytest.mark.parametrize(
    ("expression", "size", "highest", "sentence"),
    [
        ("two - one", None, 3, "the exact sum has rank 3"),
        ("two + small", None, 4, "the exact sum has rank 4"),
        ("small", (2, 2), 1, "1 Kronecker products of that size hold the exact sum"),
        ("two", (4, 2), 3, "3 Kronecker products of that size hold the exact sum"),
    ],
)
def test_ranks_above_the_exact_one(expression: str, size: tuple[int, int] | None, highest: int, sentence: str) -> None:
    def check(space: Space) -> None:
        compose(parse(expression), VECTORS, space)

    check(Space("delta"))
    check(Space("delta", highest, size))
    with pytest.raises(LingarithError, match=rf"rank {highest + 1} is too high: {sentence}; ask for at most that"):
        check(Space("delta", highest + 1, size))
    Composition(parse(expression), VECTORS, Space("delta", highest + 1, size))  # as a search does


def test_the_empty_combination_is_the_bare_backbone() -> None:
    for space in (Space("factors"), Space("delta", 50)):
        empty = compose(parse("two - two"), VECTORS, space)
        assert empty.update() is None
        for name in ("paths", "outline", "terms", "rest", "norm"):
            with pytest.raises(LingarithError, match=r"^the combination is 0: nothing is left to add"):
                getattr(empty, name)
        with pytest.raises(LingarithError, match=r"^the combination is 0: nothing is left to add"):
            empty.vector("sum", {})


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.sampled_from(sorted(VECTORS)), min_size=1, max_size=4, unique=True),
    st.one_of(st.none(), st.integers(1, 9)),
)
def test_what_is_put_into_the_store_is_what_was_made(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], rank: int | None
) -> None:
    store = Store(tmp_path_factory.getbasetemp() / "composed")
    hashes = {name: store.put(VECTORS[name]) for name in names}
    made = Composition(parse(" - ".join(names)), VECTORS, Space("delta", rank))
    digest = store.put(made.vector("sum", hashes), late=lambda: {"error": made.error})
    back = store.get(digest)
    assert all(torch.equal(FlatTensors(back.terms)[name], t) for name, t in FlatTensors(made.terms).items())
    assert back.origin == {
        "kind": "composed", "expression": str(made.combination), "space": str(made.space),
        "error": made.error, "parents": hashes, "backbone": BACKBONE, "adapter": {"kind": "composed"},
    }  # fmt: skip


@pytest.mark.parametrize(("expression", "space"), CASES, ids=str)
def test_few_tensors_are_held_at_a_time(
    expression: str, space: Space, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many, store = {f"layer.{number}.q": (6, 4) for number in range(20)}, Store(tmp_path)
    adapters = [Lora(2, 1.0), Lora(2, 1.0), Lora(1), Kronecker(2, 2), Kronecker(4, 1)]
    for name, adapter in zip(VECTORS, adapters, strict=True):
        store.put(vector(name, adapter, 0, many))
    held: list[weakref.ref[torch.Tensor]] = []
    most = 0
    read = TensorFile.__getitem__

    def noted(self: TensorFile, name: str) -> torch.Tensor:
        nonlocal most
        tensor = read(self, name)
        held[:] = [one for one in held if one() is not None] + [weakref.ref(tensor)]
        most = max(most, len(held))
        return tensor

    monkeypatch.setattr(TensorFile, "__getitem__", noted)
    combination = parse(expression)
    made = Composition(combination, {name: store.open(name) for name in VECTORS}, space)
    store.put(made.vector("sum", dict.fromkeys(VECTORS, "0")), late=lambda: {"error": made.error})
    assert 2 <= most <= 2 * len(combination.names) + 2


def test_kronecker_sizes_that_do_not_divide() -> None:
    with pytest.raises(LingarithError, match=r"m=3 does not divide the 4 inputs of layer\.0\.q"):
        Composition(parse("two"), VECTORS, Space("delta", 1, (3, 2)))


def test_terms_of_a_kind_are_one_term() -> None:
    made: Any = Composition(parse("two + one + small + large"), VECTORS, Space("delta")).terms["layer.0.q"]
    assert [term.described() for term in made] == ["LoRA, rank 3", "Kronecker 2 × 2", "Kronecker 4 × 1"]
    assert isinstance(made[1], KroneckerTerm)


def test_every_projection_is_compared_before_any_is_made() -> None:
    two = VECTORS["two"]
    wide = LoraTerm(torch.zeros(2, 9), torch.zeros(2, 2))
    other = Vector("other", {**two.terms, "layer.1.v": (wide,)}, two.scale, two.origin)
    for space in (Space("factors"), Space("delta")):
        with pytest.raises(LingarithError, match=r"other and two .*: the sizes of layer\.1\.v differ"):
            Composition(parse("two + other"), {"two": two, "other": other}, space)
