"""LoRA for MLX on Apple's machines: what ``mlx_lm.generate --adapter-path FOLDER`` loads.

``adapters.safetensors`` holds ``<path>.lora_a`` (in × r) and ``<path>.lora_b`` (r × out), and ``adapter_config.json``
says which modules of a layer have some (``load_adapters`` in https://github.com/ml-explore/mlx-lm).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..disk.files import json_bytes, must_be_ours, replacing, write_file
from ..disk.tensors import pieces
from ..errors import LingarithError
from ..vectors.composition import Composition
from .folders import CONFIG, ORIGIN, TaskType, describe, ours
from .peft import factors_of, rank_of
from .snippets import MLX

ADAPTERS = "adapters.safetensors"


def write_mlx(
    composition: Composition,
    folder: Path,
    *,
    base_model: str,
    task_type: TaskType,
    origin: Mapping[str, Any] | None = None,
) -> None:
    """Write a composition as an adapter of MLX's. Raises :class:`LingarithError` as :func:`.peft.write_peft` does,
    and for what mlx-lm has not: encoder-decoders, and families whose layers it names otherwise."""
    if task_type != "CAUSAL_LM":
        raise LingarithError("mlx-lm has no encoder-decoder models; export with --format peft or merged")
    for path in composition.paths:  # mlx-lm applies nothing to modules that it does not find, and says nothing of it
        if ".layers." not in path or ".language_model." in path:
            raise LingarithError(f"mlx-lm has no {path}: it lacks this family, or names it otherwise; export for peft")
    composition.must_be_projections("an adapter of MLX")
    folder, rank = folder.resolve(), rank_of(composition.outline)
    must_be_ours(folder, ours(folder, CONFIG, ADAPTERS), ORIGIN)
    keys = sorted({path.split(".layers.")[-1].partition(".")[2] for path in composition.paths})
    tensors = {
        f"{path}.lora_{which}": factor.T.contiguous()
        for path, *pair in factors_of(composition.terms, rank)
        for which, factor in zip("ab", pair, strict=True)
    }
    config = {
        "fine_tune_type": "lora",
        "model": base_model,
        "num_layers": -1,  # all of them
        "lora_parameters": {"rank": rank, "scale": 1.0, "dropout": 0.0, "keys": keys},
    }
    with replacing(folder) as temporary:
        write_file(temporary / ADAPTERS, pieces(tensors, tensors.items(), f"update for {folder}", {"format": "mlx"}))
        write_file(temporary / CONFIG, json_bytes(config))
        said = {"base_model_name_or_path": base_model, "task_type": task_type, "peft_type": "LORA"}
        describe(temporary, composition, origin, said, MLX)
