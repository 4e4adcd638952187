"""llama.cpp itself, where it is installed (``pip install xllamacpp gguf``), writes with an adapter of ours what we do.

The base is written here, in float32, as llama.cpp's ``convert_hf_to_gguf.py`` lays it out: rows of Llama's q and k are
interleaved, BLOOM's queries, keys and values stand apart, Gemma's norms have their 1 in them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lingarith.adapters.lora import LoraTerm
from lingarith.algebra import parse
from lingarith.formats.llama_cpp import write_gguf
from lingarith.model.backbone import Backbone
from lingarith.model.generate import generate
from lingarith.model.options import Decoding
from lingarith.vectors.composition import Composition, Space, realise
from lingarith.vectors.vector import Vector

gguf: Any = pytest.importorskip("gguf")
llama_cpp: Any = pytest.importorskip("xllamacpp")

SCALE = {"query_pre_attn_scalar": 8}  # llama.cpp divides by the root of a head's size in all Gemmas but the largest
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("LLAMA", {}),
    "mistral": ("LLAMA", {}),
    "qwen2": ("QWEN2", {}),
    "qwen3": ("QWEN3", {}),
    "gemma2": ("GEMMA2", SCALE),
    "gemma3": ("GEMMA3", {**SCALE, "tie_word_embeddings": False}),  # tied, it would say its last word again
    "bloom": ("BLOOM", {}),
}
PROMPT, WRITTEN = "w1 w40 w7 w22 w15", 12


def placed(name: str, tensor: Tensor, family: str, heads: int, keys: int) -> Tensor:
    """A tensor of the model as llama.cpp has it."""
    if family in ("llama", "mistral") and name.endswith(("q_proj.weight", "k_proj.weight")):
        each = (heads if "q_proj" in name else keys, 2, -1, tensor.shape[1])
        return tensor.reshape(each).transpose(1, 2).reshape(tensor.shape)
    if "query_key_value" in name:
        return tensor.reshape(heads, 3, -1, *tensor.shape[1:]).transpose(0, 1).reshape(tensor.shape)
    return tensor + 1 if family.startswith("gemma") and name.endswith("norm.weight") else tensor


def write_base(on: Backbone, path: Path) -> None:
    family, model, config = on.name, on.model, on.model.config
    arch = gguf.MODEL_ARCH[FAMILIES[family][0]]
    writer, layers = gguf.GGUFWriter(path, gguf.MODEL_ARCH_NAMES[arch]), config.num_hidden_layers
    heads = config.num_attention_heads
    keys = getattr(config, "num_key_value_heads", heads)
    writer.add_block_count(layers)
    writer.add_context_length(64)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(getattr(config, "intermediate_size", 4 * config.hidden_size))
    writer.add_head_count(heads)
    writer.add_head_count_kv(keys)
    if family == "bloom":
        writer.add_layer_norm_eps(config.layer_norm_epsilon)
    else:
        writer.add_layer_norm_rms_eps(config.rms_norm_eps)
        writer.add_key_length(config.hidden_size // heads)
        writer.add_value_length(config.hidden_size // heads)
        writer.add_rope_dimension_count(config.hidden_size // heads)
        writer.add_rope_freq_base(1e6 if family == "gemma3" else 1e4)
    if family.startswith("gemma"):
        writer.add_sliding_window(config.sliding_window)
    if family == "gemma2":
        writer.add_attn_logit_softcapping(config.attn_logit_softcapping)
        writer.add_final_logit_softcapping(config.final_logit_softcapping)
    words = on.tokenizer.convert_ids_to_tokens(list(range(len(on.tokenizer))))
    writer.add_tokenizer_model("llama")
    writer.add_token_list(words)
    writer.add_token_scores([0.0] * len(words))
    writer.add_token_types([3 if word.startswith("<") else 1 for word in words])
    writer.add_bos_token_id(on.tokenizer.bos_token_id)
    writer.add_eos_token_id(on.tokenizer.eos_token_id)
    writer.add_unk_token_id(on.tokenizer.unk_token_id)
    names = gguf.get_tensor_name_map(arch, layers)
    for name, tensor in model.state_dict().items():
        if name != "lm_head.weight" or not config.tie_word_embeddings:
            tensor = placed(name, tensor, family, heads, keys)
            short = names.get_name(name.removeprefix("transformer."), (".weight", ".bias"))
            writer.add_tensor(short, tensor.contiguous().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def there(on: Backbone, base: Path, *adapters: Path) -> str:
    """What llama.cpp writes, greedily."""
    asked = llama_cpp.CommonParams()
    asked.model.path, asked.n_ctx, asked.n_parallel, asked.warmup = str(base), 64, 1, False
    asked.cpuparams.n_threads = 1
    asked.cache_type_k = asked.cache_type_v = llama_cpp.ggml_type.GGML_TYPE_F32
    asked.flash_attn_type = llama_cpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    asked.lora_adapters = [llama_cpp.CommonAdapterLoraInfo(str(adapter), 1.0) for adapter in adapters]
    ids = on.framed(on.encode([PROMPT])[0])
    answer = llama_cpp.Server(asked).handle_completions(
        {"prompt": ids, "n_predict": WRITTEN, "temperature": 0, "top_k": 1, "logprobs": 1}
    )
    answer = answer if isinstance(answer, dict) else json.loads(answer)
    tokens = [token["id"] for token in answer["choices"][0]["logprobs"]["content"]]
    return str(on.tokenizer.decode(tokens, skip_special_tokens=True))


@pytest.mark.parametrize("family", FAMILIES)
def test_the_same_words_with_and_without_the_adapter(
    family: str, backbone: Callable[..., Backbone], tmp_path: Path
) -> None:
    on = backbone(family, **FAMILIES[family][1])
    write_base(on, tmp_path / "base.gguf")
    on.model.config.save_pretrained(tmp_path)
    torch.manual_seed(0)
    terms = {
        path: (LoraTerm(torch.randn(3, inner), 0.1 * torch.randn(out, 3)),) for path, (out, inner) in on.sizes.items()
    }
    made = Composition(parse("0.5*a"), {"a": Vector("a", terms, 1.0, {"backbone": on.facts})}, Space("delta"))
    write_gguf(made, tmp_path, tmp_path / "out", base_model="base")
    decoding = Decoding(max_input=16, max_output=WRITTEN)
    [bare] = generate(on, [PROMPT], decoding)
    with on.using(realise(made.combination, made.vectors, made.space)):
        [adapted] = generate(on, [PROMPT], decoding)
    assert adapted != bare
    assert there(on, tmp_path / "base.gguf") == bare
    assert there(on, tmp_path / "base.gguf", tmp_path / "out" / "adapter.gguf") == adapted
