"""Adapters of GGUF, read back by gguf and compared with the same sum as PEFT has it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lingarith.adapters.lora import LoraTerm
from lingarith.algebra import parse
from lingarith.errors import LingarithError
from lingarith.formats.llama_cpp import write_gguf
from lingarith.vectors.composition import Composition, Space
from lingarith.vectors.vector import Vector

gguf = pytest.importorskip("gguf")

CONFIG = {"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
LLAMA = {
    "model.layers.0.self_attn.q_proj": (16, 8),
    "model.layers.1.self_attn.k_proj": (8, 8),
    "model.layers.1.self_attn.v_proj": (8, 8),
    "model.layers.1.mlp.down_proj": (8, 12),
}


def composition(sizes: dict[str, tuple[int, int]]) -> Composition:
    generator = torch.Generator().manual_seed(0)
    terms = {
        path: (LoraTerm(torch.randn(rank, inner, generator=generator), torch.randn(out, rank, generator=generator)),)
        for rank, (path, (out, inner)) in enumerate(sizes.items(), 1)
    }
    return Composition(parse("0.5*a"), {"a": Vector("a", terms, 2.0)}, Space("delta"))


def written(tmp_path: Path, kind: str, sizes: dict[str, tuple[int, int]]) -> dict[str, Tensor]:
    """ΔW under llama.cpp's names, as llama.cpp computes it from the file."""
    (tmp_path / "config.json").write_text(json.dumps(CONFIG | {"model_type": kind}))
    rank = write_gguf(composition(sizes), tmp_path, tmp_path / "out", base_model="base", origin={"expression": "x"})
    assert rank == len(sizes)
    reader = gguf.GGUFReader(tmp_path / "out" / "adapter.gguf")
    assert reader.fields["general.type"].contents() == "adapter"
    assert reader.fields["adapter.type"].contents() == "lora"
    alpha = reader.fields["adapter.lora.alpha"].contents()
    tensors = {one.name: torch.tensor(one.data) for one in reader.tensors}
    return {
        name.removesuffix(".lora_a"): alpha / len(a) * tensors[name[:-1] + "b"] @ a
        for name, a in tensors.items()
        if name.endswith(".lora_a")
    }


def test_llama(tmp_path: Path) -> None:
    """Rows of q and k are interleaved as the weights are: row 2i + j of a head was row j·half + i."""
    there = written(tmp_path, "llama", LLAMA)
    assert there.keys() == {f"blk.{place}.weight" for place in ("0.attn_q", "1.attn_k", "1.attn_v", "1.ffn_down")}
    exact = {path: terms[0].delta() for path, terms in composition(LLAMA).terms.items()}
    torch.testing.assert_close(there["blk.1.attn_v.weight"], exact["model.layers.1.self_attn.v_proj"])
    torch.testing.assert_close(there["blk.1.ffn_down.weight"], exact["model.layers.1.mlp.down_proj"])
    four = [0, 2, 1, 3]  # a head of four rows: halves (0, 1) and (2, 3)
    rows = [4 * head + row for head in range(4) for row in four]
    torch.testing.assert_close(there["blk.0.attn_q.weight"], exact["model.layers.0.self_attn.q_proj"][rows])
    torch.testing.assert_close(there["blk.1.attn_k.weight"], exact["model.layers.1.self_attn.k_proj"][rows[:8]])
    assert "library_name: gguf\n" in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    modelfile = (tmp_path / "out" / "Modelfile").read_text()
    assert "FROM ./base.gguf\nADAPTER ./adapter.gguf\n" in modelfile


def test_gemma_as_it_is_and_inside_a_multimodal_model(tmp_path: Path) -> None:
    sizes = {path.replace("model.", "model.language_model."): size for path, size in LLAMA.items()}
    there = written(tmp_path, "gemma3", sizes)
    exact = {path: terms[0].delta() for path, terms in composition(sizes).terms.items()}
    torch.testing.assert_close(there["blk.0.attn_q.weight"], exact["model.language_model.layers.0.self_attn.q_proj"])


def test_bloom_takes_queries_keys_and_values_apart(tmp_path: Path) -> None:
    path = "transformer.h.1.self_attention.query_key_value"
    there = written(tmp_path, "bloom", {path: (24, 8)})
    exact = composition({path: (24, 8)}).terms[path][0].delta()
    rows = [6 * head + 2 * which + row for which in range(3) for head in range(4) for row in range(2)]
    torch.testing.assert_close(there["blk.1.attn_qkv.weight"], exact[rows])


def test_what_llama_cpp_has_no_names_for(tmp_path: Path) -> None:
    with pytest.raises(LingarithError, match=r"llama.cpp has no names for the layers of 'xglm'"):
        written(tmp_path, "xglm", LLAMA)
    with pytest.raises(LingarithError, match=r"no name for model.layers.0.strange; export without it"):
        written(tmp_path, "llama", {"model.layers.0.strange": (4, 4)})
    assert not (tmp_path / "out").exists()
