"""Which matrices of a model carry the adapter, family by family."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import transformers
from torch import nn

from lingarith.errors import LingarithError
from lingarith.model.projections import home, projections, sizes

DECODERS = ("llama", "gemma2", "gemma3", "qwen2", "qwen3", "mistral")
Make = Callable[..., Any]


def layers(path: str, names: str) -> list[str]:
    return [f"{path.format(layer)}.{name}" for layer in range(2) for name in names.split()]


@pytest.mark.parametrize("family", ["t5", "mt5", "umt5"])
def test_encoder_decoder(family: str, model: Make) -> None:
    decoder = [
        f"decoder.block.{layer}.layer.{place}.{name}"
        for layer in range(2)
        for place, attention in enumerate(("SelfAttention", "EncDecAttention"))
        for name in (f"{attention}.{letter}" for letter in "qkvo")
    ]
    found = projections(model(family))
    assert list(found) == [*layers("encoder.block.{}.layer.0.SelfAttention", "q k v o"), *decoder]


@pytest.mark.parametrize("family", DECODERS)
def test_decoder_only(family: str, model: Make) -> None:
    found = projections(model(family))
    assert list(found) == layers("model.layers.{}.self_attn", "q_proj k_proj v_proj o_proj")


def test_bloom_and_xglm(model: Make) -> None:
    assert list(projections(model("bloom"))) == layers("transformer.h.{}.self_attention", "query_key_value dense")
    assert list(projections(model("xglm"))) == layers("model.layers.{}.self_attn", "q_proj k_proj v_proj out_proj")


def test_sizes_with_grouped_heads(model: Make) -> None:
    made = model("qwen3", head_dim=16)
    shapes = [sizes(module) for module in projections(made).values()][:4]
    assert shapes == [(64, 32), (32, 32), (32, 32), (32, 64)]  # q, k, v, o: 4 heads and 2 of 16
    assert [tuple(m.weight.shape) for m in projections(made).values()][:4] == shapes


@pytest.mark.parametrize("family", ["t5", "llama"])
def test_paths_lead_to_the_modules(family: str, model: Make) -> None:
    made = model(family)
    assert all(made.get_submodule(path) is module for path, module in projections(made).items())
    assert not any("wo" in path.split(".") or "mlp" in path for path in projections(made))


def test_a_stray_wo_never_matches(model: Make) -> None:
    made = model("t5")
    before = list(projections(made))
    made.encoder.block[0].layer[1].DenseReluDense.o = nn.Linear(32, 32)  # an `o` without q, k, v
    assert list(projections(made)) == before


@pytest.mark.parametrize("family", ["gemma3", "paligemma"])
def test_a_multimodal_wrapper_gives_its_text_model_alone(family: str, model: Make) -> None:
    text = model("gemma3").config.to_dict() if family == "gemma3" else {**small(), "model_type": "gemma", "head_dim": 8}
    eye = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2}
    vision = {**eye, "image_size": 28, "patch_size": 14, "model_type": "siglip_vision_model"}
    if family == "gemma3":
        config: Any = transformers.Gemma3Config(text_config=text, vision_config=vision, mm_tokens_per_image=1)
        made: Any = transformers.Gemma3ForConditionalGeneration(config)
    else:
        config = transformers.PaliGemmaConfig(text_config=text, vision_config=vision, projection_dim=32)
        made = transformers.PaliGemmaForConditionalGeneration(config)
    assert any("vision" in name and name.endswith("q_proj") for name, _ in made.named_modules())
    found = projections(made)
    assert list(found) == layers("model.language_model.layers.{}.self_attn", "q_proj k_proj v_proj o_proj")
    assert all(made.get_submodule(path) is module for path, module in found.items())


def small(**more: Any) -> dict[str, Any]:
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    return {**sizes, "num_key_value_heads": 2, "vocab_size": 64, **more}


def test_layers_without_keys_of_their_own_are_refused() -> None:
    config = transformers.Gemma3nTextConfig(
        **small(num_hidden_layers=4, head_dim=8, num_kv_shared_layers=2, layer_types=["full_attention"] * 4),
        vocab_size_per_layer_input=64,
        hidden_size_per_layer_input=4,
        laurel_rank=2,
        activation_sparsity_pattern=[0.0] * 4,
    )
    with pytest.raises(LingarithError, match=r"Gemma3nForCausalLM has 4 attentions, but 2 have all .* choose another"):
        projections(transformers.Gemma3nForCausalLM(config))


def test_a_hybrid_with_linear_attention_is_refused() -> None:
    heads = {"linear_num_key_heads": 2, "linear_num_value_heads": 2, "linear_key_head_dim": 8}
    config = transformers.Qwen3_5TextConfig(
        **small(num_hidden_layers=4, head_dim=8), **heads, linear_value_head_dim=8, pad_token_id=0
    )
    with pytest.raises(LingarithError, match="has 4 attentions, but 1 have"):
        projections(transformers.Qwen3_5ForCausalLM(config))


@pytest.mark.parametrize("family", ["t5", "llama", "bloom"])
def test_a_missing_projection_is_an_error(family: str, model: Make) -> None:
    made = model(family)
    path = next(iter(projections(made)))
    attention, _, name = path.rpartition(".")
    setattr(made.get_submodule(attention), name, None)
    with pytest.raises(LingarithError, match="attentions, but"):
        projections(made)


def test_shared_projections_are_an_error(model: Make) -> None:
    whole, weight, attention = model("llama"), model("llama"), model("llama")
    layer = whole.model.layers
    layer[1].self_attn.k_proj = layer[0].self_attn.k_proj
    layer = weight.model.layers
    layer[1].self_attn.k_proj.weight = layer[0].self_attn.k_proj.weight
    for made in (whole, weight):
        with pytest.raises(LingarithError, match="share a projection"):
            projections(made)
    attention.model.layers[1].self_attn = attention.model.layers[0].self_attn
    with pytest.raises(LingarithError, match="2 attentions, but 1 have"):
        projections(attention)


def test_an_unknown_family_is_told_what_is_known() -> None:
    config = transformers.GPT2Config(n_embd=32, n_layer=2, n_head=4, vocab_size=64, bos_token_id=1, eos_token_id=1)
    with pytest.raises(LingarithError, match=r"no attention projections .* BLOOM: query_key_value dense"):
        projections(transformers.GPT2LMHeadModel(config))


def test_home_of_a_packed_projection() -> None:
    packed = nn.Module()
    packed.register_buffer("qweight", torch.zeros(2, dtype=torch.int8))
    assert home(packed) == home(nn.Linear(1, 1)) == torch.device("cpu")
