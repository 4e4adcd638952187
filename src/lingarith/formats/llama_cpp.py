"""LoRA as GGUF, for llama.cpp and Ollama, beside a base model in GGUF.

Tensors have llama.cpp's names (``gguf``'s own map), and rows of B stand where llama.cpp's conversion puts those of
the weights (``convert_hf_to_gguf.py`` and ``convert_lora_to_gguf.py`` in https://github.com/ggml-org/llama.cpp).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..disk.files import must_be_ours, read_json, replacing, write_file
from ..errors import LingarithError, did_you_mean, optional
from ..vectors.composition import Composition
from .checkpoints import CONFIG
from .folders import ORIGIN, describe, ours
from .peft import factors_of, rank_of
from .snippets import GGUF

ADAPTER, MODELFILE = "adapter.gguf", "Modelfile"
Rows = NDArray[np.float32]


@dataclass(frozen=True)
class _Heads:
    """How many heads of queries there are, and of keys."""

    queries: int
    keys: int


def _rotary(rows: Rows, heads: int) -> Rows:
    """Llama's q and k: the halves of each head, which rotate together, are interleaved."""
    return rows.reshape(heads, 2, -1, rows.shape[1]).swapaxes(1, 2).reshape(rows.shape)


def _llama(rows: Rows, path: str, heads: _Heads) -> Rows:
    if path.endswith(".q_proj"):
        return _rotary(rows, heads.queries)
    return _rotary(rows, heads.keys) if path.endswith(".k_proj") else rows


def _bloom(rows: Rows, path: str, heads: _Heads) -> Rows:
    """Queries, keys and values stand head by head in BLOOM, and one after another here."""
    if not path.endswith(".query_key_value"):
        return rows
    return rows.reshape(heads.queries, 3, -1, rows.shape[1]).swapaxes(0, 1).reshape(rows.shape)


def _same(rows: Rows, path: str, heads: _Heads) -> Rows:
    return rows


FAMILIES: Mapping[str, tuple[str, Callable[[Rows, str, _Heads], Rows]]] = {
    "llama": ("LLAMA", _llama),
    "mistral": ("LLAMA", _llama),
    "qwen2": ("QWEN2", _same),
    "qwen3": ("QWEN3", _same),
    "gemma": ("GEMMA", _same),
    "gemma2": ("GEMMA2", _same),
    "gemma3_text": ("GEMMA3", _same),
    "gemma3": ("GEMMA3", _same),
    "bloom": ("BLOOM", _bloom),
}
"""transformers' ``model_type`` → gguf's name of the architecture, and where rows of B go."""


def write_gguf(
    composition: Composition, base: Path, folder: Path, *, base_model: str, origin: Mapping[str, Any] | None = None
) -> int:
    """Write a composition as ``adapter.gguf`` with a ``Modelfile`` for Ollama beside it; its rank.

    ``base`` is the folder of the backbone, of which the configuration alone is read. Raises :class:`LingarithError`
    as :func:`.peft.write_peft` does, and for a family or a layer that llama.cpp has no name for.
    """
    gguf = optional("gguf", "gguf")
    composition.must_be_projections("an adapter of GGUF")
    folder = folder.resolve()
    must_be_ours(folder, ours(folder, ADAPTER, MODELFILE), ORIGIN)
    config = read_json(base / CONFIG, mend="name the backbone's folder by --backbone")
    kind = str(config.get("model_type"))
    if kind not in FAMILIES:
        raise LingarithError(
            f"llama.cpp has no names for the layers of {kind!r} that are known here{did_you_mean(kind, FAMILIES)}; "
            "PEFT's folder and a merged checkpoint serve every family (--format peft, merged)"
        )
    text: dict[str, Any] = config | (config.get("text_config") or {})
    layers = text.get("num_hidden_layers") or text.get("n_layer")
    queries = int(text.get("num_attention_heads") or text["n_head"])
    heads = _Heads(queries, int(text.get("num_key_value_heads") or queries))
    name, moved = FAMILIES[kind]
    arch = gguf.MODEL_ARCH[name]
    names = {path: _named(path, gguf.get_tensor_name_map(arch, layers)) for path in composition.paths}
    rank = rank_of(composition.outline)
    with replacing(folder) as temporary:
        writer = gguf.GGUFWriter(temporary / ADAPTER, gguf.MODEL_ARCH_NAMES[arch])
        writer.add_type(gguf.GGUFType.ADAPTER)
        writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
        writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, float(rank))  # divided by the rank, it is a scale of 1
        writer.add_name(str(composition.combination))
        for path, a, b in factors_of(composition.terms, rank):
            writer.add_tensor(f"{names[path]}.weight.lora_a", a.contiguous().numpy())
            rows = np.ascontiguousarray(moved(b.contiguous().numpy(), path, heads))
            writer.add_tensor(f"{names[path]}.weight.lora_b", rows)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        said = {"base_model_name_or_path": base_model, "task_type": "CAUSAL_LM", "peft_type": "LORA"}
        describe(temporary, composition, origin, said, GGUF)
        write_file(temporary / MODELFILE, "\n".join(_modelfile(base_model, (origin or {}).get("prompt"))))
    return rank


def _named(path: str, names: Any) -> str:
    """What llama.cpp calls a layer, from where the list of layers begins in its path."""
    for begin in ("layers.", "h."):
        place = f".{path}".find(f".{begin}")
        tail = path[place:] if place >= 0 else ""
        for known in (path, tail, f"model.{tail}"):
            if known and (found := names.get_name(known)):
                return str(found)
    raise LingarithError(f"llama.cpp has no name for {path}; export without it, or with --format merged")


def _modelfile(base: str, prompt: str | None) -> Iterator[str]:
    yield f"# An adapter for {base}, in GGUF: convert_hf_to_gguf.py of llama.cpp makes base.gguf of it."
    yield "FROM ./base.gguf"
    yield f"ADAPTER ./{ADAPTER}"
    yield f"# What it was trained to read: {prompt!r}" if prompt else "# It reads what its task vector was trained on."
    yield 'TEMPLATE """{{ .Prompt }}"""'
    yield "PARAMETER temperature 0"
    yield ""
