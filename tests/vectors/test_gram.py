"""The file of Gram matrices beside a vector in the store: written, read, refused, and no part of the vector."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lingarith.adapters.lora import LoraTerm
from lingarith.disk.tensors import write_safetensors
from lingarith.errors import LingarithError
from lingarith.store.objects import GRAM
from lingarith.store.store import Store
from lingarith.vectors.gram import HASHES, Gram, gram_file
from lingarith.vectors.vector import Vector

HERE, ELSEWHERE, DATA = "f" * 64, "e" * 64, "d" * 64
MATRIX = torch.tensor([[2.0, 1, 0], [1, 2, 0], [0, 0, 5]])
GRAMS = {"layer.0.q": MATRIX, "layer.0.v": 3 * MATRIX}
ABOUT = {"backbone": HERE, "data": DATA, "tokens": "40"}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def digest(store: Store) -> str:
    """That of a vector in the store."""
    term = LoraTerm(torch.ones(2, 3), torch.ones(4, 2))
    return store.put(Vector("x[en]", dict.fromkeys(GRAMS, (term,)), 1.0, {"backbone": {"fingerprint": HERE}}))


def put(store: Store, digest: str, grams: Mapping[str, Tensor] = GRAMS) -> Path:
    sizes = {path: len(gram) for path, gram in grams.items()}
    store.objects.put_gram(digest, gram_file(sizes, grams.items(), HERE, DATA, 40))
    return store.folder / "objects" / digest / GRAM


def test_it_lies_beside_the_vector_and_is_no_part_of_it(store: Store, digest: str) -> None:
    before = store.get("x[en]")
    assert not before.gram()
    path = put(store, digest)
    assert [one.name for one in path.parent.iterdir() if one.name.startswith(".tmp")] == []
    vector = store.get("x[en]")
    for held in (before, vector):  # the one that was there before finds it too
        gram = held.gram()
        assert isinstance(gram, Gram)
        assert (gram.data, gram.tokens, [*gram]) == (DATA, 40, [*GRAMS])
        for name, matrix in GRAMS.items():
            assert torch.equal(gram[name], matrix)
    assert store.put(vector) == digest
    assert store.verify() == []
    put(store, digest, {"layer.0.q": MATRIX})  # in its place
    assert [*store.get("x[en]").gram()] == ["layer.0.q"]


def test_nothing_is_left_where_numbers_are_none(store: Store, digest: str) -> None:
    for number in (float("nan"), float("inf")):
        with pytest.raises(LingarithError, match="the Gram matrix: tensor 'q' holds NaN or Inf"):
            put(store, digest, {"q": torch.full((2, 2), number)})
    assert not store.objects.gram(digest)
    assert {path.name for path in (store.folder / "objects" / digest).iterdir()} == {
        "origin.json",
        "vector.safetensors",
    }


@pytest.mark.parametrize(
    ("grams", "about", "sentence"),
    [
        (GRAMS, ABOUT, "is no Gram matrix of a vector: it does not say what it was measured on"),  # nor its hashes
        (GRAMS, {}, "is no Gram matrix of a vector: it does not say what it was measured on"),
        (GRAMS, ABOUT | {"tokens": "many"}, "it does not say what it was measured on"),
        (GRAMS, ABOUT | {"backbone": ELSEWHERE}, "is of another backbone (eeeeeeee…, the vector's is ffffffff…)"),
        ({"q": MATRIX.double()}, ABOUT, "'q' is not square in float32"),
        ({"q": MATRIX[:2]}, ABOUT, "'q' is not square in float32"),
        ({"q": MATRIX[0]}, ABOUT, "'q' is not square in float32"),
        ({"q": MATRIX.triu()}, ABOUT, "is damaged: 'q' is not what was written"),
        ({"q": -MATRIX}, ABOUT, "is damaged: 'q' is not what was written"),
        ({"q": MATRIX}, ABOUT, "is damaged: 'q' is not what was written"),
        ({"q": MATRIX, "v": MATRIX}, ABOUT, "is damaged: its hashes are not those of 2 matrices"),
    ],
)
def test_a_foreign_or_damaged_file_is_refused(
    grams: Mapping[str, Tensor], about: dict[str, str], sentence: str, store: Store, digest: str
) -> None:
    path = store.folder / "objects" / digest / GRAM
    hashes = {} if grams is GRAMS and about is ABOUT else {HASHES: torch.zeros(1, 32, dtype=torch.uint8)}
    write_safetensors(path, {**grams, **hashes}, about)
    vector = store.get("x[en]")  # which is as good as before
    with pytest.raises(LingarithError) as raised:
        dict(vector.gram())
    assert str(raised.value).startswith(str(path))
    assert sentence in str(raised.value)
    assert str(raised.value).endswith("; delete it and make it again, by `lingarith vectors gram 'x[en]'`")
    assert store.verify() == [str(raised.value)]


def test_a_file_that_was_cut_off_is_refused(store: Store, digest: str) -> None:
    path = put(store, digest)
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(LingarithError, match="is damaged: truncated"):
        store.get("x[en]").gram()


def test_a_store_elsewhere_has_it_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = f"file://{tmp_path / 'there'}"
    term, made = LoraTerm(torch.ones(2, 3), torch.ones(4, 2)), {"backbone": {"fingerprint": HERE}}
    monkeypatch.setenv("LINGARITH_CACHE", str(tmp_path / "one"))
    first = Store.at(place)
    digest = first.put(Vector("x[en]", dict.fromkeys(GRAMS, (term,)), 1.0, made))
    path = put(first, digest)
    there = tmp_path / "there" / "objects" / digest / GRAM
    assert there.read_bytes() == path.read_bytes()
    monkeypatch.setenv("LINGARITH_CACHE", str(tmp_path / "other"))
    assert torch.equal(Store.at(place).get("x[en]").gram()["layer.0.v"], 3 * MATRIX)
    there.unlink()
    first.catch_up()  # what a network that failed kept back
    assert there.read_bytes() == path.read_bytes()
