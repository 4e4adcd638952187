"""Folders as other programs write them: their configurations, and tensors for all linear layers of a small Llama.

The forms follow axolotl's ``loaders/adapter.py``, LLaMA-Factory's ``find_all_linear_modules``, Unsloth's
``get_peft_regex`` and mergekit's ``scripts/extract_lora.py``. PEFT loads each of them, and is the oracle.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor, linalg

from lingarith.errors import LingarithError
from lingarith.formats.imported import on_backbone, open_adapter
from lingarith.vectors.vector import Update
from tests.formats.models import logits, tiny_llama

# PEFT 0.21 reads an attribute that transformers 5 has renamed; neither is ours.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
NAMES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
LISTED = ["down_proj", "v_proj", "q_proj", "gate_proj", "o_proj", "k_proj", "up_proj"]
PATTERN = (
    r"(?:.*?(?:language|text).*?(?:self_attn|attention|attn|mlp|feed_forward|ffn|dense).*?(?:q_proj|k_proj|v_proj|"
    r"o_proj|gate_proj|up_proj|down_proj).*?)|(?:\bmodel\.layers\.[\d]{1,}\.(?:self_attn|mlp)\.(?:(?:q_proj|k_proj|"
    r"v_proj|o_proj|gate_proj|up_proj|down_proj)))"
)
PEFT_OWN = {
    "auto_mapping": None, "bias": "none", "corda_config": None, "eva_config": None, "exclude_modules": None,
    "fan_in_fan_out": False, "inference_mode": True, "init_lora_weights": True, "layer_replication": None,
    "layers_pattern": None, "layers_to_transform": None, "loftq_config": {}, "lora_bias": False, "lora_dropout": 0.05,
    "megatron_config": None, "megatron_core": "megatron.core", "modules_to_save": None, "peft_type": "LORA",
    "revision": None, "target_parameters": None, "task_type": "CAUSAL_LM", "trainable_token_indices": None,
    "use_dora": False, "use_qalora": False, "use_rslora": False,
}  # fmt: skip
"""What PEFT's ``save_pretrained`` adds in all of them."""
UNSLOTH = {
    "auto_mapping": {"base_model_class": "LlamaForCausalLM", "parent_library": "transformers", "unsloth_fixed": True},
    "base_model_name_or_path": "unsloth/llama-bnb-4bit", "target_modules": PATTERN, "r": 4, "lora_alpha": 4,
    "lora_dropout": 0, "task_type": None,
}  # fmt: skip


@pytest.fixture
def model() -> Any:
    return tiny_llama()


def linears(model: Any) -> dict[str, tuple[int, int]]:
    return {
        path: (module.out_features, module.in_features)
        for path, module in model.named_modules()
        if path.rpartition(".")[2] in NAMES
    }


def random(model: Any, rank: int, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    tensors = {}
    for path, (out, inputs) in linears(model).items():
        for which, size in (("A", (rank, inputs)), ("B", (out, rank))):
            tensors[f"base_model.model.{path}.lora_{which}.weight"] = (0.3 * torch.randn(size)).to(dtype)
    return tensors


def extracted(model: Any, most: int) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What mergekit makes of a fine-tuned model: of each layer the best rank up to ``most``, or all that it has."""
    tensors, ranks = {}, {}
    for number, (path, (out, inputs)) in enumerate(linears(model).items()):
        change = torch.randn(out, 2 + number % 3) @ torch.randn(2 + number % 3, inputs) / 4
        u, values, v = linalg.svd(change, full_matrices=False)
        ranks[path] = rank = min(most, int((values > 1e-4).sum()))
        root = torch.diag(values[:rank].sqrt())
        tensors[f"base_model.model.{path}.lora_A.weight"] = (root @ v[:rank]).bfloat16()
        tensors[f"base_model.model.{path}.lora_B.weight"] = (u[:, :rank] @ root).bfloat16()
    own = {path: rank for path, rank in ranks.items() if rank != max(ranks.values())}
    config = {
        "base_model_name_or_path": "someone/base", "peft_type": "LORA", "use_rslora": False, "target_modules": LISTED,
        "modules_to_save": [], "task_type": "CAUSAL_LM", "r": max(ranks.values()), "lora_alpha": max(ranks.values()),
        "rank_pattern": own, "alpha_pattern": own, "lora_dropout": 0.0, "fan_in_fan_out": False, "inference_mode": True,
    }  # fmt: skip
    return config, tensors


def put(folder: Path, config: Mapping[str, Any], tensors: dict[str, Tensor]) -> Path:
    (folder / "adapter_config.json").write_text(json.dumps(config))
    safetensors.torch.save_file(tensors, folder / "adapter_model.safetensors", {"format": "pt"})
    return folder


@pytest.mark.parametrize("program", ["LLaMA-Factory", "axolotl", "Unsloth", "mergekit"])
def test_folders_as_programs_write_them(program: str, model: Any, tmp_path: Path) -> None:
    from peft import PeftModel

    listed = {**PEFT_OWN, "base_model_name_or_path": "someone/base", "target_modules": LISTED}
    config, tensors = {
        "LLaMA-Factory": lambda: ({**listed, "r": 4, "lora_alpha": 8}, random(model, 4)),
        "axolotl": lambda: ({**listed, "r": 3, "lora_alpha": 16, "use_rslora": True}, random(model, 3, torch.bfloat16)),
        "Unsloth": lambda: ({**PEFT_OWN, **UNSLOTH}, random(model, 4)),
        "mergekit": lambda: extracted(model, 3),
    }[program]()
    placed = on_backbone(
        open_adapter(put(tmp_path, config, tensors), "task[en]"), {"name": "x", "fingerprint": "f"}, linears(model)
    )
    assert placed.terms.keys() == linears(model).keys()
    assert "renamed" not in placed.origin
    wanted = logits(PeftModel.from_pretrained(model, tmp_path).eval())
    bare = model  # PEFT put its layers into it: their base is the model's own
    with torch.no_grad():
        for path in placed.terms:
            layer = bare.get_submodule(path)
            change = Update({path: placed.scaled(path)}, "delta").delta(path)
            torch.testing.assert_close(change, layer.get_delta_weight("default").float(), rtol=1e-5, atol=1e-5)
            layer.base_layer.weight += change
            layer.lora_B["default"].weight.zero_()
    torch.testing.assert_close(logits(bare), wanted, rtol=1e-5, atol=1e-5)


def test_what_mergekit_saves_beside(model: Any, tmp_path: Path) -> None:
    config, tensors = extracted(model, 3)
    with pytest.raises(LingarithError, match="modules_to_save cannot be read, since it replaces whole modules"):
        open_adapter(put(tmp_path, config | {"modules_to_save": ["embed_tokens", "norm"]}, tensors), "x")
    norm = {"base_model.model.model.norm.weight": torch.ones(16)}
    with pytest.raises(LingarithError, match=r"norm\.weight' is no LoRA factor of a projection"):
        open_adapter(put(tmp_path, config, tensors | norm), "x")
