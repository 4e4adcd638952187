"""LoKr folders in and out; PEFT itself is the oracle."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lingarith.adapters.kronecker import Kronecker, KroneckerTerm
from lingarith.adapters.lora import LoraTerm
from lingarith.adapters.terms import Term
from lingarith.algebra import parse
from lingarith.disk.tensors import read_safetensors, write_safetensors
from lingarith.errors import LingarithError
from lingarith.formats.lokr import open_lokr, write_lokr
from lingarith.vectors.composition import Composition, Space, realise
from lingarith.vectors.vector import Vector

SIZES = {"layers.0.q": (16, 8), "layers.0.k": (8, 8), "layers.1.q": (16, 8), "layers.1.k": (8, 8)}
BACKBONE = {"name": "tiny", "revision": "abc", "fingerprint": "ff"}


class Tiny(torch.nn.Module):
    """Two layers whose q and k differ in size, as in grouped-query attention."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        one = [
            torch.nn.ModuleDict({"q": torch.nn.Linear(8, 16, bias=False), "k": torch.nn.Linear(8, 8)}) for _ in range(2)
        ]
        self.layers = torch.nn.ModuleList(one)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def product(m: int, n: int, count: int = 1, seed: int = 0) -> dict[str, tuple[Term, ...]]:
    return {
        path: (KroneckerTerm(random(count, n, m, seed=seed), random(count, out // n, inner // m, seed=seed + 1)),)
        for path, (out, inner) in SIZES.items()
    }


def composed(terms: dict[str, tuple[Term, ...]], space: Space | str = "delta") -> Composition:
    vector = Vector("task", terms, 0.5, {"backbone": BACKBONE})
    return Composition(parse("3*task"), {"task": vector}, Space.of(space))


def write(composition: Composition, folder: Path) -> Path:
    write_lokr(composition, folder, base_model="tiny", task_type="CAUSAL_LM", origin={"backbone": BACKBONE})
    return folder


def changed(folder: Path, change: dict[str, Any]) -> Path:
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(config | change))
    return folder


@pytest.mark.parametrize("factor", [1, 2, 4, 8])
def test_peft_makes_the_same_update(factor: int, tmp_path: Path) -> None:
    from peft import PeftModel

    composition = composed(product(factor, factor))
    write(composition, tmp_path / "x")
    update = realise(composition.combination, composition.vectors, "delta")
    adapted = PeftModel.from_pretrained(Tiny(), changed(tmp_path / "x", {"task_type": None}))
    modules = {p: m for p, m in adapted.base_model.model.named_modules() if hasattr(m, "lokr_w1")}
    assert modules.keys() == SIZES.keys()
    for path, module in modules.items():
        torch.testing.assert_close(module.get_delta_weight("default"), update.delta(path))


def test_files_and_back(tmp_path: Path) -> None:
    composition = composed(product(2, 2, count=3), Space("delta", rank=1, kronecker=(4, 4)))
    write(composition, tmp_path / "x")
    update = realise(composition.combination, composition.vectors, composition.space)
    about = json.loads((tmp_path / "x" / "lingarith.json").read_text())
    assert about == {
        "backbone": BACKBONE, "schema": 1, "space": "delta, 1 × Kronecker 4 × 4", "error": update.error,
        "made_from": {"task": {}}, "base_model": "tiny",
    }  # fmt: skip
    assert 0 < about["error"] < 1
    vector = open_lokr(tmp_path / "x", "back")
    assert (vector.name, vector.scale, vector.adapter) == ("back", 1.0, "Kronecker 4 × 4")
    assert vector.origin["backbone"] == {"name": "tiny", "revision": "abc"}
    assert list(vector.terms) == sorted(SIZES)
    for path in SIZES:
        assert torch.equal(vector.terms[path][0].delta(), update.delta(path))
    write(composed(product(1, 1)), tmp_path / "x")  # its own folder is replaced
    (tmp_path / "x" / "notes.txt").write_text("mine")
    with pytest.raises(LingarithError, match=r"holds notes\.txt"):
        write(composition, tmp_path / "x")


@pytest.mark.parametrize(
    "settings",
    [
        {"r": 10_000, "alpha": 5_000, "decompose_factor": 4},
        {"r": 1, "alpha": 3, "decompose_both": True},
        {"r": 2, "alpha": 2, "decompose_factor": 2, "init_weights": "lycoris"},
        {"r": 2, "alpha": 3, "rank_pattern": {"q": 1}, "alpha_pattern": {"q": 5}},
    ],
)
def test_folders_that_peft_saved(settings: dict[str, Any], tmp_path: Path) -> None:
    from peft import LoKrConfig, get_peft_model

    adapted = get_peft_model(Tiny(), LoKrConfig(target_modules=["q", "k"], **settings))
    for number, parameter in enumerate(p for p in adapted.parameters() if p.requires_grad):
        parameter.data = random(*parameter.shape, seed=number)
    adapted.save_pretrained(tmp_path, save_embedding_layers=False)
    vector = open_lokr(tmp_path, "task")
    modules = {p: m for p, m in adapted.base_model.model.named_modules() if hasattr(m, "lokr_w1")}
    assert vector.terms.keys() == modules.keys() == SIZES.keys()
    for path, module in modules.items():
        (term,) = vector.scaled(path)
        torch.testing.assert_close(term.delta(), module.get_delta_weight("default"))


@pytest.mark.parametrize(
    ("terms", "held"),
    [
        (product(2, 4), "Kronecker 2 × 4"),
        (product(2, 2, count=2), "2 × Kronecker 2 × 2"),
        (product(2, 2) | {"layers.1.k": product(4, 4)["layers.1.k"]}, "layers.1.k holds Kronecker 4 × 4"),
        ({path: (LoraTerm(torch.ones(1, i), torch.ones(o, 1)),) for path, (o, i) in SIZES.items()}, "LoRA, rank 1"),
    ],
)
def test_sums_that_lokr_cannot_hold(terms: dict[str, tuple[Term, ...]], held: str, tmp_path: Path) -> None:
    with pytest.raises(LingarithError, match=f"{held}.* cut the sum to such a product") as refused:
        write(composed(terms), tmp_path / "x")
    assert "--rank-out 1 --kronecker-out 16x16" in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_not_a_number(tmp_path: Path) -> None:
    broken = product(2, 2)
    broken["layers.1.q"][0].b[0, 0, 0] = math.nan
    with pytest.raises(LingarithError, match=r"layers.1.q it holds NaN"):
        write(composed(broken), tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"peft_type": "LORA"}, "type 'LORA' cannot be read; only LoKr can"),
        ({"modules_to_save": ["head"]}, "modules_to_save cannot be read, since it replaces whole modules"),
        ({"rank_pattern": {"q": "x"}}, "r='x'"),
        ({"alpha_pattern": 3}, "alpha_pattern must map patterns"),
        ({"r": 0}, "r=0"),
        ({"r": True}, "r=True"),
        ({"alpha": math.inf}, "Infinity is no finite number"),
    ],
)
def test_settings_that_are_more_than_lokr(change: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    write(composed(product(2, 2)), tmp_path / "x")
    with pytest.raises(LingarithError, match=sentence):
        open_lokr(changed(tmp_path / "x", change), "task")


@pytest.mark.parametrize(
    ("factors", "sentence"),
    [
        ({"q.lokr_w1": (2, 2)}, "'q' has no pair of factors that fit"),
        ({"q.lokr_w1": (2, 2), "q.lokr_w1_a": (2, 2), "q.lokr_w2": (2, 2)}, "'q' has no pair"),
        ({"q.lokr_w1": (2, 2), "q.lokr_w2_a": (2, 3), "q.lokr_w2_b": (2, 3)}, "'q' has no pair"),
        ({"q.lokr_w1": (2, 2), "q.lokr_w2": (2, 2, 3, 3)}, "'q' has no pair"),
        ({"q.lokr_w1": (2,), "q.lokr_w2": (2, 2)}, "'q' has no pair"),
        ({"q.lokr_w1": (2, 0), "q.lokr_w2": (2, 2)}, "'q' has no"),
        ({"q.lokr_t2": (2, 2, 3, 3)}, "no LoKr factor of a projection"),
        ({"q.lora_A.weight": (2, 2)}, "no LoKr factor of a projection"),
    ],
)
def test_damaged_factors(factors: dict[str, tuple[int, ...]], sentence: str, tmp_path: Path) -> None:
    write(composed(product(2, 2)), tmp_path / "x")
    weights = tmp_path / "x" / "adapter_model.safetensors"
    assert read_safetensors(weights)
    write_safetensors(weights, {f"base_model.model.{name}": torch.ones(shape) for name, shape in factors.items()})
    with pytest.raises(LingarithError, match=sentence):
        open_lokr(tmp_path / "x", "task")


def test_sizes_that_do_not_divide() -> None:
    with pytest.raises(LingarithError, match="m=3 does not divide the 8 inputs"):
        composed(product(2, 2), Space("delta", rank=1, kronecker=(3, 3)))
    assert Kronecker(8, 8).init(SIZES, 0).keys() == SIZES.keys()
