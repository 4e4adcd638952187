"""LoRA folders that servers load as they are: vLLM and SGLang.

Both read few keys of ``adapter_config.json`` and drop the others without a word: ``r``, ``lora_alpha``,
``target_modules``, ``bias``, ``modules_to_save``, ``use_rslora``, ``use_dora`` (``vllm/lora/peft_helper.py``
in https://github.com/vllm-project/vllm, ``srt/lora/lora_config.py`` in
https://github.com/sgl-project/sglang). vLLM takes the modules from the names of the tensors; SGLang
takes them from ``target_modules``, a list of the last parts of their paths, and a pattern would be
read letter by letter or refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..disk.files import json_bytes, must_be_ours, read_json, replacing, write_atomically
from ..errors import LingarithError
from ..vectors.composition import Composition
from .folders import CONFIG, ORIGIN, WEIGHTS, TaskType, ours
from .peft import rank_of, write_peft

RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""What vLLM's ``max_lora_rank`` may be; an adapter of just that rank wastes nothing."""


def unserved(encoder_decoder: bool) -> str:
    """A sentence for a backbone on which no server takes LoRA; "" for others."""
    how = "PEFT loads what is written, and `lingarith export --format merged` writes a whole model"
    return (
        f"vLLM and SGLang serve no LoRA on encoder-decoder models, such as this one; {how}" if encoder_decoder else ""
    )


def write_serving(
    composition: Composition,
    folder: Path,
    *,
    base_model: str,
    task_type: TaskType,
    origin: Mapping[str, Any] | None = None,
) -> int:
    """Write a composition as a LoRA folder for a server, and return its rank, one of :data:`RANKS`.

    Zero rows fill it up to that rank, which changes nothing; PEFT loads it too. Raises
    :class:`LingarithError` as :func:`.peft.write_peft` does, and for a rank that no server takes.
    """
    folder = folder.resolve()
    must_be_ours(folder, ours(folder, CONFIG, WEIGHTS), ORIGIN)
    exact = rank_of(composition.outline)
    rank = next((rank for rank in RANKS if rank >= exact), None)
    if rank is None:
        raise LingarithError(
            f"the sum has rank {exact}, and servers take {RANKS[-1]} at most; cut it (--space delta --rank-out 64)"
        )
    with replacing(folder) as temporary:
        write_peft(
            composition, temporary, base_model=base_model, task_type=task_type, origin=origin, least_rank=rank
        )  # fmt: skip
        modules = sorted({path.rpartition(".")[2] for path in composition.paths})
        config = read_json(temporary / CONFIG) | {"target_modules": modules}
        write_atomically(temporary / CONFIG, json_bytes(config))
    return rank
