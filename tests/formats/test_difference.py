"""The difference of two checkpoints: exact, or cut with its error stated."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lingarith.adapters.lora import LoraTerm
from lingarith.algebra import parse
from lingarith.disk.tensors import read_safetensors, write_safetensors
from lingarith.errors import LingarithError
from lingarith.formats import difference as module
from lingarith.formats.difference import Difference, difference
from lingarith.formats.merged import write_merged
from lingarith.vectors.composition import Composition, Space

LINEARS = {f"model.layers.{k}.attn.{name}": size for k in (0, 1) for name, size in (("q", (6, 4)), ("k", (2, 4)))}
REST = {"model.embed.weight": torch.empty(8, 4, device="meta"), "model.norm.weight": torch.empty(4, device="meta")}
FACTS = {"name": "base", "fingerprint": "ff"}


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def a_model(folder: Path, seed: int, **changed: Tensor) -> Path:
    folder.mkdir()
    held = {f"{path}.weight": random(*size, seed=seed + k) for k, (path, size) in enumerate(LINEARS.items())}
    held |= {"model.embed.weight": random(8, 4), "model.norm.weight": torch.ones(4)}
    write_safetensors(folder / "model.safetensors", held | changed)
    (folder / "config.json").write_text("{}")
    return folder


def taken(tmp_path: Path, **keys: Any) -> Difference:
    base = a_model(tmp_path / "base", 0)
    tuned = a_model(tmp_path / "tuned", 10, **{"model.norm.weight": torch.full((4,), 3.0)})
    return difference(tuned, base, "chat[en]", FACTS, LINEARS, REST, **keys)


def test_base_plus_the_difference_is_the_tuned_model(tmp_path: Path) -> None:
    made = taken(tmp_path)
    assert made.others == {"model.norm.weight": 4.0}  # 2 in each of 4 places
    assert made.error == 0
    composition = Composition(parse("chat[en]"), {"chat[en]": made.vector}, Space("delta"))
    write_merged(composition, tmp_path / "base", tmp_path / "again")
    there, tuned = (read_safetensors(tmp_path / name / "model.safetensors") for name in ("again", "tuned"))
    for name, tensor in tuned.items():
        torch.testing.assert_close(there[name], tensor, rtol=1e-6, atol=1e-6)
    size = sum(
        float((tuned[f"{p}.weight"] - random(*s, seed=k)).square().sum()) for k, (p, s) in enumerate(LINEARS.items())
    )
    assert made.norm == pytest.approx((size + 16) ** 0.5)


def test_a_cut_is_the_best_of_its_rank_and_its_error_is_true(tmp_path: Path) -> None:
    made = taken(tmp_path, rank=1)
    assert not made.vector.rest
    lost = whole = 0.0
    for k, (path, size) in enumerate(LINEARS.items()):
        change = random(*size, seed=10 + k) - random(*size, seed=k)
        values = torch.linalg.svdvals(change)
        [term] = made.vector.terms[path]
        assert isinstance(term, LoraTerm)
        assert float((change - term.delta()).norm()) == pytest.approx(float(values[1:].norm()), rel=1e-4)
        lost, whole = lost + float(values[1:].square().sum()), whole + float(values.square().sum())
    assert made.error == pytest.approx((lost / whole) ** 0.5, rel=1e-4)


@pytest.mark.parametrize("error", [0.5, 0.05])
def test_the_least_rank_within_an_error(error: float, tmp_path: Path) -> None:
    made = taken(tmp_path, error=error)
    for k, (path, size) in enumerate(LINEARS.items()):
        change = random(*size, seed=10 + k) - random(*size, seed=k)
        values = torch.linalg.svdvals(change)
        tails = [float(values[r:].norm() / values.norm()) for r in range(1, len(values) + 1)]
        [term] = made.vector.terms[path]
        assert len(term[0]) == next(r for r, tail in enumerate(tails, 1) if tail <= error + 1e-6)
        assert float((change - term.delta()).norm() / change.norm()) <= error + 1e-5


@pytest.mark.parametrize("keys", [{"rank": 6}, {"error": 0.2}])
def test_large_matrices_by_a_sketch(keys: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SMALL", 32)
    matrix = random(300, 6, seed=1) @ random(6, 200, seed=2) + 0.01 * random(300, 200, seed=3)
    a, b, lost, whole = module._cut(matrix, keys.get("rank"), keys.get("error"))
    assert len(a) <= 6
    assert lost == pytest.approx(float((matrix - b @ a).double().square().sum()), rel=1e-2)
    assert lost / whole <= max(keys.get("error", 0) ** 2, 1e-3)
    again, *_ = module._cut(matrix, keys.get("rank"), keys.get("error"))
    assert torch.equal(a, again)


def test_what_has_no_difference(tmp_path: Path) -> None:
    base = a_model(tmp_path / "base", 0)
    wider = a_model(tmp_path / "wider", 1, **{"model.embed.weight": torch.ones(9, 4)})
    more = a_model(tmp_path / "more", 1, extra=torch.ones(1))
    for tuned, sentence in [
        (wider, "model.embed.weight is 9 × 4 in .*wider and 8 × 4 in .*base; a vector is the difference"),
        (more, "extra is in .*more and not in .*base"),
        (base, "no linear layer of .*base differs from"),
    ]:
        with pytest.raises(LingarithError, match=sentence):
            difference(tuned, base, "x", FACTS, LINEARS, REST)
    for keys, sentence in [
        ({"rank": 0}, "at least 1"),
        ({"error": 2.0}, "between 0 and 1"),
        ({"rank": 2, "error": 0.1}, "one of them"),
    ]:
        with pytest.raises(LingarithError, match=sentence):
            difference(wider, base, "x", FACTS, LINEARS, REST, **keys)
    (wider / "config.json").write_text(json.dumps({"quantization_config": {}}))
    with pytest.raises(LingarithError, match="is quantised"):
        difference(wider, base, "x", FACTS, LINEARS, REST)
