"""Adapters of MLX: tensors turned as MLX has them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from lingarith.adapters.lora import LoraTerm
from lingarith.algebra import parse
from lingarith.disk.tensors import read_safetensors
from lingarith.errors import LingarithError
from lingarith.formats.mlx import write_mlx
from lingarith.vectors.composition import Composition, Space
from lingarith.vectors.vector import Vector

PATHS = ("model.layers.0.self_attn.q_proj", "model.layers.1.mlp.up_proj")


def test_files(tmp_path: Path) -> None:
    terms = {path: (LoraTerm(torch.randn(k, 3), torch.randn(4, k)),) for k, path in enumerate(PATHS, 1)}
    made = Composition(parse("a"), {"a": Vector("a", terms, 2.0)}, Space("delta"))
    write_mlx(made, tmp_path / "x", base_model="base", task_type="CAUSAL_LM", origin={"expression": "a"})
    card = (tmp_path / "x" / "README.md").read_text(encoding="utf-8")
    assert "library_name: mlx\n" in card
    assert "| Expression | `a` |" in card
    config = json.loads((tmp_path / "x" / "adapter_config.json").read_text())
    assert config["lora_parameters"] == {
        "rank": 2, "scale": 1.0, "dropout": 0.0, "keys": ["mlp.up_proj", "self_attn.q_proj"]
    }  # fmt: skip
    tensors = read_safetensors(tmp_path / "x" / "adapters.safetensors")
    for path in PATHS:
        a, b = tensors[f"{path}.lora_a"], tensors[f"{path}.lora_b"]
        assert (a.shape, b.shape) == ((3, 2), (2, 4))
        torch.testing.assert_close((a @ b).T, made.terms[path][0].delta())
    for path in ("transformer.h.0.self_attention.dense", "model.language_model.layers.0.self_attn.q_proj"):
        other = {"a": Vector("a", {path: terms[PATHS[0]]}, 2.0)}
        with pytest.raises(LingarithError, match=f"mlx-lm has no {path}"):
            write_mlx(
                Composition(parse("a"), other, Space("delta")), tmp_path / "z", base_model="x", task_type="CAUSAL_LM"
            )
    with pytest.raises(LingarithError, match="no encoder-decoder models"):
        write_mlx(made, tmp_path / "y", base_model="base", task_type="SEQ_2_SEQ_LM")
