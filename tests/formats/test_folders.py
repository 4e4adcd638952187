"""Folders of PEFT's with more than one rank and scale, or names of tensors that are not its own; PEFT is the oracle."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from lingarith.algebra import parse
from lingarith.errors import LingarithError
from lingarith.formats.peft import open_peft, write_peft
from lingarith.vectors.composition import Composition, Space
from lingarith.vectors.vector import Update
from tests.formats.models import logits, tiny_llama

# PEFT 0.21 reads an attribute that transformers 5 has renamed; neither is ours.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")


def saved_by_peft(folder: Path, **settings: Any) -> Any:
    """The model whose adapter PEFT saved into the folder."""
    from peft import LoraConfig, get_peft_model

    model = get_peft_model(tiny_llama(), LoraConfig(**{"init_lora_weights": False, **settings}))
    model.save_pretrained(folder, save_embedding_layers=False)
    return model


ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
SOME = {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"]}


@pytest.mark.parametrize(
    ("settings", "adapter", "scale"),
    [
        (SOME | {"rank_pattern": {"v_proj": 2}, "alpha_pattern": {"v_proj": 4}}, "LoRA, rank 2 to 4", 2.0),
        (SOME | {"alpha_pattern": {"v_proj": 3}}, "LoRA, rank 4", 1.0),
        (SOME | {"rank_pattern": {"layers.1.self_attn.q_proj": 3}, "use_rslora": True}, "LoRA, rank 3 to 4", 1.0),
        (SOME | {"rank_pattern": {"^model.*1.*": 1, "q_proj": 2}}, "LoRA, rank 1 to 4", 1.0),
        (SOME | {"alpha_pattern": {r".*\.0\..*_proj": 5, "v_proj": 7}}, "LoRA, rank 4", 1.0),
        (SOME | {"layers_to_transform": [1], "layers_pattern": "layers"}, "LoRA, rank 4", 2.0),
        (SOME | {"target_modules": ALL, "rank_pattern": {"(up|down)_proj": 6}}, "LoRA, rank 4 to 6", 1.0),
        (SOME | {"target_modules": "all-linear", "layers_to_transform": None}, "LoRA, rank 4", 2.0),
        (SOME | {"target_modules": r"model\.layers\.0\..*(gate|o)_proj"}, "LoRA, rank 4", 2.0),
    ],
)
def test_modules_with_a_rank_or_scale_of_their_own(
    settings: dict[str, Any], adapter: str, scale: float, tmp_path: Path
) -> None:
    model = saved_by_peft(tmp_path, **settings)
    vector = open_peft(tmp_path, "task[en]")
    assert (vector.adapter, vector.scale) == (adapter, scale)
    modules = {path: module for path, module in model.base_model.model.named_modules() if hasattr(module, "lora_A")}
    assert vector.terms.keys() == modules.keys()
    for path, module in modules.items():
        (term,) = vector.scaled(path)
        assert len(term.a) == module.r["default"]
        torch.testing.assert_close(term.delta(), module.get_delta_weight("default"), rtol=1e-6, atol=1e-7)
    said = vector.origin["adapter"]
    for key in ("rank_pattern", "alpha_pattern"):
        assert said.get(key, {}) == settings.get(key, {})


@pytest.mark.parametrize("start", ["pissa", "olora"])
@pytest.mark.parametrize("patterns", [{}, {"rank_pattern": {"v_proj": 2}, "alpha_pattern": {"v_proj": 5}}])
def test_what_peft_converts_to_lora(start: str, patterns: dict[str, Any], tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model

    base = tiny_llama()
    model = get_peft_model(tiny_llama(), LoraConfig(**SOME, **patterns, init_lora_weights=start))
    model.peft_config["default"].init_lora_weights = True  # as PEFT's guide has it, the start is saved as it is
    model.save_pretrained(tmp_path / "start", save_embedding_layers=False)
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
    wanted = logits(model)
    model.save_pretrained(
        tmp_path / "x", path_initial_model_for_weight_conversion=str(tmp_path / "start"), save_embedding_layers=False
    )
    vector = open_peft(tmp_path / "x", "x")
    with torch.no_grad():
        for path in vector.terms:
            base.get_submodule(path).weight += Update({path: vector.scaled(path)}, "").delta(path)
    torch.testing.assert_close(logits(base), wanted, rtol=1e-4, atol=1e-4)


def test_what_is_read_is_written_with_one_rank(tmp_path: Path) -> None:
    from peft import PeftModel

    model = saved_by_peft(tmp_path / "in", **SOME, rank_pattern={"v_proj": 2}, alpha_pattern={"1.*q_proj": 3})
    read = replace(open_peft(tmp_path / "in", "x"), origin={"backbone": {"name": "tiny", "fingerprint": "f" * 64}})
    made = Composition(parse("x"), {"x": read}, Space("delta"))
    write_peft(made, tmp_path / "out", base_model="tiny", task_type="CAUSAL_LM", least_rank=3)
    config = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], config["rank_pattern"]) == (4, 4, {})
    again = PeftModel.from_pretrained(tiny_llama(), tmp_path / "out")
    torch.testing.assert_close(logits(again), logits(model), rtol=0, atol=1e-5)


@pytest.mark.parametrize("form", ["{}", "{}.default"])
@pytest.mark.parametrize("prefix", ["base_model.model.", ""])
def test_names_that_other_programs_write(prefix: str, form: str, tmp_path: Path) -> None:
    saved_by_peft(tmp_path, **SOME)
    wanted = {path: terms[0].delta() for path, terms in open_peft(tmp_path, "x").terms.items()}
    weights = tmp_path / "adapter_model.safetensors"
    tensors = {
        prefix + form.format(name.removeprefix("base_model.model.").removesuffix(".weight")) + ".weight": tensor
        for name, tensor in safetensors.torch.load_file(weights).items()
    }
    safetensors.torch.save_file(tensors, weights)
    found = open_peft(tmp_path, "x")
    assert found.terms.keys() == wanted.keys()
    assert all(torch.equal(found.terms[path][0].delta(), delta) for path, delta in wanted.items())
    once, *_ = tensors
    other = once.replace(".default", "") if ".default" in once else once.replace(".weight", ".default.weight")
    twice = tensors | {other: tensors[once] + 1}
    safetensors.torch.save_file(twice, weights)
    with pytest.raises(LingarithError, match="is there under two names"):
        open_peft(tmp_path, "x")
