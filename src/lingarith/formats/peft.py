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
from ..disk.files import arrived
from ..disk.tensors import TensorFile
from ..errors import LingarithError
from ..vectors.composition import Composition
from ..vectors.outline import LazyTerms, Terms, check_terms, lora_outline
from ..vectors.vector import Vector
from .folders import CONFIG, WEIGHTS, PeftFormat, TaskType, by_module, in_common, origin_of

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

FACTOR = re.compile(r"(?:base_model\.model\.)?(.+)\.lora_([AB])(?:\.default)?\.weight")
"""A tensor's name: PEFT's, or one that another program wrote without the wrapper or with the adapter's name."""


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
    rank = max(least_rank, rank_of(composition.outline))
    factors = partial(_factors, rank=rank)
    settings = {
        "r": rank,
        "lora_alpha": rank,
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

    Its scale is α/r, or α/√r for rsLoRA; where modules have an r or α of their own, it is 1 and what
    is read as ``b`` has each one's scale. Raises :class:`LingarithError` saying why, when the adapter is
    more than LoRA (DoRA, biases …) or damaged, or when a file lies outside the folder.
    """
    config, sizes = LORA.read(folder)
    _check_plain(folder, config)
    if not (folder / WEIGHTS).exists() and (folder / "adapter_model.bin").exists():
        raise LingarithError(
            f"{folder} holds a pickle (adapter_model.bin), which can run code; save it as safetensors first"
        )
    file = TensorFile(arrived(folder, WEIGHTS), mend="save the adapter again")
    pairs = by_module(file, FACTOR, "LoRA factor of a projection; only plain LoRA is read")
    outline, scales = {}, {}
    for path, pair in sorted(pairs.items()):
        rank, alpha = sizes(path)
        scales[path] = alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)
        places = [file.places[pair[which]] for which in "AB" if which in pair]
        match [place.shape for place in places if place.dtype.is_floating_point]:
            case [(r, inputs), (out, columns)] if r == columns == rank:
                outline[path] = (lora_outline((out, inputs), rank),)
            case _:
                raise LingarithError(f"{file.path}: {path!r} has no pair of factors of rank {rank}; {file.mend}")
    check_terms(outline, file.path, file.mend)

    scale, own = in_common(scales)

    def read(path: str) -> tuple[Term, ...]:
        return (LoraTerm(*(file[pairs[path][which]].float() for which in "AB")).scaled(own[path]),)

    origin = origin_of(config, kind="lora", rank=config["r"], alpha=config["lora_alpha"])
    return Vector(name, LazyTerms(outline, read), scale, origin)


def rank_of(outline: Terms) -> int:
    """The largest rank of any projection, at least 1."""
    return max([1, *(len(term.a) for terms in outline.values() for term in terms if isinstance(term, LoraTerm))])


def factors_of(terms: Terms, rank: int) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Of each projection its path, A (rank × in) and B (out × rank), filled up with zeros.

    Raises :class:`LingarithError` where a term is no LoRA.
    """
    for path, held in terms.items():
        for term in held:
            if not isinstance(term, LoraTerm):
                raise LingarithError(
                    f"{term.described()} at {path} is no LoRA, which is all that PEFT adds there; "
                    "cut the sum to a rank (--space delta --rank-out)"
                )
            yield path, *term.padded(rank)


def _factors(terms: Terms, rank: int) -> Iterator[tuple[str, Tensor]]:
    """The tensors under PEFT's names, all of one rank."""
    for path, a, b in factors_of(terms, rank):
        yield f"base_model.model.{path}.lora_A.weight", a
        yield f"base_model.model.{path}.lora_B.weight", b


def _check_plain(folder: Path, config: Mapping[str, Any]) -> None:
    """Raise :class:`LingarithError` for biases, and for a start that changes the base."""
    where = folder / CONFIG
    if config.get("bias", "none") != "none":
        raise LingarithError(f"{where}: an adapter with bias={config['bias']!r} cannot be read, since it adds biases")
    if not isinstance(config.get("use_rslora", False), bool | None):
        raise LingarithError(f"{where}: use_rslora={config['use_rslora']!r} must be true or false")
    start = config.get("init_lora_weights", True)
    if not isinstance(start, bool | str | None) or start not in PLAIN_STARTS:
        raise LingarithError(
            f"{where}: an adapter that starts from {start!r} cannot be read, since that changes the base"
        )
