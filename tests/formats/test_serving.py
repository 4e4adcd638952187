"""Folders for servers: what vLLM and SGLang read in them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from lingarith.adapters.kronecker import KroneckerTerm
from lingarith.adapters.lora import LoraTerm
from lingarith.algebra import parse
from lingarith.disk.tensors import TensorFile
from lingarith.errors import LingarithError
from lingarith.formats.peft import open_peft
from lingarith.formats.serving import RANKS, write_serving
from lingarith.vectors.composition import Composition, Space, realise
from lingarith.vectors.vector import Vector

PATHS = ["model.layers.0.self_attn.q_proj", "model.layers.0.self_attn.o_proj", "model.layers.1.self_attn.q_proj"]
READ_BY_SERVERS = {
    "peft_type": "LORA",
    "lora_alpha": 16,
    "r": 16,
    "target_modules": ["o_proj", "q_proj"],
    "bias": "none",
    "modules_to_save": None,
    "use_rslora": False,
    "use_dora": False,
    "rank_pattern": {},
    "alpha_pattern": {},
    "fan_in_fan_out": False,
}


def composition(rank: int, size: int = 12, space: Space | str = "delta") -> Composition:
    generator = torch.Generator().manual_seed(rank)

    def term() -> LoraTerm:
        return LoraTerm(
            torch.randn(rank, size, generator=generator), torch.randn(size, rank, generator=generator)
        )  # fmt: skip

    vector = Vector("a", {path: (term(),) for path in PATHS}, 2.0, {"backbone": {"name": "x", "fingerprint": "f"}})
    return Composition(parse("0.5*a"), {"a": vector}, Space.of(space))


def write(composition: Composition, folder: Path) -> int:
    return write_serving(composition, folder, base_model="base", task_type="CAUSAL_LM", origin={"expression": "x"})


def test_what_servers_read(tmp_path: Path) -> None:
    made = composition(9)
    assert write(made, tmp_path / "x") == 16
    config = json.loads((tmp_path / "x" / "adapter_config.json").read_text())
    assert config == config | READ_BY_SERVERS
    assert {path.name for path in (tmp_path / "x").iterdir()} == {
        "adapter_config.json", "adapter_model.safetensors", "lingarith.json", "README.md"
    }  # fmt: skip
    places = TensorFile(tmp_path / "x" / "adapter_model.safetensors").places
    shapes = {name: place.shape for name, place in places.items()}
    assert shapes == {
        f"base_model.model.{path}.lora_{which}.weight": shape
        for path in PATHS
        for which, shape in (("A", (16, 12)), ("B", (12, 16)))
    }
    back, update = open_peft(tmp_path / "x", "back"), realise(made.combination, made.vectors, "delta")
    for path in PATHS:
        (term,) = back.scaled(path)
        torch.testing.assert_close(term.delta(), update.delta(path))


@pytest.mark.parametrize(("rank", "written"), [(1, 8), (8, 8), (9, 16), (33, 64), (257, 320)])
def test_the_next_rank_that_servers_take(rank: int, written: int, tmp_path: Path) -> None:
    assert write(composition(rank, size=2), tmp_path / "x") == written
    assert json.loads((tmp_path / "x" / "adapter_config.json").read_text())["r"] == written


def test_ranks_that_no_server_takes(tmp_path: Path) -> None:
    with pytest.raises(LingarithError, match=f"rank 513, and servers take {RANKS[-1]} at most; cut it"):
        write(composition(513, size=2), tmp_path / "x")
    product = Vector("k", {"layers.0.q": (KroneckerTerm(torch.ones(1, 2, 2), torch.ones(1, 2, 2)),)}, 1.0)
    with pytest.raises(LingarithError, match="is no LoRA"):
        write(Composition(parse("k"), {"k": product}, Space("delta")), tmp_path / "x")
    assert list(tmp_path.iterdir()) == []
    made = composition(513, size=600, space=Space("delta", rank=20))
    assert write(made, tmp_path / "x") == 32


def test_what_is_replaced_and_what_is_not(tmp_path: Path) -> None:
    for rank in (4, 9):
        write(composition(rank), tmp_path / "x")
    assert json.loads((tmp_path / "x" / "adapter_config.json").read_text())["r"] == 16
    (tmp_path / "x" / "tokenizer.json").write_text("{}")
    with pytest.raises(LingarithError, match=r"holds tokenizer\.json"):
        write(composition(4), tmp_path / "x")
    assert json.loads((tmp_path / "x" / "adapter_config.json").read_text())["r"] == 16
