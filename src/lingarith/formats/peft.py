"""PEFT's LoRA folders: what PEFT (0.21), vLLM and others load, and back.

PEFT computes ``(lora_alpha / r) · lora_B · lora_A``. We write ``lora_alpha = r``, so the factors in
the file are the update itself, one rank for all modules (zero rows fill up), and no pattern keys,
which some servers ignore silently. Neither way holds more than one projection in memory.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from ..adapters.lora import LoraTerm
from ..adapters.terms import Term
from ..disk.files import inside, json_bytes, must_be_ours, read_json, replacing, write_file
from ..disk.tensors import TensorFile, pieces
from ..errors import LingarithError
from ..vectors.composed import Composed
from ..vectors.outline import LazyTerms, Terms, check_terms, lora_outline
from ..vectors.realise import Composition
from ..vectors.vector import Vector

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

FACTOR = re.compile(r"base_model\.model\.(.+)\.lora_([AB])\.weight")


def write_peft(
    composition: Composition,
    folder: Path,
    *,
    base_model: str,
    task_type: TaskType,
    origin: Mapping[str, Any] | None = None,
    least_rank: int | None = None,
) -> None:
    """Write a composition as an adapter for ``PeftModel.from_pretrained(base, folder)``.

    The terms of a module are concatenated, so the result is exact in its space; r is the largest sum
    of ranks, or ``least_rank`` where that is more (some servers take certain ranks only). ``origin``
    (expression, parents …) goes into ``lingarith.json`` with the space and the error of its cut.
    Raises :class:`LingarithError` when a term is no LoRA, when more than projections is changed, when
    the folder holds anything that this function did not write, on NaN or Inf, or on a full disk; the
    old folder is then still there.
    """
    folder = folder.resolve()
    must_be_ours(folder, {CONFIG, WEIGHTS, ORIGIN}, ORIGIN)
    composition.must_be_projections("PEFT's LoRA")
    made = Composed(composition, least_rank or 1)
    outline = dict(_factors(made.terms.outline))
    rank = len(next(iter(outline.values())))
    origin = dict(origin or {})
    config = _config(rank, composition.paths, base_model, task_type, (origin.get("backbone") or {}).get("revision"))
    with replacing(folder) as temporary:
        content = pieces(outline, _factors(made.terms), f"update for {folder}", {"format": "pt"})
        write_file(temporary / WEIGHTS, content)
        write_file(temporary / CONFIG, json_bytes(config))
        about = {**origin, "schema": SCHEMA, "space": str(composition.space), "error": made.error}
        write_file(temporary / ORIGIN, json_bytes(about))


def task_type_of(paths: Iterable[str]) -> TaskType:
    """What PEFT calls a model with such projections: only encoder-decoders have a part called encoder.

    >>> task_type_of(["encoder.block.0.layer.0.SelfAttention.q"]), task_type_of(["model.layers.0.self_attn.q_proj"])
    ('SEQ_2_SEQ_LM', 'CAUSAL_LM')
    """
    return "SEQ_2_SEQ_LM" if any("encoder" in path.split(".") for path in paths) else "CAUSAL_LM"


def open_peft(folder: Path, name: str) -> Vector:
    """The vector in a folder that PEFT's ``save_pretrained`` wrote; tensors are read when they are asked for.

    Its scale is α/r, or α/√r for rsLoRA. Raises :class:`LingarithError` saying why, when the adapter
    is more than LoRA (DoRA, biases, patterns …) or damaged, or when a file lies outside the folder.
    """
    config = read_json(inside(folder, CONFIG), mend="name a folder that PEFT's save_pretrained wrote")
    scale, rank = _scale(folder, config)
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

    origin = {
        "kind": "imported",
        "adapter": {"kind": "lora", "rank": rank, "alpha": config["lora_alpha"]},
        "backbone": {"name": config.get("base_model_name_or_path"), "revision": config.get("revision")},
    }
    return Vector(name, LazyTerms(outline, read), scale, origin)


def _factors(terms: Terms) -> Iterator[tuple[str, Tensor]]:
    """The tensors under PEFT's names. Raises :class:`LingarithError` where a term is no LoRA."""
    for path, held in terms.items():
        for term in held:
            if not isinstance(term, LoraTerm):
                raise LingarithError(
                    f"{term.described()} at {path} is no LoRA, which is all that PEFT adds there; "
                    "cut the sum to a rank (--space delta --rank-out)"
                )
            yield f"base_model.model.{path}.lora_A.weight", term.a
            yield f"base_model.model.{path}.lora_B.weight", term.b


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
    if type(rank) is not int or rank < 1 or not isinstance(alpha, int | float) or not math.isfinite(alpha):
        raise LingarithError(f"{where}: r={rank!r} and lora_alpha={alpha!r} must be a positive integer and a number")
    return alpha / (math.sqrt(rank) if config.get("use_rslora") else rank), rank
