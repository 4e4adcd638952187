"""A text model within another: adapters that name its modules in every way in which they did, and its checkpoint."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
import transformers

from lingarith.algebra import parse
from lingarith.formats.imported import on_backbone, open_adapter
from lingarith.formats.merged import write_merged
from lingarith.model.backbone import Backbone
from lingarith.model.loading import wrap
from lingarith.vectors.composition import Composition, Space, realise
from lingarith.vectors.vector import Vector

# PEFT 0.21 reads an attribute that transformers 5 has renamed; neither is ours.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
NOW = "base_model.model.model.language_model."


@pytest.fixture
def whole(model: Callable[..., Any], tokenizer: Callable[[str], Any]) -> Backbone:
    """Gemma 3 with an image tower whose query projections are as large as the text's."""
    eye = {"hidden_size": 32, "intermediate_size": 16, "num_hidden_layers": 3, "num_attention_heads": 4}
    vision = {**eye, "image_size": 28, "patch_size": 14, "model_type": "siglip_vision_model"}
    text = model("gemma3").config.to_dict()
    config = transformers.Gemma3Config(text_config=text, vision_config=vision, mm_tokens_per_image=1)
    made = transformers.Gemma3ForConditionalGeneration(config)
    generator = torch.Generator().manual_seed(0)
    for parameter in made.parameters():
        if parameter.ndim == 2:
            parameter.data.normal_(0, 0.3, generator=generator)
    return wrap(made, tokenizer("gemma3"), name="gemma")


def logits(made: Any) -> torch.Tensor:
    with torch.no_grad():
        return torch.as_tensor(made(input_ids=torch.tensor([[4, 5, 6, 7]])).logits)


def saved(on: Backbone, folder: Path) -> torch.Tensor:
    """An adapter of PEFT's on the text model, saved into the folder, and the logits with it."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(1)
    where = r".*language_model.*\.(q|v)_proj"
    made = get_peft_model(on.model, LoraConfig(r=2, lora_alpha=4, target_modules=where, init_lora_weights=False))
    found = logits(made)
    made.save_pretrained(folder, save_embedding_layers=False)
    made.unload()
    return found


@pytest.mark.parametrize(
    ("begins", "said"),
    [
        (NOW, None),
        ("base_model.model.language_model.model.", "language_model.model. became model.language_model."),
        ("base_model.model.model.", "model. became model.language_model."),
        (f"_orig_mod.{NOW}", "the prefix base_model.model. was dropped, _orig_mod was left out"),
        (f"base_model.model.{NOW}", "the prefix base_model.model. was dropped"),
        (NOW.removeprefix("base_model.model."), None),
        (f"{NOW}_orig_mod.", "_orig_mod was left out"),
    ],
)
def test_an_adapter_of_its_text(begins: str, said: str | None, whole: Backbone, tmp_path: Path) -> None:
    wanted = saved(whole, tmp_path)
    weights = tmp_path / "adapter_model.safetensors"
    tensors = safetensors.torch.load_file(weights)
    assert all(name.startswith(NOW) for name in tensors)
    safetensors.torch.save_file({begins + name.removeprefix(NOW): t for name, t in tensors.items()}, weights)
    vector = on_backbone(open_adapter(tmp_path, "task[en]"), whole.facts, whole.shapes)
    assert vector.origin.get("renamed") == said
    with whole.using(realise(parse("task[en]"), {"task[en]": vector}, "delta")):
        torch.testing.assert_close(logits(whole.model), wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("names", ["as saved", "older"])
def test_its_checkpoint_merged(names: str, whole: Backbone, update: Callable[..., Any], tmp_path: Path) -> None:
    whole.model.save_pretrained(tmp_path / "base")  # type: ignore[operator]
    if names == "older":
        weights = tmp_path / "base" / "model.safetensors"
        text, eye = ("model.language_model.", "language_model.model."), ("model.vision_tower", "vision_tower")
        held = safetensors.torch.load_file(weights)
        swapped = {name.replace(*text).replace(*eye): tensor for name, tensor in held.items()}
        safetensors.torch.save_file(swapped, weights, {"format": "pt"})
    assert json.loads((tmp_path / "base" / "config.json").read_text())["model_type"] == "gemma3"
    made = update(whole)
    vector = Vector("x", made.terms, 1.0, {"backbone": whole.facts})
    write_merged(Composition(parse("x"), {"x": vector}, Space("delta")), tmp_path / "base", tmp_path / "merged")
    again = transformers.Gemma3ForConditionalGeneration.from_pretrained(tmp_path / "merged").eval()
    with whole.using(made):
        torch.testing.assert_close(logits(again), logits(whole.model), rtol=1e-5, atol=1e-5)
