"""PEFT's LoRA folders: what PEFT (0.21), vLLM and others load, and back.

PEFT computes ``(lora_alpha / r) · lora_B · lora_A``. We write ``lora_alpha = r``, so the factors in
the file are the update itself, one rank for all modules (zero rows fill up), and no pattern keys,
which some servers ignore silently. Neither way holds more than one projection in memory.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from ..adapters.lora import LoraTerm
from ..adapters.terms import Term
from ..disk.files import inside
from ..disk.tensors import TensorFile
from ..errors import LingarithError
from ..vectors.composition import Composition
from ..vectors.outline import LazyTerms, Terms, check_terms, lora_outline
from ..vectors.vector import Vector
from .folders import CONFIG, WEIGHTS, PeftFormat, TaskType, origin_of

UNSUPPORTED = {
    "use_dora": "DoRA's magnitudes are no low-rank update",
    "use_qalora": "QALoRA pools the input",
    "lora_bias": "it adds biases",
    "fan_in_fan_out": "its base keeps transposed weights",
    "layer_replication": "it repeats layers of the base",
    "target_parameters": "it adapts parameters that are no projection",
    "trainable_token_indices": "it changes embeddings",
    "alora_invocation_tokens": "it is active only after certain tokens",
    "arrow_config": "it routes between adapters",
    "use_bdlora": "its factors are block-diagonal",
    "kasa_config": "it carries singular values besides the factors",
    "monteclora_config": "it samples its factors",
}
"""Keys of an adapter's configuration that, when set, make it more than b·a."""

LORA = PeftFormat("LORA", "LoRA", "lora_alpha", UNSUPPORTED)

PLAIN_STARTS = (True, False, None, "gaussian", "orthogonal", "eva")
"""Initialisations that leave the base as it is; the others (PiSSA, OLoRA, …) change its weights."""

FACTOR = re.compile(r"base_model\.model\.(.+)\.lora_([AB])\.weight")


def write_peft(
    composition: Composition,
    folder: Path,
    *,
    base_model: str,
    task_type: TaskType,
    origin: Mapping[str, Any] | None = None,
    least_rank: int = 1,
) -> None:
    """Write a composition as an adapter for ``PeftModel.from_pretrained(base, folder)``.

    The terms of a module are concatenated, so the result is exact in its space; r is the largest sum
    of ranks, or ``least_rank`` where that is more (some servers take certain ranks only). ``origin``
    (expression, parents …) goes into ``lingarith.json`` with the space and the error of its cut.
    Raises :class:`LingarithError` when a term is no LoRA, when more than projections is changed, when
    the folder holds anything that this function did not write, on NaN or Inf, or on a full disk; the
    old folder is then still there.
    """
    composition.must_be_projections("PEFT's LoRA")
    factors = partial(_factors, least_rank=least_rank)
    _, first = next(iter(factors(composition.outline)))
    settings = {
        "r": len(first),
        "lora_alpha": len(first),
        "lora_dropout": 0.0,
        "use_rslora": False,
        "use_dora": False,
        "bias": "none",
        "fan_in_fan_out": False,
        "init_lora_weights": True,
    }
    LORA.write(composition, folder, settings, factors, base_model=base_model, task_type=task_type, origin=origin)


def open_peft(folder: Path, name: str) -> Vector:
    """The vector in a folder that PEFT's ``save_pretrained`` wrote; tensors are read when they are asked for.

    Its scale is α/r, or α/√r for rsLoRA. Raises :class:`LingarithError` saying why, when the adapter
    is more than LoRA (DoRA, biases, patterns …) or damaged, or when a file lies outside the folder.
    """
    config, rank, alpha = LORA.read(folder)
    _check_plain(folder, config)
    if not (folder / WEIGHTS).exists() and (folder / "adapter_model.bin").exists():
        raise LingarithError(
            f"{folder} holds a pickle (adapter_model.bin), which can run code; save it as safetensors first"
        )
    file = TensorFile(inside(folder, WEIGHTS), mend="save the adapter again")
    pairs: dict[str, dict[str, str]] = {}
    for key in file:
        match = FACTOR.fullmatch(key)
        if match is None:
            raise LingarithError(f"{file.path}: {key!r} is no LoRA factor of a projection; only plain LoRA is read")
        pairs.setdefault(match[1], {})[match[2]] = key
    outline = {}
    for path, pair in sorted(pairs.items()):
        places = [file.places[pair[which]] for which in "AB" if which in pair]
        match [place.shape for place in places if place.dtype.is_floating_point]:
            case [(r, inputs), (out, columns)] if r == columns == rank:
                outline[path] = (lora_outline((out, inputs), rank),)
            case _:
                raise LingarithError(f"{file.path}: {path!r} has no pair of factors of rank {rank}; {file.mend}")
    check_terms(outline, file.path, file.mend)

    def read(path: str) -> tuple[Term, ...]:
        return (LoraTerm(*(file[pairs[path][which]].float() for which in "AB")),)

    scale = alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)
    origin = origin_of(config, kind="lora", rank=rank, alpha=alpha)
    return Vector(name, LazyTerms(outline, read), scale, origin)


def _factors(terms: Terms, least_rank: int) -> Iterator[tuple[str, Tensor]]:
    """The tensors under PEFT's names, of a rank at least. Raises :class:`LingarithError` where a term is no LoRA."""
    for path, held in terms.items():
        for term in held:
            if not isinstance(term, LoraTerm):
                raise LingarithError(
                    f"{term.described()} at {path} is no LoRA, which is all that PEFT adds there; "
                    "cut the sum to a rank (--space delta --rank-out)"
                )
            a, b = term.padded(least_rank)
            yield f"base_model.model.{path}.lora_A.weight", a
            yield f"base_model.model.{path}.lora_B.weight", b


def _check_plain(folder: Path, config: Mapping[str, Any]) -> None:
    """Raise :class:`LingarithError` for biases, and for a start that changes the base."""
    where = folder / CONFIG
    if config.get("bias", "none") != "none":
        raise LingarithError(f"{where}: an adapter with bias={config['bias']!r} cannot be read, since it adds biases")
    start = config.get("init_lora_weights", True)
    if start not in PLAIN_STARTS:
        raise LingarithError(
            f"{where}: an adapter that starts from {start!r} cannot be read, since that changes the base"
        )
