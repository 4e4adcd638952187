"""Updates as PEFT adapters: a folder that PEFT (0.21), vLLM and others load, and back.

PEFT computes ``(lora_alpha / r) · lora_B · lora_A``. We write ``lora_alpha = r``, so the factors in
the file are the update itself, one rank for all modules (zero rows fill up), and no pattern keys,
which some servers ignore silently.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from ..errors import LingarithError
from .files import json_bytes, read_json, read_safetensors, replace_folder, safetensors_bytes
from .vector import LoraTerm, Update

TaskType = Literal["SEQ_2_SEQ_LM", "CAUSAL_LM"]

SCHEMA = 1
CONFIG, WEIGHTS, ORIGIN = "adapter_config.json", "adapter_model.safetensors", "lingarith.json"
PEFT_VERSION = "0.21.0"

UNSUPPORTED = {
    "use_dora": "DoRA's magnitudes are no low-rank update",
    "use_qalora": "QALoRA pools the input",
    "lora_bias": "it adds biases",
    "modules_to_save": "it replaces whole modules",
    "rank_pattern": "its modules have different ranks",
    "alpha_pattern": "its modules have different scales",
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

PLAIN_STARTS = (True, False, None, "gaussian", "orthogonal", "eva")
"""Initialisations that leave the base as it is; the others (PiSSA, OLoRA, …) change its weights."""


def write_peft(
    update: Update,
    folder: Path,
    *,
    base_model: str,
    task_type: TaskType,
    origin: Mapping[str, Any] | None = None,
) -> None:
    """Write an update as an adapter for ``PeftModel.from_pretrained(base, folder)``.

    The terms of a module are concatenated, so the result is exact; r is the largest sum of ranks.
    ``origin`` (expression, parents …) goes into ``lingarith.json`` with the space and the error of
    the update. Raises :class:`LingarithError` when the folder holds anything that this function
    did not write, on NaN or Inf, or on a full disk; the old folder is then still there.
    """
    folder = folder.resolve()
    _must_be_ours(folder)
    factors = {path: _concatenated(path, terms) for path, terms in sorted(update.terms.items())}
    if not factors:
        raise LingarithError(f"nothing to write to {folder}: the update has no projection")
    rank = max(term.a.shape[0] for term in factors.values())
    tensors: dict[str, Tensor] = {}
    for path, term in factors.items():
        missing = rank - term.a.shape[0]
        tensors[f"base_model.model.{path}.lora_A.weight"] = torch.nn.functional.pad(term.a, (0, 0, 0, missing))
        tensors[f"base_model.model.{path}.lora_B.weight"] = torch.nn.functional.pad(term.b, (0, missing))
    origin = dict(origin or {})
    config = _config(rank, list(factors), base_model, task_type, (origin.get("backbone") or {}).get("revision"))
    about = {**origin, "schema": SCHEMA, "space": update.space, "error": update.error}
    content = safetensors_bytes(tensors, f"update for {folder}", {"format": "pt"})
    replace_folder(folder, {WEIGHTS: content, CONFIG: json_bytes(config), ORIGIN: json_bytes(about)})


def read_peft(folder: Path) -> Update:
    """The update of a LoRA adapter that PEFT wrote: one float32 term per module, in space ``delta``.

    The scale (α/r, or α/√r for rsLoRA) is multiplied into ``b``. Raises :class:`LingarithError`
    saying why, when the adapter is more than that (DoRA, biases, patterns …) or damaged.
    """
    config = read_json(folder / CONFIG, mend="name a folder that PEFT's save_pretrained wrote")
    scale, rank = _scale(folder, config)
    if not (folder / WEIGHTS).exists() and (folder / "adapter_model.bin").exists():
        raise LingarithError(
            f"{folder} holds a pickle (adapter_model.bin), which can run code; save it as safetensors first"
        )
    tensors = read_safetensors(folder / WEIGHTS, mend="save the adapter again")
    pairs: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        match = re.fullmatch(r"base_model\.model\.(.+)\.lora_([AB])\.weight", key)
        if match is None:
            raise LingarithError(
                f"{folder / WEIGHTS}: {key!r} is no LoRA factor of a projection; only plain LoRA is read"
            )
        pairs.setdefault(match[1], {})[match[2]] = tensor.float()
    terms = {}
    for path, pair in sorted(pairs.items()):
        a, b = pair.get("A"), pair.get("B")
        if a is None or b is None or a.ndim != 2 or b.ndim != 2 or a.shape[0] != rank or b.shape[1] != rank:
            raise LingarithError(
                f"{folder / WEIGHTS}: {path!r} has no pair of factors of rank {rank}; save the adapter again"
            )
        terms[path] = (LoraTerm(a, b * scale),)
    if not terms:
        raise LingarithError(f"{folder / WEIGHTS} holds no tensor; save the adapter again")
    return Update(terms, "delta")


def _must_be_ours(folder: Path) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        raise LingarithError(f"{folder} is a file; name a folder for the adapter")
    inside = {path.name for path in folder.iterdir()}
    strangers = sorted(inside - {CONFIG, WEIGHTS, ORIGIN}) or sorted(inside if ORIGIN not in inside else [])
    if strangers:
        raise LingarithError(
            f"{folder} holds {strangers[0]}, which was not written here; name another folder or move it away"
        )


def _concatenated(path: str, terms: tuple[LoraTerm, ...]) -> LoraTerm:
    """One term with the same ΔW: Σ bᵢaᵢ = [b₁ b₂ …]·[a₁; a₂; …]."""
    if not terms:
        raise LingarithError(f"nothing to write for {path}: it has no term; leave it out of the update")
    return LoraTerm(torch.cat([term.a.float() for term in terms]), torch.cat([term.b.float() for term in terms], 1))


def _config(rank: int, paths: list[str], base_model: str, task_type: TaskType, revision: str | None) -> dict[str, Any]:
    return {
        "peft_type": "LORA",
        "peft_version": PEFT_VERSION,
        "task_type": task_type,
        "base_model_name_or_path": base_model,
        "revision": revision,
        "inference_mode": True,
        "r": rank,
        "lora_alpha": rank,
        "lora_dropout": 0.0,
        "use_rslora": False,
        "use_dora": False,
        "bias": "none",
        "fan_in_fan_out": False,
        "init_lora_weights": True,
        "modules_to_save": None,
        "rank_pattern": {},
        "alpha_pattern": {},
        # A list would also match every module whose path *ends* in one of these; a pattern is matched whole.
        "target_modules": "|".join(re.escape(path) for path in paths),
    }


def _scale(folder: Path, config: Mapping[str, Any]) -> tuple[float, int]:
    """(scale, r). Raises where the adapter is no plain LoRA."""
    where = folder / CONFIG
    if config.get("peft_type") != "LORA":
        raise LingarithError(f"{where}: an adapter of type {config.get('peft_type')!r} cannot be read; only LoRA can")
    for key, reason in UNSUPPORTED.items():
        if config.get(key):
            raise LingarithError(f"{where}: an adapter with {key} cannot be read, since {reason}; only plain LoRA can")
    if config.get("bias", "none") != "none":
        raise LingarithError(f"{where}: an adapter with bias={config['bias']!r} cannot be read, since it adds biases")
    start = config.get("init_lora_weights", True)
    if start not in PLAIN_STARTS:
        raise LingarithError(
            f"{where}: an adapter that starts from {start!r} cannot be read, since that changes the base"
        )
    rank, alpha = config.get("r"), config.get("lora_alpha")
    if not isinstance(rank, int) or rank < 1 or not isinstance(alpha, int | float) or not math.isfinite(alpha):
        raise LingarithError(f"{where}: r={rank!r} and lora_alpha={alpha!r} must be a positive integer and a number")
    return alpha / (math.sqrt(rank) if config.get("use_rslora") else rank), rank
